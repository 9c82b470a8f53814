/** What the demo's drawer shows, with its texts; fetched only where there is one. */
import { fetchJson, problemOf } from '../api.js';
import { titleOf } from '../parts.js';
import { h } from '../render.js';
import { addTexts, texts } from '../texts.js';
import { toast } from '../toast.js';
import { panelView } from './panel.js';
import { de } from './texts.de.js';
import { en } from './texts.en.js';
import { tourView } from './tour.js';

addTexts({ en, de: /** @type {any} */ (de) });

/** @typedef {import('../demo.js').Drawer} Drawer */
/** @typedef {(method: string, path: string, body?: unknown) => Promise<void>} Press */

/** @param {Drawer} drawer */
export function drawerContent({ tab, data, show, close, reload }) {
  /** @type {Press} */
  async function press(method, path, body) {
    try {
      await fetchJson(path, {
        method,
        headers: { 'Content-Type': 'application/json' },
        ...(method === 'POST' ? { body: JSON.stringify(body ?? {}) } : {}),
      });
    } catch (error) {
      const problem = problemOf(error);
      toast(problem.detail || titleOf(problem), { tone: 'bad' });
    }
    reload();
  }

  /** @param {Drawer['tab']} name @param {string} title */
  const tabView = (name, title) =>
    h(
      'button',
      {
        type: 'button',
        class: 'small plain',
        'data-test': `tab-${name}`,
        'aria-pressed': tab === name,
        onclick: () => show(name),
      },
      title,
    );

  return [
    h(
      'div',
      { class: 'drawer-head' },
      tabView('panel', texts.drawer.open),
      tabView('tour', texts.drawer.tour),
      h(
        'button',
        {
          type: 'button',
          class: 'small plain drawer-close',
          'data-test': 'close-drawer',
          'aria-label': texts.drawer.close,
          onclick: close,
        },
        '×',
      ),
    ),
    // Another tab has other elements, and begins at its top.
    h(
      'div',
      { key: tab, class: 'drawer-in', 'data-test': tab },
      tab === 'tour' ? tourView(data, press) : panelView(data, press),
    ),
  ];
}
