// The wallet by itself, in a real browser: issuers and sites are others' packages (`world.mjs`), the wallet is the demo's
// build, which reaches loopback. What only the build for people promises is tested on that build.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import QRCode from 'qrcode';

import { person, start } from './world.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

let world;

before(async () => {
  world = await start();
});

after(() => world?.stop());

// What one test has bent or asked must not reach the next.
function afresh() {
  for (const issuer of [world.dmv, world.clerk]) {
    issuer.bend = {};
    issuer.subject = {};
  }
  for (const site of [world.shop, world.bar]) {
    site.responses.length = 0;
    site.verified = undefined;
    site.redirect = `${site.origin}/done?response_code=abc`;
    site.status = 200;
  }
}

async function someone(options) {
  afresh();
  return person(world, options);
}

async function show(who, site, query) {
  await who.page.goto(await site.ask(query));
  await who.state('ready');
  await who.page.getByRole('button', { name: 'Show', exact: true }).click();
  await who.page.waitForURL(`${site.origin}/done**`);
  return site.verified;
}

async function axe(page, what) {
  // Playwright's evaluation is not bound by the page's policy, so that the page stays as it is served
  await page.evaluate(await readFile(AXE, 'utf8'));
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), [], what);
}

const code = (page) => page.locator('[data-code]').first().getAttribute('data-code');

test('a card is received: three copies, each with a key of its own that cannot be taken out', async () => {
  const who = await someone();
  assert.equal(await who.receive(world.dmv, '493536'), 'done');
  assert.match(await who.page.innerText('#page'), /Digital ID[\s\S]*Surname\s+Lovelace/);
  const kept = await who.page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open('carded').onsuccess = (event) => resolve(event.target.result)));
    const copies = await new Promise((resolve) => (db.transaction('copies').objectStore('copies').getAll().onsuccess = (event) => resolve(event.target.result)));
    const taken = await Promise.all(copies.map(({ privateKey }) => crypto.subtle.exportKey('jwk', privateKey).then(() => true, () => false)));
    return { taken, keys: new Set(copies.map(({ jwk }) => jwk.x)).size, credentials: new Set(copies.map(({ credential }) => credential)).size };
  });
  assert.deepEqual(kept, { taken: [false, false, false], keys: 3, credentials: 3 });
  assert.equal(new URL(who.page.url()).search, '', 'the spent code does not stay in the address');
  assert.deepEqual(who.problems, []);
  await who.close();
});

test('over 21 is shown and nothing else, as others verify', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  const { over21 } = await show(who, world.shop);
  const { iss, vct, iat, exp, cnf, status, ...claims } = over21.payload;
  assert.deepEqual(claims, { age_equal_or_over: { 21: true } });
  for (const secret of ['Lovelace', 'Vine Street', '1985-12-10']) {
    const everything = over21.presentation.split(/[~.]/).map((part) => Buffer.from(part, 'base64url').toString()).join();
    assert.ok(!everything.includes(secret), `${secret} is withheld`);
  }
  assert.equal(world.shop.responses.length, 1);
  assert.deepEqual(Object.keys(world.shop.responses[0]).sort(), ['state', 'vp_token']);
  assert.deepEqual(who.problems, []);
  await who.close();
});

test('a county statement, known by did:web, is received and shown as a JWT VC', async () => {
  const who = await someone();
  assert.equal(await who.receive(world.clerk), 'done');
  const { statement } = await show(who, world.shop, 'either');
  assert.equal(statement.payload.vc.credentialSubject.age_over_21, true);
  await who.close();
});

test('a person chooses between cards that fit', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  await who.receive(world.clerk);
  await who.page.goto(await world.shop.ask('either'));
  await who.state('ready');
  assert.ok(await who.page.getByRole('radio', { name: 'Digital ID' }).isChecked());
  await who.page.getByRole('radio', { name: 'County statement' }).check();
  await axe(who.page, 'a choice');
  await who.page.getByRole('button', { name: 'Show', exact: true }).click();
  await who.page.waitForURL(`${world.shop.origin}/done**`);
  assert.deepEqual(Object.keys(world.shop.verified), ['statement']);
  await who.close();
});

