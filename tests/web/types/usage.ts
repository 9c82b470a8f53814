/** The types in strict TypeScript. Lines that must not compile are marked with the reason. */
import { createClient, ended, type Operation, type Outcome, type Saga, type Value } from 'bff-client';
import { connectQueries } from 'bff-client/query';
import { useCommitted, useSaga, useValue } from 'bff-client/react';
import { createMonitor, watchVitals } from 'bff-client/rum';
import { createStream } from 'bff-client/stream';

const client = createClient({ url: '/bff/live', storage: null, stream: { share: 'lock', heartbeat: 5 } });
const own = createClient({ source: createStream });
const monitor = createMonitor({ sample: 0.1, vitals: watchVitals });
createClient({ monitor });
// @ts-expect-error a share is a number
createMonitor({ sample: 'all' });
// @ts-expect-error no such value of `share`
createClient({ stream: { share: 'carrier pigeon' } });

const place = client.define('place', {
  request: (wish: { sku: string; quantity: number }) => ({ url: '/api/orders', body: wish }),
  apply(draft, wish) {
    draft.saga({ type: 'order', data: { lines: [wish] } });
    draft.value(`stock/${wish.sku}`, (stock) => ({ ...stock, available: stock.available - wish.quantity }));
    // @ts-expect-error a row has a `type`
    draft.saga({ data: 1 });
  },
});
const operation: Operation = place({ sku: 'mug', quantity: 1 });
// @ts-expect-error the input has the type of `request`
place({ sku: 'mug' });

export async function tell(): Promise<string> {
  const outcome: Outcome = await operation.outcome;
  const { phase } = operation.progress.get();
  // @ts-expect-error no such phase of a mutation
  if (phase === 'forgotten') return '';
  switch (outcome.kind) {
    case 'confirmed':
    case 'unknown':
      return outcome.kind;
    case 'compensated':
    case 'rejected':
      return outcome.reason ?? outcome.problem?.title ?? '';
  }
}

const saga: Saga | undefined = client.saga(operation.id).get();
const over: boolean | undefined = saga && ended(saga);
const leave: () => void = client.sagas().subscribe((sagas: readonly Saga[]) => void sagas.length);
const unsubscribe: () => void = client.subscribe(['stock/mug']);
const stock: Value | undefined = useValue(client, 'stock/mug');
const shown: Saga | undefined = useSaga(client, operation.id);
const unplug: () => void = connectQueries(own, {} as Parameters<typeof connectQueries>[1], {
  values: { 'stock/mug': ['stock', 'mug'] },
  invalidates: ({ type, id }) => [[type, id]],
});
const traceparent: string | undefined = monitor.traceparent();
monitor.screen('/api/orders');
useCommitted(monitor);
const ends: number | null = client.sessionExpiresAt.get();
export { ends, leave, over, shown, stock, traceparent, unplug, unsubscribe };
