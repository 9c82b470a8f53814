/**
 * The demo's drawer: the panel that breaks things, and the guided tour. It exists only where /demo/state answers, and what
 * is in it is fetched only then. It stands beside the page where there is room, and below it on a phone. Whether it is
 * open lasts as long as the tab, also over a sign-in.
 */
import { fetchJson } from './api.js';
import { h, svg } from './render.js';
import { createResource } from './resource.js';
import { drawNow, invalidate } from './schedule.js';
import { texts } from './texts.js';

const EVERY = 1000; // milliseconds between two updates while the drawer is open
const NAME = 'waypost:drawer';
const SPARK = svg`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M13 2 4 14h6l-1 8 9-12h-6z"/></svg>`;

/** @typedef {'panel' | 'tour'} Tab */

/** @type {{drawerContent: (drawer: Drawer) => import('./render.js').Child} | null} */
let inside = null;
/** @type {Tab | null} the tab that is open */
let tab = null;

/** What the demo reports about itself. */
const demo = createResource((signal) => fetchJson('/demo/state', { signal }), {
  changed: invalidate,
  handled: () => true, // without the demo there is no drawer, and the next update comes anyway
  // What could not be fetched is fetched again after the next update.
  received: () => void fetchInside().catch(() => {}),
});

async function fetchInside() {
  inside ??= await import('./panel/inside.js');
  invalidate();
}

/** @param {Tab | null} next */
function show(next) {
  tab = next;
  try {
    if (next) sessionStorage.setItem(NAME, next);
    else sessionStorage.removeItem(NAME);
  } catch {
    // Forbidden storage: it is closed after a reload.
  }
  if (next) demo.reload();
  drawNow();
}

/** @param {string} selector */
function focus(selector) {
  const element = document.querySelector(selector);
  if (element instanceof HTMLElement) element.focus();
}

function open(/** @type {Tab} */ next) {
  show(next);
  focus(`#drawer [data-test="tab-${next}"]`);
}

function close() {
  show(null);
  focus('[data-test="open-panel"]');
}

export function startDemo() {
  try {
    const kept = sessionStorage.getItem(NAME);
    if (kept === 'panel' || kept === 'tour') tab = kept;
  } catch {
    // Forbidden storage: the drawer is closed.
  }
  demo.reload();
  setInterval(() => tab && !document.hidden && demo.reload(), EVERY);
}

/** The way to the panel, in the header of every page. */
export const openPanelView = () =>
  demo.data !== null &&
  h(
    'button',
    {
      type: 'button',
      class: 'small break',
      'data-test': 'open-panel',
      'aria-expanded': tab !== null,
      'aria-label': texts.drawer.open,
      title: texts.drawer.open,
      onclick: () => (tab ? close() : open('panel')),
    },
    SPARK,
    h('span', { class: 'break-name' }, texts.drawer.open),
  );

/** The ways in, on the start page. */
export const offerView = () =>
  demo.data !== null &&
  h(
    'div',
    { class: 'actions' },
    h(
      'button',
      { type: 'button', class: 'primary', 'data-test': 'open-tour', onclick: () => open('tour') },
      texts.drawer.tour,
    ),
    h('button', { type: 'button', onclick: () => open('panel') }, texts.drawer.open),
  );

/** What the drawer needs of this module. @typedef {{tab: Tab, data: any, show: (tab: Tab) => void, close: () => void, reload: () => void}} Drawer */

export const drawerView = () =>
  h(
    'aside',
    {
      id: 'drawer',
      class: 'drawer',
      'aria-label': texts.drawer.title,
      hidden: demo.data === null || tab === null,
      /** @param {KeyboardEvent} event */
      onkeydown: (event) => event.key === 'Escape' && close(),
    },
    demo.data !== null &&
      tab !== null &&
      (inside === null
        ? h('p', { class: 'quiet' }, texts.drawer.loading)
        : inside.drawerContent({ tab, data: demo.data, show, close, reload: demo.reload })),
  );
