// Presenting: OpenID4VP 1.0 by redirect on the same device. The request is checked before anything is shown; nothing leaves
// without a click; the answer is the same whether nothing fits or the person refuses (threat 95).

import { core, now, Refused } from './core.js';
import { announce, callout, h, host, icon, setState, show } from './dom.js';
import { planCard, rows } from './face.js';
import { sign } from './keys.js';
import { postForm } from './net.js';
import * as store from './store.js';
import type { Card, Outgoing, Plan, Show, Way } from './types.js';

/** `/present`: the wallet's authorization endpoint. */
export async function presentPage(query: string): Promise<void> {
  try {
    const [cards, copies] = await Promise.all([store.cards(), store.copies()]);
    const held = cards.flatMap((card) => planCard(card, copies.filter((copy) => copy.card === card.id)) ?? []);
    const plan = await core('plan', query, held, now());
    if (plan.satisfiable) consent(query, plan, cards);
    else nothingFits(query, plan);
  } catch (error) {
    refused(error);
  }
}

function refused(error: unknown): void {
  const known = error instanceof Refused;
  show(
    'This request cannot be answered',
    known ? 'refused' : 'error',
    h('h1', {}, 'This request cannot be answered'),
    h('div', { 'data-code': known ? error.code : 'failed' }, callout('bad', error instanceof Error ? error.message : String(error))),
    h('p', {}, 'Nothing was shown to anyone.'),
    h('div', { class: 'actions' }, h('a', { class: 'button secondary', href: '/' }, 'Back to your cards')),
  );
}

// Under `redirect_uri:` the one thing that is certain is where the answer goes.
function asker({ origin, calls_itself }: Plan): Node[] {
  return [
    h('p', { class: 'eyebrow' }, 'A site asks to see something'),
    h('h1', { class: 'origin' }, host(origin)),
    h(
      'p',
      { class: 'hint' },
      'Your answer goes to this address and nowhere else. ',
      calls_itself === null ? 'Who runs it is not verified.' : `It calls itself “${calls_itself}”; that name is not verified.`,
    ),
  ];
}

function nothingFits(query: string, plan: Plan): void {
  show(
    `${host(plan.origin)} asks`,
    'ready',
    ...asker(plan),
    h(
      'div',
      { class: 'panel', 'data-code': 'nothing_fits' },
      callout('info', plan.reason ?? 'None of your cards fits.'),
      h('p', { class: 'hint' }, 'If you refuse, the site learns only that nothing was shown: not whether you have such a card.'),
      h('div', { class: 'actions' }, declineButton(query, plan), h('a', { class: 'button secondary', href: '/receive' }, 'Add a card')),
    ),
  );
}

function consent(query: string, plan: Plan, cards: Card[]): void {
  const chosen = new Map<number, Way | undefined>();
  const problem = h('div', { role: 'alert' });
  const showButton = h('button', { type: 'submit', class: 'primary' }, 'Show');
  const sections = plan.groups.map((group, index) => {
    chosen.set(index, group.required ? group.ways[0] : undefined);
    const detail = h('div', { class: 'detail' });
    const redraw = () => {
      const way = chosen.get(index);
      detail.replaceChildren(...(way ? wayDetail(way, plan, cards, refresh) : [h('p', { class: 'hint' }, 'Nothing of this is shown.')]));
      refresh();
    };
    return { redraw, element: h('section', {}, chooser(group, index, chosen, redraw), detail) };
  });
  const refresh = () => {
    const ways = [...chosen.values()].filter((way) => way !== undefined);
    showButton.disabled = ways.length === 0 || ways.some((way) => way.shows.some((one) => !usable(one)));
  };
  const form = h(
    'form',
    {
      class: 'consent',
      onsubmit: (event) => {
        event.preventDefault();
        showButton.disabled = true;
        problem.replaceChildren();
        const shows = [...chosen.values()].flatMap((way) => way?.shows ?? []);
        void present(query, plan, shows, cards).catch((error: unknown) => {
          setState('ready');
          showButton.disabled = false;
          problem.replaceChildren(callout('bad', error instanceof Error ? error.message : String(error)));
        });
      },
    },
    ...sections.map(({ element }) => element),
    problem,
    h('div', { class: 'actions sticky' }, showButton, declineButton(query, plan)),
  );
  show(`${host(plan.origin)} asks`, 'ready', ...asker(plan), form);
  for (const { redraw } of sections) redraw();
}

function chooser(group: Plan['groups'][number], index: number, chosen: Map<number, Way | undefined>, redraw: () => void): Node | null {
  if (group.required && group.ways.length === 1) return null;
  const option = (way: Way | undefined, title: string, hint: string) => {
    const id = `way-${index}-${way?.id ?? 'none'}`;
    return h(
      'div',
      { class: 'option' },
      h('input', {
        type: 'radio',
        name: `way-${index}`,
        id,
        checked: chosen.get(index) === way,
        'aria-describedby': `${id}-hint`,
        onchange: () => {
          chosen.set(index, way);
          redraw();
        },
      }),
      h('label', { for: id }, title),
      h('span', { class: 'hint', id: `${id}-hint` }, hint),
    );
  };
  return h(
    'fieldset',
    { class: 'options' },
    h('legend', {}, group.required ? 'With which card?' : 'Also show? You do not have to.'),
    !group.required && option(undefined, 'Nothing more', ''),
    ...group.ways.map((way) => option(way, way.title, way.shows.map((one) => host(one.issuer)).join(', '))),
  );
}

const shared = new WeakSet<Show>();

function usable(one: Show): boolean {
  return one.copy.id !== null && (one.copy.pick === 'again' || one.copy.pick === 'fresh' || shared.has(one));
}

