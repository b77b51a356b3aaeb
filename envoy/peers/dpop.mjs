// Tokens that are bound to a key (RFC 9449), used by npm `@openid4vc/oauth2`, which asks again with the nonce that it is given, and
// proofs by npm `jose` that no honest client would make. Each request is on a connection of its own.
// In: { origin, port, key, thief, tokens: { name: token }, paths, times }. Out: { uses: [{ name, path, outcomes }], bad, twice }, where
// an outcome is "status code requests".
import { resourceRequest, setGlobalConfig } from '@openid4vc/oauth2';
import crypto from 'node:crypto';
import { callbacks, sign } from './jose.mjs';
import { done, localFetch, task } from './web.mjs';

// names that end in .localhost may speak http
setGlobalConfig({ allowInsecureUrls: true });
const { origin, port, key, thief, tokens, paths, times } = await task();
const names = Object.keys(tokens);
const signer = { method: 'jwk', alg: 'ES256', publicJwk: key.publicJwk };
const said = async (reply) => (reply.status === 200 ? 'ok' : (await reply.json()).code);
const alone = { connection: 'close', accept: 'application/json' };

/** What becomes of a request of the library, and how many it made of it. */
async function use(name, path, nonce) {
  let requests = 0;
  const fetch = async (url, init) => {
    requests += 1;
    return await localFetch(url, { ...init, headers: { ...init.headers, ...alone } }, port);
  };
  const { response, dpop } = await resourceRequest({
    url: `${origin}${path}`,
    requestOptions: { method: 'GET', headers: {} },
    accessToken: tokens[name],
    callbacks: callbacks([key], fetch),
    dpop: { signer, nonce },
  });
  return { text: `${response.status} ${await said(response)} ${requests}`, nonce: dpop?.nonce };
}

const uses = [];
for (const name of names) {
  for (const path of paths) {
    const outcomes = await Promise.all(Array.from({ length: times }, () => use(name, path)));
    uses.push({ name, path, outcomes: outcomes.map((one) => one.text) });
  }
}

/** A proof for the token for orders at the first path, with other claims, by another key. */
async function proof(changes, by = key) {
  const ath = crypto.createHash('sha256').update(tokens.orders).digest('base64url');
  const iat = Math.floor(Date.now() / 1000);
  const claims = { jti: crypto.randomUUID(), htm: 'GET', htu: `${origin}${paths[0]}`, iat, ath, ...changes };
  return await sign({ alg: 'ES256', typ: 'dpop+jwt', jwk: by.publicJwk }, claims, by.privateJwk);
}
async function send(proof, authorization = `DPoP ${tokens.orders}`) {
  const headers = { authorization, ...alone, ...(proof ? { dpop: proof } : {}) };
  const reply = await localFetch(`${origin}${paths[0]}`, { headers }, port);
  return { text: `${reply.status} ${await said(reply)}`, nonce: reply.headers.get('dpop-nonce'), challenge: reply.headers.get('www-authenticate') };
}

const first = await send(await proof({}));
const nonce = first.nonce;
const one = await proof({ nonce });
const twice = await Promise.all(Array.from({ length: times }, () => send(one)));
done({
  uses,
  challenge: first.challenge,
  twice: twice.map((one) => one.text),
  bad: {
    'made without a nonce': first.text,
    'a nonce made up': (await send(await proof({ nonce: 'made-up' }))).text,
    'a nonce changed': (await send(await proof({ nonce: `${nonce.slice(0, 20)}${nonce[20] === 'A' ? 'B' : 'A'}${nonce.slice(21)}` }))).text,
    'no proof': (await send(undefined)).text,
    'as a bearer token': (await send(await proof({ nonce }), `Bearer ${tokens.orders}`)).text,
    'by a thief': (await send(await proof({ nonce }, thief))).text,
    'for another path': (await send(await proof({ nonce, htu: `${origin}${paths[1]}` }))).text,
    'for another method': (await send(await proof({ nonce, htm: 'POST' }))).text,
    'for another token': (await send(await proof({ nonce, ath: crypto.createHash('sha256').update('x').digest('base64url') }))).text,
    'too old': (await send(await proof({ nonce, iat: Math.floor(Date.now() / 1000) - 600 }))).text,
  },
  good: (await send(await proof({ nonce }))).text,
});
