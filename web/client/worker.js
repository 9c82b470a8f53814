/** The shared worker: one hub for every tab. It ends with the last of them. */
import { hold } from './holder.js';

hold(self.name);