test('a copy belongs to its site: the same there, another elsewhere, and never a silent reuse', async () => {
  const who = await someone();
  await who.receive(world.clerk);
  await who.receive(world.dmv);
  const first = (await show(who, world.shop)).over21.holder;
  assert.equal((await show(who, world.shop)).over21.holder, first, 'the same site sees the same copy');
  const other = (await show(who, world.bar)).over21.holder;
  assert.notEqual(other, first, 'another site sees another');
  // all copies have gone to other sites
  await who.page.goto(`${world.wallet}/`);
  await who.page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open('carded').onsuccess = (event) => resolve(event.target.result)));
    const store = db.transaction('copies', 'readwrite').objectStore('copies');
    const copies = await new Promise((resolve) => (store.getAll().onsuccess = (event) => resolve(event.target.result)));
    for (const copy of copies) store.put({ ...copy, site: 'http://elsewhere.localhost' });
    await new Promise((resolve) => (store.transaction.oncomplete = resolve));
  });
  world.shop.responses.length = 0;
  await who.page.goto(await world.shop.ask());
  await who.state('ready');
  assert.equal(await code(who.page), 'used_up');
  const button = who.page.getByRole('button', { name: 'Show', exact: true });
  assert.ok(await button.isDisabled(), 'nothing is shown silently');
  assert.equal(await who.page.getByRole('link', { name: 'Get more' }).getAttribute('href'), world.dmv.origin);
  await axe(who.page, 'used up');
  await who.page.getByRole('checkbox', { name: 'Show a copy that another site knows' }).check();
  await button.click();
  await who.page.waitForURL(`${world.shop.origin}/done**`);
  assert.equal(world.shop.responses.length, 1);
  await who.close();
});

test('bad copies are refused, and none of the batch is kept', async () => {
  for (const [bend, expected] of [
    [{ wrongKey: true }, 'signature_invalid'],
    [{ wrongCnf: true }, 'holder_mismatch'],
    [{ wrongIss: 'http://evil.localhost' }, 'issuer_untrusted'],
    [{ expired: true }, undefined],
    [{ sameTwice: true }, 'copy_repeated'],
  ]) {
    const who = await someone();
    world.dmv.bend = bend;
    assert.equal(await who.receive(world.dmv), 'refused', JSON.stringify(bend));
    const found = await code(who.page);
    if (expected) assert.equal(found, expected, JSON.stringify(bend));
    else assert.match(found, /expired/);
    await who.page.goto(`${world.wallet}/`);
    await who.state('ready');
    assert.match(await who.page.innerText('#page'), /No cards yet/);
    await who.close();
  }
});

test('copies may come in any order, and a stale nonce is asked for again', async () => {
  const who = await someone();
  world.dmv.bend = { shuffled: true, staleNonces: 1 };
  assert.equal(await who.receive(world.dmv), 'done');
  assert.ok((await show(who, world.shop)).over21);
  await who.close();
});

