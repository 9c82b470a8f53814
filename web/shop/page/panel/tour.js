/**
 * The guided tour: four scenes of two minutes. A step is done when the system shows that it happened, whoever did it; a
 * button does it for those steps that are no part of shopping. What the tour has reached lasts as long as the tab, also
 * over a sign-in and a reload. Leaving a scene puts right what it broke.
 */
import { screen } from '../api.js';
import { addToBasket, basketCount } from '../basket.js';
import { client } from '../live.js';
import { keyOf, liveOrders } from '../orders.js';
import { h } from '../render.js';
import { go } from '../router.js';
import { invalidate } from '../schedule.js';
import { signInUrl, user } from '../session.js';
import { interpolate, texts } from '../texts.js';
import { timings } from '../diagnostics.js';
import { sceneNote } from './scenes.js';
import { underneathView } from './underneath.js';

/** @typedef {import('./inside.js').Press} Press */
/** since: the gateway's activity and the time at its beginning; known: the orders that were there; pid: of the orders service. @typedef {{name: SceneName, step: number, since: {n: number, at: number}, known: string[], pid: number | null}} Visit */
/** done: whether it happened. act: does it. @typedef {{done: (state: any, visit: Visit) => boolean, act?: (state: any, press: Press) => unknown}} Step */
/** @typedef {keyof typeof texts.tours} SceneName */
/** fault: the scene of the panel that it uses. person: whether it needs an order. @typedef {{fault: string, person: boolean, steps: Record<string, Step>}} Scene */

const NAME = 'waypost:tour';
const PRODUCTS = '/api/screens/products';
const MUG = 'mug-01';

/** @param {Visit} visit */
const newOrders = (visit) => liveOrders.get().filter((order) => !visit.known.includes(keyOf(order)));

/** @param {string} status */
const reached = (status) => (/** @type {any} */ _, /** @type {Visit} */ visit) =>
  newOrders(visit).some((order) => !order.pending && order.status === status);

/** @param {any} state @param {Visit} visit */
const newest = ({ activity }, { since }) => activity.filter((/** @type {any} */ { n }) => n > since.n);

/** @param {any} state */
const ordersPid = ({ services }) =>
  services.find((/** @type {any} */ { name }) => name === 'orders')?.pid ?? null;

/** @param {string} fault @returns {Step} */
const breaks = (fault) => ({
  done: ({ scenes }) => Boolean(scenes[fault]?.active),
  act: (_, press) => press('POST', `/demo/scenes/${fault}`),
});

/** @param {string} fault @returns {Step} */
const repairs = (fault) => ({
  done: ({ scenes }) => !scenes[fault]?.active,
  act: (_, press) => press('DELETE', `/demo/scenes/${fault}`),
});

/** @type {Step} */
const FILLS = {
  done: (_, visit) => basketCount() > 0 || newOrders(visit).length > 0,
  async act() {
    const { product } = await screen('/api/screens/products/{sku}', { sku: MUG });
    const { sku, name, price_cents, currency, art } = product;
    addToBasket({ sku, name, price_cents, currency, art, quantity: 1 });
    go('/basket');
  },
};
/** @type {Step} */
const ORDERS = { done: (_, visit) => newOrders(visit).length > 0 };
const COMPLETES = { done: reached('COMPLETED') };

/** Every product's page at once: each asks inventory. @param {any} _ */
async function loadAll(_) {
  const { products } = await screen(PRODUCTS, {});
  await Promise.allSettled(products.map(({ sku }) => screen('/api/screens/products/{sku}', { sku })));
}

