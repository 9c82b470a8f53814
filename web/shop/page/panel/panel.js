/** The demo's panel, at the foot of the page. It exists only where /demo/state answers. */
import { fetchJson } from '../api.js';
import { fill, h } from '../dom.js';
import { toast } from '../toast.js';
import { createBreakers, createDesk, createStreamGauge, createWaterfall } from './gauges.js';
import { createScenes } from './scenes.js';
import { createServices } from './services.js';

const EVERY = 1000; // milliseconds between two updates while the panel is open

/** @param {string} method @param {string} path @param {unknown} [body] */
async function press(method, path, body) {
  try {
    await fetchJson(path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
    });
  } catch (error) {
    const { problem } = /** @type {any} */ (error);
    toast(problem.detail || problem.title, { tone: 'bad' });
  }
  await refresh();
}

const breakers = createBreakers();
const stream = createStreamGauge();
const waterfall = createWaterfall();
const desk = createDesk(press);
const scenes = createScenes(press);
const services = createServices(press);

let looking = false;

/** @returns {Promise<boolean>} whether there is a panel */
async function refresh() {
  if (looking) return true;
  looking = true;
  try {
    const state = await fetchJson('/demo/state');
    breakers.update(state.gateway.breakers);
    stream.update(state.gateway.streams);
    waterfall.update();
    desk.update(state.stuck);
    scenes.update(state);
    services.update(state.services);
    return true;
  } catch {
    return false;
  } finally {
    looking = false;
  }
}

export async function startPanel() {
  const panel = /** @type {HTMLElement} */ (document.getElementById('panel'));
  if (!(await refresh())) return;
  const details = h(
    'details',
    { 'data-test': 'panel', ontoggle: () => details.open && refresh() },
    h('summary', {}, 'Break things'),
    h(
      'div',
      { class: 'panel-in' },
      scenes.element,
      desk.element,
      h(
        'div',
        { class: 'gauges' },
        h('section', { class: 'card' }, h('h3', {}, 'Breakers'), breakers.element),
        h('section', { class: 'card' }, h('h3', {}, 'The stream'), stream.element),
        h('section', { class: 'card' }, h('h3', {}, 'The last screens'), waterfall.element),
      ),
      h('details', {}, h('summary', {}, 'Service by service'), services.element),
    ),
  );
  fill(panel, details);
  panel.hidden = false;
  setInterval(() => details.open && !document.hidden && void refresh(), EVERY);
}
