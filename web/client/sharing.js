/**
 * How one tab shares the stream, as a value with pure transitions: `step(tab, event)` returns the next tab and a list of
 * effects. The table is in docs/reference/client-states.md.
 *
 * There are three modes, the best first: a shared worker, a leading tab, a stream of this page alone. When a mode fails or is
 * silent the next one is used; after a pause the best one is tried again, and the pauses grow until an event arrives in the
 * best mode.
 */

/** @typedef {'worker' | 'lock' | 'none'} Mode */

/** @type {readonly Mode[]} */
export const MODES = ['worker', 'lock', 'none'];

/** Milliseconds for a hub to answer. */
export const PATIENCE = 5000;
/** Milliseconds until the best mode is tried again; doubled after each failure, up to the longest. */
const RECOVERY = 60_000;
const LONGEST_RECOVERY = 3_600_000;

/**
 * @typedef {object} TabState
 * @property {number} mode  In `MODES`.
 * @property {number} best  The best mode that is allowed.
 * @property {string | null} userId  The person of the journal; null while it is stopped.
 * @property {string | null} user  The same person as the server names them, once it has.
 * @property {boolean} linked  Whether it has a channel to a hub.
 * @property {boolean} behind  Whether saga events may arrive that the hub sent before it learned of a gap.
 * @property {number} setbacks  How often the best mode was tried again without success.
 */

/**
 * start, stop, names, reconnect: calls of the client. message: of the hub. failed: the mode cannot be used. silence: the hub
 * has sent nothing for three heartbeats, or has not answered. recover: the best mode may be tried again. page: an event of the
 * page, by its type.
 * @typedef {{type: 'start', userId: string} | {type: 'stop'} | {type: 'names'}
 *   | {type: 'reconnect', backoff: boolean | undefined} | {type: 'message', message: import('./protocol.js').HubMessage}
 *   | {type: 'failed'} | {type: 'silence', of: 'beat' | 'answer' | 'retry'} | {type: 'recover'}
 *   | {type: 'page', name: string, hidden: boolean}} TabEvent  retry: the pause before the last mode is opened again has ended.
 */

/**
 * open, close: the channel to a hub. join, wake: send this message. wait: set the timer for `silence`, instead of the one
 * before. recover: set the timer for `recover` (milliseconds). deliver: pass an event to the client. state, fault: set it.
 * @typedef {{type: 'open', mode: Mode} | {type: 'close'} | {type: 'join', backoff?: boolean | undefined}
 *   | {type: 'wake', name: string} | {type: 'wait', for: 'beat' | 'answer' | 'retry'} | {type: 'recover', after: number}
 *   | {type: 'deliver', event: import('./connection.js').LiveEvent}
 *   | {type: 'state', state: import('./connection.js').StreamState}
 *   | {type: 'fault', fault: import('./connection.js').Fault | null}} TabEffect
 */

/** @typedef {{tab: TabState, effects: readonly TabEffect[]}} TabStep */

/** @param {number} best @returns {TabState} */
export const createTab = (best) => ({
  mode: best,
  best,
  userId: null,
  user: null,
  linked: false,
  behind: false,
  setbacks: 0,
});

/** @param {TabState} tab @param {TabEvent} event @returns {TabStep} */
export function step(tab, event) {
  switch (event.type) {
    case 'start': {
      if (tab.userId !== null) return { tab, effects: [{ type: 'wake', name: 'online' }] };
      return open({ ...tab, userId: event.userId }, [
        { type: 'fault', fault: null },
        { type: 'state', state: 'connecting' },
      ]);
    }
    case 'stop':
      return stop(tab, null);
    case 'names':
      return join(tab);
    case 'reconnect':
      return join({ ...tab, behind: true }, event.backoff);
    case 'message':
      return tab.linked ? onMessage(tab, event.message) : { tab, effects: [] };
    case 'failed':
      return tab.linked ? worse(tab) : { tab, effects: [] };
    case 'silence':
      if (event.of === 'retry') return tab.userId === null || tab.linked ? { tab, effects: [] } : open(tab);
      if (!tab.linked) return { tab, effects: [] };
      return event.of === 'beat' ? join(tab) : worse(tab);
    case 'recover':
      if (!tab.linked || tab.mode <= tab.best) return { tab, effects: [] };
      return open({ ...tab, mode: tab.best, setbacks: tab.setbacks + 1 }, [{ type: 'close' }]);
    case 'page':
      return onPage(tab, event.name, event.hidden);
  }
}

