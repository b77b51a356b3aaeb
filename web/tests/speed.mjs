// How long a person waits for the wallet, in a real browser: `cargo xtask bench --browser`. Prints a line for each figure, and
// exits with 1 where one is over its limit. Nothing is cached between rounds: each loads, compiles and starts the module.

import { person, start } from './world.mjs';

const ROUNDS = 9;
const LIMITS = {
  consent: { limit: 300, what: 'consent page, from opening the request until it can be answered' },
  presentation: { limit: 150, what: 'presentation, from the click until it leaves for the site' },
};

/** Runs in the page before its own code: writes down when it is ready, when it is clicked and when it sends. */
function watch() {
  const times = (globalThis.times = {});
  new MutationObserver(() => {
    if (document.getElementById('page')?.dataset.state === 'ready') times.ready ??= performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });
  addEventListener('click', () => (times.clicked ??= performance.now()), { capture: true });
  const { fetch } = globalThis;
  globalThis.fetch = (...asked) => {
    if (asked[1]?.method === 'POST') times.sent ??= performance.now();
    return fetch(...asked);
  };
}

/** One visit: opens the request of a site and shows what it asks for. In milliseconds. */
async function round({ page, state }, site) {
  await page.goto(await site.ask());
  await state('ready');
  // what is told when the page has gone on would be lost: the site keeps the answer until the times are read
  const times = new Promise((read) => (site.told = read));
  await page.getByRole('button', { name: 'Show', exact: true }).click();
  const { ready, clicked, sent } = await times;
  await page.waitForURL(`${site.origin}/done**`);
  // the page's clock starts when it is opened
  return { consent: ready, presentation: sent - clicked };
}

const middle = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const world = await start();
let missed = 0;
try {
  const who = await person(world);
  await who.page.addInitScript(watch);
  if ((await who.receive(world.dmv)) !== 'done') throw new Error('the card was not received');
  await who.page.route('**/response', async (route) => {
    world.shop.told(await who.page.evaluate(() => globalThis.times));
    await route.continue();
  });
  const rounds = [];
  while (rounds.length < ROUNDS) rounds.push(await round(who, world.shop));
  if (world.shop.verified?.over21.payload.age_equal_or_over['21'] !== true) throw new Error('the site did not verify what was shown');
  for (const [name, { limit, what }] of Object.entries(LIMITS)) {
    const values = rounds.map((one) => one[name]);
    if (!values.every((value) => value > 0)) throw new Error(`no figure for ${what}: ${values}`);
    const [median, all] = [middle(values), values.map((value) => value.toFixed(0)).join(' ')];
    const over = median > limit;
    missed += over;
    console.log(`${median.toFixed(0).padStart(5)} ms of ${limit}: ${what} (median of ${all})${over ? '  OVER ITS LIMIT' : ''}`);
  }
} finally {
  await world.stop();
}
process.exitCode = missed > 0 ? 1 : 0;
