// The wallet's logic is Rust (`web/wallet/src`): this file loads it and gives its answers types. Everything crosses the
// border as JSON; a refusal becomes a `Refused` with its code and a sentence for the person.

import init, { Wallet } from '../generated/carded_wallet.js';

import type { Core } from './types.js';

/** Why the wallet will not go on. `message` is a sentence for the person. */
export class Refused extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
    this.name = 'Refused';
  }
}

let loading: Promise<Wallet> | undefined;

function load(): Promise<Wallet> {
  loading ??= init({ module_or_path: '/wallet.wasm' }).then(() => new Wallet());
  return loading;
}

/** Starts loading, so that it is there when it is needed. */
export function preload(): void {
  void load().catch(() => undefined);
}

/** Calls the Rust side; each method answers JSON. */
export async function core<Name extends keyof Core>(name: Name, ...args: Parameters<Core[Name]>): Promise<ReturnType<Core[Name]>> {
  const wallet = await load();
  const method = wallet[name] as unknown as (...args: unknown[]) => string;
  const answer: unknown = JSON.parse(method.apply(wallet, args.map(pass)));
  if (answer !== null && typeof answer === 'object' && 'refused' in answer) {
    const { code, message } = answer.refused as { code: string; message: string };
    throw new Refused(code, message);
  }
  return answer as ReturnType<Core[Name]>;
}

// texts, numbers, bytes and absent values go as they are, everything else as JSON
function pass(value: unknown): unknown {
  if (value === null || value === undefined) return undefined;
  return typeof value === 'object' && !(value instanceof Uint8Array) ? JSON.stringify(value) : value;
}

/** Unix seconds. */
export function now(): number {
  return Math.floor(Date.now() / 1000);
}
