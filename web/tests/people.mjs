// What the tests of the whole scene share: the running demo (`CARDED_SCENE`: { port, twin, directory }; xtask starts it), the browser
// (`CARDED_BROWSER`) and people with a browser of their own. Every host is a site of its own: *.localhost names are different
// sites to a browser.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { chromium } from 'playwright-core';

/** Where the scene runs. */
export const scene = process.env.CARDED_SCENE ? JSON.parse(process.env.CARDED_SCENE) : undefined;
assert(scene || process.env.CI !== 'true', 'CARDED_SCENE is not set');
/** Why the tests are skipped, where they are. */
export const skip = scene ? false : 'no scene is running';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** An address of a house. */
export const at = (house, path = '/') => `http://${house}.localhost:${scene?.port}${path}`;

let browser;
const contexts = [];

before(async () => {
  if (!scene) return;
  browser = await chromium.launch({
    executablePath: process.env.CARDED_BROWSER,
    // a browser that loads an error's page again by itself takes an answer that a test held back (and a moment that nobody chose)
    args: ['--disable-auto-reload', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
});
after(async () => browser?.close());

/** A person with a browser of their own. */
export async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
  contexts.push(context);
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.problems = [];
  page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()));
  page.on('pageerror', (error) => page.problems.push(String(error)));
  return page;
}

/** Waits until a page of the wallet is so. */
export const state = (page, name) => page.locator(`[data-state="${name}"]`).waitFor();

/** axe finds nothing on the page as it is. The page's own policy forbids foreign scripts, so axe comes by the debugger. */
export async function accessible(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), [], page.url());
}

/** A person with a phone, in the dark, and a look at a page of it: nothing hinders them, and it is not too wide. */
export async function phone() {
  const page = await person({ viewport: { width: 390, height: 780 }, colorScheme: 'dark', isMobile: true, hasTouch: true });
  const look = async (name) => {
    await accessible(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert(wide <= 0, `${name} is ${wide} px too wide`);
    await picture(page, `phone-${name}`);
  };
  return { page, look };
}

/** A picture for those who look at what people see. */
export async function picture(page, name) {
  const folder = process.env.CARDED_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), type: 'png' });
}
