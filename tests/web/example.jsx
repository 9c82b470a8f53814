/**
 * A small screen in React, as an example and for the test: orders and stock from the client, and `useOptimistic` on top
 * for a mark that only this screen has.
 */
import { startTransition, Suspense, useOptimistic } from 'react';
import { createRoot } from 'react-dom/client';

import { createClient } from 'bff-client';
import {
  useCommitted,
  useConnection,
  useMutation,
  useSagas,
  useValue,
  useValueSuspense,
} from 'bff-client/react';
import { createMonitor } from 'bff-client/rum';

/** Suspended until the first version of the value is there. */
function Left({ client }) {
  return <b>{useValueSuspense(client, 'stock/mug-01').data.available}</b>;
}

export function Screen({ client, monitor, place, archive }) {
  useCommitted(monitor);
  const connection = useConnection(client);
  const sagas = useSagas(client);
  const stock = useValue(client, 'stock/pen-01');
  const [order, newest] = useMutation(place);
  // While the transition runs the mark is shown; when it ends the client's state counts again.
  const [orders, mark] = useOptimistic(sagas, (now, id) =>
    now.map((order) => (order.id === id ? { ...order, leaving: true } : order)),
  );
  window.renders = (window.renders ?? 0) + 1;
  return (
    <section data-connection={connection}>
      <output>{stock?.data.available ?? 'unknown'}</output>
      <button onClick={() => order({ sku: 'pen-01', quantity: 1 })}>Order</button>
      <Suspense fallback={<i>waiting</i>}>
        <Left client={client} />
      </Suspense>
      {newest && (
        <p data-state={newest.state} data-pending={newest.pending}>
          <button onClick={newest.retry}>Again</button>
          <button onClick={newest.dismiss}>Dismiss</button>
        </p>
      )}
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
