/** What happened underneath since a scene began: the trace of each request, the events of orders, what policies decided. */
import { seconds, shortId } from '../format.js';
import { h } from '../render.js';
import { interpolate, texts } from '../texts.js';
import { entryOf } from '../words.js';
import { orderEvents } from './events.js';
import { shareView } from './gauges.js';

const MOST_REQUESTS = 3;
const MOST_EVENTS = 8;
const MOST_POLICIES = 8;

/** An entry of web/shop/activity.py. @typedef {{n: number, at: number, kind: string, trace: string, [name: string]: any}} Entry */

/** @param {Entry} request @param {readonly Entry[]} entries */
function traceView(request, entries) {
  const began = request.at * 1000 - request.milliseconds;
  const shares = entries
    .filter(({ trace, kind }) => trace === request.trace && (kind === 'attempt' || kind === 'cached'))
    .map(({ call, kind, how, outcome, milliseconds = 0, at }) => ({
      name: call,
      start: Math.max(0, at * 1000 - milliseconds - began),
      milliseconds,
      outcome: kind === 'cached' ? how : outcome,
    }));
  const longest = Math.max(1, request.milliseconds, ...shares.map((one) => one.start + one.milliseconds));
  const { status, milliseconds } = request;
  return h(
    'li',
    { key: request.n, 'data-test': 'trace' },
    h(
      'p',
      {},
      h('code', {}, `${request.method} ${request.route}`),
      h(
        'span',
        { class: 'quiet' },
        interpolate(texts.underneath.request, {
          status: String(status),
          milliseconds: Math.round(milliseconds),
        }),
      ),
    ),
    h(
      'p',
      { class: 'quiet' },
      h('code', {}, interpolate(texts.underneath.traceId, { id: request.trace.slice(0, 16) })),
    ),
    h(
      'ul',
      {},
      shares.map((share) => shareView(share, longest)),
    ),
  );
}

/** @param {import('./events.js').OrderEvent} event */
const eventView = ({ key, id, version, status, step, attempt, reason, at }) =>
  h(
    'li',
    { key, 'data-test': 'event', 'data-status': status },
    h('code', {}, `${shortId(id)} ${[status, step, reason].filter(Boolean).join(' · ')}`),
    h(
      'span',
      { class: 'quiet' },
      ` ${interpolate(texts.underneath.event, { version, at: seconds(new Date(at).toISOString()) })}`,
      attempt > 1 && `, ${interpolate(texts.underneath.attempt, { attempt })}`,
    ),
  );

const BREAKER = /** @type {const} */ ({ open: 'opened', 'half-open': 'half-opened', closed: 'closed' });

/** What a policy did, in words; null for what is usual. @param {Entry} entry @returns {string | null} */
function told({ kind, ...what }) {
  const { policies } = texts;
  /** @type {any} */
  const values = { ...what, milliseconds: Math.round(what.milliseconds ?? 0) };
  if (kind === 'attempt') return what.outcome === 'ok' ? null : interpolate(policies.failed, values);
  if (kind === 'breaker') return interpolate(policies[entryOf(BREAKER, what.state) ?? 'closed'], values);
  const text = entryOf(policies, kind);
  return text ? interpolate(text, values) : null;
}

/** @param {readonly Entry[]} entries  Newest first. */
function policiesView(entries) {
  /** The same decision once, at its newest time. @type {Map<string, Entry>} */
  const decisions = new Map();
  for (const entry of entries) {
    const text = told(entry);
    if (text && !decisions.has(text)) decisions.set(text, entry);
  }
  return decisions.size === 0
    ? h('p', { class: 'quiet' }, texts.underneath.noPolicies)
    : h(
        'ul',
        {},
        [...decisions]
          .slice(0, MOST_POLICIES)
          .map(([text, { n, kind }]) => h('li', { key: n, 'data-test': 'policy', 'data-kind': kind }, text)),
      );
}

/** @param {readonly Entry[]} activity  What the gateway did, oldest first. @param {{n: number, at: number}} since */
export function underneathView(activity, since) {
  const entries = activity.filter(({ n }) => n > since.n).reverse();
  const requests = entries.filter(({ kind }) => kind === 'request').slice(0, MOST_REQUESTS);
  const events = orderEvents().filter(({ at }) => at >= since.at);
  const { underneath } = texts;
  const part = (/** @type {string} */ title, /** @type {import('../render.js').Child} */ view) =>
    h('section', {}, h('h3', {}, title), view);
  return h(
    'div',
    { class: 'under', role: 'group', 'aria-label': underneath.title, 'data-test': 'underneath' },
    h('h2', {}, underneath.title),
    part(
      underneath.trace,
      requests.length
        ? h(
            'ol',
            { class: 'waterfall' },
            requests.map((request) => traceView(request, entries)),
          )
        : h('p', { class: 'quiet' }, underneath.noTrace),
    ),
    part(
      underneath.events,
      events.length
        ? h('ul', {}, events.slice(0, MOST_EVENTS).map(eventView))
        : h('p', { class: 'quiet' }, underneath.noEvents),
    ),
    part(underneath.policies, policiesView(entries)),
  );
}
