// Checks a copy with the verifier in the Rust side, and answers its need for documents with `fetch`. It is a pure function:
// once a document is there it is asked again from the start.

import { core, now } from './core.js';
import { request, Unreachable } from './net.js';
import type { Card, Checked, Configuration, Status } from './types.js';

// the filter's own bound for one request
const MAX_FETCHES = 8;

/** Checks one copy against the keys that were made for it. */
export async function check(
  issuer: string,
  { format, types }: Pick<Configuration, 'format' | 'types'>,
  credential: string,
  keys: JsonWebKey[],
): Promise<Exclude<Checked, { outcome: 'need' }>> {
  for (let fetches = 0; ; fetches++) {
    const result = await core('check_copy', issuer, format, types, credential, keys, now());
    if (result.outcome !== 'need') return result;
    if (fetches === MAX_FETCHES) throw new Error('the verifier asks for too many documents');
    await answer(result);
  }
}

async function answer({ id, url, limit }: Extract<Checked, { outcome: 'need' }>): Promise<void> {
  try {
    const { status, body, maxAge } = await request(url, {}, limit);
    await core('insert', id, status, body, maxAge, now());
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    await core('fail', id, error.timedOut ? 'timeout' : 'unreachable', now());
  }
}

const MINUTE = 60;

/** What stands with a card now, by one of its copies. */
export async function statusOf(card: Card, credential: string, jwk: JsonWebKey): Promise<Status> {
  const checked = now();
  const result = await check(card.issuer, card, credential, [jwk]).catch(() => undefined);
  if (result?.outcome === 'verified') {
    return { state: result.has_status ? 'valid' : 'none', checked, until: result.status_until ?? checked + MINUTE };
  }
  const states: Record<string, Status['state']> = {
    credential_revoked: 'withdrawn',
    credential_suspended: 'suspended',
    credential_expired: 'expired',
    token_expired: 'expired',
  };
  return { state: states[result?.code ?? ''] ?? 'unknown', checked, until: checked + MINUTE };
}
