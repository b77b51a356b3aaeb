// The wallet's keys: made by WebCrypto, one for each copy, never extractable. They live in IndexedDB as handles.

import { Refused } from './core.js';

/** A fresh key: the handle that signs, and the public part. */
export interface Fresh {
  privateKey: CryptoKey;
  jwk: JsonWebKey;
}

const PARAMETERS = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  EdDSA: { name: 'Ed25519' },
} as const;

/** Makes a key of the first algorithm that the issuer takes and the browser has. */
export async function fresh(algorithms: string[]): Promise<Fresh> {
  for (const name of algorithms) {
    try {
      const parameters = PARAMETERS[name === 'Ed25519' ? 'EdDSA' : (name as keyof typeof PARAMETERS)];
      const pair = (await crypto.subtle.generateKey(parameters, false, ['sign', 'verify'])) as CryptoKeyPair;
      return { privateKey: pair.privateKey, jwk: await crypto.subtle.exportKey('jwk', pair.publicKey) };
    } catch {
      // this browser lacks the algorithm: the next one may do
    }
  }
  throw new Refused('key_unusable', 'This browser cannot make a key that the issuer takes.');
}

/** Signs what the Rust side has prepared; ECDSA as r‖s, as JOSE wants it. */
export async function sign(key: CryptoKey, message: string): Promise<Uint8Array> {
  const parameters = key.algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: key.algorithm.name };
  return new Uint8Array(await crypto.subtle.sign(parameters, key, new TextEncoder().encode(message)));
}

/** Asks the browser not to clear this site's storage by itself. */
export async function persist(): Promise<boolean> {
  return (await navigator.storage?.persist?.().catch(() => false)) ?? false;
}
