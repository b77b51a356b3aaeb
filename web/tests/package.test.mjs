// The npm package as others get it: packed by `npm pack`, installed outside the tree, used from TypeScript, Node, Deno,
// workerd and Chromium. Credentials and presentations are made by `@sd-jwt/sd-jwt-vc`, the wallet of the example site by
// `@openid4vc/openid4vp`: no mistake of ours is on both sides.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { deflateSync } from 'node:zlib';

import { HashAlgorithm, setGlobalConfig } from '@openid4vc/oauth2';
import { Openid4vpClient } from '@openid4vc/openid4vp';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { chromium } from 'playwright-core';

setGlobalConfig({ allowInsecureUrls: true }); // http://*.localhost
const run = promisify(execFile);
const here = dirname(fileURLToPath(import.meta.url));
const PACKAGE = process.env.CARDED_PACKAGE;
const now = () => Math.floor(Date.now() / 1000);
const nonce = () => randomBytes(24).toString('base64url');
const CLIENT = 'redirect_uri:https://shop.example/response';

let folder, server, origin, issuer, holder, jwk, good, revoked;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'carded-consumer-'));
  const { stdout } = await run('npm', ['pack', PACKAGE, '--pack-destination', folder, '--json', '--loglevel', 'error']);
  const [{ filename, files }] = JSON.parse(stdout);
  const names = files.map(({ path }) => path);
  for (const needed of ['README.md', 'LICENSE', 'carded_bg.wasm', 'index.d.ts']) assert(names.includes(needed), needed);
  await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--loglevel', 'error', join(folder, filename)], { cwd: folder });

  issuer = await generateKeyPair('ES256', { extractable: true });
  holder = await generateKeyPair('ES256', { extractable: true });
  jwk = { ...(await exportJWK(issuer.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  server = http.createServer(async (request, reply) => {
    if (request.url === '/.well-known/jwt-vc-issuer') return reply.end(JSON.stringify({ issuer: origin, jwks: { keys: [jwk] } }));
    if (request.url === '/status') return reply.end(await statusList());
    return reply.writeHead(404).end();
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  origin = `http://dmv.localhost:${server.address().port}`;
  [good, revoked] = [await issue(0), await issue(1)];
});

after(async () => {
  server?.closeAllConnections();
  server?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const signer = (key) => async (data) =>
  Buffer.from(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, key, Buffer.from(data))).toString('base64url');
const library = (more) =>
  new SDJwtVcInstance({
    hasher: (data) => createHash('sha256').update(data).digest(), hashAlg: 'sha-256',
    saltGenerator: () => randomBytes(16).toString('base64url'), ...more,
  });

async function issue(idx, lists = origin) {
  const age = { 18: true, 21: true };
  const { kty, crv, x, y } = await exportJWK(holder.publicKey);
  const payload = {
    iss: origin, vct: `${origin}/id`, iat: now(), exp: now() + 3600, cnf: { jwk: { kty, crv, x, y } },
    status: { status_list: { idx, uri: `${lists}/status` } }, family_name: 'Lovelace', age_equal_or_over: age,
  };
  const frame = { _sd: ['family_name', 'age_equal_or_over'], age_equal_or_over: { _sd: Object.keys(age) } };
  return library({ signer: signer(issuer.privateKey), signAlg: 'ES256' }).issue(payload, frame, { header: { kid: 'one' } });
}

function statusList() {
  // bit 1 is set: the second credential is revoked
  const lst = deflateSync(Buffer.from([0b10, 0])).toString('base64url');
  return new SignJWT({ sub: `${origin}/status`, iss: origin, iat: now(), exp: now() + 600, ttl: 60, status_list: { bits: 1, lst } })
    .setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'statuslist+jwt' })
    .sign(issuer.privateKey);
}

function present(credential, payload, shown = { age_equal_or_over: { 21: true } }) {
  return library({ kbSigner: signer(holder.privateKey), kbSignAlg: 'ES256' }).present(credential, shown, { kb: { payload: { iat: now(), ...payload } } });
}

function credential() {
  return { query: { format: 'dc+sd-jwt', meta: { vct_values: [`${origin}/id`] } }, age: { at_least: 21 }, trusted_issuers: [origin] };
}

/** What is shown to the consumer, by what should come of it. */
async function given() {
  const made = {};
  const show = async (what, expected, { credential = good, audience = CLIENT, asked = nonce(), signed = asked, id = 'over21', change = (text) => text, shown } = {}) => {
    const text = change(await present(credential, { aud: audience, nonce: signed }, shown));
    made[what] = { expected, vpToken: { [id]: [text] }, nonce: asked, clientId: CLIENT };
  };
  await show('good', 'ok');
  made['the same again'] = { ...made.good, expected: 'nonce_used' };
  made['as the text of the form'] = { ...made.good, vpToken: JSON.stringify(made.good.vpToken), expected: 'nonce_used' };
  await show('another nonce', 'nonce_mismatch', { signed: nonce() });
  await show('another audience', 'audience_mismatch', { audience: 'redirect_uri:https://evil.example/response' });
  await show('revoked', 'credential_revoked', { credential: revoked });
  await show('too little', 'query_not_met', { shown: { age_equal_or_over: { 18: true } } });
  await show('tampered signature', 'signature_invalid', { change: (text) => text.replace(/\.([\w-])([\w-]{20})/g, (all, first, rest, at) => (at > 200 && at < text.indexOf('~') && text.indexOf('.', at + 1) > text.indexOf('~') ? `.${first === 'A' ? 'B' : 'A'}${rest}` : all)) });
  await show('a disclosure dropped in', 'disclosure_invalid', { change: (text) => text.replace('~', `~${Buffer.from('["c2FsdA","age_over_21",true]').toString('base64url')}~`) });
  await show('no key binding', 'key_binding_missing', { change: (text) => text.slice(0, text.lastIndexOf('~') + 1) });
  await show('another id', 'presentation_unrequested', { id: 'other' });
  made.nothing = { expected: 'presentation_incomplete', vpToken: {}, nonce: nonce(), clientId: CLIENT };
  made.garbage = { expected: 'response_malformed', vpToken: '{"over21":["a"],"over21":["b"]}', nonce: nonce(), clientId: CLIENT };
  const token = await new SignJWT({ sub: 'alice', iss: 'https://idp.example', aud: 'api', iat: now(), exp: now() + 300 })
    .setProtectedHeader({ alg: 'ES256', kid: 'one' }).sign(issuer.privateKey);
  const issuers = { corp: { issuer: 'https://idp.example', audiences: ['api'], algorithms: ['ES256'], keys: { jwks: { keys: [jwk] } } } };
  const configuration = { credentials: { over21: credential() }, issuers, danger_allow_http_localhost: true };
  return { made, input: { configuration, shown: Object.values(made).map(({ expected: _, ...shown }) => shown), token } };
}

/** The consumer, compiled once by a strict compiler: `@ts-expect-error` in it are tests of the types. */
let compiled;
async function consumer() {
  compiled ??= (async () => {
    await copyFile(join(here, 'package-consumer.ts'), join(folder, 'consumer.ts'));
    await writeFile(join(folder, 'node.d.ts'), "declare module 'node:fs/promises' { export function readFile(path: string, encoding: 'utf8'): Promise<string>; }\ndeclare module 'node:process' { const process: { readonly argv: readonly string[] }; export default process; }\n");
    const options = ['--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes', '--target', 'ES2022', '--module', 'NodeNext', '--lib', 'ES2022,DOM', '--types', ''];
    await run('node', [join(here, 'node_modules/typescript/bin/tsc'), '--ignoreConfig', ...options, 'consumer.ts', 'node.d.ts'], { cwd: folder })
      .catch((error) => assert.fail(error.stdout));
    return join(folder, 'consumer.js');
  })();
  return compiled;
}

async function consume(program, args) {
  const script = await consumer();
  const { made, input } = await given();
  const file = join(folder, `${nonce()}.json`);
  await writeFile(file, JSON.stringify(input));
  const { stdout } = await run(program, [...args, script, file], { cwd: folder, env: { ...process.env, DENO_NO_UPDATE_CHECK: '1' } });
  const said = JSON.parse(stdout);
  const names = Object.keys(made);
  assert.deepEqual(
    Object.fromEntries(said.results.map((result, index) => [names[index], result.ok ? 'ok' : result.code])),
    Object.fromEntries(names.map((name) => [name, made[name].expected])),
  );
  const { over21 } = said.results[0].presented;
  assert.equal(over21.issuer, origin);
  assert.equal(over21.satisfied, true);
  assert.deepEqual(over21.claims.age_equal_or_over, { 21: true });
  assert(!JSON.stringify(said).includes('Lovelace'), 'what was withheld is nowhere');
  assert.equal(over21.report.at(-1).check, 'status');
  assert(over21.statusUntil > now() && over21.expires > now() && over21.holder.thumbprint.length === 43);
  assert.equal(said.status.ok, true);
  assert.deepEqual([said.token.ok, said.token.issuer, said.token.claims.sub], [true, 'corp', 'alice']);
  assert.deepEqual(said.fetched, ['/.well-known/jwt-vc-issuer', '/status'], 'documents are kept between calls');
}

test('package: a strict TypeScript consumer in Node verifies and refuses', () => consume('node', []));

test('package: the same consumer in Deno', () => consume('node', [join(process.env.CARDED_RUNTIMES, 'node_modules/.bin/deno'), 'run', '--quiet', '--node-modules-dir=manual', '--allow-read', '--allow-net=127.0.0.1']));

/** The package in this process. */
const load = () => import(createRequire(join(folder, 'x.js')).resolve('@carded/verifier'));

test('package: what is wrong with a configuration or a call is said, with its path', async () => {
  const { createVerifier, UsedNonces } = await load();
  const ours = credential();
  for (const [configuration, why] of [
    [{}, /without them nobody is trusted/],
    [{ credential: {} }, /`credential` is no option/],
    [{ credentials: { a: { ...ours, trusted: [] } }, danger_allow_http_localhost: true }, /credentials\.a: unknown field `trusted`/],
    [{ credentials: { a: ours } }, /credentials\.a\.trusted_issuers\[0\].*not https/],
    [{ credentials: { a: { ...ours, trusted_issuers: [] } } }, /at least one trusted issuer/],
    [{ credentials: { a: { ...ours, algorithms: ['HS256'] } }, danger_allow_http_localhost: true }, /credentials\.a\.algorithms/],
    [{ credentials: { a: { ...ours, query: { ...ours.query, claim: [] } } }, danger_allow_http_localhost: true }, /`claim` is not known/],
    [{ credentials: { a: { ...ours, clock_skew: '60' } }, danger_allow_http_localhost: true }, /clock_skew/],
    [{ credentials: { a: ours }, fetch_hosts: ['*'], danger_allow_http_localhost: true }, /fetch_hosts/],
  ]) {
    await assert.rejects(createVerifier(configuration), why);
  }
  const verifier = await createVerifier({ credentials: { over21: ours }, danger_allow_http_localhost: true });
  const responseUri = 'https://shop.example/response';
  for (const [options, why] of [
    [{ credentials: ['over21'], responseUri, nonce: 'short' }, /128 fresh random bits/],
    [{ credentials: ['over18'], responseUri }, /none is called `over18`/],
    [{ credentials: [], responseUri }, /at least one/],
    [{ credentials: ['over21'], responseUri: 'http://shop.example/' }, /responseUri: not https/],
    [{ credentials: ['over21'], responseUri, audience: 'x' }, /`audience` is no option/],
  ]) {
    assert.throws(() => verifier.request(options), why);
  }
  const request = verifier.request({ credentials: ['over21'], responseUri });
  for (const endpoint of ['javascript:alert(1)', 'data:text/html,x', 'https://wallet.example/#x']) assert.throws(() => request.url(endpoint));
  const good = { credentials: ['over21'], vpToken: {}, nonce: nonce(), clientId: CLIENT, spendNonce: () => true };
  for (const change of [{ nonce: undefined }, { nonce: '' }, { clientId: 'shop' }, { spendNonce: undefined }, { vpToken: 7 }, { onlyOnce: true }]) {
    await assert.rejects(verifier.verify({ ...good, ...change }), TypeError, JSON.stringify(change));
  }
  const used = new UsedNonces({ max: 2 });
  assert.deepEqual(['a', 'a', 'b', 'c'].map((one) => used.spend(one, now() + 60)), [true, false, true, false], 'a full store refuses');
});

test('threat_52_the_package_fetches_from_named_hosts_alone_and_follows_no_redirect', async () => {
  const { createVerifier, UsedNonces } = await load();
  const asked = [];
  const replies = {
    redirect: () => new Response(null, { status: 302, headers: { location: 'https://evil.example/' } }),
    large: () => new Response(new Uint8Array(300 * 1024)),
    broken: () => Promise.reject(new TypeError('no connection')),
  };
  for (const [name, reply] of Object.entries(replies)) {
    const verifier = await createVerifier({ credentials: { over21: credential() }, danger_allow_http_localhost: true });
    const [one, audience] = [nonce(), CLIENT];
    const shown = await present(good, { aud: audience, nonce: one });
    const result = await verifier.verify({
      credentials: ['over21'], vpToken: { over21: [shown] }, nonce: one, clientId: CLIENT, spendNonce: new UsedNonces().spend,
      fetch: async (url, init) => {
        asked.push(url);
        assert.equal(init.redirect, 'error');
        return reply();
      },
    });
    assert.equal(result.code, 'keys_unavailable', name);
    assert(result.retryAfter > 0);
  }
  assert.deepEqual(new Set(asked), new Set([`${origin}/.well-known/jwt-vc-issuer`]));

  // a status list on a host that the configuration does not name is not asked for; once it is named, it is
  const elsewhere = `http://lists.localhost:${server.address().port}`;
  const held = await issue(0, elsewhere);
  for (const [fetch_hosts, expected] of [[[], []], [[new URL(elsewhere).host], [`${elsewhere}/status`]]]) {
    const verifier = await createVerifier({ credentials: { over21: credential() }, fetch_hosts, danger_allow_http_localhost: true });
    const one = nonce();
    const seen = [];
    const result = await verifier.verify({
      credentials: ['over21'], vpToken: { over21: [await present(held, { aud: CLIENT, nonce: one })] }, nonce: one, clientId: CLIENT,
      spendNonce: new UsedNonces().spend,
      fetch: async (url) => {
        seen.push(url);
        return url.startsWith(origin) ? localFetch(url) : new Response('', { status: 503 });
      },
    });
    assert.deepEqual([result.code, seen], ['status_unavailable', [`${origin}/.well-known/jwt-vc-issuer`, ...expected]]);
  }
});

test('package: another way to show the same, a JWT VC of an issuer known by did:web alone', async () => {
  const { createVerifier, UsedNonces } = await load();
  const clerk = `did:web:clerk.localhost%3A${server.address().port}`;
  const type = ['VerifiableCredential', 'Over21Credential'];
  const other = { query: { format: 'jwt_vc_json', meta: { type_values: [['Over21Credential']] } }, age: { at_least: 21 }, trusted_issuers: [clerk], status: 'if_present' };
  const verifier = await createVerifier({ credentials: { over21: { ...credential(), alternatives: [other] } }, danger_allow_http_localhost: true });
  const { nonce: asked, clientId, dcqlQuery } = verifier.request({ credentials: ['over21'], responseUri: 'https://shop.example/response' });
  assert.deepEqual(dcqlQuery.credential_sets, [{ options: [['over21'], ['over21-2']] }]);

  const { kty, crv, x, y } = await exportJWK(holder.publicKey);
  const did = `did:jwk:${Buffer.from(JSON.stringify({ kty, crv, x, y })).toString('base64url')}`;
  const statement = (age) =>
    new SignJWT({ iss: clerk, sub: did, nbf: now() - 10, iat: now() - 10, exp: now() + 600, vc: { '@context': ['https://www.w3.org/2018/credentials/v1'], type, credentialSubject: { id: did, [`age_over_${age}`]: true } } })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: `${clerk}#one` }).sign(issuer.privateKey);
  const show = async (age, aud = clientId) =>
    new SignJWT({ iss: did, aud, nonce: asked, iat: now(), nbf: now(), exp: now() + 60, vp: { '@context': ['https://www.w3.org/2018/credentials/v1'], type: ['VerifiablePresentation'], holder: did, verifiableCredential: [await statement(age)] } })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: `${did}#0` }).sign(holder.privateKey);
  const document = {
    '@context': ['https://www.w3.org/ns/did/v1'], id: clerk, assertionMethod: [`${clerk}#one`],
    verificationMethod: [{ id: `${clerk}#one`, type: 'JsonWebKey', controller: clerk, publicKeyJwk: jwk }],
  };
  const fetched = [];
  const verify = async (vpToken) =>
    verifier.verify({
      credentials: ['over21'], vpToken, nonce: asked, clientId, spendNonce: new UsedNonces().spend,
      fetch: async (url) => (fetched.push(new URL(url).pathname), Response.json(document)),
    });
  assert.equal((await verify({ 'over21-2': [await show(18)] })).code, 'query_not_met');
  assert.equal((await verify({ 'over21-2': [await show(21, 'redirect_uri:https://evil.example/')] })).code, 'audience_mismatch');
  const result = await verify({ 'over21-2': [await show(21)] });
  assert.equal(result.ok, true, result.detail);
  const { over21 } = result.presented;
  assert.deepEqual([over21.id, over21.issuer, over21.satisfied, over21.holder.did, over21.status], ['over21-2', clerk, true, did, undefined]);
  assert.deepEqual(fetched, ['/.well-known/did.json']);
  // one query is answered by one presentation
  assert.equal((await verify({ 'over21-2': [await show(21), await show(21)] })).code, 'response_malformed');
});

