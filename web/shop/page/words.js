/** Texts for an order's state, for the person who placed it: what happened, and what to do next. */

/** @typedef {import('./shapes.js').Order} Order */

/** @typedef {import('./shapes.js').Step} Step */
/** @typedef {import('./shapes.js').Reason} Reason */

/**
 * The text of a table for a code, where it has one: a service may have steps and reasons for which this page has no
 * text.
 * @template T
 * @param {Readonly<Record<string, T>>} table
 * @param {string | null | undefined} code
 * @returns {T | undefined}
 */
export const word = (table, code) => (code && Object.hasOwn(table, code) ? table[code] : undefined);

/** @satisfies {Record<Exclude<Reason, 'given-up'>, {happened: string, next: string}>} by the saga's reason */
const REASONS = {
  'card-declined': {
    happened: 'Your card was declined. Nothing was charged and the items are back in stock.',
    next: 'Try another card, or contact Payments (#payments).',
  },
  'no-carrier': {
    happened: 'No carrier takes this parcel. Your money is on its way back and the items are back in stock.',
    next: 'Ask Shipping (#shipping) about your address, or order again later.',
  },
  'out-of-stock': {
    happened: 'An item of this order sold out before we could set it aside. Nothing was charged.',
    next: 'Order fewer items or other ones, or ask Inventory (#inventory) when more will arrive.',
  },
  'payments-unavailable': {
    happened: 'Your payment could not be made. Nothing stays charged and the items are back in stock.',
    next: 'Try again later, or contact Payments (#payments).',
  },
  'shipping-unavailable': {
    happened: 'No parcel could be booked. Nothing stays charged and the items are back in stock.',
    next: 'Try again later, or contact Shipping (#shipping).',
  },
  'inventory-unavailable': {
    happened: 'The warehouse could not be reached. Nothing was charged.',
    next: 'Try again later, or contact Inventory (#inventory).',
  },
  cancelled: {
    happened: 'You cancelled this order. Nothing stays charged and the items are back in stock.',
    next: 'Changed your mind? Put it back in the basket.',
  },
};
/** @satisfies {Record<string, {team: string, failed: string}>} by the service that is called again */
const SERVICES = {
  inventory: { team: 'Inventory (#inventory)', failed: 'The warehouse did not answer' },
  payments: { team: 'Payments (#payments)', failed: 'Payments did not answer' },
  shipping: { team: 'Shipping (#shipping)', failed: 'Shipping did not answer' },
};
/** @satisfies {Record<Step, keyof typeof SERVICES>} the service that does a step */
const SERVICE_OF = {
  reserve: 'inventory',
  charge: 'payments',
  ship: 'shipping',
  'cancel-shipment': 'shipping',
  refund: 'payments',
  release: 'inventory',
};
/** @satisfies {Record<Step, string>} the name of a step's attempt */
const TRIED = {
  reserve: 'Setting items aside',
  charge: 'Charge',
  ship: 'Booking the parcel',
  'cancel-shipment': 'Recalling the parcel',
  refund: 'Refund',
  release: 'Putting items back',
};
const REFUSED = {
  happened: 'This order could not be completed. Everything done for it was undone.',
  next: 'Try again, or contact Orders (#orders).',
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

/** @satisfies {Partial<Record<Step, string>>} */
const DOING = { reserve: 'Setting items aside', charge: 'Charging your card', ship: 'Booking the parcel' };
/** @satisfies {Partial<Record<Step, string>>} */
const UNDOING = {
  refund: 'Refunding',
  release: 'Putting items back',
  'cancel-shipment': 'Recalling the parcel',
};

/**
 * A step that failed and will be tried again.
 * @param {Order} order
 * @returns {{what: string, attempt: number, at: string, why: string} | null} `at`: when, RFC 3339.
 */
export function trying(order) {
  const at = order.data?.next_try_at;
  if (!at || order.pending || !['RUNNING', 'COMPENSATING', 'NEEDS_ATTENTION'].includes(order.status))
    return null;
  return {
    what: word(TRIED, order.step) ?? 'This step',
    attempt: order.attempt,
    at,
    why: why(order.data.last_error),
  };
}

/** Why an attempt failed. @param {string | null | undefined} error  Such as `payments-unavailable`. */
export function why(error) {
  return word(SERVICES, error?.replace(/-unavailable$/, ''))?.failed ?? (error ? 'Failed' : '');
}

/** @param {Order} order  Two or three words for the chip. */
export function label(order) {
  switch (mood(order)) {
    case 'sending':
      return 'Sending…';
    case 'unknown':
      return 'Checking…';
    case 'moving':
      return word(DOING, order.step) ?? 'Under way';
    case 'undoing':
      return order.reason === 'cancelling' ? 'Cancelling…' : (word(UNDOING, order.step) ?? 'Undoing');
    case 'done':
      return 'On its way';
    case 'undone':
      return order.reason === 'card-declined' ? 'Payment declined' : 'Undone';
    case 'cancelled':
      return 'Cancelled';
    case 'refused':
      return order.reason === 'out-of-stock' ? 'Sold out' : 'Refused';
    case 'attention':
      return 'Being looked into';
    default:
      return 'Received';
  }
}

/** @param {Order} order @returns {{tone: 'plain' | 'bad' | 'warn', happened: string, next: string} | null} */
export function message(order) {
  const said = word(REASONS, order.reason) ?? REFUSED;
  switch (mood(order)) {
    case 'unknown':
      return {
        tone: 'warn',
        happened: 'We do not know yet whether this order arrived.',
        next: 'We keep trying with the same order number, so it cannot be placed twice.',
      };
    case 'undoing':
      if (order.reason === 'cancelling') return null;
      return {
        tone: 'warn',
        happened:
          order.reason === 'card-declined'
            ? 'Your card was declined.'
            : order.reason === 'cancelled'
              ? 'You cancelled this order.'
              : 'This order could not be completed.',
        next: 'We are undoing what was done for it.',
      };
    case 'undone':
    case 'cancelled':
    case 'refused':
      return { tone: order.reason === 'cancelled' ? 'plain' : 'bad', ...said };
    case 'attention':
      if (order.reason === 'given-up')
        return {
          tone: 'bad',
          happened: 'We could not undo everything automatically, so our team does it by hand.',
          next: 'They will be in touch. Questions: Orders (#orders).',
        };
      return {
        tone: 'warn',
        happened: 'A step of this order keeps failing. We keep retrying it.',
        next: `${word(SERVICES, word(SERVICE_OF, order.step))?.team ?? 'Orders (#orders)'} and Orders (#orders) look into it; there is nothing for you to do.`,
      };
    default:
      return null;
  }
}

/** @param {{status: string, step: string | null, reason: string | null}} moment  One line of an order's history. */
export function moment({ status, step, reason }) {
  if (status === 'PENDING') return 'Order received';
  if (status === 'RUNNING') return `${word(DOING, step) ?? 'Under way'}…`;
  if (status === 'COMPENSATING') return `${word(UNDOING, step) ?? 'Undoing'}…`;
  if (status === 'COMPLETED') return 'Parcel booked, order complete';
  if (status === 'NEEDS_ATTENTION')
    return reason === 'given-up'
      ? 'Ended by a person'
      : `${word(UNDOING, step) ?? 'Undoing'}: needs attention, still being tried`;
  if (reason === 'card-declined') return 'Card declined, everything undone';
  if (reason === 'out-of-stock') return 'Sold out, nothing done';
  if (reason === 'cancelled') return 'Cancelled, everything undone';
  return status === 'REJECTED' ? 'Refused, nothing done' : 'Everything undone';
}

/** @type {Record<import('./shapes.js').Missing['reason'], string>} why a part of a screen is missing */
export const MISSING = {
  timeout: 'did not answer in time',
  'circuit-open': 'is not called for a while after too many failures',
  overloaded: 'is too busy right now',
  unreachable: 'cannot be reached',
  failed: 'had an error',
  refused: 'refused to answer',
  invalid: 'sent an unreadable answer',
};
