/** The page's client, and what the page does with it: place an order, cancel one, read notifications. */
import { createClient } from '/client/index.js';
import { command } from './api.js';
import { monitor } from './monitor.js';

/** delivery_cents: null while it is not known. @typedef {{lines: import('./shapes.js').Line[], delivery_cents: number | null, card: import('./shapes.js').Card, currency: string}} Wish */

export const client = /** @type {import('./shapes.js').LiveClient} */ (createClient({ monitor }));

/** Shows the order and lowers the stock at once; the server's state replaces both. */
export const placeOrder = client.define('place-order', {
  request: (/** @type {Wish} */ { lines, delivery_cents, card }) =>
    command(
      '/api/orders',
      {},
      {
        // What was shown is what is charged: for another price the order is refused.
        lines: lines.map(({ sku, quantity, price_cents }) => ({ sku, quantity, price_cents })),
        delivery_cents,
        card,
      },
    ),
  apply(draft, { lines, delivery_cents: shown, card, currency }) {
    const delivery_cents = shown ?? 0;
    const total_cents = lines.reduce((sum, line) => sum + line.quantity * line.price_cents, delivery_cents);
    const told = { reached: null, next_try_at: null, last_error: null };
    const data = { lines, delivery_cents, card, total_cents, currency, ...told };
    draft.saga({ type: 'order', data });
    for (const { sku, quantity } of lines) {
      draft.value(`stock/${sku}`, (stock) => ({
        ...stock,
        available: Math.max(0, stock.available - quantity),
      }));
    }
  },
});

/** The order is shown as being cancelled until the server's next event for it. */
export const cancelOrder = client.define('cancel-order', {
  request: (/** @type {{id: string, version: number}} */ { id }) =>
    command('/api/orders/{id}/cancel', { id }, undefined),
  apply(draft, { id, version }) {
    const order = draft.sagas.get(id);
    if (order && order.version <= version) draft.saga({ ...order, reason: 'cancelling' });
  },
  settledWhen: (state, { id, version }) => (state.sagas.get(id)?.version ?? Infinity) > version,
});

/** The bell shows zero at once; the server's next event sets it again if there are more. */
export const readAll = client.define('read-notifications', {
  request: () => command('/api/notifications/read', {}, undefined),
  apply(draft, /** @type {{topic: `bell/${string}`}} */ { topic }) {
    draft.value(topic, (bell) => ({ ...bell, unread: 0 }));
  },
});
