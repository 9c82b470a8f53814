import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { SCENARIOS } from './model.js';

/** How many different interleavings are run; `make test-slow` runs more. */
const WANTED = Number(process.env.INTERLEAVINGS ?? 6000);

test(
  `in ${WANTED} different interleavings nothing flickers, doubles, is lost or hangs`,
  { timeout: 600_000 },
  async () => {
    const worker = new Worker(new URL('./model-run.js', import.meta.url), { workerData: { wanted: WANTED } });
    const [{ played, runs, seconds }] = await once(worker, 'message');
    console.log(
      `${played} interleavings of ${SCENARIOS.length} scenarios, ${runs} runs, ${seconds.toFixed(1)} s`,
    );
    assert.equal(played, WANTED);
  },
);