function wayDetail(way: Way, plan: Plan, cards: Card[], refresh: () => void): Node[] {
  return [
    ...way.warnings.map(({ code, message }) => h('div', { 'data-code': code }, callout('warning', message))),
    ...way.shows.flatMap((one) => showDetail(one, plan, cards.find(({ id }) => id === one.card), refresh)),
  ];
}

function showDetail(one: Show, plan: Plan, card: Card | undefined, refresh: () => void): Node[] {
  const parts: Node[] = [
    h(
      'div',
      { class: 'panel lists' },
      h('p', { class: 'from' }, 'From ', h('strong', {}, one.title), `, issued by ${host(one.issuer)}`),
      h('h2', {}, 'Will be shown'),
      rows(one.shown, 'shown'),
      h('p', { class: 'hint' }, 'And that it is genuine: who issued it, its kind, and how long it is valid.'),
      h('h2', {}, 'Stays hidden'),
      one.hidden.length > 0
        ? h('ul', { class: 'hidden-list' }, ...one.hidden.map((label) => h('li', {}, icon('hidden'), label)))
        : h('p', { class: 'hint' }, 'Nothing: this kind of card is shown whole.'),
    ),
  ];
  if (card && (card.status.state === 'withdrawn' || card.status.state === 'suspended')) {
    parts.unshift(h('div', { 'data-code': card.status.state }, callout('warning', `${host(one.issuer)} has ${card.status.state} this card: the site will hardly accept it.`)));
  }
  if (one.copy.pick === 'used_up' || one.copy.pick === 'none') parts.push(usedUp(one, plan, card, refresh));
  return parts;
}

function usedUp(one: Show, plan: Plan, card: Card | undefined, refresh: () => void): HTMLElement {
  const id = `share-${one.query}-${one.card}`;
  const more = card && h('a', { class: 'button secondary', href: card.issuer, target: '_blank', rel: 'noopener noreferrer' }, 'Get more');
  if (one.copy.pick === 'none') {
    return h('div', { 'data-code': 'expired' }, callout('warning', 'All copies of this card have expired.', more ?? null));
  }
  return h(
    'div',
    { 'data-code': 'used_up' },
    callout(
      'warning',
      `All copies of this card were shown to other sites already. If ${host(plan.origin)} sees one of them, it and the other site can find out that you are the same person.`,
      more ?? null,
      h(
        'div',
        { class: 'option' },
        h('input', {
          type: 'checkbox',
          id,
          checked: shared.has(one),
          onchange: (event) => {
            if ((event.target as HTMLInputElement).checked) shared.add(one);
            else shared.delete(one);
            refresh();
          },
        }),
        h('label', { for: id }, 'Show a copy that another site knows'),
      ),
    ),
  );
}

async function present(query: string, plan: Plan, shows: Show[], cards: Card[]): Promise<void> {
  setState('working');
  announce('Showing');
  const presentations: Record<string, string[]> = {};
  for (const one of shows) {
    const card = cards.find(({ id }) => id === one.card);
    const copy = card && one.copy.id !== null ? await store.give(one.copy.id, plan.origin, shared.has(one)) : undefined;
    if (!card || !copy) throw new Error('This copy was shown to another site in the meantime. Please open the request again.');
    const { format, types, binding } = card;
    const { credential, jwk, privateKey } = copy;
    const { id, message } = await core('prepare_presentation', query, one.query, { format, types, credential, jwk, binding }, now());
    (presentations[one.query] ??= []).push((await core('finish', id, await sign(privateKey, message))).token);
  }
  const outgoing = await core('answer', query, presentations);
  // written down before it leaves: what may have been seen is never missing from the history
  await Promise.all(
    shows.map((one) =>
      store.note({
        when: now(),
        kind: 'shown',
        site: plan.origin,
        card: one.card,
        title: one.title,
        rows: one.shown.map(({ label, value }) => ({ label, value })),
      }),
    ),
  );
  await send(query, plan, outgoing, 'Shown');
}

function declineButton(query: string, plan: Plan): HTMLButtonElement {
  const button = h(
    'button',
    {
      type: 'button',
      class: 'secondary',
      onclick: () => {
        button.disabled = true;
        setState('working');
        void decline(query, plan).catch((error: unknown) => {
          button.disabled = false;
          refused(error);
        });
      },
    },
    'Do not show',
  );
  return button;
}

async function decline(query: string, plan: Plan): Promise<void> {
  const outgoing = await core('decline', query);
  await store.note({ when: now(), kind: 'declined', site: plan.origin, card: null, title: plan.asks.join(', '), rows: [] });
  await send(query, plan, outgoing, 'Nothing was shown');
}

async function send(query: string, plan: Plan, { url, body }: Outgoing, title: string): Promise<void> {
  const reply = await postForm(url, body);
  const { redirect_uri, same_origin } = await core('read_reply', query, reply.status, reply.body);
  announce(title);
  const follow = redirect_uri !== null && same_origin;
  show(
    title,
    'done',
    h('h1', {}, title),
    redirect_uri === null
      ? h('p', {}, `${host(plan.origin)} has your answer. You can close this page.`)
      : follow
        ? h('p', {}, `Taking you back to ${host(plan.origin)}…`)
        : h('div', { 'data-code': 'other_site' }, callout('warning', `${host(plan.origin)} wants to send you on to another site: ${host(redirect_uri)}.`)),
    h(
      'div',
      { class: 'actions' },
      redirect_uri !== null && h('a', { class: `button ${follow ? 'secondary' : 'primary'}`, href: redirect_uri, rel: 'noreferrer' }, `Go to ${host(redirect_uri)}`),
      !follow && h('a', { class: 'button secondary', href: '/' }, 'Back to your cards'),
    ),
  );
  if (follow) location.replace(redirect_uri);
}
