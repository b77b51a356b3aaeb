// A consumer of `@carded/verifier` in TypeScript, outside the tree: checked by `tsc --strict`, then run in Node and Deno.
// Takes `{configuration, dmv, shown, token?}` as a JSON file, prints the results. Names under `.localhost` go to 127.0.0.1.

import { type Configuration, type Presented, type Refused, type VpToken, UsedNonces, createVerifier, randomNonce } from '@carded/verifier';
import { readFile } from 'node:fs/promises';
import process from 'node:process';

interface Shown {
  readonly vpToken: string | VpToken;
  readonly nonce: string;
  readonly clientId: string;
}
interface Given {
  readonly configuration: Configuration<'over21'>;
  readonly shown: readonly Shown[];
  readonly token: string;
}

const given = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as Given;
const verifier = await createVerifier(given.configuration);
const fetched: string[] = [];
const local: typeof fetch = (input, init) => {
  const url = new URL(String(input));
  if (!url.hostname.endsWith('.localhost') || init?.redirect !== 'error') throw new Error(`not to be fetched: ${url}`);
  fetched.push(url.pathname);
  url.hostname = '127.0.0.1';
  return fetch(url, init);
};

// what the types say (never run): a refusal has no claims, a name that is not configured is none, options that do not exist are none
export function typed(result: Presented<'over21'> | Refused): string {
  // @ts-expect-error `ok` was not looked at
  result.presented;
  if (result.ok) {
    // @ts-expect-error it is none of the names
    result.presented.over18;
    // @ts-expect-error it is read-only
    result.presented.over21.issuer = 'me';
    // @ts-expect-error a claim is any JSON: it is no text until it is looked at
    const name: string = result.presented.over21.claims['family_name'];
    return `${name} by ${result.presented.over21.issuer}`;
  }
  // @ts-expect-error there is no such code
  if (result.code === 'fine') return 'never';
  return result.code === 'credential_revoked' ? 'taken back' : result.detail;
}
export const never = (): unknown[] => [
  // @ts-expect-error what is asked for is named
  verifier.request({ credentials: [], responseUri: 'https://shop.example/response' }),
  // @ts-expect-error no such name
  verifier.request({ credentials: ['over18'], responseUri: 'https://shop.example/response' }),
  // @ts-expect-error a nonce that is not used up could be shown twice
  verifier.verify({ credentials: ['over21'], vpToken: '{}', nonce: randomNonce(), clientId: 'redirect_uri:https://shop.example/response' }),
  // @ts-expect-error no such option
  verifier.verifyToken('', { audience: 'me' }),
  // @ts-expect-error at least one issuer
  createVerifier({ credentials: { a: { query: { format: 'dc+sd-jwt', meta: { vct_values: ['x'] } }, trusted_issuers: [] } } }),
];

const used = new UsedNonces();
const results = [];
for (const one of given.shown) {
  results.push(await verifier.verify({ ...one, credentials: ['over21'], spendNonce: used.spend, fetch: local }));
}
const token = await verifier.verifyToken(given.token);
const kept = results.find((result) => result.ok)?.presented.over21;
const status = kept && (await verifier.verifyStatus({ credential: kept, fetch: local }));
console.log(JSON.stringify({ results, token, status, fetched }));
