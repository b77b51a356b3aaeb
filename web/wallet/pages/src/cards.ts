// Having: the cards, one card's details, and the history. All of it works offline.

import { statusOf } from './check.js';
import { core, now } from './core.js';
import { announce, callout, day, h, host, icon, moment, show } from './dom.js';
import { face, rows, stateOf, unused } from './face.js';
import * as store from './store.js';
import type { Card, Copy, Event } from './types.js';

/** `/`: all cards. */
export async function cardsPage(): Promise<void> {
  const [cards, copies] = await Promise.all([store.cards(), store.copies()]);
  if (cards.length === 0) return empty();
  const list = h('ul', { class: 'cards' });
  const draw = (shown: Card[]) =>
    list.replaceChildren(
      ...shown.map((card) =>
        h('li', {}, h('a', { href: `#card=${card.id}`, class: 'face-link' }, face(card, copies.filter((copy) => copy.card === card.id)))),
      ),
    );
  draw(cards);
  show('Your cards', 'ready', h('h1', {}, 'Your cards'), list, h('a', { class: 'button secondary wide', href: '/receive' }, icon('plus'), 'Add a card'));
  const refreshed = await Promise.all(cards.map((card) => refresh(card, copies.filter((copy) => copy.card === card.id))));
  if (list.isConnected) draw(refreshed);
}

function empty(): void {
  show(
    'Your cards',
    'ready',
    h('h1', {}, 'Your cards'),
    h('div', { class: 'empty' },
      h('div', { class: 'empty-card', 'aria-hidden': 'true' }),
      h('p', { class: 'lead' }, 'No cards yet.'),
      h('p', {}, 'Cards live on this device only. When a site asks something, like whether you are over 21, you show just that, and nothing else.'),
    ),
    h('a', { class: 'button primary wide', href: '/receive' }, icon('plus'), 'Add your first card'),
  );
}

// A status is asked for again only when its answer no longer stands; offline the last answer remains.
async function refresh(card: Card, copies: Copy[]): Promise<Card> {
  const copy = copies[0];
  if (!copy || card.status.until > now() || card.status.state === 'withdrawn') return card;
  const status = await statusOf(card, copy.credential, copy.jwk);
  if (status.state === 'unknown' && !navigator.onLine) return card;
  const refreshed = { ...card, status };
  await store.update(refreshed);
  return refreshed;
}

/** `/#card=…`: one card. */
export async function cardPage(id: string): Promise<void> {
  const [found, copies, events] = await Promise.all([store.card(id), store.copiesOf(id), store.history()]);
  if (!found) return cardsPage();
  const draw = async (card: Card) => {
    const sites = copies.filter((copy) => copy.site !== null);
    const first = copies[0] && (await core('dids', copies[0].jwk));
    const { text } = stateOf(card);
    show(
      card.title,
      'ready',
      h('a', { class: 'back', href: '/' }, icon('back'), 'All cards'),
      h('h1', { class: 'visually-hidden' }, card.title),
      face(card, copies),
      ...(unused(copies) === 0
        ? [
            callout(
              'warning',
              'No fresh copy is left: a new site could recognise you by a used one.',
              h('a', { class: 'button secondary', href: card.issuer, target: '_blank', rel: 'noopener noreferrer' }, 'Get more'),
            ),
          ]
        : []),
      h('section', { class: 'panel' }, h('h2', {}, 'What it says'), rows(card.rows)),
      h(
        'section',
        { class: 'panel' },
        h('h2', {}, 'Where it was shown'),
        sites.length === 0
          ? h('p', { class: 'hint' }, 'Nowhere yet.')
          : h('ul', { class: 'bullets' }, ...sites.map((copy) => h('li', {}, h('strong', {}, host(copy.site ?? '')), ` ${copy.shown === 1 ? 'once' : `${copy.shown} times`}, always the same copy`))),
        ...timeline(events.filter((event) => event.card === card.id && event.kind === 'shown')),
      ),
      h(
        'section',
        { class: 'panel about' },
        h('h2', {}, 'About this card'),
        rows([
          { label: 'Issued by', value: card.signer },
          ...(card.issuerName === null ? [] : [{ label: 'Calls itself', value: `${card.issuerName} (not verified)` }]),
          { label: 'Kind', value: card.types.filter((type) => type !== 'VerifiableCredential').join(', ') },
          { label: 'Status', value: `${text}${card.status.state === 'none' ? '' : `, looked up ${moment(card.status.checked)}`}` },
          { label: 'Added', value: day(card.added) },
          ...(card.expires === null ? [] : [{ label: 'Valid until', value: day(card.expires) }]),
          { label: 'Copies', value: `${copies.length}, of which ${unused(copies)} fresh` },
        ]),
        first
          ? h('details', {}, h('summary', {}, 'Keys of the first copy'), h('p', { class: 'hint' }, 'Each copy has its own. The private part cannot be taken out of this browser.'), rows([{ label: 'did:key', value: first.did_key }, { label: 'did:jwk', value: first.did_jwk }]))
          : null,
      ),
      deletion(card),
    );
  };
  await draw(found);
  const refreshed = await refresh(found, copies);
  if (refreshed !== found && location.hash === `#card=${id}`) await draw(refreshed);
}

