// The entry for Node and Deno: the module's bytes are a file beside this one.

import { readFile } from 'node:fs/promises';
import { initSync } from './carded.js';
import type { Configuration } from './configuration.js';
import { type Verifier, make } from './verifier.js';

export { UsedNonces, randomNonce } from './nonces.js';

let loaded: Promise<void> | undefined;

/** As `index.ts` documents it. */
export async function createVerifier<const Name extends string = never>(configuration: Configuration<Name>): Promise<Verifier<Name>> {
  loaded ??= readFile(new URL('./carded_bg.wasm', import.meta.url)).then((module) => void initSync({ module }));
  await loaded;
  return make(configuration, { redirect: 'error', credentials: 'omit', referrerPolicy: 'no-referrer' });
}