// A film of one picture: a QR code, in grey, as Chromium's camera for tests plays it (YUV4MPEG2).
function film(text) {
  const { modules } = QRCode.create(text, { errorCorrectionLevel: 'L' });
  const [width, height] = [960, 960];
  const cell = Math.floor(height / (modules.size + 8));
  const luma = Buffer.alloc(width * height, 235);
  for (let y = 0; y < modules.size * cell; y++) {
    for (let x = 0; x < modules.size * cell; x++) {
      if (modules.get(Math.floor(y / cell), Math.floor(x / cell))) luma[(y + 4 * cell) * width + x + 4 * cell] = 16;
    }
  }
  const frame = [Buffer.from('FRAME\n'), luma, Buffer.alloc((width * height) / 2, 128)];
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${width} H${height} F10:1 Ip A1:1 C420\n`), ...frame, ...frame]);
}

test('an offer is read from a QR code by the camera', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'carded-'));
  const file = join(folder, 'offer.y4m');
  await writeFile(file, film('openid-credential-offer://?credential_offer_uri=http%3A%2F%2Fdmv.example%2Foffers%2F1'));
  const scene = await start('wallet-demo', [
    '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${file}`,
  ]);
  try {
    const who = await person(scene);
    await who.page.goto(`${scene.wallet}/receive`);
    await who.state('ready');
    await who.page.getByRole('button', { name: 'Scan a QR code' }).click();
    // its address is http, so that what was read shows by how it is refused (threat 94)
    await who.state('refused');
    assert.equal(await code(who.page), 'link_refused');
    await who.close();
  } finally {
    await scene.stop();
    await rm(folder, { recursive: true });
  }
});

test('an issuer that takes Ed25519 alone gets Ed25519 keys', async () => {
  const who = await someone();
  const { id } = world.dmv.metadata.credential_configurations_supported;
  const proofs = { jwt: { proof_signing_alg_values_supported: ['EdDSA'] } };
  world.dmv.bend = { metadata: { credential_configurations_supported: { id: { ...id, proof_types_supported: proofs } } } };
  assert.equal(await who.receive(world.dmv), 'done');
  const { body } = world.log.findLast(({ name, path, method }) => name === 'dmv' && path === '/credential' && method === 'POST');
  const header = JSON.parse(Buffer.from(JSON.parse(body).proofs.jwt[0].split('.')[0], 'base64url'));
  assert.deepEqual([header.alg, header.jwk.crv], ['EdDSA', 'Ed25519']);
  await who.close();
});

test('a wrong transaction code may be typed again', async () => {
  const who = await someone();
  await who.page.goto(await world.dmv.offer({ txCode: '493536' }));
  await who.state('ready');
  const field = who.page.getByLabel('Code from the issuer');
  await field.fill('000000');
  await who.page.getByRole('button', { name: 'Add to wallet' }).click();
  await who.page.waitForSelector('[role=alert] .callout');
  await who.state('ready');
  await axe(who.page, 'a wrong code');
  await field.fill('493536');
  await who.page.getByRole('button', { name: 'Add to wallet' }).click();
  await who.state('done');
  await who.close();
});

test('deferred issuance is recognised and explained', async () => {
  const who = await someone();
  world.dmv.bend = { deferred: true };
  assert.equal(await who.receive(world.dmv), 'refused');
  assert.equal(await code(who.page), 'deferred');
  assert.match(await who.page.innerText('#page'), /needs more time: it says to come back in about 60 minutes/);
  await who.close();
});

test('an offer is taken by reference, by paste, and not without a click', async () => {
  const who = await someone();
  const asked = () => world.log.filter(({ name, path }) => name === 'dmv' && path === '/token').length;
  const before = asked();
  await who.page.goto(`${world.wallet}/receive`);
  await who.state('ready');
  await axe(who.page, 'receive');
  await who.page.getByLabel('Link or text of the offer').fill(await world.dmv.offer({ byReference: true }));
  await who.page.getByRole('button', { name: 'Read offer' }).click();
  await who.page.getByRole('button', { name: 'Add to wallet' }).waitFor();
  await axe(who.page, 'an offer');
  assert.equal(asked(), before, 'nothing is asked for before a click');
  await who.page.getByRole('button', { name: 'Cancel' }).click();
  await who.page.waitForURL(`${world.wallet}/`);
  assert.equal(asked(), before);
  await who.close();
});

