// Elements from code. Whatever comes from outside is set as text, never as HTML.

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | number | EventListener | undefined>;

/** An element with attributes (`on…` are listeners; `true` is an empty attribute) and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const PATHS = {
  check: 'M5 12.5l4.5 4.5L19 7.5',
  hidden: 'M4 4l16 16M9.9 5.2A9.6 9.6 0 0 1 12 5c5 0 8.6 4 9.6 7-.4 1-1.1 2.2-2.1 3.3M6.3 7.2C4.200 8.600 2.900 10.500 2.400 12c1 3 4.600 7 9.600 7 1.600 0 3-.4 4.300-1M9.900 9.900a3 3 0 0 0 4.200 4.200',
  warning: 'M12 8.500v5M12 16.800v.1M10.600 4.300L2.900 17.700A1.600 1.600 0 0 0 4.300 20h15.400a1.600 1.600 0 0 0 1.400-2.300L13.400 4.300a1.600 1.600 0 0 0-2.800 0z',
  back: 'M15 5l-7 7 7 7',
  plus: 'M12 5v14M5 12h14',
  clock: 'M12 7v5l3.500 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z',
  stop: 'M6 6l12 12M18 6L6 18',
  bin: 'M4 7h16M9 7V4h6v3M6.500 7l1 13h9l1-13M10 11v5M14 11v5',
  scan: 'M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M7 12h10',
} as const;

export type Icon = keyof typeof PATHS;

/** A line drawing; decoration, so hidden from screen readers. */
export function icon(name: Icon): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.classList.add('icon');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/** What state the page is in: for styles, for screen readers (`aria-busy`) and for tests. */
export type State = 'loading' | 'ready' | 'working' | 'done' | 'refused' | 'error';

const main = () => document.getElementById('page') as HTMLElement;

/** Shows a page: its title, its state and its content; the heading gets the focus. */
export function show(title: string, state: State, ...children: Child[]): void {
  document.title = `${title} · Carded Wallet`;
  const page = main();
  page.replaceChildren(...children.filter((child) => child !== null && child !== undefined && child !== false));
  setState(state);
  const heading = page.querySelector<HTMLElement>('h1');
  if (heading && !page.contains(document.activeElement)) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  window.scrollTo(0, 0);
}

export function setState(state: State): void {
  const page = main();
  page.dataset['state'] = state;
  page.setAttribute('aria-busy', String(state === 'loading' || state === 'working'));
}

/** Says something to screen readers without moving anything. */
export function announce(text: string): void {
  const live = document.getElementById('live');
  if (live) live.textContent = text;
}

/** A callout with an icon. */
export function callout(kind: 'warning' | 'bad' | 'info', text: string, ...more: Child[]): HTMLElement {
  return h('div', { class: `callout ${kind}` }, icon(kind === 'info' ? 'clock' : 'warning'), h('div', {}, h('p', {}, text), ...more));
}

/** The host of an origin or URL, as a person reads it; whatever it is where it is no URL. */
export function host(url: string): string {
  try {
    return new URL(url).host || url;
  } catch {
    return url;
  }
}

/** A day, in the person's own way of writing. */
export function day(seconds: number): string {
  return new Date(seconds * 1000).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
}

export function moment(seconds: number): string {
  return new Date(seconds * 1000).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
}
