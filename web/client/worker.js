/** The shared worker: one hub for all tabs. It ends with the last tab. */
import { hold } from './holder.js';

hold(self.name);
