/** What an order's state means for the person who placed it, in the page's language: what happened, and what to do next. */
import { interpolate, texts } from './texts.js';

/** @typedef {import('./shapes.js').Order} Order */
/** @typedef {import('./shapes.js').Step} Step */

/**
 * The text of a table for a code, where it has one: a service may have steps and reasons for which this page has no
 * text.
 * @template T
 * @param {Readonly<Record<string, T>>} table
 * @param {string | null | undefined} code
 * @returns {T | undefined}
 */
export const entryOf = (table, code) => (code && Object.hasOwn(table, code) ? table[code] : undefined);

/** What each step is doing. The compiler finds a step without a text. @returns {Record<Step, string>} */
const stepTexts = () => ({ ...texts.doing, ...texts.undoing });

/** @param {Order} order @returns {'sending' | 'unknown' | 'waiting' | 'moving' | 'undoing' | 'done' | 'undone' | 'cancelled' | 'refused' | 'attention'} */
export function mood(order) {
  if (order.pending === 'unknown') return 'unknown';
  if (order.pending && order.reason !== 'cancelling') return 'sending';
  if (order.reason === 'cancelling') return 'undoing';
  if (order.status === 'RUNNING') return 'moving';
  if (order.status === 'COMPENSATING') return 'undoing';
  if (order.status === 'COMPLETED') return 'done';
  if (order.status === 'COMPENSATED') return order.reason === 'cancelled' ? 'cancelled' : 'undone';
  if (order.status === 'REJECTED') return 'refused';
  if (order.status === 'NEEDS_ATTENTION') return 'attention';
  return 'waiting';
}

/**
 * A step that failed and will be tried again.
 * @param {Order} order
 * @returns {{what: string, attempt: number, at: string, why: string} | null} `at`: when, RFC 3339.
 */
export function nextRetry(order) {
  const at = order.data?.next_try_at;
  if (!at || order.pending || !['RUNNING', 'COMPENSATING', 'NEEDS_ATTENTION'].includes(order.status))
    return null;
  const { last_error } = order.data;
  return {
    what: entryOf(texts.tried, order.step) ?? texts.triedOther,
    attempt: order.attempt,
    at,
    why: last_error ? service(last_error).failed : '',
  };
}

/** The service of an error. @param {string} error  Such as `payments-unavailable`. */
export const service = (error) =>
  entryOf(texts.services, error.replace(/-unavailable$/, '')) ?? texts.services.other;

/** @param {Order} order  Two or three words for the chip. */
export function label(order) {
  const now = mood(order);
  const { labels } = texts;
  if (now === 'moving') return entryOf(stepTexts(), order.step) ?? labels.moving;
  if (now === 'undoing')
    return order.reason === 'cancelling'
      ? labels.cancelling
      : (entryOf(texts.undoing, order.step) ?? labels.undoing);
  if (now === 'undone' && order.reason === 'card-declined') return labels.declined;
  if (now === 'refused' && order.reason === 'out-of-stock') return labels.soldOut;
  return labels[now];
}

/** @param {Order} order @returns {{tone: 'plain' | 'bad' | 'warn', happened: string, next: string, help?: boolean} | null} help: customer service can help. */
export function message(order) {
  const { messages } = texts;
  switch (mood(order)) {
    case 'unknown':
      return { tone: 'warn', ...messages.unknown };
    case 'undoing': {
      if (order.reason === 'cancelling') return null;
      const { declined, cancelled, other, next } = messages.undoing;
      const happened =
        order.reason === 'card-declined' ? declined : order.reason === 'cancelled' ? cancelled : other;
      return { tone: 'warn', happened, next };
    }
    case 'undone':
    case 'cancelled':
    case 'refused':
      return {
        tone: order.reason === 'cancelled' ? 'plain' : 'bad',
        help: order.reason !== 'cancelled',
        ...(entryOf(texts.reasons, order.reason) ?? messages.refused),
      };
    case 'attention': {
      if (order.reason === 'given-up') return { tone: 'bad', help: true, ...messages.givenUp };
      return { tone: 'warn', ...messages.attention };
    }
    default:
      return null;
  }
}

/** @typedef {{status: string, step: string | null, reason: string | null}} Entry  One line of an order's history. */

/** What the line says: what is being done in the newest line of a running order, what was done in the others. @param {Entry} entry @param {Entry} [next]  The line after it. */
export function moment({ status, step, reason }, next) {
  const { moments } = texts;
  switch (status) {
    case 'PENDING':
      return moments.received;
    case 'RUNNING':
      return next ? ranMoment(step, next) : nowMoment(entryOf(texts.doing, step) ?? texts.labels.moving);
    case 'COMPENSATING':
      return next
        ? (entryOf(texts.undid, step) ?? texts.labels.undone)
        : nowMoment(entryOf(texts.undoing, step) ?? texts.labels.undoing);
    case 'COMPLETED':
      return moments.completed;
    case 'NEEDS_ATTENTION': {
      if (reason === 'given-up') return moments.givenUp;
      const what = { step: entryOf(texts.tried, step) ?? texts.triedOther };
      return next ? interpolate(moments.attended, what) : interpolate(moments.attention, what);
    }
  }
  if (reason === 'card-declined') return moments.declined;
  if (reason === 'out-of-stock') return moments.soldOut;
  if (reason === 'cancelled') return moments.cancelled;
  return status === 'REJECTED' ? moments.refused : moments.undone;
}

/** @param {string} step */
const nowMoment = (step) => interpolate(texts.moments.doing, { step });

/** How a step on the way forward ended. @param {string | null} step @param {Entry} next */
function ranMoment(step, { status, reason }) {
  const { moments } = texts;
  if (status === 'RUNNING' || status === 'COMPLETED') return entryOf(texts.did, step) ?? moments.did;
  const refused = entryOf(texts.refusals, reason);
  if (refused) return refused;
  const what = { step: entryOf(texts.tried, step) ?? texts.triedOther };
  return interpolate(reason === 'cancelled' ? moments.stopped : moments.failed, what);
}

/** Whether the line is trouble: a refusal or a failure that ended a step or the order. @param {Entry} entry @param {Entry} [next] */
export const isTrouble = ({ status, reason }, next) =>
  status === 'RUNNING'
    ? next !== undefined && !['RUNNING', 'COMPLETED'].includes(next.status) && next.reason !== 'cancelled'
    : status === 'REJECTED' || (status === 'NEEDS_ATTENTION' && (!next || reason === 'given-up'));
