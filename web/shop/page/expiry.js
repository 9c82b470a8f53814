/**
 * The banner before a sign-in ends: how much time is left, and how to stay signed in. It never warns of an end that
 * was postponed meanwhile, for example in another tab: when the page is shown again, the gateway is asked again.
 */
import { fill, h, say } from './dom.js';
import { plural } from './format.js';
import { client } from './live.js';
import { onPerson, recognise, signInAt, signInEnds, who } from './person.js';

const WARN = 60; // seconds before the end
const LONGEST = 2 ** 31 - 1; // milliseconds that a timer can wait

export function startExpiry() {
  const banner = /** @type {HTMLElement} */ (document.getElementById('expiry'));
  const count = h('span', { class: 'left', 'aria-hidden': true });
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** The time from the gateway's answer, or a later one from the stream. */
  const ends = signInEnds;

  function draw() {
    clearTimeout(timer);
    const left = Math.ceil((ends() - Date.now()) / 1000);
    const late = who() !== null && left <= WARN;
    if (!late) {
      banner.hidden = true;
      fill(banner);
      if (who()) timer = setTimeout(draw, Math.min(LONGEST, (left - WARN) * 1000));
      return;
    }
    if (banner.hidden) {
      banner.hidden = false;
      fill(
        banner,
        h('span', {}, h('strong', {}, 'Your sign-in ends soon.'), count),
        // The address at the time of the click, not of the drawing.
        h(
          'a',
          {
            class: 'button small',
            'data-test': 'stay',
            href: signInAt(),
            onclick: (/** @type {Event & {currentTarget: HTMLAnchorElement}} */ { currentTarget }) =>
              (currentTarget.href = signInAt()),
          },
          'Stay signed in',
        ),
      );
    }
    say(count, left > 0 ? ` ${plural(left, 'second')} left.` : '');
    timer = left > 0 ? setTimeout(draw, 1000) : setTimeout(ask, 1000);
  }

  /** Ask the gateway whether the session still ends soon. */
  const ask = () => void recognise().catch(() => (timer = setTimeout(ask, 5000)));

  // Timers stop while a machine sleeps, and another tab may have signed in again.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    if (!banner.hidden) ask();
    draw();
  });
  // The warning is withdrawn: the stream continues with a newer sign-in.
  client.sessionExpiresAt.subscribe((at) => (at === null && !banner.hidden ? ask() : draw()));
  onPerson(draw);
  draw();
}
