// The wallet's world for tests, on one loopback port by host name: the wallet itself, issuers made with
// `@openid4vc/openid4vci` and `@sd-jwt/sd-jwt-vc`, and sites that ask by `@openid4vc/openid4vp`. None of it is ours, so that
// no mistake of ours is on both sides.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { deflateSync } from 'node:zlib';

import { HashAlgorithm, Oauth2AuthorizationServer, preAuthorizedCodeGrantIdentifier, setGlobalConfig } from '@openid4vc/oauth2';
import { Openid4vciDraftVersion, Openid4vciIssuer } from '@openid4vc/openid4vci';
import { Openid4vpVerifier } from '@openid4vc/openid4vp';
import { SDJwtVcInstance } from '@sd-jwt/sd-jwt-vc';
import { SignJWT, calculateJwkThumbprint, compactVerify, exportJWK, generateKeyPair, importJWK } from 'jose';
import { chromium } from 'playwright-core';

// loopback has no certificates
setGlobalConfig({ allowInsecureUrls: true });

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.css': 'text/css', '.js': 'text/javascript', '.wasm': 'application/wasm',
  '.svg': 'image/svg+xml', '.webmanifest': 'application/manifest+json',
};
const PAGES = new Set(['/', '/receive', '/present', '/history']);
const now = () => Math.floor(Date.now() / 1000);
const token = () => randomBytes(18).toString('base64url');
const sha256 = (text) => createHash('sha256').update(text).digest();

const callbacks = {
  hash: (data, alg) => new Uint8Array(createHash(alg === HashAlgorithm.Sha512 ? 'sha512' : 'sha256').update(data).digest()),
  generateRandom: (bytes) => new Uint8Array(randomBytes(bytes)),
  verifyJwt: async (signer, { compact }) => {
    const jwk = signer.publicJwk ?? JSON.parse(Buffer.from(signer.didUrl.split('#')[0].slice('did:jwk:'.length), 'base64url'));
    try {
      await compactVerify(compact, await importJWK(jwk, signer.alg));
      return { verified: true, signerJwk: jwk };
    } catch {
      return { verified: false };
    }
  },
  signJwt: () => assert.fail('nothing is signed through this'),
  fetch: () => assert.fail('nothing is fetched through this'),
  clientAuthentication: () => {},
};

/** Starts the world. `folder`: which build of the wallet is served; `args`: more for the browser. */
export async function start(folder = 'wallet-demo', args = []) {
  const world = { sites: new Map(), log: [], errors: [] };
  const server = createServer((request, reply) => void handle(world, request, reply));
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  world.port = server.address().port;
  world.origin = (name) => `http://${name}.localhost:${world.port}`;
  world.wallet = world.origin('wallet');
  world.sites.set('wallet', statics(join(process.env.CARDED_WEB, folder)));
  world.dmv = await sdJwtIssuer(world, 'dmv');
  world.clerk = await jwtVcIssuer(world, 'clerk');
  world.shop = site(world, 'shop');
  world.bar = site(world, 'bar');
  world.browser = await chromium.launch({
    executablePath: process.env.CARDED_BROWSER,
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', ...args,
    ],
  });
  world.stop = async () => {
    await world.browser.close();
    server.closeAllConnections();
    server.close();
  };
  return world;
}

async function handle(world, request, reply) {
  const name = (request.headers.host ?? '').split('.')[0];
  const url = new URL(request.url, `http://${request.headers.host}`);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  world.log.push({ name, method: request.method, path: url.pathname, search: url.search, body, headers: request.headers });
  const cors = { 'access-control-allow-origin': '*', 'access-control-allow-headers': 'authorization, content-type' };
  if (request.method === 'OPTIONS') return reply.writeHead(204, cors).end();
  try {
    const made = await world.sites.get(name)?.(request.method, url, body, request);
    if (!made) return reply.writeHead(404, cors).end();
    const content = made.json === undefined ? made.body : JSON.stringify(made.json);
    const type = made.json === undefined ? made.type : 'application/json';
    reply.writeHead(made.status ?? 200, { ...cors, 'content-type': type ?? 'text/plain', 'cache-control': 'no-store', ...made.headers }).end(content);
  } catch (error) {
    world.errors.push(error);
    // a library that throws says why the request is wrong
    const json = error.errorResponse ?? { error: 'invalid_request', error_description: String(error.message ?? error) };
    reply.writeHead(400, { ...cors, 'content-type': 'application/json' }).end(JSON.stringify(json));
  }
}