test('threat_94_links_that_are_not_https_are_never_followed', async () => {
  const who = await someone();
  const offer = (change) => `${world.wallet}/receive?credential_offer=${encodeURIComponent(JSON.stringify({
    credential_issuer: world.dmv.origin, credential_configuration_ids: ['id'],
    grants: { 'urn:ietf:params:oauth:grant-type:pre-authorized_code': { 'pre-authorized_code': 'c' } }, ...change,
  }))}`;
  for (const link of [
    offer({ credential_issuer: 'javascript:alert(1)' }),
    offer({ credential_issuer: 'data:application/json,{}' }),
    offer({ credential_issuer: 'http://dmv.example' }),
    `${world.wallet}/receive?credential_offer_uri=${encodeURIComponent('javascript:document.title="owned"')}`,
    `${world.wallet}/receive?credential_offer_uri=blob:x`,
  ]) {
    await who.page.goto(link);
    await who.state('refused');
    assert.equal(await code(who.page), 'link_refused', link);
  }
  for (const metadata of [{ credential_endpoint: 'javascript:alert(1)' }, { nonce_endpoint: 'data:,x' }, { authorization_servers: ['http://10.0.0.1'] }]) {
    world.dmv.bend = { metadata };
    await who.page.goto(await world.dmv.offer());
    await who.state('refused');
    assert.equal(await code(who.page), 'link_refused', JSON.stringify(metadata));
  }
  world.dmv.bend = {};
  await who.receive(world.dmv);
  for (const redirect of ['javascript:document.title="owned"', 'data:text/html,owned', 'http://shop.example/']) {
    world.shop.redirect = redirect;
    await who.page.goto(await world.shop.ask());
    await who.state('ready');
    await who.page.getByRole('button', { name: 'Show', exact: true }).click();
    await who.page.waitForSelector('[role=alert] .callout');
    assert.ok(who.page.url().startsWith(world.wallet), redirect);
    assert.doesNotMatch(await who.page.title(), /owned/);
  }
  await who.close();
});

test('the way back to another site is shown and asked, not followed', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  world.shop.redirect = `${world.bar.origin}/done`;
  await who.page.goto(await world.shop.ask());
  await who.state('ready');
  await who.page.getByRole('button', { name: 'Show', exact: true }).click();
  await who.state('done');
  assert.equal(await code(who.page), 'other_site');
  assert.ok(who.page.url().startsWith(world.wallet));
  await axe(who.page, 'another site');
  await who.page.getByRole('link', { name: /^Go to bar\.localhost/ }).click();
  await who.page.waitForURL(`${world.bar.origin}/done`);
  await who.close();
});

test('threat_97_transaction_data_that_is_not_understood_is_refused', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  await who.page.goto(await world.shop.ask('over21', { transaction_data: ['eyJ0eXBlIjoicGF5In0'] }));
  await who.state('refused');
  assert.equal(await code(who.page), 'invalid_transaction_data');
  assert.equal(await who.page.getByRole('button', { name: 'Show', exact: true }).count(), 0);
  await axe(who.page, 'refused');
  assert.equal(world.shop.responses.length, 0);
  await who.close();
});

test('tampered requests are refused before anything is shown', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  for (const change of [
    { response_uri: `${world.bar.origin}/response` },
    { client_id: `redirect_uri:${world.bar.origin}/response` },
    { client_id: 'x509_san_dns:shop.localhost' },
    { response_mode: 'fragment' },
    { response_type: 'code' },
    { nonce: undefined },
    { dcql_query: { credentials: [] } },
    { dcql_query: undefined },
    { request: 'e30.e30.' },
    { request_uri: `${world.shop.origin}/request` },
  ]) {
    await who.page.goto(await world.shop.ask('over21', change));
    await who.state('refused');
    assert.equal(await who.page.getByRole('button', { name: 'Show', exact: true }).count(), 0, JSON.stringify(change));
  }
  assert.equal(world.shop.responses.length + world.bar.responses.length, 0, 'nothing left the wallet');
  await who.close();
});

