// A wine shop with a shelf for adults, by OpenID4VP 1.0 on the same device: the answer counts only in the browser that asked.
//
// What was asked travels as `state`, what came of it as `response_code`, who is let in as a cookie: each carries its time and
// a MAC, so nothing is kept but the nonces that were used. A cookie of each transaction's own ties all of it to the browser.

import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';
import { UsedNonces, createVerifier, randomNonce } from '@carded/verifier';

const LIFETIME = 300; // seconds in which a request is answered
const SESSION = 1800; // seconds that a proof is remembered at most
const HEADERS = {
  'cache-control': 'no-store', 'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff',
};
const now = () => Math.floor(Date.now() / 1000);

/** Makes the shop. `origin`: as browsers see it; `key`: 32 secret bytes; `credential`: as `createVerifier` takes one. */
export async function shop({ origin, wallet, credential, key, development = false }) {
  if (key.length < 32) throw new Error('KEY: at least 32 bytes');
  const verifier = await createVerifier({ credentials: { over21: credential }, danger_allow_http_localhost: development });
  const used = new UsedNonces();

  // Texts that only we can have made: `until.field.….mac`. No field has a dot. What is made for one purpose opens for no other.
  const mac = (purpose, text) => createHmac('sha256', key).update(`${purpose}\0${origin}\0${text}`).digest('base64url');
  const seal = (purpose, until, ...fields) => {
    const text = [until, ...fields].join('.');
    return `${text}.${mac(purpose, text)}`;
  };
  const open = (purpose, sealed) => {
    const end = (sealed ?? '').lastIndexOf('.');
    if (end < 0 || !same(mac(purpose, sealed.slice(0, end)), sealed.slice(end + 1))) return undefined;
    const [until, ...fields] = sealed.slice(0, end).split('.');
    return Number(until) > now() ? fields : undefined;
  };

  /** Sends the browser to the wallet. */
  function ask(reply) {
    const [nonce, secret] = [randomNonce(), randomNonce()];
    const state = seal('asked', now() + LIFETIME, nonce, thumb(secret));
    const request = verifier.request({ credentials: ['over21'], responseUri: `${origin}/response`, nonce, state });
    send(reply, 303, '', { location: request.url(wallet), 'set-cookie': cookie(`__Host-asked-${nonce}`, secret, LIFETIME) });
  }

  /** The wallet's answer. It comes from the wallet, not from the browser that asked, and so opens nothing by itself. */
  async function answer(request, reply) {
    const json = { 'content-type': 'application/json', 'access-control-allow-origin': '*' };
    const body = await read(request, verifier.responseBytes);
    if (!body) return send(reply, 413, '{"error":"invalid_request"}', { ...json, connection: 'close' });
    const response = verifier.readResponse(body);
    const [nonce, browser] = open('asked', response.state) ?? [];
    if (response.kind === 'malformed' || !nonce) return send(reply, 400, '{"error":"invalid_request"}', json);
    let [until, why] = [0, 'declined'];
    if (response.kind === 'presented') {
      const clientId = `redirect_uri:${origin}/response`;
      const result = await verifier.verify({
        credentials: ['over21'], vpToken: response.vpToken, nonce, clientId, spendNonce: used.spend,
      });
      if (result.ok) {
        const { expires = Infinity, statusUntil = Infinity } = result.presented.over21;
        // no longer than its word counts; to go on for longer, look the status up again with `verifyStatus`
        [until, why] = [Math.min(now() + SESSION, expires, statusUntil), 'ok'];
      } else {
        why = result.code;
      }
    }
    const code = seal('answered', now() + LIFETIME, nonce, browser, until, why);
    send(reply, 200, JSON.stringify({ redirect_uri: `${origin}/done?response_code=${code}` }), json);
  }

  /** The browser comes back. The code opens only with the cookie of its own transaction. */
  function done(request, reply, code) {
    const [nonce, browser, until, why] = open('answered', code) ?? [];
    const secret = nonce && cookies(request).get(`__Host-asked-${nonce}`);
    if (!secret || !same(thumb(secret), browser)) return page(reply, 400, 'This answer belongs to another browser, or is too old.');
    const clear = cookie(`__Host-asked-${nonce}`, '', 0);
    if (why !== 'ok') return page(reply, 403, `That could not be accepted (${why}).`, { 'set-cookie': clear });
    const session = cookie('__Host-over21', seal('session', until, 'over21'), Math.max(0, until - now()));
    send(reply, 303, '', { location: `${origin}/wine`, 'set-cookie': [clear, session] });
  }

  async function serve(request, reply) {
    const url = new URL(request.url, origin);
    const to = `${request.method} ${url.pathname}`;
    if (to === 'GET /') return page(reply, 200, 'Juice for everyone. Wine is on the other shelf: /wine');
    if (to === 'GET /wine') return open('session', cookies(request).get('__Host-over21')) ? page(reply, 200, 'Wine.') : ask(reply);
    if (to === 'POST /response') return answer(request, reply);
    if (to === 'GET /done') return done(request, reply, url.searchParams.get('response_code') ?? '');
    return page(reply, 404, 'There is nothing here.');
  }
  return createServer((request, reply) => {
    serve(request, reply).catch((error) => {
      console.error(error);
      if (!reply.headersSent) page(reply, 500, 'Something went wrong.', { 'access-control-allow-origin': '*' });
    });
  });
}

const thumb = (secret) => createHash('sha256').update(secret).digest('base64url');
const same = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(thumb(a)), Buffer.from(thumb(b)));
const cookie = (name, value, age) => `${name}=${value}; Path=/; Max-Age=${age}; Secure; HttpOnly; SameSite=Lax`;
const cookies = (request) => new Map((request.headers.cookie ?? '').split('; ').map((pair) => [pair.split('=', 1)[0], pair.slice(pair.indexOf('=') + 1)]));
const send = (reply, status, body, headers) => reply.writeHead(status, { ...HEADERS, ...headers }).end(body);
// only texts of our own and codes ([a-z_]) are shown: nothing that comes from outside
const page = (reply, status, text, headers) => send(reply, status, `${text}\n`, { 'content-type': 'text/plain; charset=utf-8', ...headers });

/** The body, unless it is longer than `most` bytes. */
async function read(request, most) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > most) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { ORIGIN, PORT = '8080', WALLET, ISSUER, VCT, KEY, DEVELOPMENT } = process.env;
  if (!ORIGIN || !WALLET || !ISSUER || !VCT) throw new Error('set ORIGIN, WALLET, ISSUER and VCT; see README.md');
  const credential = { query: { format: 'dc+sd-jwt', meta: { vct_values: [VCT] } }, age: { at_least: 21 }, trusted_issuers: [ISSUER] };
  const key = KEY ? Buffer.from(KEY, 'base64') : randomBytes(32);
  const server = await shop({ origin: ORIGIN, wallet: WALLET, credential, key, development: DEVELOPMENT === '1' });
  server.listen(Number(PORT), '127.0.0.1', () => console.log(`${ORIGIN} on 127.0.0.1:${server.address().port}`));
}
