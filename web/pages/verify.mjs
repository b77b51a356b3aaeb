// Verifies a JWT in the browser: loads the verifier, and answers its need for documents with `fetch`.
//
// `verify` in Rust is a pure function: where it lacks a document it says which, and is asked again from the start once the
// document is there. Redirects are errors, credentials are never sent, and no document may grow beyond its bound.

import init, { Verifier } from './carded.js';

const TIMEOUT_MS = 5000;
// the filter's own bound for one request
const MAX_FETCHES = 8;

/**
 * Loads the module once.
 * @returns {Promise<(trust: object) => Verifier>} makes a verifier from a trust description
 */
export async function load() {
  await init();
  return (trust) => new Verifier(JSON.stringify(trust));
}

/**
 * Verifies a token, fetching what is needed.
 * @param {Verifier} verifier
 * @param {string} token a compact JWT
 * @param {number} [now] Unix seconds
 * @returns {Promise<{outcome: 'verified' | 'denied'}>} what the Rust side says, as `web/src/lib.rs` documents it
 */
export async function verify(verifier, token, now = Date.now() / 1000) {
  for (let fetches = 0; ; fetches++) {
    const result = JSON.parse(verifier.verify(token, now));
    if (result.outcome !== 'need') return result;
    if (fetches === MAX_FETCHES) throw new Error('the verifier asks for too many documents');
    await answer(verifier, result, now);
  }
}

async function answer(verifier, { id, url }, now) {
  const limit = verifier.document_bytes();
  try {
    const reply = await fetch(url, {
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    verifier.insert(id, reply.status, await read(reply, limit), now);
  } catch (error) {
    verifier.fail(id, error?.name === 'TimeoutError' ? 'timeout' : 'unreachable', now);
  }
}

// One byte more than the bound is enough for the verifier to refuse the document.
async function read(reply, limit) {
  const parts = [];
  let size = 0;
  for await (const part of reply.body ?? []) {
    parts.push(part);
    size += part.length;
    if (size > limit) break;
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}
