/** TanStack's own QueryClient beside the client: its cache is written by the stream, and a saga's steps invalidate queries. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { connectQueries } from '../../web/client/query.js';
import { createBench, turn } from './bench.js';

const { QueryClient, QueryObserver } = createRequire(
  new URL('../../web/client/package.json', import.meta.url),
)('@tanstack/query-core');
const stock = (version, left) => ({ name: 'stock/mug', version, data: { left }, at: '' });
const order = (version, status) => ({ id: 'o1', type: 'order', status, version, mutation: 'm' });

test('a value of the stream is in the cache at once, and an optimistic change of it, too', async () => {
  const bench = createBench();
  const queries = new QueryClient();
  const leave = connectQueries(bench.client, queries, { values: { 'stock/mug': ['stock', 'mug'] } });
  await turn();
  assert.deepEqual(bench.calls, [['follow', 'stock/mug']]);
  bench.snapshot('e-0', [], [stock(5, 10)]);
  assert.deepEqual(queries.getQueryData(['stock', 'mug']), { left: 10 });
  const operation = bench.client.mutate({
    request: { url: '/' },
    apply: (draft) => draft.value('stock/mug', (data) => ({ left: data.left - 1 })),
  });
  assert.deepEqual(queries.getQueryData(['stock', 'mug']), { left: 9 });
  operation.dismiss();
  assert.deepEqual(queries.getQueryData(['stock', 'mug']), { left: 10 });
  leave();
  bench.value('stock/mug', 6, { left: 3 });
  assert.deepEqual(queries.getQueryData(['stock', 'mug']), { left: 10 });
  await turn();
  assert.deepEqual(bench.calls.at(-1), ['follow']);
});

test('each new version of a saga fetches the invalidated queries again, once, and nothing else', async () => {
  const bench = createBench();
  const queries = new QueryClient();
  const fetched = [];
  const leaves = ['o1', 'o2'].map((id) =>
    new QueryObserver(queries, {
      queryKey: ['order', id],
      queryFn: () => (fetched.push(id), id),
      staleTime: Infinity,
      gcTime: Infinity,
      retry: false,
    }).subscribe(() => {}),
  );
  await turn();
  bench.snapshot('e-1', [order(1, 'RUNNING')]);
  leaves.push(connectQueries(bench.client, queries, { invalidates: ({ type, id }) => [[type, id]] }));
  assert.deepEqual(fetched, ['o1', 'o2']);
  bench.saga('e-2', order(2, 'RUNNING'));
  await turn();
  bench.saga('e-2', order(2, 'RUNNING')); // a repeat changes nothing
  bench.saga('e-3', { ...order(1, 'RUNNING'), id: 'o9' }); // a saga of another row
  await turn();
  assert.deepEqual(fetched, ['o1', 'o2', 'o1']);
  bench.saga('e-4', order(3, 'COMPLETED'));
  await turn();
  assert.deepEqual(fetched, ['o1', 'o2', 'o1', 'o1']);
  for (const leave of leaves) leave();
  queries.clear();
});
