// Receiving: OpenID4VCI 1.0 with a pre-authorized code. The offer is read and its issuer asked who it is before anything is
// shown; nothing is requested before a click; every copy is checked before any is stored.

import { check } from './check.js';
import { core, now, Refused } from './core.js';
import { announce, callout, h, host, icon, setState, show } from './dom.js';
import { describe, face, rows } from './face.js';
import { fresh, persist, sign, type Fresh } from './keys.js';
import { postForm, request } from './net.js';
import { canScan, scan } from './scan.js';
import * as store from './store.js';
import type { Card, Configuration, Copy, Issuance, Offer, Row } from './types.js';

/** `/receive`: with an offer in the query, or asking for one. */
export async function receivePage(query: string): Promise<void> {
  if (!query) return ask();
  await open(query);
}

function ask(problem?: string): void {
  const field = h('textarea', { id: 'offer', rows: 4, spellcheck: 'false', autocomplete: 'off', 'aria-describedby': 'offer-hint' });
  const form = h(
    'form',
    {
      class: 'panel',
      onsubmit: (event) => {
        event.preventDefault();
        if (field.value.trim()) void open(field.value.trim());
      },
    },
    h('label', { for: 'offer' }, 'Link or text of the offer'),
    field,
    h('p', { class: 'hint', id: 'offer-hint' }, 'An issuer shows it as a link or a QR code. It starts with “openid-credential-offer://” or “https://”.'),
    h('div', { class: 'actions' }, h('button', { type: 'submit', class: 'primary' }, 'Read offer')),
  );
  const scanning = h('div', { class: 'scanner' });
  const scanButton = h(
    'button',
    {
      type: 'button',
      class: 'secondary wide',
      onclick: () =>
        void scan(scanning).then(
          (text) => (text === undefined ? undefined : open(text)),
          (error: Error) => scanning.replaceChildren(callout('warning', error.message)),
        ),
    },
    icon('scan'),
    'Scan a QR code',
  );
  show(
    'Add a card',
    'ready',
    h('h1', {}, 'Add a card'),
    h('p', { class: 'lead' }, 'Cards come from issuers: an agency, a school, a club. Ask yours for a digital credential, then bring the offer here.'),
    problem !== undefined && callout('bad', problem),
    form,
    canScan() && scanButton,
    scanning,
  );
}

async function open(text: string): Promise<void> {
  show('Reading the offer', 'loading', h('h1', {}, 'Reading the offer…'));
  try {
    const read = await core('read_offer', text);
    const offer = 'fetch' in read ? (await core('parse_offer', (await fetched(read.fetch)).body)).offer : read.offer;
    const metadata = await fetched(offer.metadata_url);
    offerPage(offer, await core('read_issuer', offer, metadata.body, navigator.language));
  } catch (error) {
    refused(error);
  }
}

async function fetched(url: string) {
  const reply = await request(url, { headers: { accept: 'application/json' } });
  if (reply.status !== 200) throw new Refused('issuer_failed', `${host(url)} does not have what the offer points to (status ${reply.status}).`);
  return reply;
}

function refused(error: unknown): void {
  const known = error instanceof Refused;
  show(
    'This offer cannot be taken',
    known ? 'refused' : 'error',
    h('h1', {}, 'This offer cannot be taken'),
    h('div', { 'data-code': known ? error.code : 'unreachable' }, callout('bad', error instanceof Error ? error.message : String(error))),
    h('p', {}, 'Nothing was added to your wallet.'),
    h('div', { class: 'actions' }, h('a', { class: 'button secondary', href: '/' }, 'Back to your cards')),
  );
}

