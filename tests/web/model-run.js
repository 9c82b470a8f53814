/** Runs the model in its own thread: the test runner's tracking of promises would make it five times slower. */
import { parentPort, workerData } from 'node:worker_threads';

import { dice } from './bench.js';
import { run, SCENARIOS, stopTime } from './model.js';

const time = stopTime();
const played = new Set();
const began = performance.now();
let seed = 1;
for (; played.size < workerData.wanted && seed < workerData.wanted * 20; seed += 1) {
  const which = seed % SCENARIOS.length;
  const roll = dice(seed);
  const choices = [];
  try {
    const trace = await run(SCENARIOS[which], (sides) => (choices.push(roll(sides)), choices.at(-1)), time);
    played.add(`${which} ${trace}`);
  } catch (error) {
    throw new Error(`${error.message}\n${JSON.stringify(SCENARIOS[which])} seed ${seed}: ${choices}`, {
      cause: error,
    });
  }
}
parentPort.postMessage({ played: played.size, runs: seed - 1, seconds: (performance.now() - began) / 1000 });
