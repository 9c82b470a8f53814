/**
 * A small screen in React, as an example and for the test: orders and stock from the client, and `useOptimistic` on top
 * for a mark that only this screen has.
 */
import { startTransition, useOptimistic } from 'react';
import { createRoot } from 'react-dom/client';

import { createClient } from 'bff-client';
import { useCommitted, useConnection, useSagas, useValue } from 'bff-client/react';
import { createMonitor } from 'bff-client/rum';

export function Screen({ client, monitor, place, archive }) {
  useCommitted(monitor);
  const connection = useConnection(client);
  const sagas = useSagas(client);
  const stock = useValue(client, 'stock/pen-01');
  // While the transition runs the mark is shown; when it ends the client's state counts again.
  const [orders, mark] = useOptimistic(sagas, (now, id) =>
    now.map((order) => (order.id === id ? { ...order, leaving: true } : order)),
  );
  window.renders = (window.renders ?? 0) + 1;
  return (
    <section data-connection={connection}>
      <output>{stock?.data.available ?? 'unknown'}</output>
      <button onClick={() => place({ sku: 'pen-01', quantity: 1 })}>Order</button>
      <ul>
        {orders.map(({ id, mutation, status, pending, leaving }) => (
          <li
            key={mutation ?? id}
            data-order={mutation ?? id}
            data-status={status}
            data-pending={pending}
            data-leaving={leaving}
            onClick={() =>
              startTransition(async () => {
                mark(id);
                await archive(id);
              })
            }
          />
        ))}
      </ul>
    </section>
  );
}

/** @param {Element} place  Where to draw. @param {string} userId */
export function start(place, userId) {
  const monitor = createMonitor({ sample: 1, manual: true });
  const client = createClient({ storage: null, monitor });
  const order = client.define('place-order', {
    request: (line) => ({ url: '/api/orders', body: { lines: [line] } }),
    apply(draft, { sku, quantity }) {
      draft.saga({ type: 'order', data: {} });
      draft.value(`stock/${sku}`, (stock) => ({ ...stock, available: stock.available - quantity }));
    },
  });
  client.start({ userId });
  const archive = () => new Promise((resolve) => (window.archived = resolve));
  createRoot(place).render(<Screen client={client} monitor={monitor} place={order} archive={archive} />);
  return client;
}
