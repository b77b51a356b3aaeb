// Nonces: fresh ones, and that each works once. One process's memory; several processes need a store that they share.

/** A fresh nonce, or any other value that nobody can guess: 192 random bits in base64url. */
export function randomNonce(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_');
}

/**
 * The nonces that were used, in this process's memory. A nonce is kept until its presentation would be too old anyway. A
 * store that is full refuses rather than forgets.
 */
export class UsedNonces {
  readonly #until = new Map<string, number>();
  readonly #max: number;

  /** @param options `max`: how many nonces are kept at most (100 000) */
  constructor(options: { readonly max?: number } = {}) {
    this.#max = options.max ?? 100_000;
    if (!Number.isSafeInteger(this.#max) || this.#max < 1) throw new TypeError('max: a whole number above 0');
  }

  /**
   * Uses a nonce up: `spendNonce` of `verify`. Works without its object.
   * @param nonce the nonce
   * @param until Unix seconds, after which it need not be remembered
   * @returns whether this was the first time, and there was room to remember it
   */
  readonly spend = (nonce: string, until: number): boolean => {
    const now = Date.now() / 1000;
    const known = this.#until.get(nonce);
    if (known !== undefined && known >= now) return false;
    if (this.#until.size >= this.#max) {
      for (const [old, end] of this.#until) if (end < now) this.#until.delete(old);
      if (this.#until.size >= this.#max) return false;
    }
    this.#until.set(nonce, until);
    return true;
  };
}