test('threat_95_refusing_and_having_nothing_look_the_same_and_take_a_click', async () => {
  const who = await someone();
  const answers = [];
  for (const over21 of [undefined, false, true]) {
    if (over21 !== undefined) {
      world.dmv.subject = { age_equal_or_over: { 18: true, 21: over21, 65: false } };
      await who.receive(world.dmv);
    }
    world.shop.responses.length = 0;
    await who.page.goto(await world.shop.ask());
    await who.state('ready');
    if (!over21) assert.match(await who.page.innerText('#page'), over21 === undefined ? /You have no cards yet/ : /None of your cards proves that you are over 21\./);
    await axe(who.page, 'asked');
    await who.page.waitForTimeout(300);
    assert.equal(world.shop.responses.length, 0, 'nothing leaves without a click');
    await who.page.getByRole('button', { name: 'Do not show' }).click();
    await who.page.waitForURL(`${world.shop.origin}/done**`);
    const { state, ...rest } = world.shop.responses[0];
    answers.push(rest);
  }
  assert.deepEqual(answers, [{ error: 'access_denied' }, { error: 'access_denied' }, { error: 'access_denied' }]);
  await who.close();
});

test('threat_101_names_are_text_logos_are_never_loaded_and_more_than_an_age_is_pointed_out', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  await who.page.goto(await world.bar.ask('nosy', { client_metadata: { client_name: '<img src=x onerror=alert(1)>', vp_formats_supported: {} } }));
  await who.state('ready');
  assert.equal(await code(who.page), 'more_than_age');
  const text = await who.page.innerText('#page');
  assert.match(text, /asks for more than an age: Surname, Address/);
  assert.match(text, /It calls itself “<img src=x onerror=alert\(1\)>”; that name is not verified/);
  assert.equal(await who.page.locator('#page img').count(), 0);
  await axe(who.page, 'nosy');
  assert.equal(world.log.filter(({ name }) => name === 'tracker').length, 0, 'no logo was asked for');
  assert.deepEqual(who.problems, []);
  await who.close();
});

test('a site that fails leaves the person where they can try again', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  world.shop.status = 503;
  await who.page.goto(await world.shop.ask());
  await who.state('ready');
  await who.page.getByRole('button', { name: 'Show', exact: true }).click();
  await who.page.waitForSelector('[role=alert] .callout');
  world.shop.status = 200;
  await who.page.getByRole('button', { name: 'Show', exact: true }).click();
  await who.page.waitForURL(`${world.shop.origin}/done**`);
  await who.close();
});

test('cards: details, status, history, deletion with its keys', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  await show(who, world.shop);
  await who.page.goto(`${world.wallet}/`);
  await who.state('ready');
  await axe(who.page, 'cards');
  await who.page.getByRole('link', { name: /Digital ID/ }).click();
  await who.page.getByText('Where it was shown').waitFor();
  await who.page.getByText('always the same copy').waitFor();
  await axe(who.page, 'a card');
  // withdrawn by its issuer: the card says so once its status is due
  world.dmv.statuses.fill(1);
  for (let tries = 0; (await who.page.getByText('Withdrawn by the issuer').count()) === 0; tries++) {
    assert.ok(tries < 20, 'a withdrawn card says so');
    await who.page.waitForTimeout(1000);
    await who.page.reload();
    await who.state('ready');
  }
  await axe(who.page, 'a withdrawn card');
  await who.page.goto(await world.bar.ask());
  await who.state('ready');
  assert.equal(await code(who.page), 'withdrawn');
  world.dmv.statuses.fill(0);
  await who.page.goto(`${world.wallet}/history`);
  await who.state('ready');
  assert.match(await who.page.innerText('#page'), /Shown to shop\.localhost[\s\S]*Over 21\s+Yes[\s\S]*Received from dmv\.localhost/);
  await axe(who.page, 'history');
  await who.page.goto(`${world.wallet}/`);
  await who.page.getByRole('link', { name: /Digital ID/ }).click();
  await who.page.getByRole('button', { name: 'Delete card' }).click();
  await axe(who.page, 'the question');
  await who.page.getByRole('button', { name: 'Keep it' }).click();
  await who.page.getByRole('button', { name: 'Delete card' }).click();
  await who.page.getByRole('button', { name: 'Delete for good' }).click();
  await who.page.getByText('No cards yet').waitFor();
  const left = await who.page.evaluate(async () => {
    const db = await new Promise((resolve) => (indexedDB.open('carded').onsuccess = (event) => resolve(event.target.result)));
    return new Promise((resolve) => (db.transaction('copies').objectStore('copies').count().onsuccess = (event) => resolve(event.target.result)));
  });
  assert.equal(left, 0, 'copies and keys are gone');
  await who.close();
});

