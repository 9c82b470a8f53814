/** Real paths over the History API: five routes, one view at a time, each with its own clean-up. */
import { fill } from './dom.js';

/**
 * What a view receives.
 * @typedef {object} Visit
 * @property {string} [id]  The variable part of the path.
 * @property {(leave: () => void) => void} onLeave
 */

/** @typedef {(visit: Visit) => {title: string, body: Element}} View */

/** @type {[RegExp, View][]} */
const routes = [];
/** @type {(() => void)[]} */
let leavings = [];
/** @type {Set<() => void>} */
const listeners = new Set();

/** @param {RegExp} pattern @param {View} view */
export function route(pattern, view) {
  routes.push([pattern, view]);
}

/** @param {() => void} listener */
export const onNavigate = (listener) => void listeners.add(listener);

/** Show the view of the current path again. @param {{arriving?: boolean}} [how] */
export function show({ arriving = false } = {}) {
  for (const leave of leavings) leave();
  leavings = [];
  const path = location.pathname.length > 1 ? location.pathname.replace(/\/$/, '') : location.pathname;
  for (const [pattern, view] of routes) {
    const match = pattern.exec(path);
    if (!match) continue;
    const { title, body } = view({ id: match[1], onLeave: (leave) => leavings.push(leave) });
    const main = /** @type {HTMLElement} */ (document.getElementById('main'));
    document.title = title === 'Waypost' ? title : `${title} · Waypost`;
    fill(main, body);
    if (arriving) {
      scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    break;
  }
  for (const listener of listeners) listener();
}

/** @param {string} path */
export function go(path) {
  if (path !== location.pathname) history.pushState(null, '', path);
  show({ arriving: true });
}

export function startRouter() {
  addEventListener('popstate', () => show());
  addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (link.hash || link.pathname.startsWith('/bff/') || link.pathname.startsWith('/demo/')) return;
    event.preventDefault();
    go(link.pathname);
  });
  show();
}
