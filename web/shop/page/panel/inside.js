/** What the demo's drawer shows, with its texts; fetched only where there is one. */
import { addTexts } from '../texts.js';
import { de } from './texts.de.js';
import { en } from './texts.en.js';

export { drawerContent } from './drawer.js';

addTexts({ en, de: /** @type {any} */ (de) });
