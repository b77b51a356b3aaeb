// Drives the built page in a real browser. Tokens come from npm `jose`, so that no mistake of ours is on both sides.
//
// The page is served on loopback; the provider `https://idp.example.com` is played by the browser's own request
// interception, which also shows every request that the page makes.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { after, before, test } from 'node:test';

import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { chromium } from 'playwright-core';

const ISSUER = 'https://idp.example.com';
const AUDIENCE = 'api.example.com';
const TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

let server, origin, browser;
let keys, jwks;

before(async () => {
  server = createServer(async (request, reply) => {
    const name = request.url === '/' ? 'index.html' : request.url.slice(1);
    try {
      if (!/^[a-z_]+\.[a-z]+$/.test(name)) throw new Error('no such file');
      const body = await readFile(join(process.env.CARDED_WEB, name));
      reply.writeHead(200, { 'content-type': TYPES[extname(name)], 'x-content-type-options': 'nosniff' }).end(body);
    } catch {
      reply.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  origin = `http://127.0.0.1:${server.address().port}`;

  keys = {};
  jwks = { keys: [] };
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    keys[alg] = await generateKeyPair(alg, { extractable: true });
    jwks.keys.push({ ...(await exportJWK(keys[alg].publicKey)), kid: alg, alg, use: 'sig' });
  }

  browser = await chromium.launch({
    executablePath: process.env.CARDED_BROWSER,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
    ],
  });
});

after(async () => {
  await browser?.close();
  server?.close();
});

function sign(alg, claims = {}, header = {}) {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub: 'alice', iss: ISSUER, aud: AUDIENCE, iat: now, exp: now + 300, ...claims })
    .setProtectedHeader({ alg, kid: alg, ...header })
    .sign(keys[alg].privateKey);
}

// A fresh page; what it asks the provider for is answered by `provider`, and everything it asks for is written down.
async function open(provider = (path) => documents(path)) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const seen = [];
  const problems = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  await context.route('**', async (route) => {
    const url = route.request().url();
    if (url.startsWith(origin)) return route.continue();
    if (!url.startsWith(ISSUER)) {
      seen.push(url);
      return route.abort();
    }
    seen.push(url.slice(ISSUER.length));
    const reply = await provider(url.slice(ISSUER.length));
    if (!reply) return route.abort();
    return route.fulfill({ status: 200, headers: { 'access-control-allow-origin': '*' }, ...reply });
  });
  await page.goto(origin);
  return { page, seen, problems, close: () => context.close() };
}

function documents(path) {
  if (path === '/.well-known/openid-configuration') return { json: { issuer: ISSUER, jwks_uri: `${ISSUER}/jwks` } };
  if (path === '/jwks') return { json: jwks };
  return { status: 404 };
}

async function submit(page, token) {
  await page.fill('#token', token);
  await page.fill('#issuer', ISSUER);
  await page.fill('#audience', AUDIENCE);
  await page.click('button[type=submit]');
  await page.waitForSelector('#result:not([hidden])');
  return page.textContent('#verdict');
}

function tamper(token) {
  const [header, payload, signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  return [header, Buffer.from(JSON.stringify({ ...claims, sub: 'mallory' })).toString('base64url'), signature].join('.');
}

test('a token of each algorithm verifies by discovery', async () => {
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const { page, seen, problems, close } = await open();
    assert.equal(await submit(page, await sign(alg, { roles: ['clerk'] })), 'Verified');
    assert.match(await page.textContent('#detail'), new RegExp(`${ISSUER} with ${alg}`));
    assert.match(await page.textContent('#claims'), /sub\s*alice/);
    assert.match(await page.textContent('#claims'), /\["clerk"\]/);
    assert.equal(await page.locator('#checks li.failed').count(), 0);
    assert.ok((await page.locator('#checks li').count()) >= 8);
    assert.deepEqual(seen, ['/.well-known/openid-configuration', '/jwks']);
    assert.deepEqual(problems, []);
    await close();
  }
});

test('a tampered token is refused with its code', async () => {
  const { page, close } = await open();
  assert.equal(await submit(page, tamper(await sign('ES256'))), 'Refused: signature_invalid');
  assert.match(await page.locator('#checks li.failed').textContent(), /^signature/);
  assert.equal(await page.locator('#claims-part').isVisible(), false, 'claims that nobody vouches for are not shown');
  await close();
});

