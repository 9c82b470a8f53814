/** Real paths over the History API: five routes, one view at a time. What a view follows ends with it. */
import { monitor } from './monitor.js';
import { onSession, user } from './session.js';
import { drawNow } from './schedule.js';

/**
 * What a view receives.
 * @typedef {object} Visit
 * @property {string} id  The variable part of the path; empty where there is none.
 * @property {(leave: () => void) => void} onLeave
 */

/**
 * title: of the document. draw: describes the page as it is now.
 * @typedef {{title: () => string, draw: () => import('./render.js').Child}} Opened
 */

/** @typedef {(visit: Visit) => Opened} View */

/** @type {[RegExp, View][]} */
const routes = [];
/** @type {(() => void)[]} */
let leaves = [];
/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {Opened & {path: string}} */
let opened = { path: '', title: () => '', draw: () => null };

/** @param {RegExp} pattern @param {View} view */
export function route(pattern, view) {
  routes.push([pattern, view]);
}

/** @param {() => void} listener */
export const onNavigate = (listener) => void listeners.add(listener);

/** The view that is shown, and its path. */
export const shown = () => opened;

/** Open the view of the current path, also if it is shown already. */
function open() {
  for (const leave of leaves.splice(0)) leave();
  // A view that has a screen says which one.
  monitor.screen();
  const path = location.pathname.length > 1 ? location.pathname.replace(/\/$/, '') : location.pathname;
  for (const [pattern, view] of routes) {
    const match = pattern.exec(path);
    if (!match) continue;
    /** @type {typeof leaves} */
    const mine = (leaves = []);
    opened = { path, ...view({ id: match[1] ?? '', onLeave: (leave) => void mine.push(leave) }) };
    break;
  }
}

function show() {
  open();
  for (const listener of listeners) listener();
  drawNow();
}

/** @param {string} path */
export function go(path) {
  if (path !== location.pathname) history.pushState(null, '', path);
  show();
  scrollTo(0, 0);
  document.getElementById('main')?.focus({ preventScroll: true });
}

export function startRouter() {
  addEventListener('popstate', show);
  addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !plain || event.defaultPrevented || link.target || link.origin !== location.origin) return;
    if (link.hash || link.pathname.startsWith('/bff/') || link.pathname.startsWith('/demo/')) return;
    event.preventDefault();
    go(link.pathname);
  });
  // What was shown to one person is not shown to the next one, nor after the sign-out.
  let person = user()?.sub;
  onSession(() => {
    const before = person;
    person = user()?.sub;
    if (before !== undefined && person !== before) show();
  });
  show();
}
