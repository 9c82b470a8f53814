/**
 * The bell: how many notifications are unread, live, and the list of them. It is a button with a popover; Escape, a click
 * elsewhere and leaving it with the Tab key close it. A list that cannot be loaded shows the reason and the owner.
 */
import { time } from './format.js';
import { client, readAll } from './live.js';
import { follow } from './notices.js';
import { problemCard } from './parts.js';
import { onSession, user } from './session.js';
import { h, svg } from './render.js';
import { onNavigate } from './router.js';
import { drawNow, invalidate } from './schedule.js';
import { useScreen } from './screen.js';
import { plural, texts } from './texts.js';

/** @typedef {import('./shapes.js').Notification} Notification */

const SETTLE = 150; // milliseconds after a change of the bell before the list is fetched again
const BELL = svg`<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 2a2 2 0 0 0-2 2v.3A6 6 0 0 0 6 10v5l-2 2v1h16v-1l-2-2v-5a6 6 0 0 0-4-5.7V4a2 2 0 0 0-2-2zm-2.5 18a2.5 2.5 0 0 0 5 0z"/></svg>`;

let opened = false;
/** The list of the signed-in person. @type {ReturnType<typeof followNotifications> | null} */
let notifications = null;

/** Follow the notifications and the bell of the person who is signed in, until `end`. */
function followNotifications() {
  /** @type {(() => void)[]} */
  const leaves = [];
  const onLeave = (/** @type {() => void} */ leave) => void leaves.push(leave);
  /** @type {`bell/${string}` | null} the bell that is watched */
  let topic = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const list = useScreen(
    { onLeave },
    '/api/screens/notifications',
    {},
    {
      personal: true,
      beside: true,
      received(data) {
        if (topic === null) watch(/** @type {`bell/${string}`} */ (data.topic));
      },
    },
  );
  onLeave(() => clearTimeout(timer));

  /** @param {`bell/${string}`} mine */
  function watch(mine) {
    topic = mine;
    const bell = client.value(mine);
    let newest = bell.get()?.version ?? -1; // the version for which the list was fetched
    onLeave(client.subscribe([mine]));
    onLeave(
      bell.subscribe((value) => {
        invalidate();
        if (!value || value.version <= newest) return;
        newest = value.version;
        clearTimeout(timer);
        timer = setTimeout(list.reload, SETTLE);
      }),
    );
  }

  return {
    list,
    topic: () => topic,
    /** As the stream reports it, or before its first event the screen. */
    unread: () => (topic && client.value(topic).get()?.data.unread) ?? list.data?.unread ?? 0,
    end: () => leaves.splice(0).forEach((leave) => leave()),
  };
}

function open() {
  opened = true;
  notifications?.list.reload();
  // At once: the next press of Tab has to find what is in it.
  drawNow();
}

/** @param {{focus?: boolean}} [how] */
function close({ focus = false } = {}) {
  if (!opened) return;
  opened = false;
  invalidate();
  const button = document.querySelector('#bell button');
  if (focus && button instanceof HTMLElement) button.focus();
}

export function startBell() {
  document.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') close({ focus: true });
  });
  document.addEventListener('click', (event) => {
    const place = document.getElementById('bell');
    if (event.target instanceof Node && event.target.isConnected && !place?.contains(event.target)) close();
  });
  onNavigate(() => close());
  let person = user()?.sub;
  onSession(() => {
    if (user()?.sub === person) return;
    person = user()?.sub;
    notifications?.end();
    notifications = person === undefined ? null : followNotifications();
    close();
  });
}

/** @param {Notification} one @param {number} unread */
const notificationView = (one, unread) =>
  h(
    'li',
    {
      key: one.id,
      'data-test': 'notification',
      'data-kind': one.kind,
      'data-read': String(one.read || unread === 0),
    },
    h(
      'a',
      { href: `/orders/${one.order_id}` },
      h(
        'strong',
        {},
        one.title,
        !one.read && unread > 0 && h('span', { class: 'unseen' }, ` ${texts.bell.isUnread}`),
      ),
      h('span', {}, one.text),
      h('time', { class: 'quiet', datetime: one.at }, time(one.at)),
    ),
  );

/** @param {number} unread */
function popoverView(unread) {
  const topic = notifications?.topic();
  const { data = null, problem = null } = notifications?.list ?? {};
  return h(
    'section',
    { id: 'notifications', class: 'popover', 'aria-label': texts.bell.title, hidden: !opened },
    h(
      'header',
      {},
      h('h2', {}, texts.bell.title),
      h(
        'button',
        {
          type: 'button',
          class: 'small plain',
          'data-test': 'read-all',
          // Not `disabled`, which would remove the keyboard focus from the button that was just pressed.
          'aria-disabled': unread === 0,
          onclick: () => topic && unread > 0 && follow(readAll({ topic })),
        },
        texts.bell.readAll,
      ),
    ),
    problem && problemCard(problem, { retry: notifications?.list.reload, title: texts.bell.notAvailable }),
    h(
      'ul',
      { class: 'notifications' },
      data?.notifications.map((one) => notificationView(one, unread)),
      data?.notifications.length === 0 && h('li', { class: 'quiet none' }, texts.bell.none),
    ),
  );
}

export function bellView() {
  const unread = notifications?.unread() ?? 0;
  return h(
    'div',
    {
      id: 'bell',
      hidden: user() === null,
      /** @param {FocusEvent & {currentTarget: Element}} event */
      onfocusout({ relatedTarget, currentTarget }) {
        if (relatedTarget instanceof Node && !currentTarget.contains(relatedTarget)) close();
      },
    },
    h(
      'button',
      {
        type: 'button',
        class: 'plain bell',
        'data-test': 'bell',
        'aria-expanded': opened,
        'aria-controls': 'notifications',
        'aria-label': unread ? plural(texts.bell.unread, unread) : texts.bell.noneUnread,
        onclick: () => (opened ? close() : open()),
      },
      BELL,
      h(
        'span',
        { class: 'count', 'aria-hidden': true, 'data-test': 'unread', hidden: unread === 0 },
        unread > 99 ? '99+' : String(unread),
      ),
    ),
    popoverView(unread),
  );
}
