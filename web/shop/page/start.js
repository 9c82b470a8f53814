/**
 * Starts the page. When a part of it cannot be fetched, because the network failed or the gateway is full, the page
 * shows a message and reloads itself, once. A bug of ours is still reported.
 */
const AGAIN = 2000; // milliseconds

import('./main.js').catch((error) => {
  const unfetched = error instanceof TypeError && /module/i.test(error.message);
  if (!unfetched) reportError(error);
  const card = document.createElement('section');
  card.className = 'card centred';
  card.setAttribute('role', 'alert');
  card.setAttribute('data-test', 'not-loaded');
  const title = document.createElement('h1');
  title.textContent = 'The shop could not be loaded';
  const again = document.createElement('a');
  again.className = 'button primary';
  again.href = location.href;
  again.textContent = 'Try again';
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
