// An OpenID provider with people: npm `oidc-provider` (certified) with its own pages for signing in. Any name signs in with any
// password.
//
// Started by tests with ISSUER (its public URL), PORT (where it listens on 127.0.0.1), CLIENT (a JSON object of client metadata) in
// the environment, and where they are wanted TTL (of access tokens, in seconds) and ROTATE (a new refresh token each time); it prints
// "ready" when it answers, then each grant and each revocation.

import { createServer } from "node:http";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";

const { ISSUER: issuer, PORT: port, CLIENT: client, TTL: ttl, ROTATE: rotate } = process.env;

const { privateKey } = await generateKeyPair("RS256", { extractable: true });
const signingKey = { ...(await exportJWK(privateKey)), alg: "RS256", use: "sig", kid: "people-1" };

const provider = new Provider(issuer, {
  jwks: { keys: [signingKey] },
  cookies: { keys: [crypto.randomUUID()] },
  clients: [JSON.parse(client)],
  claims: { openid: ["sub"], email: ["email"] },
  conformIdTokenClaims: false, // the claims of the scopes are in the ID token too
  pkce: { required: () => true },
  ...(ttl ? { ttl: { AccessToken: Number(ttl), IdToken: Number(ttl) } } : {}),
  ...(rotate ? { rotateRefreshToken: true } : {}),
  acrValues: ["urn:one", "urn:two"],
  features: {
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    backchannelLogout: { enabled: true },
  },
  // those whom it tells of a logout are on this machine, which it would not call by itself
  fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
  findAccount: (_context, sub) => ({ accountId: sub, claims: () => ({ sub, email: `${sub}@example.com` }) }),
});

provider.on("grant.success", (context) => console.log(`granted ${context.oidc.params.grant_type}`));
provider.on("grant.error", (context, error) => console.log(`refused ${context.oidc.params?.grant_type} ${error.error}`));
provider.on("grant.revoked", () => console.log("revoked"));

createServer(provider.callback()).listen(Number(port), "127.0.0.1", () => console.log("ready"));