function offerPage(offer: Offer, issuance: Issuance): void {
  const code = offer.tx_code && txCode(offer.tx_code);
  const problem = h('div', { role: 'alert' });
  const add = h('button', { type: 'submit', class: 'primary' }, 'Add to wallet');
  const form = h(
    'form',
    {
      class: 'panel',
      onsubmit: (event) => {
        event.preventDefault();
        add.disabled = true;
        problem.replaceChildren();
        void take(offer, issuance, code?.input.value.trim() ?? null).catch((error: unknown) => {
          if (error instanceof Refused && error.code === 'tx_code_wrong' && code) {
            setState('ready');
            add.disabled = false;
            problem.replaceChildren(callout('bad', error.message));
            code.input.setAttribute('aria-invalid', 'true');
            code.input.select();
            return;
          }
          refused(error);
        });
      },
    },
    code?.field,
    problem,
    h(
      'div',
      { class: 'actions' },
      add,
      h('a', { class: 'button secondary', role: 'button', href: '/' }, 'Cancel'),
    ),
  );
  const titles = issuance.configurations.map(({ title }) => title);
  const description = issuance.configurations.find((configuration) => configuration.description)?.description;
  show(
    'A card for you',
    'ready',
    h('p', { class: 'eyebrow' }, 'A card for you'),
    h('h1', {}, titles.join(' and ')),
    h('div', { class: 'who' }, h('span', { class: 'hint' }, 'offered by'), h('strong', { class: 'origin' }, host(issuance.origin))),
    issuance.name !== null &&
      h('p', { class: 'hint' }, `It calls itself “${issuance.name}”. That name is not verified; the address above is.`),
    description ? h('p', {}, h('span', { class: 'hint' }, 'In its own words: '), `“${description}”`) : null,
    h(
      'p',
      {},
      issuance.batch > 1
        ? `You get ${issuance.batch} copies, each with a key of its own that never leaves this device. Every site you show the card to sees another copy, so that sites cannot tell that you are the same person.`
        : 'You get one copy, with a key that never leaves this device.',
    ),
    form,
  );
}

function txCode(asked: NonNullable<Offer['tx_code']>) {
  const input = h('input', {
    id: 'tx-code',
    required: true,
    autocomplete: 'one-time-code',
    inputmode: asked.numeric ? 'numeric' : 'text',
    maxlength: asked.length ?? 64,
    spellcheck: 'false',
    'aria-describedby': 'tx-code-hint',
  });
  const hint = asked.description
    ? `The issuer says: “${asked.description}”`
    : `The issuer gave it to you separately${asked.length === null ? '' : `; it has ${asked.length} ${asked.numeric ? 'digits' : 'characters'}`}.`;
  const field = h('div', { class: 'field' }, h('label', { for: 'tx-code' }, 'Code from the issuer'), input, h('p', { class: 'hint', id: 'tx-code-hint' }, hint));
  return { input, field };
}

async function take(offer: Offer, issuance: Issuance, code: string | null): Promise<void> {
  setState('working');
  announce('Getting your card');
  void persist();
  const metadata = await fetched(issuance.authorization_server_metadata);
  const { token_endpoint } = await core('read_server', issuance, metadata.body);
  const { body } = await core('token_request', offer, code);
  const reply = await postForm(token_endpoint, body);
  const token = await core('read_token', reply.status, reply.body, code !== null);

  const kept: Card[] = [];
  for (const configuration of issuance.configurations) {
    const got = await copiesOf(issuance, configuration, token.access_token, token.identifiers[configuration.id] ?? null);
    if ('deferred' in got) return deferred(issuance, configuration, got.deferred.seconds);
    kept.push(await store_(issuance, configuration, got.copies, got.rows, got.signer));
  }
  // the code in the address is spent
  history.replaceState(null, '', '/receive');
  done(kept);
}

interface Got {
  copies: Omit<Copy, 'card'>[];
  rows: Row[];
  signer: string;
}

async function copiesOf(
  issuance: Issuance,
  configuration: Configuration,
  accessToken: string,
  identifier: string | null,
): Promise<Got | { deferred: { seconds: number | null } }> {
  const keys = await Promise.all(Array.from({ length: issuance.batch }, () => fresh(configuration.algorithms)));
  const issued = await requestCopies(issuance, configuration, accessToken, identifier, keys);
  if ('deferred' in issued) return issued;
  const free = new Map(keys.map((key, index) => [index, key]));
  const copies: Omit<Copy, 'card'>[] = [];
  let signer = '';
  for (const credential of issued.credentials) {
    const checked = await check(issuance.issuer, configuration, credential, keys.map(({ jwk }) => jwk));
    if (checked.outcome === 'denied') {
      throw new Refused(checked.code, `What ${host(issuance.origin)} sent did not pass the checks, so none of it was kept. ${checked.message}`);
    }
    const key = free.get(checked.key);
    if (!key) throw new Refused('copy_repeated', 'Two copies carry the same key, so sites could recognise you. None of it was kept.');
    free.delete(checked.key);
    signer = checked.signer;
    copies.push({ id: crypto.randomUUID(), credential, jwk: key.jwk, privateKey: key.privateKey, expires: checked.expires, site: null, shown: 0 });
  }
  const rows = await describe(configuration, copies[0]!.credential);
  return { copies, rows, signer };
}

