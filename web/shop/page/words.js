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

/** @satisfies {Record<Step, keyof typeof texts.services>} the service that does a step */
const SERVICE_OF = {
  reserve: 'inventory',
  charge: 'payments',
  ship: 'shipping',
  'cancel-shipment': 'shipping',
  refund: 'payments',
  release: 'inventory',
};

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
  if (now === 'moving') return entryOf(texts.doing, order.step) ?? labels.moving;
  if (now === 'undoing')
    return order.reason === 'cancelling'
      ? labels.cancelling
      : (entryOf(texts.undoing, order.step) ?? labels.undoing);
  if (now === 'undone' && order.reason === 'card-declined') return labels.declined;
  if (now === 'refused' && order.reason === 'out-of-stock') return labels.soldOut;
  return labels[now];
}

/** @param {Order} order @returns {{tone: 'plain' | 'bad' | 'warn', happened: string, next: string} | null} */
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
        ...(entryOf(texts.reasons, order.reason) ?? messages.refused),
      };
    case 'attention': {
      if (order.reason === 'given-up') return { tone: 'bad', ...messages.givenUp };
      const { team } = texts.services[entryOf(SERVICE_OF, order.step) ?? 'other'];
      const { happened, next } = messages.attention;
      return { tone: 'warn', happened, next: interpolate(next, { team }) };
    }
    default:
      return null;
  }
}

/** @param {{status: string, step: string | null, reason: string | null}} entry  One line of an order's history. */
export function moment({ status, step, reason }) {
  const { moments } = texts;
  if (status === 'PENDING') return moments.received;
  if (status === 'RUNNING') {
    const doing = entryOf(texts.doing, step);
    return doing ? interpolate(moments.doing, { step: doing }) : moments.underWay;
  }
  const undoing = entryOf(texts.undoing, step);
  if (status === 'COMPENSATING')
    return undoing ? interpolate(moments.doing, { step: undoing }) : moments.undoing;
  if (status === 'COMPLETED') return moments.completed;
  if (status === 'NEEDS_ATTENTION')
    return reason === 'given-up'
      ? moments.givenUp
      : interpolate(moments.attention, { step: undoing ?? texts.labels.undoing });
  if (reason === 'card-declined') return moments.declined;
  if (reason === 'out-of-stock') return moments.soldOut;
  if (reason === 'cancelled') return moments.cancelled;
  return status === 'REJECTED' ? moments.refused : moments.undone;
}