/** What a wallet does with a request: matches, presents, posts. */
async function wallet(url, { held = good, change = (form) => form } = {}) {
  const never = () => assert.fail('not part of this flow');
  const client = new Openid4vpClient({
    callbacks: {
      fetch: localFetch, generateRandom: (count) => randomBytes(count), clientAuthentication: () => {},
      hash: (data, alg) => createHash(alg === HashAlgorithm.Sha512 ? 'sha512' : 'sha256').update(data).digest(),
      signJwt: never, verifyJwt: never, decryptJwe: never, encryptJwe: never,
    },
  });
  const { params } = client.parseOpenid4vpAuthorizationRequest({ authorizationRequest: url });
  const resolved = await client.resolveOpenId4vpAuthorizationRequest({ authorizationRequestPayload: params });
  const request = resolved.authorizationRequestPayload;
  assert.deepEqual(request.dcql_query.credentials.map(({ id }) => id), ['over21']);
  const vp = await present(held, { aud: request.client_id, nonce: request.nonce });
  const { authorizationResponsePayload } = await client.createOpenid4vpAuthorizationResponse({
    authorizationRequestPayload: request, authorizationResponsePayload: change({ vp_token: { over21: [vp] } }),
  });
  const { response } = await client.submitOpenid4vpAuthorizationResponse({ authorizationRequestPayload: request, authorizationResponsePayload });
  assert.equal(response.headers.get('access-control-allow-origin'), '*');
  return { status: response.status, ...(await response.json()) };
}