function statics(folder) {
  return async (_method, { pathname }) => {
    const name = PAGES.has(pathname) ? 'index.html' : pathname.slice(1);
    if (!/^[\w-]+\.[a-z]+$/.test(name)) return undefined;
    const headers = {};
    if (name === 'index.html') {
      // as `_headers` says
      for (const line of (await readFile(join(folder, '_headers'), 'utf8')).split('\n').slice(1)) {
        const [field, value] = line.trim().split(/: (.*)/);
        if (value) headers[field.toLowerCase()] = value;
      }
    }
    const body = await readFile(join(folder, name)).catch(() => undefined);
    return body && { body, type: TYPES[extname(name)], headers };
  };
}

/** What both kinds of issuers share: OpenID4VCI 1.0 with pre-authorized codes. `issue` makes one copy. */
async function issuer(world, name, configurations, issue) {
  const origin = world.origin(name);
  const library = new Openid4vciIssuer({ callbacks });
  const oauth = new Oauth2AuthorizationServer({ callbacks });
  const serverMetadata = oauth.createAuthorizationServerMetadata({
    issuer: origin,
    token_endpoint: `${origin}/token`,
    grant_types_supported: [preAuthorizedCodeGrantIdentifier],
    'pre-authorized_grant_anonymous_access_supported': true,
  });
  const metadata = library.createCredentialIssuerMetadata({
    credential_issuer: origin,
    credential_endpoint: `${origin}/credential`,
    nonce_endpoint: `${origin}/nonce`,
    batch_credential_issuance: { batch_size: 3 },
    display: [{ name: `The ${name}`, locale: 'en', logo: { uri: `${world.origin('tracker')}/logo.png` } }],
    credential_configurations_supported: configurations,
  });
  const result = {
    originalDraftVersion: Openid4vciDraftVersion.V1,
    credentialIssuer: metadata,
    authorizationServers: [serverMetadata],
    knownCredentialConfigurations: library.getKnownCredentialConfigurationsSupported(metadata),
  };
  // `bend` spoils one thing at a time; `subject` is who stands at the counter
  const self = { origin, metadata, serverMetadata, bend: {}, subject: {}, offers: new Map(), tokens: new Set(), nonces: new Set(), statuses: [] };
  self.offer = async ({ txCode, byReference = false } = {}) => {
    const code = token();
    const id = token();
    const { credentialOffer, credentialOfferObject } = await library.createCredentialOffer({
      issuerMetadata: result,
      credentialConfigurationIds: Object.keys(configurations),
      credentialOfferScheme: `${world.wallet}/receive`,
      ...(byReference && { credentialOfferUri: `${origin}/offers/${id}` }),
      grants: {
        [preAuthorizedCodeGrantIdentifier]: {
          'pre-authorized_code': code,
          ...(txCode && { tx_code: { length: txCode.length, input_mode: 'numeric', description: 'It is on the screen of the clerk.' } }),
        },
      },
    });
    self.offers.set(code, { txCode });
    self.offers.set(id, credentialOfferObject);
    return credentialOffer;
  };
  world.sites.set(name, async (method, url, body, request) => {
    const path = url.pathname;
    if (method === 'GET' && path === '/.well-known/openid-credential-issuer') return { json: { ...metadata, ...self.bend.metadata } };
    if (method === 'GET' && path === '/.well-known/oauth-authorization-server') return { json: serverMetadata };
    if (method === 'GET' && path.startsWith('/offers/')) return { json: self.offers.get(path.slice('/offers/'.length)) };
    if (method === 'POST' && path === '/token') {
      const fields = Object.fromEntries(new URLSearchParams(body));
      const asked = { headers: new Headers(request.headers), method: 'POST', url: url.href };
      const { accessTokenRequest, grant } = oauth.parseAccessTokenRequest({
        authorizationServerMetadata: serverMetadata, request: asked, accessTokenRequest: fields,
      });
      const offered = self.offers.get(grant.preAuthorizedCode);
      await oauth.verifyPreAuthorizedCodeAccessTokenRequest({
        authorizationServerMetadata: serverMetadata, grant, accessTokenRequest, request: asked,
        expectedPreAuthorizedCode: offered ? grant.preAuthorizedCode : token(),
        ...(offered?.txCode && { expectedTxCode: offered.txCode }),
      });
      self.offers.delete(grant.preAuthorizedCode);
      const accessToken = token();
      self.tokens.add(accessToken);
      return { json: { access_token: accessToken, token_type: 'Bearer', expires_in: 300 } };
    }
    if (method === 'POST' && path === '/nonce') {
      const nonce = token();
      self.nonces.add(nonce);
      return { json: library.createNonceResponse({ cNonce: nonce }) };
    }
    if (method === 'POST' && path === '/credential') {
      if (!self.tokens.has(request.headers.authorization?.replace('Bearer ', ''))) return { status: 401, json: { error: 'invalid_token' } };
      const credentialRequest = library.parseCredentialRequest({ issuerMetadata: result, credentialRequest: JSON.parse(body) });
      if (self.bend.staleNonces > 0) {
        self.bend.staleNonces -= 1;
        return { status: 400, json: { error: 'invalid_nonce' } };
      }
      const keys = [];
      let used;
      for (const jwt of credentialRequest.proofs.jwt) {
        const { payload, header, signer } = await library.verifyCredentialRequestJwtProof({
          issuerMetadata: result, jwt, expectedNonce: used ?? [...self.nonces].find((nonce) => jwt.includes('.') && decode(jwt).nonce === nonce),
        });
        assert.equal(payload.aud, origin);
        used = payload.nonce;
        keys.push({ jwk: signer.publicJwk, kid: header.kid });
      }
      self.nonces.delete(used);
      const prints = await Promise.all(keys.map(({ jwk }) => calculateJwkThumbprint(jwk)));
      assert.equal(new Set(prints).size, keys.length, 'every copy has a key of its own');
      if (self.bend.deferred) {
        return { status: 202, json: library.createCredentialResponse({ credentialRequest, transactionId: token(), interval: 3600 }) };
      }
      const made = await Promise.all(keys.map((key, index) => issue(self, key, index)));
      if (self.bend.shuffled) made.reverse();
      if (self.bend.sameTwice) made.fill(made[0]);
      return { json: library.createCredentialResponse({ credentialRequest, credentials: made.map((credential) => ({ credential })) }) };
    }
    return self.more?.(method, url, body, request);
  });
  return self;
}

