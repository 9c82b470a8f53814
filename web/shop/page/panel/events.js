/** What the stream said about orders since this was loaded, newest first: at most fifty changes. */
import { keyOf, liveOrders } from '../orders.js';

const KEPT = 50;

/** @typedef {import('../shapes.js').LiveOrder} LiveOrder */
/** at: when this page received it. @typedef {{key: string, id: string, version: number, status: string, step: string | null, attempt: number, reason: string | null, at: number}} OrderEvent */

/** @type {OrderEvent[]} */
let events = [];
/** The newest version of each order; null until there was a state, which is nothing new. @type {Map<string, number> | null} */
let versions = null;

export const orderEvents = () => events;

/** @param {readonly LiveOrder[]} orders */
function look(orders) {
  const before = versions;
  versions = new Map(orders.map((order) => [keyOf(order), order.version]));
  if (!before) return;
  for (const order of orders) {
    const { id, version, status, step, attempt, reason } = order;
    if (order.pending || version < 1 || (before.get(keyOf(order)) ?? 0) >= version) continue;
    const event = { key: `${id} ${version}`, id, version, status, step, attempt, reason, at: Date.now() };
    events = [event, ...events].slice(0, KEPT);
  }
}

liveOrders.subscribe(look);
look(liveOrders.get());