/** Names under `.localhost` to 127.0.0.1; redirects are not followed. */
function localFetch(input, { method = 'GET', headers = {}, body } = {}) {
  const url = new URL(String(input));
  const text = body === undefined || body === null ? undefined : String(body);
  const sent = { ...Object.fromEntries(new Headers(headers)), host: url.host };
  if (body instanceof URLSearchParams) sent['content-type'] ??= 'application/x-www-form-urlencoded';
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: url.port, path: url.pathname + url.search, method, headers: sent }, async (reply) => {
      const parts = [];
      for await (const part of reply) parts.push(part);
      const all = new Headers();
      for (let i = 0; i < reply.rawHeaders.length; i += 2) all.append(reply.rawHeaders[i], reply.rawHeaders[i + 1]);
      resolve(new Response(Buffer.concat(parts), { status: reply.statusCode, headers: all }));
    });
    request.on('error', reject);
    request.end(text);
  });
}

test('threat_49_the_example_site_opens_in_the_browser_that_asked_and_in_no_other', async (t) => {
  await copyFile(join(process.env.CARDED_EXAMPLE_NODE, 'shop.mjs'), join(folder, 'shop.mjs'));
  // Node asks the system's resolver, which may not know these names
  const hosts = "import dns from 'node:dns'; const { lookup } = dns; dns.lookup = (name, ...rest) => lookup(name.endsWith('.localhost') ? '127.0.0.1' : name, ...rest);";
  await writeFile(join(folder, 'hosts.mjs'), hosts);
  const port = await new Promise((free) => {
    const probe = http.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => free(port));
    });
  });
  const site = `http://shop.localhost:${port}`;
  const env = { ...process.env, ORIGIN: site, PORT: String(port), WALLET: 'https://wallet.example/present', ISSUER: origin, VCT: `${origin}/id`, DEVELOPMENT: '1' };
  const shop = spawn('node', ['--import', './hosts.mjs', 'shop.mjs'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => shop.kill());
  await new Promise((up, down) => {
    shop.stdout.once('data', up);
    shop.once('exit', () => down(new Error('the shop did not start')));
  });

  /** A browser: keeps cookies. */
  const browser = () => {
    const jar = new Map();
    return async (url) => {
      const reply = await localFetch(url, { headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') } });
      for (const set of reply.headers.getSetCookie()) {
        assert.match(set, /^__Host-[^;]+; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax$/);
        const [name, value] = set.split(';')[0].split(/=(.*)/);
        if (value) jar.set(name, value);
        else jar.delete(name);
      }
      return { status: reply.status, location: reply.headers.get('location'), text: await reply.text() };
    };
  };
  const ada = browser();
  const begin = await ada(`${site}/wine`);
  assert.equal(begin.status, 303);
  const answered = await wallet(begin.location);
  assert.equal(answered.status, 200);
  // carried to another browser, it opens nothing (threat 49)
  const stranger = browser();
  assert.equal((await stranger(answered.redirect_uri)).status, 400);
  assert.equal((await stranger(`${site}/wine`)).status, 303);
  const back = await ada(answered.redirect_uri);
  assert.deepEqual([back.status, back.location], [303, `${site}/wine`]);
  assert.deepEqual((({ status, text }) => [status, text])(await ada(back.location)), [200, 'Wine.\n']);
  // the cookie of the transaction is gone
  assert.equal((await ada(answered.redirect_uri)).status, 400);

  // the same answer once more (threat 47), a revoked credential, a refusal, a tampered state
  const refused = async (options, code) => {
    const person = browser();
    const { location } = await person(`${site}/wine`);
    if (code === 'nonce_used') await wallet(location, options);
    const { redirect_uri } = await wallet(location, options);
    const told = await person(redirect_uri);
    assert.equal(told.status, 403);
    assert.match(told.text, new RegExp(code));
    assert.equal((await person(`${site}/wine`)).status, 303, code);
  };
  await refused({}, 'nonce_used');
  await refused({ held: revoked }, 'credential_revoked');
  await refused({ change: () => ({ error: 'access_denied' }) }, 'declined');
  const { location } = await browser()(`${site}/wine`);
  const bent = new URL(location);
  bent.searchParams.set('state', `9${bent.searchParams.get('state')}`);
  assert.equal((await wallet(bent.href)).status, 400);
  const large = await localFetch(`${site}/response`, { method: 'POST', body: 'a'.repeat(300 * 1024) }).then((reply) => reply.status, () => 413);
  assert.equal(large, 413);
});

/** A presentation for a page or worker that can fetch nothing of ours: its issuer is https, its documents are handed in. */
async function apart() {
  const keep = origin;
  origin = 'https://dmv.example';
  try {
    const held = await issue(0);
    const one = nonce();
    const shown = await present(held, { aud: CLIENT, nonce: one });
    const documents = { '/.well-known/jwt-vc-issuer': JSON.stringify({ issuer: origin, jwks: { keys: [jwk] } }), '/status': await statusList() };
    return { configuration: { credentials: { over21: credential() } }, documents, vpToken: { over21: [shown] }, nonce: one, clientId: CLIENT };
  } finally {
    origin = keep;
  }
}

test('package: in Chromium, from files as they are', async (t) => {
  const installed = join(folder, 'node_modules/@carded/verifier');
  const types = { js: 'text/javascript', wasm: 'application/wasm', html: 'text/html' };
  const files = new Set(await readdir(installed));
  const site = http.createServer(async (request, reply) => {
    const name = request.url.slice(1);
    const body = name === '' ? '<!doctype html><link rel="icon" href="data:,">' : files.has(name) && (await readFile(join(installed, name)));
    if (body === false) return reply.writeHead(404).end();
    return reply.writeHead(200, { 'content-type': types[name.split('.').at(-1)] ?? types.html }).end(body);
  });
  await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
  const browser = await chromium.launch({ executablePath: process.env.CARDED_BROWSER, args });
  t.after(async () => {
    await browser.close();
    site.closeAllConnections();
    site.close();
  });
  const page = await browser.newPage();
  const { documents, ...shown } = await apart();
  const asked = [];
  await page.route('https://dmv.example/**', (route) => {
    const { pathname } = new URL(route.request().url());
    asked.push(pathname);
    return route.fulfill({ body: documents[pathname], headers: { 'access-control-allow-origin': '*' } });
  });
  await page.goto(`http://127.0.0.1:${site.address().port}/`);
  const results = await page.evaluate(async ({ configuration, ...rest }) => {
    const { UsedNonces, createVerifier } = await import('/index.js');
    const verifier = await createVerifier(configuration);
    const options = { credentials: ['over21'], spendNonce: new UsedNonces().spend, ...rest };
    return [await verifier.verify(options), await verifier.verify(options)];
  }, shown);
  assert.deepEqual(results.map((result) => result.code ?? result.presented.over21.issuer), ['https://dmv.example', 'nonce_used']);
  assert.deepEqual(asked, ['/.well-known/jwt-vc-issuer', '/status']);
});

test('package: in workerd, as a worker', async (t) => {
  const installed = join(folder, 'node_modules/@carded/verifier');
  const worker = `
    import { UsedNonces, createVerifier } from './worker.js';
    export default {
      async fetch(request) {
        const { configuration, documents, ...rest } = await request.json();
        const verifier = await createVerifier(configuration);
        const fetch = async (url, init) => (new Request(url, init), new Response(documents[new URL(url).pathname]));
        const options = { credentials: ['over21'], spendNonce: new UsedNonces().spend, fetch, ...rest };
        return Response.json([await verifier.verify(options), await verifier.verify(options)]);
      },
    };`;
  await writeFile(join(folder, 'entry.js'), worker);
  for (const name of ['worker.js', 'carded.js', 'verifier.js', 'nonces.js', 'carded_bg.wasm']) await copyFile(join(installed, name), join(folder, name));
  const modules = ['worker.js', 'carded.js', 'verifier.js', 'nonces.js'].map((name) => `(name = "${name}", esModule = embed "${name}")`);
  await writeFile(join(folder, 'worker.capnp'), `using Workerd = import "/workerd/workerd.capnp";
    const config :Workerd.Config = (services = [(name = "main", worker = .main)], sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")]);
    const main :Workerd.Worker = (compatibilityDate = "2026-11-01", modules = [(name = "entry.js", esModule = embed "entry.js"), ${modules.join(', ')}, (name = "carded_bg.wasm", wasm = embed "carded_bg.wasm")]);`);
  // the program itself: the command of the package passes no further descriptors on
  const { default: program } = createRequire(join(process.env.CARDED_RUNTIMES, 'x.js'))('workerd');
  const workerd = spawn(program, ['serve', '--control-fd=3', 'worker.capnp'], { cwd: folder, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  t.after(() => workerd.kill());
  const { port } = await new Promise((up, down) => {
    workerd.stdio[3].once('data', (said) => up(JSON.parse(String(said).split('\n')[0])));
    workerd.once('exit', () => down(new Error('workerd did not start')));
  });
  const reply = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: JSON.stringify(await apart()) });
  const results = await reply.json();
  assert.deepEqual(results.map((result) => result.code ?? result.presented.over21.issuer), ['https://dmv.example', 'nonce_used']);
});
