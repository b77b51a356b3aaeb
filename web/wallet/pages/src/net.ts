// Requests to others: without credentials and referrer, redirects are errors, and nothing may grow beyond its bound.

const TIMEOUT_MS = 10_000;
const LARGEST = 2 * 1024 * 1024;

/** A reply, read whole. */
export interface Read {
  status: number;
  body: Uint8Array;
  maxAge: number | null;
}

/** Why there was no reply. */
export class Unreachable extends Error {
  constructor(readonly origin: string, readonly timedOut: boolean) {
    super(timedOut ? `${origin} did not answer in time.` : `${origin} could not be reached.`);
    this.name = 'Unreachable';
  }
}

/** Asks `url`. One byte more than `limit` is enough for whoever reads it to refuse. */
export async function request(url: string, options: RequestInit = {}, limit = LARGEST): Promise<Read> {
  try {
    const reply = await fetch(url, {
      cache: 'no-store',
      ...options,
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const maxAge = /(?:^|[\s,])max-age=(\d{1,9})/.exec(reply.headers.get('cache-control') ?? '')?.[1];
    return { status: reply.status, body: await read(reply, limit), maxAge: maxAge === undefined ? null : Number(maxAge) };
  } catch (error) {
    throw new Unreachable(new URL(url).origin, error instanceof DOMException && error.name === 'TimeoutError');
  }
}

/** Posts a form: a simple request, so that no preflight stands between a click and its answer. */
export function postForm(url: string, body: string): Promise<Read> {
  return request(url, { method: 'POST', body: new URLSearchParams(body) });
}

async function read(reply: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = reply.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (size > limit) {
      void reader.cancel();
      break;
    }
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}
