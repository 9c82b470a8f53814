/** The page's header: navigation, the number of orders under way, the person, and whether the page is up to date. */
import { ended } from '/client/index.js';
import { basketCount, onBasket } from './basket.js';
import { fill, h } from './dom.js';
import { plural } from './format.js';
import { client } from './live.js';
import { liveOrders } from './orders.js';
import { onPerson, signInAt, signOut, who } from './person.js';
import { onNavigate } from './router.js';
import { toast } from './toast.js';

/** @type {Record<string, string>} */
const STATES = {
  connecting: 'Connecting',
  live: 'Live',
  stale: 'Reconnecting',
  offline: 'Offline',
  stopped: 'Paused',
};
const LINKS = /** @type {const} */ ([
  ['/', 'Shop'],
  ['/orders', 'Orders'],
  ['/basket', 'Basket'],
]);

export function startHeader() {
  const nav = /** @type {Element} */ (document.getElementById('nav'));
  const person = /** @type {Element} */ (document.getElementById('person'));
  const connection = /** @type {HTMLElement} */ (document.getElementById('connection'));
  const count = h('span', { class: 'count', 'data-test': 'basket-count' });
  const moving = h('span', { class: 'count under-way', 'data-test': 'under-way' });
  /** @type {Record<string, Element>} */
  const counts = { '/basket': count, '/orders': moving };
  const links = LINKS.map(([href, text]) => h('a', { href }, text, counts[href]));
  fill(nav, links);

  function drawNav() {
    for (const link of links) {
      const here =
        link.pathname === '/'
          ? location.pathname === '/' || location.pathname.startsWith('/products')
          : location.pathname.startsWith(link.pathname);
      if (here) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    const items = basketCount();
    drawCount(count, items, `${plural(items, 'item')}`);
    drawMoving();
    drawPerson();
  }

  /** @param {HTMLElement} element @param {number} number @param {string} spoken */
  function drawCount(element, number, spoken) {
    element.hidden = number === 0;
    if (element.getAttribute('data-count') === String(number)) return;
    element.setAttribute('data-count', String(number));
    fill(element, h('span', { 'aria-hidden': true }, number), h('span', { class: 'unseen' }, `, ${spoken}`));
  }

  function drawMoving() {
    const open = who() ? liveOrders.get().filter((order) => !ended(order)).length : 0;
    drawCount(moving, open, `${open} under way`);
  }

  /** @type {string | undefined} */
  let drawn;

  function drawPerson() {
    const someone = who();
    const name = someone?.name ?? someone?.sub ?? '';
    // A button that is replaced under the pointer loses its click, so only what changes is drawn again.
    const next = someone ? `in ${name}` : `out ${signInAt()}`;
    if (next === drawn) {
      drawConnection();
      return;
    }
    drawn = next;
    const [first = '', ...rest] = name.split(' ');
    fill(
      person,
      someone
        ? h(
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
                onclick: () =>
                  signOut().catch(() => toast('Sign-out failed. Please try again.', { tone: 'bad' })),
              },
              'Sign out',
            ),
          )
        : h('a', { class: 'button small', href: signInAt(), 'data-test': 'sign-in' }, 'Sign in'),
    );
    drawConnection();
  }

  function drawConnection() {
    const state = client.connection.get();
    connection.hidden = !who();
    connection.setAttribute('data-state', state);
    if (connection.textContent !== STATES[state]) connection.textContent = STATES[state] ?? state;
  }

  onBasket(drawNav);
  liveOrders.subscribe(drawMoving);
  onPerson(drawNav);
  onNavigate(drawNav);
  client.connection.subscribe(drawConnection);
  drawNav();
}
