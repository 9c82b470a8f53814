/** What the page shows for a missing or stale part, and for a problem, each with its owner and what to do. */
import { h } from './dom.js';
import { client } from './live.js';
import { signInAt } from './person.js';
import { MISSING } from './words.js';

/**
 * @template T
 * @typedef {import('./shapes.js').Part<T>} Part
 */

/** @param {import('/client/index.js').Problem['owner']} owner */
export function contact(owner) {
  if (!owner) return null;
  const name = owner.team || owner.service;
  const reach = owner.contact ? ` (${owner.contact})` : '';
  const safe = owner.docs && /^https?:\/\//.test(owner.docs) ? owner.docs : null;
  return h(
    'span',
    { class: 'contact' },
    `Maintained by ${name}${reach}`,
    safe && [' · ', h('a', { href: safe, target: '_blank', rel: 'noreferrer' }, 'docs')],
  );
}

/**
 * @template T
 * @param {string} what  For example "Delivery estimate".
 * @param {Part<T>} part
 * @param {(data: T) => any} draw
 * @param {() => void} retry
 */
export function drawPart(what, part, draw, retry) {
  if (part.state === 'missing') {
    const service = part.owner?.team || part.owner?.service || 'The service';
    return h(
      'div',
      { class: 'missing', 'data-test': 'missing', 'data-reason': part.reason },
      h(
        'p',
        {},
        h('strong', {}, `${what} cannot be shown right now. `),
        `${service} ${MISSING[part.reason]}.`,
      ),
      h('p', { class: 'quiet' }, contact(part.owner)),
      h('button', { type: 'button', class: 'small', onclick: retry }, 'Try again'),
    );
  }
  const old =
    part.state === 'stale' &&
    h(
      'p',
      { class: 'quiet', 'data-test': 'stale' },
      `From ${Math.round(part.age)} s ago. The latest data is not available.`,
    );
  return [draw(part.data), old];
}

/**
 * A failed screen as a part that may be there in a moment, or not (a refusal stays one).
 * @param {import('/client/index.js').Problem} problem
 * @returns {Awaited[]}
 */
export const lacking = (problem) =>
  problem.status >= 500 || problem.status === 429 || problem.status === 0
    ? [{ state: 'missing', retry_after: problem.retryAfter }]
    : [];

/** @typedef {{state: 'ready' | 'stale'} | Pick<import('./shapes.js').Missing, 'state' | 'retry_after'>} Awaited  The fields of a part that decide about retries. */

/**
 * Retry automatically at the time that a missing part names, a few times and only while the page is visible, and when
 * the connection is back.
 */
export function createPatience(
  /** @type {() => void} */ retry,
  /** @type {(leave: () => void) => void} */ onLeave,
) {
  let left = 5;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let waiting = false;
  onLeave(() => clearTimeout(timer));
  // The network or the gateway is back.
  onLeave(client.connection.subscribe((state) => waiting && state === 'live' && retry()));
  return (/** @type {Awaited[]} */ ...parts) => {
    clearTimeout(timer);
    const waits = parts.flatMap((part) => (part.state === 'missing' ? [part.retry_after ?? 5] : []));
    waiting = waits.length > 0;
    if (!waiting) left = 5;
    else if (left > 0)
      timer = setTimeout(
        () => ((left -= 1), document.hidden || retry()),
        Math.max(2, Math.min(...waits)) * 1000,
      );
  };
}

/** @param {import('/client/index.js').Problem} problem @param {{retry?: () => void, title?: string, actions?: any}} [options] */
export function drawProblem(problem, { retry, title, actions } = {}) {
  if (problem.status === 401 && !actions) return signInCard();
  return h(
    'section',
    { class: 'card problem', role: 'alert', 'data-test': 'problem', 'data-code': problem.code },
    h('h2', {}, title ?? problem.title),
    (title || problem.detail) && h('p', {}, title && h('strong', {}, `${problem.title}. `), problem.detail),
    problem.errors.length > 0 &&
      h(
        'ul',
        {},
        problem.errors.map((error) => h('li', {}, error.detail ?? error.pointer ?? '')),
      ),
    problem.owner && h('p', { class: 'quiet' }, contact(problem.owner)),
    problem.correlationId && h('p', { class: 'quiet' }, 'Reference ', h('code', {}, problem.correlationId)),
    retry && h('button', { type: 'button', onclick: retry }, 'Try again'),
    actions,
  );
}

/** @param {string} [why] */
export function signInCard(why = 'Sign in to see your orders and to place new ones.') {
  return h(
    'section',
    { class: 'card centred', 'data-test': 'sign-in-card' },
    h('h2', {}, 'Please sign in'),
    h('p', {}, why),
    h('a', { class: 'button primary', href: signInAt() }, 'Sign in'),
  );
}

/** @param {number} count  Grey blocks in place of content that is loading. */
export function skeleton(count) {
  return Array.from({ length: count }, () => h('div', { class: 'skeleton', 'aria-hidden': true }));
}