test('each refusal has its own code', async () => {
  const now = Math.floor(Date.now() / 1000);
  const none = [{ alg: 'none' }, { iss: ISSUER, aud: AUDIENCE, sub: 'alice', exp: now + 300 }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  for (const [code, token] of [
    ['token_expired', await sign('ES256', { iat: now - 900, exp: now - 600 })],
    ['audience_mismatch', await sign('ES256', { aud: 'elsewhere' })],
    ['issuer_untrusted', await sign('ES256', { iss: 'https://evil.example.com' })],
    ['id_token_not_accepted', await sign('ES256', { nonce: 'n' })],
    ['key_not_found', await sign('ES256', {}, { kid: 'other' })],
    ['algorithm_not_allowed', `${none}.`],
    ['token_malformed', 'no token at all'],
  ]) {
    const { page, close } = await open();
    const verdict = await submit(page, token);
    // an empty signature part may be refused for its shape before its algorithm is looked at
    const codes = code === 'algorithm_not_allowed' ? [code, 'token_malformed'] : [code];
    assert.ok(codes.some((expected) => verdict === `Refused: ${expected}`), `${verdict}, not ${code}`);
    await close();
  }
});

test('a pasted key set needs no request at all', async () => {
  const { page, seen, close } = await open();
  await page.check('input[value=jwks]');
  await page.fill('#jwks', JSON.stringify(jwks));
  assert.equal(await submit(page, await sign('EdDSA')), 'Verified');
  assert.deepEqual(seen, []);
  await close();
});

test('a pasted private key is refused', async () => {
  const { page, close } = await open();
  await page.check('input[value=jwks]');
  await page.fill('#jwks', JSON.stringify({ keys: [await exportJWK(keys.ES256.privateKey)] }));
  assert.equal(await submit(page, await sign('ES256')), 'Refused: not_configured');
  assert.match(await page.textContent('#detail'), /private key/);
  await close();
});

test('a provider that fails, redirects or sends garbage is no verdict', async () => {
  for (const provider of [
    () => undefined,
    () => ({ status: 500 }),
    () => ({ status: 302, headers: { location: 'https://evil.example.com/jwks', 'access-control-allow-origin': '*' } }),
    () => ({ body: 'no JSON' }),
    () => ({ body: ' '.repeat(2 * 1024 * 1024) }),
    () => ({ json: { issuer: 'https://evil.example.com', jwks_uri: 'https://evil.example.com/jwks' } }),
  ]) {
    const { page, seen, close } = await open(provider);
    assert.equal(await submit(page, await sign('ES256')), 'Refused: keys_unavailable');
    assert.deepEqual(seen, ['/.well-known/openid-configuration'], 'nothing beyond the issuer is asked for');
    await close();
  }
});

test('http issuers are refused', async () => {
  const { page, seen, close } = await open();
  await page.fill('#token', await sign('ES256'));
  await page.fill('#issuer', 'http://idp.localhost');
  await page.fill('#audience', AUDIENCE);
  await page.click('button[type=submit]');
  await page.waitForSelector('#result:not([hidden])');
  assert.equal(await page.textContent('#verdict'), 'Refused: not_configured');
  assert.deepEqual(seen, []);
  await close();
});

test('claims are shown as text', async () => {
  const { page, problems, close } = await open();
  const sub = '<img src=x onerror="document.title=`owned`"><script>document.title="owned"</script>';
  assert.equal(await submit(page, await sign('ES256', { sub })), 'Verified');
  assert.match(await page.textContent('#claims'), /<img src=x/);
  assert.equal(await page.locator('#claims img').count(), 0);
  assert.equal(await page.title(), 'Verify a JWT · Carded');
  assert.deepEqual(problems, []);
  await close();
});

test('the content security policy admits no http and no inline code', async () => {
  const { page, close } = await open();
  const policy = await page.getAttribute('meta[http-equiv="Content-Security-Policy"]', 'content');
  assert.match(policy, /^default-src 'none';/);
  assert.doesNotMatch(policy, /http:|unsafe-inline|'unsafe-eval'|\*/);
  const blocked = await page.evaluate(async (url) => {
    try {
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.head.append(script);
    } catch {
      // Trusted Types refuse it before it is even there
    }
    const fetched = await fetch(url).then(() => true, () => false);
    return { ran: window.ran === true, fetched };
  }, 'http://idp.localhost/');
  assert.deepEqual(blocked, { ran: false, fetched: false });
  await close();
});