test('it opens and shows cards offline', async () => {
  const who = await someone({ serviceWorkers: 'allow' });
  await who.receive(world.dmv);
  await who.page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
  await who.context.setOffline(true);
  for (const path of ['/', '/history', '/receive']) {
    await who.page.goto(`${world.wallet}${path}`);
    await who.state('ready');
  }
  await who.page.goto(`${world.wallet}/`);
  await who.page.getByRole('link', { name: /Digital ID/ }).click();
  await who.page.getByText('Lovelace').waitFor();
  await who.close();
});

test('everything fits a phone, and dark is dark', async () => {
  const who = await someone({ colorScheme: 'dark', viewport: { width: 390, height: 844 } });
  await who.receive(world.dmv);
  for (const url of [`${world.wallet}/`, `${world.wallet}/history`, `${world.wallet}/receive`, await world.bar.ask('nosy')]) {
    await who.page.goto(url);
    await who.state('ready');
    assert.ok(await who.page.evaluate(() => document.documentElement.scrollWidth <= 390), `${url} scrolls sideways`);
    await axe(who.page, `${url} in the dark`);
  }
  await who.close();
});

test('the keyboard is enough', async () => {
  const who = await someone();
  await who.receive(world.dmv);
  await who.page.goto(await world.shop.ask());
  await who.state('ready');
  for (let presses = 0; presses < 20; presses++) {
    await who.page.keyboard.press('Tab');
    if ((await who.page.evaluate(() => document.activeElement.textContent)) === 'Show') break;
  }
  await who.page.keyboard.press('Enter');
  await who.page.waitForURL(`${world.shop.origin}/done**`);
  await who.close();
});

test('the module is under 450 kB on its way to a phone', async () => {
  const module = await readFile(join(process.env.CARDED_WEB, 'wallet/wallet.wasm'));
  const size = gzipSync(module, { level: 9 }).length;
  assert.ok(size < 450_000, `${size} bytes compressed`);
});

test('threat_94_the_build_for_people_reaches_https_alone', async () => {
  const page = await readFile(join(process.env.CARDED_WEB, 'wallet/index.html'), 'utf8');
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(page)[1];
  for (const part of ["default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "connect-src 'self' https:", "img-src 'self' data:"]) {
    assert.ok(policy.split('; ').includes(part), part);
  }
  assert.doesNotMatch(policy, /http:|unsafe-inline|'unsafe-eval'|\*/);
  assert.match(await readFile(join(process.env.CARDED_WEB, 'wallet/_headers'), 'utf8'), /Content-Security-Policy: .*frame-ancestors 'none'/);
  const people = await start('wallet');
  try {
    const who = await person(people);
    await who.page.goto(await people.dmv.offer());
    await who.state('refused');
    assert.equal(await code(who.page), 'link_refused');
    await who.page.goto(await people.shop.ask());
    await who.state('refused');
    assert.equal(people.log.filter(({ name }) => name !== 'wallet').length, 0, 'nothing was asked over http');
  } finally {
    await people.stop();
  }
});