function deletion(card: Card): HTMLElement {
  const dialog = h(
    'dialog',
    { 'aria-labelledby': 'delete-title' },
    h('h2', { id: 'delete-title' }, `Delete “${card.title}”?`),
    h('p', {}, 'Its copies and their keys are destroyed on this device. Nobody can bring them back; the issuer can give you new ones.'),
    h(
      'form',
      { method: 'dialog', class: 'actions' },
      h(
        'button',
        {
          type: 'button',
          class: 'danger',
          onclick: () =>
            void store.remove(card, now()).then(() => {
              dialog.close();
              announce('Deleted');
              location.hash = '';
            }),
        },
        'Delete for good',
      ),
      h('button', { class: 'secondary' }, 'Keep it'),
    ),
  );
  return h('section', { class: 'delete' }, h('button', { type: 'button', class: 'secondary quiet', onclick: () => dialog.showModal() }, icon('bin'), 'Delete card'), dialog);
}

const KINDS: Record<Event['kind'], string> = { received: 'Received from', shown: 'Shown to', declined: 'Not shown to', deleted: 'Deleted; it was from' };

function timeline(events: Event[]): Node[] {
  return events.length === 0
    ? []
    : [
        h(
          'ol',
          { class: 'timeline' },
          ...events.map((event) =>
            h(
              'li',
              { class: event.kind },
              icon(event.kind === 'shown' ? 'check' : event.kind === 'declined' ? 'stop' : event.kind === 'deleted' ? 'bin' : 'plus'),
              h(
                'div',
                {},
                h('p', {}, `${KINDS[event.kind]} `, h('strong', {}, host(event.site))),
                event.title !== '' && h('p', { class: 'hint' }, event.title),
                event.rows.length > 0 && rows(event.rows),
                h('time', { class: 'hint', datetime: new Date(event.when * 1000).toISOString() }, moment(event.when)),
              ),
            ),
          ),
        ),
      ];
}

/** `/history`: what was shown, to whom and when. */
export async function historyPage(): Promise<void> {
  const events = await store.history();
  show(
    'History',
    'ready',
    h('h1', {}, 'History'),
    h('p', { class: 'hint' }, 'What you showed, to whom and when. It stays on this device.'),
    ...(events.length === 0 ? [h('p', { class: 'lead' }, 'Nothing yet.')] : timeline(events)),
    events.length > 0 &&
      h('button', { type: 'button', class: 'secondary quiet', onclick: () => void store.forgetHistory().then(historyPage) }, icon('bin'), 'Clear history'),
  );
}
