/**
 * Begins the page. Where a part of it cannot be fetched, from a network that went or a gateway that is full, the page says
 * so and is loaded anew by itself, once. A mistake of ours stays loud.
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
      // Without a network the browser's own page would take this one's place.
      if (navigator.onLine) location.reload();
      else addEventListener('online', () => location.reload(), { once: true });
    }, AGAIN);
});
