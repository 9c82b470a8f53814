/**
 * Starts the page. When a part of it cannot be fetched, because the network failed or the gateway is full, the page
 * shows a message and reloads itself, once. A bug of ours is still reported. Because any other file may be the one that is
 * missing, this one imports nothing, draws by hand, and has its own few texts.
 */
const AGAIN = 2000; // milliseconds

const GERMAN = navigator.languages.find((tag) => /^(en|de)\b/.test(tag))?.startsWith('de');
const TITLE = GERMAN ? 'Der Laden konnte nicht geladen werden' : 'The shop could not be loaded';
const TRY_AGAIN = GERMAN ? 'Erneut versuchen' : 'Try again';

import('./main.js').catch((error) => {
  const unfetched = error instanceof TypeError && /module/i.test(error.message);
  if (!unfetched) reportError(error);
  const card = document.createElement('section');
  card.className = 'card centred';
  card.lang = GERMAN ? 'de' : 'en';
  card.setAttribute('role', 'alert');
  card.setAttribute('data-test', 'not-loaded');
  const title = document.createElement('h1');
  title.textContent = TITLE;
  const again = document.createElement('a');
  again.className = 'button primary';
  again.href = location.href;
  again.textContent = TRY_AGAIN;
  card.append(title, again);
  document.getElementById('main')?.replaceChildren(card);
  const [visit] = performance.getEntriesByType('navigation');
  if (unfetched && /** @type {PerformanceNavigationTiming | undefined} */ (visit)?.type !== 'reload')
    setTimeout(() => {
      // Without a network the browser would replace this page with its own error page.
      if (navigator.onLine) location.reload();
      else addEventListener('online', () => location.reload(), { once: true });
    }, AGAIN);
});