/** @type {Record<SceneName, Scene>} */
const SCENES = {
  'slow-part': {
    fault: 'slow-inventory',
    person: false,
    steps: {
      break: breaks('slow-inventory'),
      look: {
        done: (state, visit) =>
          newest(state, visit).some(
            (/** @type {any} */ one) => one.kind === 'incomplete' && one.route === PRODUCTS,
          ),
        act: () => go('/'),
      },
      open: {
        done: (state, visit) =>
          newest(state, visit).some(
            (/** @type {any} */ one) =>
              one.kind === 'breaker' && one.service === 'inventory' && one.state === 'open',
          ),
        act: loadAll,
      },
      repair: {
        done: ({ scenes, gateway }) =>
          !scenes['slow-inventory']?.active &&
          gateway.breakers.inventory === 'closed' &&
          timings().some(({ path, complete }) => path === PRODUCTS && complete),
        async act(_, press) {
          await press('DELETE', '/demo/scenes/slow-inventory');
          go('/');
        },
      },
    },
  },
  'declined-card': {
    fault: 'declined-payments',
    person: true,
    steps: {
      break: breaks('declined-payments'),
      basket: FILLS,
      order: ORDERS,
      undone: { done: reached('COMPENSATED') },
      repair: repairs('declined-payments'),
      again: COMPLETES,
    },
  },
  'killed-orders': {
    fault: 'kill-orders-mid-charge',
    person: true,
    steps: {
      break: breaks('kill-orders-mid-charge'),
      basket: FILLS,
      order: ORDERS,
      back: { done: (state, { pid }) => ![null, pid].includes(ordersPid(state)) },
      done: COMPLETES,
    },
  },
  'stopped-redis': {
    fault: 'stop-redis',
    person: true,
    steps: {
      basket: FILLS,
      break: breaks('stop-redis'),
      order: ORDERS,
      back: { done: ({ redis }) => redis.state === 'up' && client.connection.get() === 'live' },
      done: COMPLETES,
    },
  },
};

/** @type {{visit: Visit | null, seen: string[]}} seen: the scenes that were finished. */
let tour = load();

function load() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(NAME) ?? 'null');
    if (Array.isArray(kept?.seen) && (kept.visit === null || Object.hasOwn(SCENES, kept.visit?.name)))
      return kept;
  } catch {
    // Unreadable or forbidden storage: the tour begins anew.
  }
  return { visit: null, seen: [] };
}

/** @param {typeof tour} next */
function become(next) {
  tour = next;
  try {
    sessionStorage.setItem(NAME, JSON.stringify(tour));
  } catch {
    // Forbidden storage: the tour lasts as long as the page.
  }
  invalidate();
}

/** @param {any} state @param {SceneName} name */
const begin = (state, name) =>
  become({
    ...tour,
    visit: {
      name,
      step: 0,
      since: { n: state.activity.at(-1)?.n ?? 0, at: Date.now() },
      known: liveOrders.get().map(keyOf),
      pid: ordersPid(state),
    },
  });

/** Leave the scene, to another one or to the list. @param {any} state @param {Press} press @param {SceneName | null} next */
function leave(state, press, next) {
  const fault = tour.visit && SCENES[tour.visit.name].fault;
  if (fault && state.scenes[fault]?.active) void press('DELETE', `/demo/scenes/${fault}`);
  if (next) begin(state, next);
  else become({ ...tour, visit: null });
}

/** Go on over the steps that have happened. @param {any} state @param {Visit} visit @returns {Visit} */
function advanced(state, visit) {
  const steps = Object.values(SCENES[visit.name].steps);
  let { step } = visit;
  while (step < steps.length && steps[step]?.done(state, visit)) step += 1;
  if (step === visit.step) return visit;
  const next = { ...visit, step };
  requestAnimationFrame(showCurrentStep);
  become({ visit: next, seen: step === steps.length ? [...new Set([...tour.seen, visit.name])] : tour.seen });
  return next;
}

/** On a phone the drawer shows little at once. */
const showCurrentStep = () =>
  document.querySelector('.tour-steps [aria-current]')?.scrollIntoView({ block: 'nearest' });

