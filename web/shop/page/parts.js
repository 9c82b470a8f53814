/** What the page shows for a missing or stale part, and for a problem, each with its owner and what to do. */
import { signInUrl } from './session.js';
import { h } from './render.js';
import { interpolate, texts } from './texts.js';
import { entryOf } from './words.js';

/**
 * @template T
 * @typedef {import('./shapes.js').Part<T>} Part
 */
/** @typedef {import('./render.js').Child} Child */

/** @param {import('/client/index.js').Problem['owner']} owner */
export function contact(owner) {
  if (!owner) return null;
  const team = owner.team || owner.service;
  const safe = owner.docs && /^https?:\/\//.test(owner.docs) ? owner.docs : null;
  return h(
    'span',
    { class: 'contact' },
    owner.contact
      ? interpolate(texts.part.maintainedByAt, { team, contact: owner.contact })
      : interpolate(texts.part.maintainedBy, { team }),
    safe && [' · ', h('a', { href: safe, target: '_blank', rel: 'noreferrer' }, texts.part.docs)],
  );
}

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
    const service = part.owner?.team || part.owner?.service || texts.part.service;
    return h(
      'div',
      { class: 'missing', 'data-test': 'missing', 'data-reason': part.reason },
      h(
        'p',
        {},
        h('strong', {}, `${interpolate(texts.part.cannotBeShown, { what })} `),
        `${service} ${texts.missing[part.reason]}.`,
      ),
      h('p', { class: 'quiet' }, contact(part.owner)),
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

/** A problem's title; a service's own one is shown as it came. @param {import('/client/index.js').Problem} problem */
export const titleOf = ({ status, code, title }) => (status === 0 && entryOf(texts.noAnswer, code)) || title;

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
    (title || problem.detail) &&
      h('p', {}, title && h('strong', {}, `${titleOf(problem)}. `), problem.detail),
    problem.errors.length > 0 &&
      h(
        'ul',
        {},
        problem.errors.map((error) => h('li', {}, error.detail ?? error.pointer ?? '')),
      ),
    problem.owner && h('p', { class: 'quiet' }, contact(problem.owner)),
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