/** @param {TabState} tab @param {readonly TabEffect[]} [before] @returns {TabStep} */
function open(tab, before = []) {
  const { mode, best, setbacks } = tab;
  /** @type {TabEffect[]} */
  const effects = [
    ...before,
    { type: 'open', mode: /** @type {Mode} */ (MODES[mode]) },
    { type: 'wait', for: 'answer' },
  ];
  if (mode > best)
    effects.push({ type: 'recover', after: Math.min(RECOVERY * 2 ** setbacks, LONGEST_RECOVERY) });
  return { tab: { ...tab, linked: true }, effects };
}

/** Join, join again from the current position, or check for a hub. @param {TabState} tab @param {boolean} [backoff] @returns {TabStep} */
function join(tab, backoff) {
  if (!tab.linked) return { tab, effects: [] };
  return {
    tab,
    effects: [
      { type: 'wait', for: 'answer' },
      { type: 'join', backoff },
    ],
  };
}

/** This mode has failed: use the next one, or the last one again after a pause. @param {TabState} tab @returns {TabStep} */
function worse(tab) {
  if (tab.mode < MODES.length - 1) return open({ ...tab, mode: tab.mode + 1 }, [{ type: 'close' }]);
  return {
    tab: { ...tab, linked: false },
    effects: [{ type: 'close' }, { type: 'wait', for: 'retry' }],
  };
}

/** @param {TabState} tab @param {import('./connection.js').Fault | null} fault @returns {TabStep} */
const stop = (tab, fault) => ({
  tab: { ...tab, userId: null, user: null, linked: false },
  effects: [{ type: 'close' }, { type: 'fault', fault }, { type: 'state', state: 'stopped' }],
});

/** @param {TabState} tab @param {import('./protocol.js').HubMessage} message @returns {TabStep} */
function onMessage(tab, message) {
  /** @type {TabEffect} */
  const wait = { type: 'wait', for: 'beat' };
  if ((message.userId ?? tab.userId) !== tab.userId) return { tab, effects: [wait] };
  const next = { ...tab, user: message.user ?? tab.user };
  switch (message.kind) {
    case 'event': {
      const { event } = message;
      const late = tab.behind && event.type === 'saga';
      // An event shows that this mode works. An answer does not: the server may still refuse the values of this tab.
      const setbacks = next.mode === next.best ? 0 : next.setbacks;
      return { tab: { ...next, setbacks }, effects: late ? [wait] : [wait, { type: 'deliver', event }] };
    }
    case 'hello':
      return join(next);
    case 'full':
      return worse({ ...next, mode: Math.max(next.mode, MODES.length - 2) });
    case 'state': {
      const { state, fault = null } = message;
      if (state === 'stopped') return stop(next, fault);
      return {
        tab: { ...next, behind: false },
        effects: [wait, { type: 'fault', fault }, { type: 'state', state }],
      };
    }
  }
}

/** @param {TabState} tab @param {string} name @param {boolean} hidden @returns {TabStep} */
function onPage(tab, name, hidden) {
  if (tab.userId === null) return { tab, effects: [] };
  // An open channel would keep the page out of the back-forward cache.
  if (name === 'pagehide') return { tab: { ...tab, linked: false }, effects: [{ type: 'close' }] };
  if (!tab.linked) {
    if (name !== 'pageshow') return { tab, effects: [] };
    // Another person may have signed in meanwhile: without the name of the journal's person the client must not resume.
    if (!tab.user) return stop(tab, null);
    return open(tab, [{ type: 'state', state: 'stale' }]);
  }
  return { tab, effects: hidden ? [] : [{ type: 'wake', name }] };
}
