import assert from 'node:assert/strict';
import { test } from 'node:test';

import { readShares } from '../../web/shop/page/panel/shares.js';
import { note, timings } from '../../web/shop/page/diagnostics.js';
import { createBench } from './bench.js';

test('the status tells the position followed and when the stream last spoke, a beat included', () => {
  const bench = createBench();
  assert.deepEqual(bench.client.status(), { position: null, heardAt: null });
  bench.snapshot('e-4', [], []);
  const { position, heardAt } = bench.client.status();
  assert.equal(position, 'e-4');
  assert.ok(heardAt !== null && Math.abs(Date.now() - heardAt) < 60_000);
});

test('the time of each service is read with its outcome, and unknown words are ignored', () => {
  assert.deepEqual(
    readShares('Catalog.product;dur=3.5;start=1.5, Payments.charge;dur=500.0;desc="timeout", odd;x=1;dur=2'),
    [
      { name: 'Catalog.product', start: 1.5, milliseconds: 3.5, outcome: 'ok' },
      { name: 'Payments.charge', start: 0, milliseconds: 500, outcome: 'timeout' },
      { name: 'odd', start: 0, milliseconds: 2, outcome: 'ok' },
    ],
  );
  assert.deepEqual(readShares(''), []);
});

test('the newest timing of each screen is shown, at most five', () => {
  const answer = new Response('', { headers: { 'bff-complete': 'false', 'server-timing': 'a;dur=1' } });
  for (const name of ['one', 'two', 'one', 'three', 'four', 'five', 'six'])
    note(`/api/screens/${name}`, performance.now(), answer);
  assert.deepEqual(
    timings().map(({ path }) => path.split('/').at(-1)),
    ['six', 'five', 'four', 'three', 'one'],
  );
  assert.equal(timings()[0]?.complete, false);
});