async function requestCopies(issuance: Issuance, configuration: Configuration, accessToken: string, identifier: string | null, keys: Fresh[]) {
  // a nonce may run out between two requests: one more try with a fresh one
  for (let tries = 0; ; tries++) {
    const nonce = issuance.nonce_endpoint === null ? null : await freshNonce(issuance.nonce_endpoint);
    const proofs = await Promise.all(keys.map((key) => prove(issuance, configuration, key, nonce)));
    const reply = await request(issuance.credential_endpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
      body: JSON.stringify(await core('credential_request', configuration.id, identifier, proofs)),
    });
    try {
      return await core('read_credentials', reply.status, reply.body, proofs.length);
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== 'nonce_stale' || tries > 0) throw error;
    }
  }
}

async function freshNonce(endpoint: string): Promise<string> {
  const reply = await request(endpoint, { method: 'POST' });
  return (await core('read_nonce', reply.status, reply.body)).c_nonce;
}

async function prove(issuance: Issuance, configuration: Configuration, key: Fresh, nonce: string | null): Promise<string> {
  const { id, message } = await core('prepare_proof', issuance, configuration, key.jwk, nonce, now());
  return (await core('finish', id, await sign(key.privateKey, message))).token;
}

// More of a card that is here already joins it; anything else is a card of its own.
async function store_(issuance: Issuance, configuration: Configuration, copies: Got['copies'], claims: Row[], signer: string): Promise<Card> {
  const same = (await store.cards()).find(
    (card) =>
      card.issuer === issuance.issuer &&
      card.configurationId === configuration.id &&
      JSON.stringify(card.rows) === JSON.stringify(claims),
  );
  const ends = copies.map(({ expires }) => expires).filter((expires) => expires !== null);
  const card: Card = {
    id: same?.id ?? crypto.randomUUID(),
    issuer: issuance.issuer,
    origin: issuance.origin,
    issuerName: issuance.name,
    configurationId: configuration.id,
    format: configuration.format,
    types: configuration.types,
    title: configuration.title,
    description: configuration.description,
    binding: configuration.binding,
    labels: configuration.labels,
    rows: claims,
    signer,
    added: now(),
    expires: ends.length === copies.length ? Math.max(...ends) : null,
    status: { state: 'none', checked: now(), until: now() },
  };
  await store.keep(card, copies.map((copy) => ({ ...copy, card: card.id })));
  return card;
}

function done(cards: Card[]): void {
  announce('Added to your wallet');
  show(
    'Added to your wallet',
    'done',
    h('h1', {}, 'Added to your wallet'),
    ...cards.flatMap((card) => [face(card), h('section', { class: 'panel' }, h('h2', {}, 'What it says'), rows(card.rows))]),
    h('p', { class: 'hint' }, 'Only you see this. A site sees only what you agree to show it.'),
    h('div', { class: 'actions' }, h('a', { class: 'button primary', href: '/' }, 'Open your wallet')),
  );
}

function deferred({ origin }: Issuance, { title }: Configuration, seconds: number | null): void {
  const when = seconds === null ? 'later' : seconds < 120 ? 'in a minute or two' : seconds < 7200 ? `in about ${Math.round(seconds / 60)} minutes` : `in about ${Math.round(seconds / 3600)} hours`;
  show(
    'Not ready yet',
    'refused',
    h('h1', {}, 'Not ready yet'),
    h('div', { 'data-code': 'deferred' }, callout('info', `${host(origin)} has taken your request for “${title}”, but needs more time: it says to come back ${when}.`)),
    h('p', {}, 'This wallet does not wait for cards yet. Ask the issuer for a new offer then; nothing was added for now.'),
    h('div', { class: 'actions' }, h('a', { class: 'button secondary', href: '/' }, 'Back to your cards')),
  );
}
