// A program shows a credential without a browser: SD-JWT by npm @sd-jwt, DPoP (RFC 9449) by npm `jose`.
// In: { origin, path, credential, key, steal }. Out: what came of each use of the token.
import { digest, generateSalt } from '@sd-jwt/crypto-nodejs';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import crypto from 'node:crypto';
import { makeKey, sign } from './jose.mjs';
import { done, localFetch, task } from './web.mjs';

const { origin, path, credential, key } = await task();
const challenge = await (await localFetch(`${origin}/.carded/challenge`, { method: 'POST' })).json();

const holder = new SDJwtVcInstance({
  hasher: digest,
  hashAlg: 'sha-256',
  saltGenerator: generateSalt,
  kbSignAlg: 'ES256',
  kbSigner: async (data) => {
    const privateKey = crypto.createPrivateKey({ key: key.privateJwk, format: 'jwk' });
    return crypto.sign('sha256', Buffer.from(data), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  },
});
const now = () => Math.floor(Date.now() / 1000);
const presentation = await holder.present(
  credential,
  { age_equal_or_over: { 21: true } },
  { kb: { payload: { iat: now(), aud: challenge.client_id, nonce: challenge.nonce } } },
);
const id = challenge.dcql_query.credentials.find((one) => one.format === 'dc+sd-jwt').id;
const form = new URLSearchParams({ vp_token: JSON.stringify({ [id]: [presentation] }), nonce: challenge.nonce });
const present = async () => {
  const reply = await localFetch(`${origin}/.carded/present`, { method: 'POST', body: form });
  return { status: reply.status, ...(await reply.json()) };
};
const granted = await present();
const replayed = await present();

/** A request with the token and a DPoP proof by `by`. */
async function use(by, changes = {}) {
  const proof = await sign(
    { alg: 'ES256', typ: 'dpop+jwt', jwk: by.publicJwk },
    {
      jti: crypto.randomUUID(), htm: 'GET', htu: `${origin}${path}`, iat: now(),
      ath: crypto.createHash('sha256').update(granted.access_token).digest('base64url'), ...changes,
    },
    by.privateJwk,
  );
  return await send({ dpop: proof });
}
async function send(headers) {
  const reply = await localFetch(`${origin}${path}`, { headers: { accept: '*/*', authorization: `DPoP ${granted.access_token}`, ...headers } });
  const text = await reply.text();
  return { status: reply.status, code: reply.status === 200 ? 'ok' : JSON.parse(text).code, proof: headers.dpop };
}

const good = await use(key);
done({
  granted: { status: granted.status, token_type: granted.token_type, expires_in: granted.expires_in, error: granted.code },
  replayed: replayed.code,
  good,
  again: await use(key),
  without: await send({}),
  bearer: await send({ authorization: `Bearer ${granted.access_token}` }),
  stolen: await use(await makeKey()),
  sameProof: await send({ dpop: good.proof }),
  otherPath: await use(key, { htu: `${origin}/other` }),
  otherMethod: await use(key, { htm: 'POST' }),
  otherToken: await use(key, { ath: crypto.createHash('sha256').update('x').digest('base64url') }),
  stale: await use(key, { iat: now() - 3600 }),
});
