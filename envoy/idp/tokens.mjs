// Tokens made with npm `jose` for the real-Envoy tests: one good token for each algorithm, and some that are not.
// Reads { issuer, audience, algorithms } as JSON from stdin; writes { jwks, tokens: [{ name, token, code }] } to stdout.

import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createSign, generateKeyPairSync } from "node:crypto";
import { text } from "node:stream/consumers";

const { issuer, audience, algorithms } = JSON.parse(await text(process.stdin));

/** An honest token, before it is signed. */
const honest = (alg, kid) =>
  new SignJWT({ roles: ["clerk"] })
    .setProtectedHeader({ alg, kid, typ: "at+jwt" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject("alice")
    .setIssuedAt()
    .setExpirationTime("5m");

const keys = [];
const tokens = [];
const privateKeys = {};
for (const alg of algorithms) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  privateKeys[alg] = privateKey;
  keys.push({ ...(await exportJWK(publicKey)), alg, use: "sig", kid: alg });
  tokens.push({ name: `jose ${alg}`, token: await honest(alg, alg).sign(privateKey), code: "" });
}

const [first, second] = algorithms;
const expired = await honest(first, first).setIssuedAt("2 hours ago").setExpirationTime("1 hour ago").sign(privateKeys[first]);
const elsewhere = await honest(first, first).setAudience("elsewhere").sign(privateKeys[first]);
const swapped = await honest(second, first).sign(privateKeys[second]);
const shared = await honest("HS256", first).sign(new TextEncoder().encode("a secret that nobody has configured"));
tokens.push({ name: "jose expired", token: expired, code: "token_expired" });
tokens.push({ name: "jose for another audience", token: elsewhere, code: "audience_mismatch" });
tokens.push({ name: `jose ${second} by the key id of ${first}`, token: swapped, code: "key_mismatch" });
tokens.push({ name: "jose HS256", token: shared, code: "algorithm_not_allowed" });
const damaged = tokens[0].token.replace(/[^.]{4}([^.]*)$/, "AAAA$1");
tokens.push({ name: "jose with a damaged signature", token: damaged, code: "signature_invalid" });

// jose refuses RSA keys under 2048 bits, so this one is signed by Node itself (threat 17)
const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
keys.push({ ...(await exportJWK(small.publicKey)), alg: "RS256", use: "sig", kid: "small" });
const base64url = (value) => Buffer.from(value).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const claims = { iss: issuer, aud: audience, sub: "alice", iat: now, exp: now + 300 };
const input = `${base64url(JSON.stringify({ alg: "RS256", kid: "small", typ: "at+jwt" }))}.${base64url(JSON.stringify(claims))}`;
const signature = createSign("RSA-SHA256").update(input).sign(small.privateKey, "base64url");
tokens.push({ name: "an RSA key of 1024 bits", token: `${input}.${signature}`, code: "key_not_found" });

process.stdout.write(JSON.stringify({ jwks: { keys }, tokens }));