/** @param {Visit} visit @param {any} state @param {Press} press */
function stepsView(visit, state, press) {
  const { steps } = SCENES[visit.name];
  /** @type {Record<string, string>} */
  const told = texts.tours[visit.name].steps;
  return h(
    'ol',
    { class: 'tour-steps' },
    Object.entries(steps).map(([name, { act }], at) => {
      const now = at === visit.step;
      return h(
        'li',
        {
          key: name,
          'data-test': 'tour-step',
          'data-step': name,
          'data-state': at < visit.step ? 'done' : now ? 'now' : 'todo',
          'aria-current': now ? 'step' : null,
        },
        h('i', { 'aria-hidden': true }, at < visit.step ? '✓' : String(at + 1)),
        h('span', {}, told[name], at < visit.step && h('span', { class: 'unseen' }, ` ${texts.tour.isDone}`)),
        now &&
          act &&
          h(
            'button',
            {
              type: 'button',
              class: 'small primary',
              'data-test': 'tour-act',
              onclick: () => act(state, press),
            },
            texts.tour.doIt,
          ),
      );
    }),
  );
}

/** @param {Visit} visit @param {any} state @param {Press} press */
function sceneView(visit, state, press) {
  const names = /** @type {SceneName[]} */ (Object.keys(SCENES));
  const number = names.indexOf(visit.name) + 1;
  const following = names[number];
  const { title, why, learned } = texts.tours[visit.name];
  const { steps, fault, person } = SCENES[visit.name];
  const over = visit.step >= Object.keys(steps).length;
  const note = sceneNote(fault, state);
  return h(
    'div',
    { key: visit.name, class: 'stack', 'data-test': 'tour-scene', 'data-scene': visit.name },
    h(
      'div',
      {},
      h('p', { class: 'quiet' }, interpolate(texts.tour.scene, { number, count: names.length })),
      h('h2', {}, title),
    ),
    h('p', {}, why),
    person && user() === null
      ? h(
          'div',
          { class: 'verdict' },
          h('p', {}, texts.tour.signIn),
          h('a', { class: 'button small primary', href: signInUrl() }, texts.person.signIn),
        )
      : stepsView(visit, state, press),
    note && h('p', { class: 'scene-note', role: 'status', 'data-test': 'tour-note' }, note),
    over && h('p', { class: 'learned', role: 'status', 'data-test': 'learned' }, learned),
    h(
      'div',
      { class: 'actions' },
      over &&
        following &&
        h(
          'button',
          {
            type: 'button',
            class: 'small primary',
            'data-test': 'tour-next',
            onclick: () => leave(state, press, following),
          },
          texts.tour.next,
        ),
      h(
        'button',
        {
          type: 'button',
          class: 'small',
          'data-test': 'tour-again',
          onclick: () => leave(state, press, visit.name),
        },
        texts.tour.again,
      ),
      h(
        'button',
        {
          type: 'button',
          class: 'small plain',
          'data-test': 'tour-all',
          onclick: () => leave(state, press, null),
        },
        texts.tour.all,
      ),
    ),
    underneathView(state.activity, visit.since),
  );
}

/** @param {any} state */
const listView = (state) =>
  h(
    'div',
    { key: 'all', class: 'stack' },
    h('p', {}, texts.tour.intro),
    h(
      'ul',
      { class: 'tours' },
      Object.entries(texts.tours).map(([name, { title }]) =>
        h(
          'li',
          { key: name },
          h(
            'button',
            {
              type: 'button',
              'data-test': `tour-${name}`,
              onclick: () => begin(state, /** @type {SceneName} */ (name)),
            },
            h('span', {}, title),
            h(
              'span',
              { class: 'quiet' },
              tour.seen.includes(name) ? `✓ ${texts.tour.finished}` : texts.tour.minutes,
            ),
          ),
        ),
      ),
    ),
  );

/** @param {any} state  What /demo/state says. @param {Press} press */
export const tourView = (state, press) =>
  tour.visit ? sceneView(advanced(state, tour.visit), state, press) : listView(state);
