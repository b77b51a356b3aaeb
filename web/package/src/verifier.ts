// The verifier: what may be asked of it, and the loop that fetches what the module needs. The module decides; here nothing
// is verified. Where it lacks a document it says which, and is asked again from the start once the document is there.

import { Verifier as Core } from './carded.js';
import type { Configuration } from './configuration.js';
import { randomNonce } from './nonces.js';
import type { GoodStatus, Json, Presented, Refused, VerifiedCredential, VerifiedToken } from './results.js';

const TIMEOUT_MS = 5000;
// the filter's own bound for one request
const MAX_FETCHES = 8;

/** What a call may bring. */
export interface CallOptions {
  /** Fetches documents in place of the global `fetch`. It must not follow redirects. */
  readonly fetch?: typeof globalThis.fetch;
}

/** What is asked for. */
export interface RequestOptions<Asked extends string> {
  /** Names of the configuration; all of them are to be shown. */
  readonly credentials: readonly [Asked, ...Asked[]];
  /** Where the wallet posts its answer: an https URL of yours. */
  readonly responseUri: string;
  /** Made by `randomNonce` where it is absent. Fresh for each request, never used twice. */
  readonly nonce?: string;
  /** Comes back with the answer. Letters, digits and `-._~`. */
  readonly state?: string;
}

/** A request for presentations. Keep `nonce`, `clientId` and `credentials` for the answer. */
export interface PresentationRequest<Asked extends string> {
  readonly credentials: readonly [Asked, ...Asked[]];
  readonly nonce: string;
  /** `redirect_uri:` and the response URI: what presentations must be made for. */
  readonly clientId: string;
  readonly dcqlQuery: { readonly [member: string]: Json };
  /** The address that a browser is sent to (with 303): the wallet's authorization endpoint with the request. */
  url(authorizationEndpoint: string): string;
}

/** What a wallet posted. `error` and `description` come from outside: escape them wherever they are shown. */
export type WalletResponse =
  | { readonly kind: 'presented'; readonly vpToken: VpToken; readonly state?: string }
  | { readonly kind: 'error'; readonly error: string; readonly description?: string; readonly state?: string }
  | (Refused & { readonly kind: 'malformed' });

/** Presentations by the ids of credential queries. */
export type VpToken = { readonly [id: string]: readonly string[] };

/** What was shown, and what it must have been made for. */
export interface VerifyOptions<Asked extends string> extends CallOptions {
  /** What was asked for, as in the request. All of it must have been shown, and nothing else. */
  readonly credentials: readonly [Asked, ...Asked[]];
  /** `vp_token`: the text of the form's field, or what `readResponse` made of it. */
  readonly vpToken: string | VpToken;
  /** This transaction's nonce. */
  readonly nonce: string;
  /** The request's client id. */
  readonly clientId: string;
  /**
   * Uses the nonce up, once everything else holds: answers true the first time and false ever after, until the time given
   * (Unix seconds). `UsedNonces` does so in memory; several processes need a shared store (`SET nonce 1 NX EXAT until`).
   */
  readonly spendNonce: (nonce: string, until: number) => boolean | Promise<boolean>;
}

/** A credential whose status is looked up again. */
export interface StatusOptions extends CallOptions {
  /** What was verified; as much of it is kept. */
  readonly credential: Pick<VerifiedCredential, 'id' | 'issuer' | 'status'>;
}

/** Asks for credentials, and verifies what is shown. Made by `createVerifier`. */
export interface Verifier<Name extends string = string> {
  /**
   * Makes a request by OpenID4VP 1.0: client id prefix `redirect_uri`, plain parameters, `response_mode=direct_post`.
   * @throws {TypeError} for wrong options
   */
  request<const Asked extends Name>(options: RequestOptions<Asked>): PresentationRequest<Asked>;

  /** Reads the form (`application/x-www-form-urlencoded`) that a wallet posted. Bound its size before: `responseBytes`. */
  readResponse(form: string | Uint8Array): WalletResponse;

  /**
   * Verifies what was shown. Resolves in either case; look at `ok`.
   * @throws {TypeError} for wrong options: never for what a wallet sent
   */
  verify<const Asked extends Name>(options: VerifyOptions<Asked>): Promise<Presented<Asked> | Refused>;

  /** Looks a credential's status up again, once `statusUntil` has passed. */
  verifyStatus(options: StatusOptions): Promise<GoodStatus | Refused>;

  /** Verifies a JWT (an access token) by `issuers`. */
  verifyToken(token: string, options?: CallOptions): Promise<VerifiedToken | Refused>;

  /** The longest form of a wallet that is worth reading, in bytes. */
  readonly responseBytes: number;
}

