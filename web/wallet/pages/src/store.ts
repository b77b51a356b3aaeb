// What is kept on the device, in IndexedDB: cards, their copies with their keys, and the history. Nothing of it leaves.

import type { Card, Copy, Event } from './types.js';

const NAME = 'carded';
const VERSION = 1;

let opening: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      const db = request.result;
      db.createObjectStore('cards', { keyPath: 'id' });
      db.createObjectStore('copies', { keyPath: 'id' }).createIndex('card', 'card');
      db.createObjectStore('history', { keyPath: 'id', autoIncrement: true });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/** Runs `work` in one transaction, and waits until it is on the disk. */
async function transaction<T>(mode: IDBTransactionMode, work: (stores: Stores) => IDBRequest<T> | void): Promise<T> {
  const db = await open();
  return new Promise((resolve, reject) => {
    const running = db.transaction(['cards', 'copies', 'history'], mode, { durability: 'strict' });
    const request = work({
      cards: running.objectStore('cards'),
      copies: running.objectStore('copies'),
      history: running.objectStore('history'),
    });
    running.oncomplete = () => resolve(request ? request.result : (undefined as T));
    running.onabort = running.onerror = () => reject(running.error);
  });
}

interface Stores {
  cards: IDBObjectStore;
  copies: IDBObjectStore;
  history: IDBObjectStore;
}

/** All cards, the newest first. */
export async function cards(): Promise<Card[]> {
  const all = await transaction<Card[]>('readonly', ({ cards }) => cards.getAll());
  return all.sort((a, b) => b.added - a.added);
}

export function card(id: string): Promise<Card | undefined> {
  return transaction<Card | undefined>('readonly', ({ cards }) => cards.get(id));
}

/** The copies of all cards. */
export function copies(): Promise<Copy[]> {
  return transaction<Copy[]>('readonly', ({ copies }) => copies.getAll());
}

export function copiesOf(id: string): Promise<Copy[]> {
  return transaction<Copy[]>('readonly', ({ copies }) => copies.index('card').getAll(id));
}

/** Keeps a card with new copies, and notes where it came from: all of it or nothing. */
export function keep(card: Card, added: Copy[]): Promise<void> {
  return transaction<void>('readwrite', ({ cards, copies, history }) => {
    cards.put(card);
    for (const copy of added) copies.put(copy);
    history.add({ when: card.added, kind: 'received', site: card.origin, card: card.id, title: card.title, rows: [] } satisfies Event);
  });
}

export function update(card: Card): Promise<void> {
  return transaction<void>('readwrite', ({ cards }) => {
    cards.put(card);
  });
}

/**
 * Gives a copy to a site before anything is sent, so that two tabs cannot show one copy to two sites.
 * `shared`: the person has chosen to show a copy that another site knows.
 */
export async function give(id: string, site: string, shared: boolean): Promise<Copy | undefined> {
  let given: Copy | undefined;
  await transaction<void>('readwrite', ({ copies }) => {
    const request = copies.get(id) as IDBRequest<Copy | undefined>;
    request.onsuccess = () => {
      const copy = request.result;
      if (!copy || (copy.site !== null && copy.site !== site && !shared)) return;
      given = { ...copy, site: copy.site ?? site, shown: copy.shown + 1 };
      copies.put(given);
    };
  });
  return given;
}

/** Deletes a card with all its copies and keys; the history keeps that it was there. */
export async function remove(card: Card, when: number): Promise<void> {
  const theirs = await copiesOf(card.id);
  await transaction<void>('readwrite', ({ cards, copies, history }) => {
    cards.delete(card.id);
    for (const copy of theirs) copies.delete(copy.id);
    history.add({ when, kind: 'deleted', site: card.origin, card: null, title: card.title, rows: [] } satisfies Event);
  });
}

export function note(event: Event): Promise<void> {
  return transaction<void>('readwrite', ({ history }) => {
    history.add(event);
  });
}

/** What happened, the newest first. */
export async function history(): Promise<Event[]> {
  const all = await transaction<Event[]>('readonly', ({ history }) => history.getAll());
  return all.reverse();
}

export function forgetHistory(): Promise<void> {
  return transaction<void>('readwrite', ({ history }) => {
    history.clear();
  });
}
