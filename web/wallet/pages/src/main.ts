// The way to the pages: `/`, `/receive`, `/present`, `/history`, and `/#card=…`. All of them are one document, so that the
// service worker can open every one of them offline.

import { cardPage, cardsPage, historyPage } from './cards.js';
import { preload } from './core.js';
import { callout, h, show } from './dom.js';
import { presentPage } from './present.js';
import { receivePage } from './receive.js';

preload();

async function route(): Promise<void> {
  const { pathname, search, hash } = location;
  for (const link of document.querySelectorAll<HTMLAnchorElement>('nav a')) {
    if (link.pathname === pathname) link.setAttribute('aria-current', 'page');
  }
  switch (pathname.replace(/\/$/, '')) {
    case '/receive':
      return receivePage(search.slice(1));
    case '/present':
      return presentPage(search.slice(1));
    case '/history':
      return historyPage();
    default: {
      const id = /^#card=([0-9a-f-]{36})$/.exec(hash)?.[1];
      return id === undefined ? cardsPage() : cardPage(id);
    }
  }
}

function run(): void {
  route().catch((error: unknown) => {
    console.error(error);
    show(
      'Something went wrong',
      'error',
      h('h1', {}, 'Something went wrong'),
      callout('bad', 'The wallet could not open this page. Your cards are untouched.'),
      h('div', { class: 'actions' }, h('a', { class: 'button secondary', href: '/' }, 'Back to your cards')),
    );
  });
}

window.addEventListener('hashchange', run);
// A page that comes back from the browser's cache may show a request that was answered already.
window.addEventListener('pageshow', (event) => {
  if (event.persisted && location.pathname === '/present') location.reload();
});
run();

// Under `require-trusted-types-for 'script'` even this address needs a policy: it admits the one file.
const policy = (
  window as unknown as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } } }
).trustedTypes?.createPolicy('carded', {
  createScriptURL: (url: string) => {
    if (url !== '/sw.js') throw new TypeError('not a script of this wallet');
    return url;
  },
});
void navigator.serviceWorker?.register(policy?.createScriptURL('/sw.js') ?? '/sw.js').catch(() => undefined);
