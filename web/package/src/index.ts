// The entry for browsers, and wherever a file beside the module can be fetched: bundlers know `new URL(…, import.meta.url)`.

import init from './carded.js';
import type { Configuration } from './configuration.js';
import { type Verifier, make } from './verifier.js';

export type * from './configuration.js';
export type * from './results.js';
export { UsedNonces, randomNonce } from './nonces.js';
export type { PresentationRequest, RequestOptions, VerifyOptions, WalletResponse, VpToken, StatusOptions, CallOptions } from './verifier.js';
export type { Verifier };

let loaded: Promise<unknown> | undefined;

/**
 * Makes a verifier. The module is loaded once; documents (keys, DID documents, status lists) are kept between calls.
 * @param configuration whom to trust for what
 * @throws {Error} saying which field of the configuration is wrong
 */
export async function createVerifier<const Name extends string = never>(configuration: Configuration<Name>): Promise<Verifier<Name>> {
  loaded ??= init({ module_or_path: new URL('./carded_bg.wasm', import.meta.url) }).catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  await loaded;
  return make(configuration, { redirect: 'error', credentials: 'omit', referrerPolicy: 'no-referrer' });
}
