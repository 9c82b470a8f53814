/**
 * The bell: how many notifications are unread, live, and the list of them. It is a button with a popover; Escape, a click
 * elsewhere and leaving it with the Tab key close it. A list that cannot be loaded shows the reason and the owner.
 */
import { problemOf, screen } from './api.js';
import { fill, h, say, svg } from './dom.js';
import { plural, time } from './format.js';
import { client, readAll } from './live.js';
import { follow } from './notices.js';
import { drawProblem } from './parts.js';
import { lose, onPerson, who } from './person.js';
import { onNavigate } from './router.js';

const SETTLE = 150; // milliseconds after a change of the bell before the list is fetched again
const BELL =
  '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2a2 2 0 0 0-2 2v.3A6 6 0 0 0 6 10v5l-2 2v1h16v-1l-2-2v-5a6 6 0 0 0-4-5.7V4a2 2 0 0 0-2-2zm-2.5 18a2.5 2.5 0 0 0 5 0z"/></svg>';

export function startBell() {
  const place = /** @type {HTMLElement} */ (document.getElementById('bell'));
  const count = h('span', { class: 'count', 'aria-hidden': true, 'data-test': 'unread' });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'plain bell',
      'data-test': 'bell',
      'aria-expanded': 'false',
      'aria-controls': 'notifications',
      onclick: () => (popover.hidden ? open() : close()),
    },
    svg(BELL),
    count,
  );
  const list = h('ul', { class: 'notifications' });
  const note = h('div');
  const all = h(
    'button',
    {
      type: 'button',
      class: 'small plain',
      'data-test': 'read-all',
      onclick() {
        if (topic && unread() > 0) follow(readAll({ topic }));
      },
    },
    'Mark all as read',
  );
  const popover = h(
    'section',
    { id: 'notifications', class: 'popover', 'aria-label': 'Notifications', hidden: true },
    h('header', {}, h('h2', {}, 'Notifications'), all),
    note,
    list,
  );
  fill(place, button, popover);

  /** @type {import('./shapes.js').Screen<'/api/screens/notifications'> | null} */
  let told = null;
  /** @type {`bell/${string}` | null} the bell that is watched */
  let topic = null;
  let drawn = '';
  let heard = -1; // the newest version of the bell for which the list was fetched
  /** @type {() => void} */
  let leave = () => {};
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** The bell from the stream, or before its first event from the screen. */
  function unread() {
    return told === null || topic === null ? 0 : (client.value(topic).get()?.data.unread ?? told.unread);
  }

  function draw() {
    const left = unread();
    place.hidden = who() === null;
    count.hidden = left === 0;
    say(count, left > 99 ? '99+' : String(left));
    button.setAttribute(
      'aria-label',
      left ? `Notifications, ${plural(left, 'unread one', 'unread')}` : 'Notifications, none unread',
    );
    // Not `disabled`, which would remove the keyboard focus from the button that was just pressed.
    all.setAttribute('aria-disabled', String(left === 0));
    const next = JSON.stringify([told?.notifications, left === 0]);
    if (next === drawn) return;
    drawn = next;
    const at = [...list.querySelectorAll('a')].indexOf(
      /** @type {HTMLAnchorElement} */ (document.activeElement),
    );
    drawList(told?.notifications ?? [], left);
    list.querySelectorAll('a')[at]?.focus();
  }

  /** @param {import('./shapes.js').Notification[]} shown @param {number} left */
  function drawList(shown, left) {
    fill(
      list,
      shown.length
        ? shown.map((one) =>
            h(
              'li',
              {
                'data-test': 'notification',
                'data-kind': one.kind,
                'data-read': String(one.read || left === 0),
              },
              h(
                'a',
                { href: `/orders/${one.order_id}` },
                h(
                  'strong',
                  {},
                  one.title,
                  !one.read && left > 0 && h('span', { class: 'unseen' }, ' (unread)'),
                ),
                h('span', {}, one.text),
                h('time', { class: 'quiet', datetime: one.at }, time(one.at)),
              ),
            ),
          )
        : told &&
            h('li', { class: 'quiet none' }, 'No notifications yet. Updates about your orders appear here.'),
    );
  }

  async function load() {
    const person = who();
    if (person === null) return;
    try {
      const fresh = await screen('/api/screens/notifications', {});
      if (who() !== person) return;
      if (topic !== fresh.topic) listen(/** @type {`bell/${string}`} */ (fresh.topic));
      told = fresh;
      fill(note);
    } catch (error) {
      if (who() !== person) return;
      const problem = problemOf(error);
      if (problem.status === 401) return lose();
      fill(
        note,
        drawProblem(problem, {
          retry: load,
          title: 'Notifications are not available right now',
        }),
      );
    }
    draw();
  }

  /** @param {`bell/${string}`} mine */
  function listen(mine) {
    topic = mine;
    const bell = client.value(mine);
    leave();
    const unsubscribeValue = client.subscribe([mine]);
    const unsubscribe = bell.subscribe((value) => {
      if (value && value.version > heard) {
        heard = value.version;
        clearTimeout(timer);
        timer = setTimeout(load, SETTLE);
      }
      draw();
    });
    // The bell of another person must not be requested.
    leave = () => {
      unsubscribeValue();
      unsubscribe();
    };
    heard = bell.get()?.version ?? -1;
  }

  function open() {
    popover.hidden = false;
    button.setAttribute('aria-expanded', 'true');
    void load();
  }

  /** @param {{focus?: boolean}} [how] */
  function close({ focus = false } = {}) {
    if (popover.hidden) return;
    popover.hidden = true;
    button.setAttribute('aria-expanded', 'false');
    if (focus) button.focus();
  }

  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close({ focus: true });
  });
  place.addEventListener('focusout', (event) => {
    const next = /** @type {FocusEvent} */ (event).relatedTarget;
    if (next instanceof Node && !place.contains(next)) close();
  });
  document.addEventListener('click', (event) => {
    if (event.target instanceof Node && event.target.isConnected && !place.contains(event.target)) close();
  });
  onNavigate(() => close());
  onPerson(() => {
    leave();
    leave = () => {};
    told = topic = null;
    heard = -1;
    close();
    draw();
    void load();
  });
  draw();
}
