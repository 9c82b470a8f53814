/**
 * The members of a hub and its position in the journal, as a value with pure transitions: `step(hub, event)` returns the
 * next hub and a list of effects. The table is in docs/reference/client-states.md.
 *
 * A hub serves one person at a time, the one who joined last, and stops the tabs of others. A tab whose person is not the
 * owner of the journal is stopped, too. Of the events only the position is stored. A tab that crashed sends no message;
 * its Web Lock is free then, and it no longer counts.
 */

/** @typedef {import('./protocol.js').HubMessage} HubMessage */
/** @typedef {import('./protocol.js').TabMessage & {kind: 'join'}} Join */
/** @typedef {import('./connection.js').StreamState} StreamState */
/** @typedef {import('./connection.js').Fault} Fault */

/** @typedef {{names: readonly string[], lock: string | null}} Member  names: the requested values. lock: the Web Lock that it holds. */

/**
 * @typedef {object} HubState
 * @property {ReadonlyMap<string, Member>} members  The tabs that joined.
 * @property {string | null} userId  The person of the tabs.
 * @property {string | null} user  The same person as the server names them, once it has.
 * @property {string | null} cursor  The position from which the stream is joined again.
 * @property {string} newest  The last tab that requested a value which no other tab had requested.
 * @property {'nothing' | 'something' | 'position'} came  What the stream has sent since the last join.
 * @property {boolean} open  Whether there is a stream.
 * @property {StreamState} state  Of the stream.
 * @property {Fault | null} fault
 */

/**
 * join, leave: a tab's. gone: a lock is free, because its tab has ended. refused: the server refuses a requested value.
 * event, state: the stream's. close: this hub ends, and another one may follow.
 * @typedef {{type: 'join', from: string, join: Join} | {type: 'leave', from: string}
 *   | {type: 'gone', from: string, lock: string} | {type: 'refused'}
 *   | {type: 'event', event: import('./connection.js').LiveEvent}
 *   | {type: 'state', state: StreamState, fault: Fault | null, user: string | null} | {type: 'close'}} HubEvent
 */

/**
 * open, close, follow, start, reconnect: the stream. answer: send a tab the stream's state. watch: notice when a
 * tab's lock is free.
 * @typedef {{type: 'open', settings: import('./protocol.js').Settings} | {type: 'close'} | {type: 'reconnect'}
 *   | {type: 'follow', names: ReadonlySet<string>} | {type: 'start', backoff: boolean | undefined}
 *   | {type: 'post', to: readonly string[], message: HubMessage} | {type: 'answer', to: string}
 *   | {type: 'watch', tab: string, lock: string}} HubEffect
 */

/** @typedef {{hub: HubState, effects: readonly HubEffect[]}} HubStep */

/** @type {HubState} */
export const EMPTY_HUB = {
  members: new Map(),
  userId: null,
  user: null,
  cursor: null,
  newest: '',
  came: 'nothing',
  open: false,
  state: 'stopped',
  fault: null,
};

/** @param {HubState} hub @param {HubEvent} event @returns {HubStep} */
export function step(hub, event) {
  switch (event.type) {
    case 'join':
      return onJoin(hub, event.from, event.join);
    case 'leave':
      return onLeave(hub, event.from);
    case 'gone': {
      // The tab may have left and joined again with another lock.
      const member = hub.members.get(event.from);
      return member?.lock === event.lock ? onLeave(hub, event.from) : { hub, effects: [] };
    }
    case 'refused':
      return onRefused(hub);
    case 'event': {
      const { event: live } = event;
      const came = live.id ? 'position' : hub.came === 'nothing' ? 'something' : hub.came;
      const next = { ...hub, came, cursor: live.id || hub.cursor };
      return { hub: next, effects: toAll(next, { kind: 'event', event: live }) };
    }
    case 'state': {
      const { state, fault, user } = event;
      const next = { ...hub, state, fault, user };
      if (state === 'stopped') return end(next, fault);
      return { hub: next, effects: toAll(next, { kind: 'state', state, fault }) };
    }
    case 'close':
      return { hub: { ...closed(hub), members: new Map() }, effects: [{ type: 'close' }] };
  }
}

