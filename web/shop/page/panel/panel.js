/** The panel: scenes that break something, and displays for developers while things are broken. */
import { h } from '../render.js';
import { texts } from '../texts.js';
import { timings } from '../diagnostics.js';
import { breakersView, operatorView, ownersView, streamView, waterfallView } from './gauges.js';
import { scenesView } from './scenes.js';
import { servicesView } from './services.js';

/** On a phone the drawer is short: its displays are opened one by one. */
const ROOMY = matchMedia('(min-width: 1000px)').matches;

/** @param {string} title @param {import('../render.js').Child} view @param {{open?: boolean, test?: string}} [how] */
const sectionView = (title, view, { open = ROOMY, test } = {}) =>
  h('details', { class: 'gauge', open, 'data-test': test }, h('summary', {}, title), view);

/** @param {any} state  What /demo/state says. @param {import('./inside.js').Press} press */
export const panelView = (state, press) => [
  scenesView(state, press),
  operatorView(state.stuck, press),
  sectionView(texts.panel.owners, ownersView(state.stuck), { test: 'owners' }),
  sectionView(texts.panel.breakers, breakersView(state.gateway.breakers)),
  sectionView(texts.panel.screens, waterfallView(timings())),
  sectionView(texts.panel.stream, streamView(state.gateway.streams)),
  sectionView(texts.panel.services, servicesView(state.services, press), { open: false, test: 'services' }),
];
