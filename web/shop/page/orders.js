/** One list of orders from two: the orders of the screen, and the client's live orders. The newer version wins. */
import { client } from './live.js';

/** @typedef {import('./shapes.js').Order} Order */

/** The order's id in this page: its mutation's id, which it has from the click on. @param {Order} order */
export const keyOf = (order) => order.mutation ?? order.id;

/**
 * @param {readonly Order[]} listed  Newest first, as the screen has them.
 * @param {readonly Order[]} live    In the order they became known.
 * @returns {Order[]} Newest first.
 */
export function merge(listed, live) {
  /** @type {Map<string, Order>} */
  const known = new Map(live.filter((order) => order.type === 'order').map((order) => [keyOf(order), order]));
  const old = listed.map((order) => {
    const newer = known.get(keyOf(order));
    known.delete(keyOf(order));
    return newer && newer.version >= order.version ? newer : order;
  });
  return [...known.values()].sort(byAge).concat(old);
}

/** Live orders by the time they were first seen, newest first: their own times change with each step. @param {Order} a @param {Order} b */
function byAge(a, b) {
  return firstSeen(b) - firstSeen(a);
}

/** @type {Map<string, number>} */
const seen = new Map();

/** @param {Order} order */
function firstSeen(order) {
  const key = keyOf(order);
  let at = seen.get(key);
  if (at === undefined) {
    at = Date.parse(order.at) || Date.now();
    if (seen.size > 500) seen.clear();
    seen.set(key, at);
  }
  return at;
}

export const liveOrders = client.sagas();
