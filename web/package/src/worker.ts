// The entry for workerd (Cloudflare Workers): the module comes compiled, and its fetch takes neither `redirect: 'error'`
// nor `credentials`. A redirect that is not followed has a status that is not 200, which counts as a failure.

import module from './carded_bg.wasm';
import { initSync } from './carded.js';
import type { Configuration } from './configuration.js';
import { type Verifier, make } from './verifier.js';

export { UsedNonces, randomNonce } from './nonces.js';

let loaded = false;

/** As `index.ts` documents it. */
export async function createVerifier<const Name extends string = never>(configuration: Configuration<Name>): Promise<Verifier<Name>> {
  if (!loaded) initSync({ module });
  loaded = true;
  return make(configuration, { redirect: 'manual' });
}
