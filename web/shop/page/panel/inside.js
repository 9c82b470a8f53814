/** What the demo's drawer shows; fetched only where there is one. */
export { panelView } from './panel.js';
export { tourView } from './tour.js';
