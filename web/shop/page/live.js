/** The page's one client, and what it can do with it: place an order, cancel one, know what is left. */
import { createClient } from '/client/index.js';

export const client = createClient();

/**
 * @typedef {{sku: string, name: string, quantity: number, price_cents: number}} Line
 * @typedef {{lines: Line[], currency: string}} Wish
 */

/** Shows the order and takes its items off the shelf at once; the server's word replaces both. */
export const placeOrder = client.define('place-order', {
  request: (/** @type {Wish} */ { lines }) => ({
    url: '/api/orders',
    body: { lines: lines.map(({ sku, quantity }) => ({ sku, quantity })) },
  }),
  apply(draft, { lines, currency }) {
    const total = lines.reduce((sum, line) => sum + line.quantity * line.price_cents, 0);
    draft.saga({ type: 'order', data: { lines, total_cents: total, currency } });
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
  request: (/** @type {{id: string, version: number}} */ { id }) => ({
    url: `/api/orders/${encodeURIComponent(id)}/cancel`,
  }),
  apply(draft, { id, version }) {
    const order = draft.sagas.get(id);
    if (order && order.version <= version) draft.saga({ ...order, reason: 'cancelling' });
  },
  until: (state, { id, version }) => (state.sagas.get(id)?.version ?? Infinity) > version,
});

/** The bell is silent at once; it rings again with the server's next word if there is more. */
export const readAll = client.define('read-notifications', {
  request: () => ({ url: '/api/notifications/read' }),
  apply(draft, /** @type {{topic: string}} */ { topic }) {
    draft.value(topic, (bell) => ({ ...bell, unread: 0 }));
  },
});

/** What a screen knows of the shelf joins what the stream knows: the newer version wins. @param {{sku: string, available: number, version: number}[]} levels */
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
    leave = client.watch(skus.slice(0, 20).map((sku) => `stock/${sku}`));
    before();
  };
}
