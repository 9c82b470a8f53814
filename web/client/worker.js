/** The shared worker: one hub for every tab. It ends with the last of them. */
import { holdFor } from './leader.js';

holdFor(self.name);
