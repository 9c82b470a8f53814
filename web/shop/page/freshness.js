/** The banner for a page that may be out of date: since when, what that means for an order, how many orders wait. */
import { fill, h } from './dom.js';
import { plural, seconds } from './format.js';
import { client } from './live.js';
import { onPerson, who } from './person.js';

/** Milliseconds: when the stream is back within this time, no banner is shown. */
const SHORT = 1500;

export function startFreshness() {
  const banner = /** @type {HTMLElement} */ (document.getElementById('freshness'));
  const rows = client.sagas();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let late = false;

  function draw() {
    const state = client.connection.get();
    const away = who() !== null && (state === 'offline' || (late && ['stale', 'connecting'].includes(state)));
    if (away === banner.hidden) banner.hidden = !away;
    if (!away) return;
    banner.setAttribute('data-state', state);
    const { heardAt } = client.status();
    const since =
      heardAt === null ? '' : ` What you see is from ${seconds(new Date(heardAt).toISOString())}.`;
    const waiting = rows.get().filter((row) => row.pending && row.version < 0).length;
    fill(
      banner,
      h(
        'strong',
        {},
        state === 'offline' ? 'You are offline.' : 'We lost the connection and are trying again.',
      ),
      h('span', {}, since),
      h(
        'span',
        { 'data-test': 'waiting' },
        waiting
          ? ` ${plural(waiting, 'order')} ${waiting === 1 ? 'waits' : 'wait'} here and will be sent once, when you are back.`
          : ' You can go on: an order placed now waits here and is sent once, when you are back.',
      ),
    );
  }

  client.connection.subscribe((state) => {
    clearTimeout(timer);
    if (state === 'live') late = false;
    else
      timer = setTimeout(() => {
        late = true;
        draw();
      }, SHORT);
    draw();
  });
  rows.subscribe(draw);
  onPerson(draw);
}