function decode(jwt) {
  return JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'));
}

async function sdJwtIssuer(world, name) {
  const keys = await generateKeyPair('ES256', { extractable: true });
  const stranger = await generateKeyPair('ES256', { extractable: true });
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256', use: 'sig' };
  const vct = `${world.origin(name)}/credentials/id`;
  const configurations = {
    id: {
      format: 'dc+sd-jwt',
      vct,
      cryptographic_binding_methods_supported: ['jwk'],
      credential_signing_alg_values_supported: ['ES256'],
      proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
      credential_metadata: {
        display: [{ name: 'Digital ID', locale: 'en', description: 'For people of this state', logo: { uri: `${world.origin('tracker')}/card.png` } }],
        claims: [{ path: ['family_name'], display: [{ name: 'Surname', locale: 'en' }] }],
      },
    },
  };
  const ada = {
    given_name: 'Ada', family_name: 'Lovelace', birthdate: '1985-12-10',
    address: { street_address: '12 Vine Street', locality: 'Springfield', region: 'CA', postal_code: '90001' },
    age_equal_or_over: { 18: true, 21: true, 65: false },
  };
  const self = await issuer(world, name, configurations, async (self, key) => {
    const { bend } = self;
    const signing = bend.wrongKey ? stranger : keys;
    const library = new SDJwtVcInstance({
      signer: async (data) => Buffer.from(await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, signing.privateKey, Buffer.from(data))).toString('base64url'),
      signAlg: 'ES256', hasher: (data) => sha256(data), hashAlg: 'sha-256',
      saltGenerator: () => randomBytes(16).toString('base64url'),
    });
    const index = self.statuses.push(0) - 1;
    const own = bend.wrongCnf ? await exportJWK(stranger.publicKey) : key.jwk;
    const payload = {
      iss: bend.wrongIss ?? self.origin, vct, iat: now(), exp: bend.expired ? now() - 7200 : now() + 30 * 86400,
      cnf: { jwk: { kty: own.kty, crv: own.crv, x: own.x, y: own.y } },
      status: { status_list: { idx: index, uri: `${self.origin}/status/1` } },
      ...ada, ...self.subject,
    };
    const frame = {
      _sd: ['given_name', 'family_name', 'birthdate', 'address', 'age_equal_or_over'],
      _sd_decoy: 2,
      age_equal_or_over: { _sd: ['18', '21', '65'] },
    };
    return library.issue(payload, frame, { header: { kid: 'one' } });
  });
  self.key = keys;
  self.more = async (method, url) => {
    if (url.pathname === '/.well-known/jwt-vc-issuer') return { json: { issuer: self.origin, jwks: { keys: [jwk] } } };
    if (url.pathname === '/status/1') {
      const list = Buffer.alloc(1024);
      self.statuses.forEach((status, index) => (list[index >> 3] |= status << (index & 7)));
      const jwt = await new SignJWT({
        sub: `${self.origin}/status/1`, iat: now(), exp: now() + 3600, ttl: 1, iss: self.origin,
        status_list: { bits: 1, lst: deflateSync(list).toString('base64url') },
      }).setProtectedHeader({ alg: 'ES256', kid: 'one', typ: 'statuslist+jwt' }).sign(keys.privateKey);
      return { body: jwt, type: 'application/statuslist+jwt' };
    }
    return undefined;
  };
  return self;
}

