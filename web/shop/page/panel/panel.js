/** The demo's panel, at the foot of the page. It exists only where /demo/state answers. */
import { fetchJson, problemOf } from '../api.js';
import { titleOf } from '../parts.js';
import { h } from '../render.js';
import { createResource } from '../resource.js';
import { invalidate } from '../schedule.js';
import { texts } from '../texts.js';
import { timings } from '../timings.js';
import { toast } from '../toast.js';
import { breakersView, operatorView, streamView, waterfallView } from './gauges.js';
import { scenesView } from './scenes.js';
import { servicesView } from './services.js';

const EVERY = 1000; // milliseconds between two updates while the panel is open

/** What the demo reports about itself. */
const demo = createResource((signal) => fetchJson('/demo/state', { signal }), {
  changed: invalidate,
  handled: () => true, // without the demo there is no panel, and the next update comes anyway
});
let open = false;

/** @param {string} method @param {string} path @param {unknown} [body] */
async function press(method, path, body) {
  try {
    await fetchJson(path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
    });
  } catch (error) {
    const problem = problemOf(error);
    toast(problem.detail || titleOf(problem), { tone: 'bad' });
  }
  demo.reload();
}

export function startPanel() {
  demo.reload();
  setInterval(() => open && !document.hidden && demo.reload(), EVERY);
}

/** @param {any} state  What /demo/state says. */
const insideView = (state) =>
  h(
    'div',
    { class: 'panel-in' },
    scenesView(state, press),
    operatorView(state.stuck, press),
    h(
      'div',
      { class: 'gauges' },
      h(
        'section',
        { class: 'card' },
        h('h3', {}, texts.panel.breakers),
        breakersView(state.gateway.breakers),
      ),
      h('section', { class: 'card' }, h('h3', {}, texts.panel.stream), streamView(state.gateway.streams)),
      h('section', { class: 'card' }, h('h3', {}, texts.panel.screens), waterfallView(timings())),
    ),
    h('details', {}, h('summary', {}, texts.panel.services), servicesView(state.services, press)),
  );

export const panelView = () =>
  h(
    'section',
    { id: 'panel', hidden: demo.data === null },
    demo.data !== null &&
      h(
        'details',
        {
          'data-test': 'panel',
          ontoggle({ target, currentTarget }) {
            if (target !== currentTarget) return;
            ({ open } = currentTarget);
            if (open) demo.reload();
          },
        },
        h('summary', {}, texts.panel.title),
        insideView(demo.data),
      ),
  );
