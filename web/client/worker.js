/** The shared worker: one hub for all tabs. It ends with the last tab. */
import { runWorkerHub } from './leader.js';

runWorkerHub(self.name);
