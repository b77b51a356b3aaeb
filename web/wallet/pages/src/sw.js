// The service worker: opens the wallet offline. It keeps this version's own files and touches no other request.

const FILES = __FILES__;
const CACHE = 'carded-__VERSION__';
const PAGES = new Set(['/', '/receive', '/present', '/history']);

self.addEventListener('install', (event) => {
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: 'reload' }))))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== self.location.origin) return;
  const page = PAGES.has(url.pathname.replace(/(.)\/$/, '$1'));
  if (!page && !FILES.includes(url.pathname)) return;
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(page ? '/' : url.pathname))
      .then((kept) => kept ?? fetch(event.request)),
  );
});
