// Keys and callbacks for @openid4vc packages, by npm `jose` and Node's own crypto.
import crypto from 'node:crypto';
import { calculateJwkThumbprint, CompactSign, compactVerify, exportJWK, generateKeyPair, importJWK } from 'jose';

/** A fresh key pair as JWKs, for ES256 or EdDSA. */
export async function makeKey(alg = 'ES256') {
  const pair = await generateKeyPair(alg, { extractable: true });
  const publicJwk = await exportJWK(pair.publicKey);
  return { alg, publicJwk, privateJwk: await exportJWK(pair.privateKey), thumbprint: await calculateJwkThumbprint(publicJwk) };
}

/** The did:jwk of a public key. */
export const didJwk = (jwk) => `did:jwk:${Buffer.from(JSON.stringify(jwk)).toString('base64url')}`;

/** A compact JWS by a private JWK. */
export async function sign(header, payload, privateJwk) {
  const key = await importJWK(privateJwk, header.alg);
  return await new CompactSign(new TextEncoder().encode(JSON.stringify(payload))).setProtectedHeader(header).sign(key);
}

/** Whether a compact JWS holds by a public JWK. */
export async function holds(jws, publicJwk, alg) {
  return await compactVerify(jws, await importJWK(publicJwk, alg)).then(() => true, () => false);
}

/** The callbacks that @openid4vc packages ask for. `keys` are those that may sign. */
export function callbacks(keys, fetch) {
  const never = () => {
    throw new Error('not part of this flow');
  };
  return {
    fetch,
    generateRandom: (count) => crypto.randomBytes(count),
    hash: (data, alg) => crypto.createHash(alg.replace('-', '').toLowerCase()).update(data).digest(),
    clientAuthentication: () => {},
    signJwt: async (signer, { header, payload }) => {
      const matches = (key) =>
        signer.method === 'did' ? signer.didUrl.startsWith(didJwk(key.publicJwk)) : signer.publicJwk.x === key.publicJwk.x;
      const key = keys.find(matches);
      return { jwt: await sign(header, payload, key.privateJwk), signerJwk: key.publicJwk };
    },
    verifyJwt: never,
    decryptJwe: never,
    encryptJwe: never,
  };
}
