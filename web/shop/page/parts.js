/**
 * What the page shows to people for a missing or stale part, and for a problem: what it means for them and a way on. Who
 * maintains the service is for developers, in the demo's panel (diagnostics.js).
 */
import { signInUrl } from './session.js';
import { h } from './render.js';
import { interpolate, texts } from './texts.js';
import { entryOf } from './words.js';

/**
 * @template T
 * @typedef {import('./shapes.js').Part<T>} Part
 */
/** @typedef {import('./render.js').Child} Child */

const SERVICE = 'service@waypost.example';

/** How to reach customer service. @param {string} about  The subject: what the person will ask about. */
export const helpView = (about) =>
  h(
    'p',
    { class: 'quiet', 'data-test': 'help' },
    `${texts.part.help} `,
    h('a', { href: `mailto:${SERVICE}?subject=${encodeURIComponent(about)}` }, texts.part.service),
  );

/**
 * @template T
 * @param {string} what  For example "The delivery estimate".
 * @param {Part<T>} part
 * @param {(data: T) => Child} view
 * @param {() => void} retry
 * @returns {Child}
 */
export function partView(what, part, view, retry) {
  if (part.state === 'missing') {
    return h(
      'div',
      { class: 'missing', 'data-test': 'missing', 'data-reason': part.reason },
      h('p', {}, h('strong', {}, `${interpolate(texts.part.cannotBeShown, { what })} `), texts.part.goOn),
      h('button', { type: 'button', class: 'small', onclick: retry }, texts.page.tryAgain),
    );
  }
  return [
    view(part.data),
    part.state === 'stale' &&
      h(
        'p',
        { class: 'quiet', 'data-test': 'stale' },
        interpolate(texts.part.stale, { seconds: Math.round(part.age) }),
      ),
  ];
}

/** Something of ours failed, as opposed to a request that cannot be met. @param {import('/client/index.js').Problem} problem */
const isOurs = ({ status }) => status >= 500;

/** A problem's title; a refusal's own one is shown as it came. @param {import('/client/index.js').Problem} problem */
export const titleOf = (problem) =>
  (problem.status === 0 && entryOf(texts.noAnswer, problem.code)) ||
  (isOurs(problem) ? texts.part.notNow : problem.title);

/**
 * @param {import('/client/index.js').Problem} problem
 * @param {{retry?: () => void, title?: string, actions?: Child, announced?: boolean}} [options]  announced: a message has announced it.
 */
export function problemCard(problem, { retry, title, actions, announced = false } = {}) {
  if (problem.status === 401 && !actions) return signInCard();
  return h(
    'section',
    {
      class: 'card problem',
      role: announced ? null : 'alert',
      'data-test': 'problem',
      'data-code': problem.code,
    },
    h('h2', {}, title ?? titleOf(problem)),
    h(
      'p',
      {},
      title && h('strong', {}, `${titleOf(problem)}. `),
      isOurs(problem) ? texts.part.soon : problem.detail,
    ),
    problem.errors.length > 0 &&
      h(
        'ul',
        {},
        problem.errors.map((error) => h('li', {}, error.detail ?? error.pointer ?? '')),
      ),
    isOurs(problem) && helpView(problem.correlationId ?? problem.code),
    problem.correlationId &&
      h('p', { class: 'quiet' }, `${texts.part.reference} `, h('code', {}, problem.correlationId)),
    retry && h('button', { type: 'button', onclick: retry }, texts.page.tryAgain),
    actions,
  );
}

/** @param {string} [why] */
export function signInCard(why = texts.person.whyOrders) {
  return h(
    'section',
    { class: 'card centred', 'data-test': 'sign-in-card' },
    h('h2', {}, texts.person.pleaseSignIn),
    h('p', {}, why),
    h('a', { class: 'button primary', href: signInUrl() }, texts.person.signIn),
  );
}

/** @param {number} count  Grey blocks in place of content that is loading. */
export function skeleton(count) {
  return Array.from({ length: count }, () => h('div', { class: 'skeleton', 'aria-hidden': true }));
}