async function jwtVcIssuer(world, name) {
  const keys = await generateKeyPair('ES256', { extractable: true });
  const did = `did:web:${name}.localhost%3A${world.port}`;
  const type = ['VerifiableCredential', 'Over21Credential'];
  const configurations = {
    statement: {
      format: 'jwt_vc_json',
      credential_definition: { type },
      cryptographic_binding_methods_supported: ['did:jwk'],
      credential_signing_alg_values_supported: ['ES256'],
      proof_types_supported: { jwt: { proof_signing_alg_values_supported: ['ES256'] } },
      credential_metadata: { display: [{ name: 'County statement', locale: 'en' }] },
    },
  };
  const self = await issuer(world, name, configurations, (self, { kid }) => {
    const holder = kid.split('#')[0];
    return new SignJWT({
      iss: did, sub: holder, nbf: now() - 10, iat: now() - 10, exp: now() + 86400, jti: `urn:uuid:${crypto.randomUUID()}`,
      vc: { '@context': ['https://www.w3.org/2018/credentials/v1'], type, credentialSubject: { id: holder, age_over_21: true } },
    }).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: `${did}#key` }).sign(keys.privateKey);
  });
  const publicKeyJwk = await exportJWK(keys.publicKey);
  self.did = did;
  self.more = (method, url) =>
    url.pathname === '/.well-known/did.json' && {
      json: {
        '@context': ['https://www.w3.org/ns/did/v1'], id: did,
        verificationMethod: [{ id: `${did}#key`, type: 'JsonWebKey', controller: did, publicKeyJwk }],
        assertionMethod: [`${did}#key`],
      },
    };
  return self;
}

/** A site that asks: requests by `@openid4vc/openid4vp`, presentations checked by `@sd-jwt/sd-jwt-vc` and `jose`. */
function site(world, name) {
  const origin = world.origin(name);
  const library = new Openid4vpVerifier({ callbacks });
  const self = { origin, responses: [], transactions: new Map(), redirect: `${origin}/done?response_code=abc`, status: 200 };
  self.queries = {
    over21: {
      credentials: [{
        id: 'over21', format: 'dc+sd-jwt', meta: { vct_values: [`${world.origin('dmv')}/credentials/id`] },
        claims: [{ path: ['age_equal_or_over', '21'], values: [true] }],
      }],
    },
    either: {
      credentials: [
        {
          id: 'over21', format: 'dc+sd-jwt', meta: { vct_values: [`${world.origin('dmv')}/credentials/id`] },
          claims: [{ path: ['age_equal_or_over', '21'], values: [true] }],
        },
        {
          id: 'statement', format: 'jwt_vc_json', meta: { type_values: [['Over21Credential']] },
          claims: [{ path: ['credentialSubject', 'age_over_21'], values: [true] }],
        },
      ],
      credential_sets: [{ options: [['over21'], ['statement']] }],
    },
    nosy: {
      credentials: [{
        id: 'nosy', format: 'dc+sd-jwt', meta: { vct_values: [`${world.origin('dmv')}/credentials/id`] },
        claims: [{ path: ['age_equal_or_over', '21'], values: [true] }, { path: ['family_name'] }, { path: ['address'] }],
      }],
    },
  };
  /** The link to the wallet; `change` tampers with its parameters. */
  self.ask = async (query = 'over21', change = {}) => {
    const responseUri = `${origin}/response`;
    const nonce = token();
    const state = token();
    const { authorizationRequestPayload } = await library.createOpenId4vpAuthorizationRequest({
      authorizationRequestPayload: {
        response_type: 'vp_token', response_mode: 'direct_post', client_id: `redirect_uri:${responseUri}`,
        response_uri: responseUri, nonce, state, dcql_query: self.queries[query],
        client_metadata: { client_name: 'Wine & more', logo_uri: `${world.origin('tracker')}/shop.png`, vp_formats_supported: {} },
      },
      scheme: `${world.wallet}/present`,
    });
    self.transactions.set(state, authorizationRequestPayload);
    const parameters = new URLSearchParams();
    for (const [field, value] of Object.entries({ ...authorizationRequestPayload, ...change })) {
      if (value !== undefined) parameters.set(field, typeof value === 'string' ? value : JSON.stringify(value));
    }
    return `${world.wallet}/present?${parameters}`;
  };
  world.sites.set(name, async (method, url, body) => {
    if (method === 'GET' && url.pathname === '/done') return { body: `<!doctype html><link rel="icon" href="data:,"><title>${name}</title>Welcome back`, type: 'text/html' };
    if (method !== 'POST' || url.pathname !== '/response') return undefined;
    const fields = Object.fromEntries(new URLSearchParams(body));
    self.responses.push(fields);
    if (self.status !== 200) return { status: self.status, json: { error: 'invalid_request' } };
    if (!fields.error) self.verified = await verify(world, library, self.transactions.get(fields.state), fields);
    return { json: self.redirect === undefined ? {} : { redirect_uri: self.redirect } };
  });
  return self;
}