interface Need {
  readonly outcome: 'need';
  readonly id: string;
  readonly url: string;
  readonly accept: string;
  readonly named: boolean;
}
interface Denied extends Omit<Refused, 'ok' | 'retryAfter'> {
  readonly outcome: 'denied';
  readonly retry_after?: number | null;
}
type Answer<Verified> = Need | Denied | ({ readonly outcome: 'verified' } & Verified);
type Said<Verified> = { readonly ok: true; readonly value: Verified } | Refused;

/** Makes a verifier of a module that is loaded. `how`: what every fetch carries where this runs. */
export function make<Name extends string>(configuration: Configuration<Name>, how: RequestInit): Verifier<Name> {
  only(configuration, 'createVerifier', ['credentials', 'issuers', 'fetch_hosts', 'danger_allow_http_localhost']);
  const core = thrown(Error, () => new Core(JSON.stringify(configuration)));
  return new Loop(core, how);
}

class Loop<Name extends string> implements Verifier<Name> {
  readonly #core: Core;
  readonly #how: RequestInit;
  /** Fetches that run, so that calls that need the same document at once share one. */
  readonly #running = new Map<string, Promise<void>>();

  constructor(core: Core, how: RequestInit) {
    this.#core = core;
    this.#how = how;
  }

  get responseBytes(): number {
    return this.#core.response_bytes();
  }

  request<const Asked extends Name>(options: RequestOptions<Asked>): PresentationRequest<Asked> {
    only(options, 'request', ['credentials', 'responseUri', 'nonce', 'state']);
    const { credentials, responseUri: response_uri, nonce = randomNonce(), state } = options;
    const asked = JSON.stringify({ credentials, response_uri, nonce, state });
    const made = JSON.parse(thrown(TypeError, () => this.#core.request(asked))) as {
      client_id: string;
      dcql_query: { readonly [member: string]: Json };
      query: string;
    };
    const url = (endpoint: string): string => {
      // the address of a wallet may have a scheme of its own, but never one that runs or shows what it carries
      const { protocol, hash } = new URL(endpoint);
      if (['javascript:', 'data:', 'blob:', 'vbscript:', 'file:'].includes(protocol) || hash) {
        throw new TypeError('authorizationEndpoint: the address of a wallet, without a fragment');
      }
      return `${endpoint}${endpoint.includes('?') ? '&' : '?'}${made.query}`;
    };
    return { credentials, nonce, clientId: made.client_id, dcqlQuery: made.dcql_query, url };
  }

  readResponse(form: string | Uint8Array): WalletResponse {
    const bytes = typeof form === 'string' ? new TextEncoder().encode(form) : form;
    if (!(bytes instanceof Uint8Array)) throw new TypeError('readResponse: the body of the form, as text or bytes');
    const { outcome, vp_token, ...rest } = present(JSON.parse(this.#core.read_response(bytes))) as {
      outcome: 'presented' | 'error' | 'denied';
      vp_token: VpToken;
      error: string;
    };
    if (outcome === 'denied') return { kind: 'malformed', ...refused(rest as unknown as Denied) };
    return outcome === 'presented' ? { kind: 'presented', vpToken: vp_token, ...rest } : { kind: 'error', ...rest };
  }

  async verify<const Asked extends Name>(options: VerifyOptions<Asked>): Promise<Presented<Asked> | Refused> {
    only(options, 'verify', ['credentials', 'vpToken', 'nonce', 'clientId', 'spendNonce', 'fetch']);
    const { credentials, vpToken, nonce, clientId: client_id, spendNonce } = options;
    if (typeof spendNonce !== 'function') throw new TypeError('spendNonce: a function that uses the nonce up; see UsedNonces');
    if (typeof vpToken !== 'string' && (typeof vpToken !== 'object' || vpToken === null)) {
      throw new TypeError('vpToken: the text of the form field, or the object of `readResponse`');
    }
    const shown = JSON.stringify({ credentials, client_id, nonce });
    const text = typeof vpToken === 'string' ? vpToken : JSON.stringify(vpToken);
    const form = new TextEncoder().encode(new URLSearchParams({ vp_token: text }).toString());
    const said = await this.#ask<{ presented: Record<string, WireCredential>; nonce_until: number }>(options, (now) =>
      thrown(TypeError, () => this.#core.verify_presentations(shown, form, now)),
    );
    if (!said.ok) return said;
    if ((await spendNonce(nonce, said.value.nonce_until)) !== true) {
      return {
        ok: false, code: 'nonce_used', detail: 'the nonce was used before, or cannot be noted as used',
        hint: 'This was shown before.', report: [],
      };
    }
    const presented = Object.fromEntries(
      Object.entries(said.value.presented).map(([name, { status_until, ...rest }]) => [
        name,
        present({ ...rest, holder: rest.holder && present(rest.holder), statusUntil: status_until }),
      ]),
    );
    return { ok: true, presented: presented as Presented<Asked>['presented'] };
  }

  async verifyStatus(options: StatusOptions): Promise<GoodStatus | Refused> {
    only(options, 'verifyStatus', ['credential', 'fetch']);
    const { id, issuer, status } = options.credential;
    if (!status) throw new TypeError('credential: it has no status');
    const said = await this.#ask<{ until: number }>(options, (now) =>
      thrown(TypeError, () => this.#core.verify_status(id, issuer, JSON.stringify(status), now)),
    );
    return said.ok ? { ok: true, until: said.value.until } : said;
  }

  async verifyToken(token: string, options: CallOptions = {}): Promise<VerifiedToken | Refused> {
    only(options, 'verifyToken', ['fetch']);
    if (typeof token !== 'string') throw new TypeError('token: a compact JWT as text');
    const said = await this.#ask<Omit<VerifiedToken, 'ok'>>(options, (now) => this.#core.verify(token, now));
    return said.ok ? { ok: true, ...said.value } : said;
  }

  /** Asks the module until it has every document that it needs. */
  async #ask<Verified>(options: CallOptions, question: (now: number) => string): Promise<Said<Verified>> {
    const fetcher = options.fetch ?? globalThis.fetch;
    for (let fetches = 0; ; fetches += 1) {
      const answer = JSON.parse(question(Date.now() / 1000)) as Answer<Verified>;
      if (answer.outcome === 'denied') return refused(answer);
      if (answer.outcome === 'verified') {
        const { outcome: _, ...rest } = answer;
        return { ok: true, value: present(rest) as Verified };
      }
      if (fetches === MAX_FETCHES) {
        this.#core.forget(answer.id);
        const hint = 'More documents would be needed than may be fetched for one call.';
        return { ok: false, code: 'too_many_documents', detail: 'too many documents are needed', hint, report: [] };
      }
      await this.#answer(answer, fetcher);
    }
  }

  /** Fetches a document, once for all who wait for it. */
  #answer(need: Need, fetcher: typeof globalThis.fetch): Promise<void> {
    if (!need.named) {
      this.#core.fail(need.id, 'host_not_configured', Date.now() / 1000);
      return Promise.resolve();
    }
    const running = this.#running.get(need.id) ?? this.#fetch(need, fetcher).finally(() => this.#running.delete(need.id));
    this.#running.set(need.id, running);
    return running;
  }