/** The requested values of all tabs. @param {HubState} hub */
const requested = ({ members }) => new Set([...members.values()].flatMap(({ names }) => names));

/** Every message names its person. @param {HubState} hub @param {HubMessage} message @returns {HubMessage} */
const about = ({ userId, user }, message) => ({ userId, user, ...message });

/** @param {HubState} hub @param {HubMessage} message @returns {HubEffect[]} None where no tab has joined. */
const toAll = (hub, message) =>
  hub.members.size > 0 ? [{ type: 'post', to: [...hub.members.keys()], message: about(hub, message) }] : [];

/** @param {HubState} hub @returns {HubState} */
const closed = (hub) => ({ ...hub, open: false, user: null, state: 'stopped', fault: null });

/** The last tab has left, or the stream was stopped. @param {HubState} hub @param {Fault | null} fault @returns {HubStep} */
function end(hub, fault) {
  const ended = closed(hub);
  return {
    hub: { ...ended, members: new Map() },
    effects: [{ type: 'close' }, ...toAll(ended, { kind: 'state', state: 'stopped', fault })],
  };
}

/** @param {HubState} hub @param {string} from @param {Join} join @returns {HubStep} */
function onJoin(hub, from, join) {
  const { userId, cursor, names, settings, lock, backoff } = join;
  if (settings.user && hub.open && hub.user && hub.user !== settings.user) {
    const message = about(hub, { kind: 'state', state: 'stopped', userId });
    return { hub, effects: [{ type: 'post', to: [from], message }] };
  }
  // The joining tab ignores the end: it names another person.
  const before = [null, userId].includes(hub.userId) ? { hub, effects: [] } : end(hub, null);
  const known = before.hub;
  const mine = known.members.get(from);
  const others = requested(known);
  // If another tab still waits for events after another position, the whole state serves both.
  const place = known.open && known.came !== 'position' && known.cursor !== cursor ? null : cursor;
  const more = known.came !== 'nothing' && names.some((name) => !mine?.names.includes(name));
  const anew = !known.open || known.cursor !== place || more;
  /** @type {HubState} */
  const next = {
    ...known,
    userId,
    cursor: place,
    members: new Map(known.members).set(from, { names, lock: lock ?? null }),
    newest: names.some((name) => !others.has(name)) ? from : known.newest,
    open: true,
    came: anew ? 'nothing' : known.came,
  };
  /** @type {HubEffect[]} */
  const effects = [...before.effects];
  if (!known.open) effects.push({ type: 'open', settings });
  effects.push({ type: 'follow', names: requested(next) });
  if (anew) effects.push({ type: 'start', backoff });
  if (lock && lock !== mine?.lock) effects.push({ type: 'watch', tab: from, lock });
  effects.push({ type: 'answer', to: from });
  return { hub: next, effects };
}

/** @param {HubState} hub @param {string} from @returns {HubStep} */
function onLeave(hub, from) {
  const members = new Map(hub.members);
  if (!members.delete(from)) return { hub, effects: [] };
  const next = { ...hub, members };
  if (members.size === 0) return end(next, null);
  return { hub: next, effects: [{ type: 'follow', names: requested(next) }] };
}

/** The refused values of one tab must not end the stream of the others. @param {HubState} hub @returns {HubStep} */
function onRefused(hub) {
  if (hub.members.size < 2) return { hub, effects: [] };
  const members = new Map(hub.members);
  const last = members.has(hub.newest) ? hub.newest : ([...members.keys()].pop() ?? '');
  members.delete(last);
  const next = { ...hub, members };
  return {
    hub: next,
    effects: [
      { type: 'post', to: [last], message: about(next, { kind: 'full' }) },
      { type: 'follow', names: requested(next) },
      { type: 'reconnect' },
    ],
  };
}
