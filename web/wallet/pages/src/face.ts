// A card's face: who issued it, what it is, until when, and how many copies no site has seen yet.

import { core, now } from './core.js';
import { day, h, host, icon } from './dom.js';
import type { Card, Copy, PlanCard, Row } from './types.js';

const STATES: Record<Card['status']['state'], string> = {
  valid: 'Valid',
  none: 'Valid',
  withdrawn: 'Withdrawn by the issuer',
  suspended: 'Suspended by the issuer',
  expired: 'Expired',
  unknown: 'Not checked',
};

/** What stands with a card, in words. */
export function stateOf(card: Card): { text: string; good: boolean } {
  if (card.expires !== null && card.expires <= now()) return { text: STATES.expired, good: false };
  return { text: STATES[card.status.state], good: card.status.state === 'valid' || card.status.state === 'none' };
}

/** Copies that no site has seen and that have not expired. */
export function unused(copies: Copy[]): number {
  return copies.filter((copy) => copy.site === null && (copy.expires === null || copy.expires > now())).length;
}

// one of six colours, always the same for one issuer: an issuer's own colours and pictures are never taken over
function hue(text: string): string {
  let hash = 0;
  for (const character of text) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return `hue-${hash % 6}`;
}

/** The face of a card. With `copies`, what is left of them is told. */
export function face(card: Card, copies?: Copy[]): HTMLElement {
  const { text, good } = stateOf(card);
  const left = copies && unused(copies);
  return h(
    'div',
    { class: `face ${hue(card.origin)}${good ? '' : ' dull'}` },
    h('div', { class: 'face-top' }, h('span', { class: 'face-issuer' }, host(card.origin)), h('span', { class: `pill${good ? '' : ' bad'}` }, text)),
    h('div', { class: 'face-title' }, card.title),
    h(
      'div',
      { class: 'face-foot' },
      h('span', {}, card.expires === null ? 'No end date' : `Until ${day(card.expires)}`),
      left !== undefined && h('span', {}, left === 1 ? '1 fresh copy' : `${left} fresh copies`),
    ),
  );
}

/** Claims as a list that reads well aloud. */
export function rows(claims: Row[] | { label: string; value: string }[], kind: 'shown' | 'plain' = 'plain'): HTMLElement {
  return h(
    'dl',
    { class: `rows ${kind}` },
    ...claims.map(({ label, value }) =>
      h('div', {}, h('dt', {}, kind === 'shown' && icon('check'), label), h('dd', {}, value)),
    ),
  );
}

/** A card for the Rust side: the copy that stands for its claims is one that has not expired. */
export function planCard(card: Card, copies: Copy[]): PlanCard | undefined {
  const living = copies.find((copy) => copy.expires === null || copy.expires > now()) ?? copies[0];
  if (!living) return undefined;
  return {
    id: card.id,
    title: card.title,
    issuer: card.origin,
    format: card.format,
    types: card.types,
    labels: card.labels,
    credential: living.credential,
    copies: copies.map(({ id, site, expires }) => ({ id, site, expires })),
  };
}

/** The claims of a credential, named as its issuer names them. */
export async function describe(card: Pick<Card, 'format' | 'labels'>, credential: string): Promise<Row[]> {
  return (await core('describe', card.format, credential, card.labels)).rows;
}