  async #fetch({ id, url, accept }: Need, fetcher: typeof globalThis.fetch): Promise<void> {
    const core = this.#core;
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const reply = await fetcher(url, { ...this.#how, headers: { accept }, signal });
      // a fetch that followed a redirect anyway brought another document than the one asked for
      if (reply.redirected || reply.type === 'opaqueredirect') throw new Error('redirected');
      const body = await read(reply, core.document_bytes());
      core.insert(id, reply.status, body, Date.now() / 1000, maxAge(reply.headers.get('cache-control')));
    } catch (error) {
      const timeout = error instanceof Error && error.name === 'TimeoutError';
      core.fail(id, timeout ? 'timeout' : 'unreachable', Date.now() / 1000);
    }
  }
}

type WireCredential = { status_until?: number; holder?: object } & { [field: string]: unknown };

function refused({ outcome: _, retry_after, ...rest }: Denied): Refused {
  return present({ ok: false, ...rest, retryAfter: retry_after }) as Refused;
}

/** Without the members that are null: absent is absent. */
function present<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null && member !== undefined)) as T;
}

/** Unknown options are mistakes, not wishes to be passed over. */
function only(options: object, of: string, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) throw new TypeError(`${of}: its options are an object`);
  const unknown = Object.keys(options).find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TypeError(`${of}: \`${unknown}\` is no option`);
}

/** What Rust throws is text. */
function thrown<T>(Kind: new (message: string) => Error, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw typeof error === 'string' ? new Kind(error) : error;
  }
}

/** One byte more than the bound is enough for the module to refuse the document. */
async function read(reply: Response, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const reader = reply.body?.getReader();
  while (reader && size <= limit) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
  }
  if (size > limit) await reader?.cancel();
  const body = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

/** `max-age` of RFC 9111 section 5.2.2.1, as the filter reads it. */
function maxAge(header: string | null): number | undefined {
  if (/(?:^|[,\s])no-(?:store|cache)(?:$|[,\s=])/i.test(header ?? '')) return 0;
  const found = /(?:^|[,\s])max-age="?(\d{1,9})/i.exec(header ?? '');
  return found ? Number(found[1]) : undefined;
}
