/** The page's one client, and what it can do with it: place an order, cancel one, know what is left. */
import { createClient } from '/client/index.js';
import { command } from './api.js';

/** @typedef {{lines: import('./shapes.js').Line[], currency: string}} Wish */

export const client = /** @type {import('./shapes.js').LiveClient} */ (createClient());

/** Shows the order and takes its items off the shelf at once; the server's word replaces both. */
export const placeOrder = client.define('place-order', {
  request: (/** @type {Wish} */ { lines }) =>
    command('/api/orders', {}, { lines: lines.map(({ sku, quantity }) => ({ sku, quantity })) }),
  apply(draft, { lines, currency }) {
    const total_cents = lines.reduce((sum, line) => sum + line.quantity * line.price_cents, 0);
    const data = { lines, total_cents, currency, next_try_at: null, last_error: null };
    draft.saga({ type: 'order', data });
    for (const { sku, quantity } of lines) {
      draft.value(`stock/${sku}`, (stock) => ({
        ...stock,
        available: Math.max(0, stock.available - quantity),
      }));
    }
  },
});

/** The order says that it is being cancelled until the server's next word on it. */
export const cancelOrder = client.define('cancel-order', {
  request: (/** @type {{id: string, version: number}} */ { id }) =>
    command('/api/orders/{id}/cancel', { id }, undefined),
  apply(draft, { id, version }) {
    const order = draft.sagas.get(id);
    if (order && order.version <= version) draft.saga({ ...order, reason: 'cancelling' });
  },
  until: (state, { id, version }) => (state.sagas.get(id)?.version ?? Infinity) > version,
});

/** The bell is silent at once; it rings again with the server's next word if there is more. */
export const readAll = client.define('read-notifications', {
  request: () => command('/api/notifications/read', {}, undefined),
  apply(draft, /** @type {{topic: `bell/${string}`}} */ { topic }) {
    draft.value(topic, (bell) => ({ ...bell, unread: 0 }));
  },
});

/** What a screen knows of the shelf joins what the stream knows: the newer version wins. @param {import('./shapes.js').Stock[]} levels */
export function learnStock(levels) {
  client.observe(
    levels.map((level) => ({ name: `stock/${level.sku}`, version: level.version, data: level })),
  );
}

/** @param {string} sku */
export const stockOf = (sku) => client.value(`stock/${sku}`);

/** For a view: a function that asks for what is left of these, instead of what it asked for before. @param {(leave: () => void) => void} onLeave */
export function stockWatch(onLeave) {
  let leave = () => {};
  onLeave(() => leave());
  return (/** @type {string[]} */ skus) => {
    const before = leave;
    leave = client.watch(skus.slice(0, 20).map((sku) => /** @type {const} */ (`stock/${sku}`)));
    before();
  };
}
