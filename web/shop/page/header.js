/** The page's header: navigation, the number of orders under way, the person, and whether the page is up to date. */
import { ended } from '/client/index.js';
import { basketCount } from './basket.js';
import { bellView } from './bell.js';
import { openPanelView } from './demo.js';
import { client } from './live.js';
import { liveOrders } from './orders.js';
import { isSessionUnknown, signInUrl, signOut, user } from './session.js';
import { h, svg } from './render.js';
import { interpolate, number, plural, texts } from './texts.js';
import { toast } from './toast.js';
import { entryOf } from './words.js';

const SIGN = svg`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M11 2h2v3h6l3 3-3 3h-6v2h4v6h-4v3h-2v-3H5l-3-3 3-3h6v-2H7V5h4z"/></svg>`;

/** @param {string} href @param {string} path  The path that is shown. */
const isHere = (href, path) =>
  href === '/' ? path === '/' || path.startsWith('/products') : path.startsWith(href);

/** @param {{test: string, kind?: string, count: number, spoken: string}} what */
const countView = ({ test, kind = '', count, spoken }) =>
  h(
    'span',
    { class: `count ${kind}`.trim(), 'data-test': test, 'data-count': count, hidden: count === 0 },
    h('span', { 'aria-hidden': true }, number(count)),
    h('span', { class: 'unseen' }, `, ${spoken}`),
  );

/** @param {string} path */
function navView(path) {
  const items = basketCount();
  const open = user() ? liveOrders.get().filter((order) => !ended(order)).length : 0;
  const link = (/** @type {string} */ href, /** @type {string} */ text, /** @type {any} */ count) =>
    h('a', { href, 'aria-current': isHere(href, path) ? 'page' : null }, text, count);
  return h(
    'nav',
    { 'aria-label': texts.page.main, id: 'nav' },
    link('/', texts.page.shop, null),
    link(
      '/orders',
      texts.page.orders,
      countView({
        test: 'under-way',
        kind: 'under-way',
        count: open,
        spoken: interpolate(texts.underWay, { count: open }),
      }),
    ),
    link(
      '/basket',
      texts.page.basket,
      countView({ test: 'basket-count', count: items, spoken: plural(texts.items, items) }),
    ),
  );
}

function personView() {
  const someone = user();
  if (!someone)
    return (
      !isSessionUnknown() &&
      h('a', { class: 'button small', href: signInUrl(), 'data-test': 'sign-in' }, texts.person.signIn)
    );
  const name = someone.name ?? someone.sub;
  const [first = '', ...rest] = name.split(' ');
  return h(
    'div',
    { class: 'person' },
    h(
      'span',
      { class: 'person-name', 'data-test': 'person', title: name },
      first,
      rest.length > 0 && h('span', { class: 'rest' }, ` ${rest.join(' ')}`),
    ),
    h(
      'button',
      {
        type: 'button',
        class: 'plain small',
        'data-test': 'sign-out',
        onclick: () => signOut().catch(() => toast(texts.person.notSignedOut, { tone: 'bad' })),
      },
      texts.person.signOut,
    ),
  );
}

function connectionView() {
  const state = client.connection.get();
  return h(
    'span',
    {
      class: 'connection',
      id: 'connection',
      'data-test': 'connection',
      'data-state': state,
      role: 'status',
      hidden: user() === null,
    },
    entryOf(texts.connection, state) ?? state,
  );
}

/** @param {string} path */
export const headerView = (path) =>
  h(
    'header',
    { class: 'top' },
    h(
      'div',
      { class: 'top-in' },
      h('a', { class: 'brand', href: '/', 'aria-label': texts.page.home }, SIGN, h('span', {}, 'Waypost')),
      navView(path),
      openPanelView(),
      h('div', { class: 'top-side' }, connectionView(), bellView(), h('div', { id: 'person' }, personView())),
    ),
  );
