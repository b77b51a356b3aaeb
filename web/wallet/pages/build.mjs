// Builds the wallet's pages: node build.mjs --wasm DIR --out DIR [--demo]
//
// DIR of --wasm holds what wasm-bindgen made (carded_wallet.js, carded_wallet_bg.wasm); it is linked as `generated/` for
// the bundler. The output is the whole site: every file is static, and `_headers` says which headers it is served with.

import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

import { build } from 'esbuild';

const { values } = parseArgs({ options: { wasm: { type: 'string' }, out: { type: 'string' }, demo: { type: 'boolean' } } });
const here = import.meta.dirname;

// The build for people reaches https alone; the demo's adds its own hosts.
const CONNECT = values.demo ? "'self' https: http://*.localhost:*" : "'self' https:";
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self' data:",
  `connect-src ${CONNECT}`,
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types carded',
];
// a browser takes this one from a header only
const HEADER_POLICY = [...POLICY, "frame-ancestors 'none'"].join('; ');

await rm(values.out, { recursive: true, force: true });
await mkdir(values.out, { recursive: true });
await cp(values.wasm, join(here, 'generated'), { recursive: true });

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.ts' },
  outdir: values.out,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2023',
  minify: true,
  chunkNames: 'chunk-[hash]',
  legalComments: 'none',
  logLevel: 'warning',
  metafile: true,
});

await cp(join(values.wasm, 'carded_wallet_bg.wasm'), join(values.out, 'wallet.wasm'));
for (const name of ['style.css', 'icon.svg', 'manifest.webmanifest']) await cp(join(here, name), join(values.out, name));
// what the pages need at once is asked for with them, not after the code that names it
const app = Object.entries(metafile.outputs).find(([path]) => path.endsWith('/app.js'))[1];
const needed = app.imports.filter(({ kind }) => kind === 'import-statement').map(({ path }) => basename(path));
const preload = needed.map((name) => `<link rel="modulepreload" href="/${name}">\n`).join('');
await fill('index.html', { CSP: POLICY.join('; '), PRELOAD: preload });

const files = (await readdir(values.out)).filter((name) => name !== 'index.html').sort();
const hash = createHash('sha256');
for (const name of [...files, 'index.html']) hash.update(name).update(await readFile(join(values.out, name)));
await fill('src/sw.js', {
  FILES: JSON.stringify(['/', ...files.map((name) => `/${name}`)]),
  VERSION: hash.digest('hex').slice(0, 16),
});

const headers = {
  'Content-Security-Policy': HEADER_POLICY,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(self), geolocation=(), microphone=()',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-cache',
};
const lines = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}\n`);
await writeFile(join(values.out, '_headers'), `/*\n${lines.join('')}`);

async function fill(source, replacements) {
  let text = await readFile(join(here, source), 'utf8');
  for (const [name, value] of Object.entries(replacements)) text = text.replaceAll(`__${name}__`, value);
  await writeFile(join(values.out, source.split('/').at(-1)), text);
}
