/**
 * The whole page as one view, drawn into the document's body. A view that fails says so, a part around it keeps what it
 * showed, and all others are drawn.
 */
import { drawerView } from './demo.js';
import { expiryView, freshnessView } from './banners.js';
import { headerView } from './header.js';
import { h, render } from './render.js';
import { shown } from './router.js';
import { LANGUAGES, language, setLanguage, texts } from './texts.js';
import { announcements, messages } from './toast.js';

/** @typedef {import('./render.js').Child} Child */

/** What each part around the view showed last, by its name. @type {Map<string, Child>} */
const last = new Map();

/** A part that fails shows what it showed before. @param {string} name @param {() => Child} view */
function guarded(name, view) {
  try {
    last.set(name, view());
  } catch (error) {
    reportError(error);
  }
  return last.get(name);
}

/** The view; where it fails, a card that says so until it is drawn again without a mistake. @param {() => Child} draw */
function guardedView(draw) {
  try {
    return draw();
  } catch (error) {
    reportError(error);
    return mistakeCard();
  }
}

const mistakeCard = () =>
  h(
    'section',
    { class: 'card centred', role: 'alert', 'data-test': 'mistake' },
    h('h1', {}, texts.page.mistake),
    h('p', {}, texts.page.mistakeWhat),
    h('a', { class: 'button primary', href: '/' }, texts.lost.back),
  );

const languagesView = () =>
  h(
    'div',
    { class: 'languages', role: 'group', 'aria-label': texts.page.language },
    Object.entries(LANGUAGES).map(([tag, name]) =>
      h(
        'button',
        {
          type: 'button',
          class: 'small plain',
          lang: tag,
          'data-test': `language-${tag}`,
          'aria-pressed': tag === language,
          onclick: () => void setLanguage(/** @type {keyof typeof LANGUAGES} */ (tag)),
        },
        name,
      ),
    ),
  );

function pageView() {
  const { path, draw } = shown();
  return [
    h(
      'div',
      { class: 'page' },
      h('a', { class: 'skip', href: '#main' }, texts.page.skip),
      h(
        'div',
        { class: 'head' },
        guarded('header', () => headerView(path)),
        guarded('messages', messages),
      ),
      guarded('freshness', freshnessView),
      guarded('expiry', expiryView),
      // Another path has other elements, so that the focus does not stay on something with another meaning.
      h('main', { id: 'main', tabindex: -1 }, h('div', { key: path }, guardedView(draw))),
      h(
        'footer',
        { class: 'foot' },
        h('div', { class: 'foot-line' }, h('p', {}, texts.page.foot), languagesView()),
      ),
    ),
    guarded('drawer', drawerView),
    announcements(),
  ];
}

export function drawPage() {
  if (document.documentElement.lang !== language) document.documentElement.lang = language;
  const title = shown().title();
  const named = title === 'Waypost' ? title : `${title} · Waypost`;
  if (document.title !== named) document.title = named;
  render(pageView(), document.body);
}