async function verify(world, library, requested, fields) {
  const parsed = { ...fields, vp_token: JSON.parse(fields.vp_token) };
  const { dcql } = library.validateOpenid4vpAuthorizationResponsePayload({
    authorizationRequestPayload: requested, authorizationResponsePayload: parsed,
  });
  const verified = {};
  for (const [id, [presentation, ...rest]] of Object.entries(dcql.presentations)) {
    assert.equal(rest.length, 0);
    verified[id] = presentation.includes('~')
      ? await verifySdJwt(world, requested, presentation)
      : await verifyVp(world, requested, presentation);
  }
  return verified;
}

async function verifySdJwt(world, requested, presentation) {
  const signed = (key) => async (data, signature) => crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, Buffer.from(signature, 'base64url'), Buffer.from(data));
  const library = new SDJwtVcInstance({
    verifier: signed(world.dmv.key.publicKey),
    kbVerifier: async (data, signature, payload) => signed(await importJWK(payload.cnf.jwk, 'ES256'))(data, signature),
    hasher: (data) => sha256(data), hashAlg: 'sha-256',
    // Node knows no names under .localhost
    statusListFetcher: async (uri) => (await world.sites.get('dmv')('GET', new URL(uri), '')).body,
    statusVerifier: signed(world.dmv.key.publicKey),
  });
  const { payload, kb } = await library.verify(presentation, { keyBindingNonce: requested.nonce });
  assert.equal(kb.payload.aud, requested.client_id);
  return { payload, presentation, holder: await calculateJwkThumbprint(payload.cnf.jwk) };
}

async function verifyVp(world, requested, presentation) {
  const claims = decode(presentation);
  assert.match(claims.iss, /^did:jwk:/);
  const jwk = JSON.parse(Buffer.from(claims.iss.slice('did:jwk:'.length), 'base64url'));
  const { protectedHeader } = await compactVerify(presentation, await importJWK(jwk, 'ES256'));
  assert.equal(protectedHeader.kid, `${claims.iss}#0`);
  assert.equal(claims.aud, requested.client_id);
  assert.equal(claims.nonce, requested.nonce);
  assert.equal(claims.vp.verifiableCredential.length, 1);
  const credential = decode(claims.vp.verifiableCredential[0]);
  assert.equal(credential.sub, claims.iss, 'who shows it is who it is about');
  return { payload: credential, presentation, holder: await calculateJwkThumbprint(jwk) };
}

/** A fresh person: a browser of their own. Everything that the page complains about is written down. */
export async function person(world, options = {}) {
  const context = await world.browser.newContext({ viewport: { width: 390, height: 844 }, serviceWorkers: 'block', locale: 'en-US', ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  const self = { context, page, problems, close: () => context.close() };
  self.state = (...states) => page.waitForSelector(states.map((state) => `#page[data-state="${state}"]`).join(','), { timeout: 30_000 });
  self.receive = async (issuer, txCode) => {
    await page.goto(await issuer.offer({ txCode }));
    await self.state('ready');
    if (txCode) await page.getByLabel('Code from the issuer').fill(txCode);
    await page.getByRole('button', { name: 'Add to wallet' }).click();
    await self.state('done', 'refused', 'error');
    return page.getAttribute('#page', 'data-state');
  };
  return self;
}
