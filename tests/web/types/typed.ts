/** A client that knows the shop's gateway: names, data, inputs and outcomes, without a cast. */
import { createClient, type Problem } from 'bff-client';
import { useSaga, useSagas, useValue } from 'bff-client/react';
import type { components, paths } from '../../../web/shop/page/gateway.js';

type Gateway = { components: components; paths: paths };
type Is<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <T extends true>(_?: T) => {};

const client = createClient<Gateway>();

// ---- values
const stock = client.value('stock/mug-01').get();
const left: number = stock?.data.available ?? 0;
holds<Is<NonNullable<typeof stock>['data'], components['schemas']['Stock']>>();
// @ts-expect-error no such value
client.value('stok/mug-01');
client.subscribe(['stock/mug-01', 'bell/0123']);
// @ts-expect-error no such value
client.subscribe(['orders/1']);
const bell: number | undefined = useValue(client, 'bell/0123')?.data.unread;

// ---- sagas
const order = client.saga('id', 'order').get();
holds<Is<NonNullable<typeof order>['data'], components['schemas']['OrderData']>>();
for (const one of client.sagas('order').get()) holds<Is<(typeof one)['data']['total_cents'], number>>();
// @ts-expect-error no such saga
client.sagas('invoice');
const known = useSagas(client);
const total: number | undefined = useSaga(client, 'id', 'order')?.data.total_cents;

// ---- commands
const place = client.define('place-order', {
  request: (cart: components['schemas']['Cart']) => client.request('POST', '/api/orders', { body: cart }),
  apply(draft, { lines }) {
    draft.value('stock/mug-01', (now) => ({ ...now, available: now.available - lines.length }));
    // @ts-expect-error no such field of the value
    draft.value('stock/mug-01', (now) => ({ ...now, available: now.left }));
    // @ts-expect-error no such saga
    draft.saga({ type: 'invoice' });
  },
});
// @ts-expect-error the input is a cart
place({ rows: [] });
const cancel = client.define('cancel-order', {
  request: ({ id }: { id: string }) => client.request('POST', '/api/orders/{id}/cancel', { path: { id } }),
  apply() {},
});
// @ts-expect-error no such command
client.request('POST', '/api/order', { body: {} });
// @ts-expect-error a screen is no command
client.request('POST', '/api/screens/orders');
// @ts-expect-error its path needs the order's id
client.request('POST', '/api/orders/{id}/cancel');
// @ts-expect-error the body is a cart
client.request('POST', '/api/orders', { body: { rows: [] } });

export async function outcomes(): Promise<string | undefined> {
  const placed = await place({ lines: [], card: 'first', delivery_cents: null }).outcome;
  holds<Is<NonNullable<typeof placed.data>, components['schemas']['OrderData']>>();
  const state = cancel({ id: '7' }).progress.get().state;
  holds<Is<typeof state, 'sent' | 'acknowledged' | 'running' | 'settled' | 'unknown'>>();
  // @ts-expect-error no such state
  if (state === 'done') return undefined;
  return placed.problem ? cure(placed.problem) : undefined;
}

/** The gateway's codes are offered, and a team's own is accepted. */
function cure({ code }: Problem): string {
  const known: Problem['code'] = 'step-up-required';
  // A misspelled code of the gateway is no code of its union.
  holds<Is<Extract<Problem['code'], 'rate-limited'>, 'rate-limited'>>();
  holds<Is<Extract<Problem['code'], 'rate-limitd'>, never>>();
  return code === known ? 'sign in again' : code === 'sold-out' ? 'choose another' : code;
}
export { bell, known, left, total };
