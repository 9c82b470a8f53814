/**
 * One live stream, read with fetch and never given up: it resumes after the last position, notices a dead socket by
 * silence, backs off with full jitter, does as `bye` says, and wakes when the network or the tab does. It refuses to
 * interpret what it carries (the store does), and after a 401 it stays stopped until started again.
 *
 * A source of events shared by several tabs needs only the shape `Source` below to take this one's place.
 */
import { createAlarm, fullJitter } from './backoff.js';
import { orNull } from './faults.js';
import { createCell } from './observable.js';
import { isHidden, isOffline, listen } from './page.js';
import { retryAfterSeconds } from './problem.js';
import { createParser } from './sse.js';

/**
 * connecting: not yet joined. live: joined. stale: was live, being joined again. offline: the browser says there is no
 * network (attempts go on). stopped: nothing is tried until `start()`.
 * @typedef {'connecting' | 'live' | 'stale' | 'offline' | 'stopped'} StreamState
 */

/** @typedef {{type: string, id: string, data: any}} LiveEvent  `data` is parsed JSON, null if it could not be. */

/**
 * @typedef {object} Source
 * @property {import('./observable.js').Readable<StreamState>} state
 * @property {(owner?: string) => void} start  Join as this person; nothing happens if already started.
 * @property {() => void} stop   Leave, for good until `start()`.
 * @property {(names: Iterable<string>) => void} watch  From now on these values are asked for (at most 50).
 * @property {(options?: {backoff?: boolean}) => void} reconnect  Join again after the cursor; now, or counted as a failure.
 */

/**
 * @typedef {object} StreamOptions
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => string | null} cursor  The last position applied; asked before every attempt.
 * @property {() => void} [onRefused]  A value that is asked for does not exist, or is somebody else's. It is tried again.
 * @property {string | undefined} [url]        Default "/bff/live".
 * @property {number} [heartbeat]  Seconds between the server's signs of life; default 15. Silence of 2.5 times that ends an attempt.
 * @property {number} [base]       Seconds; first backoff, default 1. A `retry:` line replaces it.
 * @property {number} [cap]        Seconds; longest backoff, default 30.
 * @property {typeof fetch | undefined} [fetch]
 * @property {() => number} [random]
 * @property {import('./page.js').Surroundings} [surroundings]  What it listens to besides the network; default the page.
 */

const LONGEST_WAIT = 300; // seconds

/**
 * @param {StreamOptions} options
 * @returns {Source}
 */
export function createStream(options) {
  const { onEvent, cursor, url = '/bff/live', heartbeat = 15, cap = 30, random = Math.random } = options;
  const { fetch = globalThis.fetch } = options;
  const around = options.surroundings ?? /** @type {import('./page.js').Surroundings} */ (globalThis);
  const state = createCell(/** @type {StreamState} */ ('stopped'));
  const alarm = createAlarm();
  /** @type {Set<string>} */
  let names = new Set();
  /** @type {Set<string>} what the current attempt asked for */
  let asked = names;
  let base = options.base ?? 1;
  /** @type {object | null} which loop is the current one; null while stopped or in the back-forward cache */
  let run = null;
  let failures = 0;
  let everLive = false;
  let lastBytes = 0;
  let skipWait = false;
  /** @type {string | null} whose journal it is, as the server names them */
  let user = null;
  let attempt = new AbortController();

  /** @param {StreamState} [next] */
  function lost(next = everLive ? 'stale' : 'connecting') {
    state.set(isOffline(around) ? 'offline' : next);
  }

  /**
   * One attempt, from request to end.
   * @returns {Promise<number | null>} Seconds the server asks us to wait, null when it did not say; -1 to stop.
   */
  async function join() {
    const controller = (attempt = new AbortController());
    const { signal } = controller;
    lastBytes = Date.now();
    // By the clock on the wall: a timer's own clock stands still while the machine sleeps.
    const watchdog = setInterval(() => {
      if (Math.abs(Date.now() - lastBytes) >= heartbeat * 2500) controller.abort();
    }, heartbeat * 100);
    /** @type {number | null} */
    let farewell = null;

    try {
      asked = names;
      const query = String(new URLSearchParams([...names].sort().map((name) => ['value', name])));
      const after = cursor();
      const { ok, status, headers, body } = await fetch(query ? `${url}?${query}` : url, {
        headers: {
          Accept: 'text/event-stream',
          'X-BFF': '1',
          ...(after !== null && { 'Last-Event-ID': after }),
        },
        cache: 'no-store',
        credentials: 'same-origin',
        signal,
      });
      if (signal.aborted) return null;
      if (status === 401 || status === 204) return -1;
      if (!ok || !body || !headers.get('content-type')?.startsWith('text/event-stream')) {
        if (status === 400 || status === 403) options.onRefused?.();
        return retryAfterSeconds(headers.get('retry-after'));
      }
      // Somebody else has signed in meanwhile: theirs is not to be mixed with what is here.
      const owner = headers.get('bff-user');
      if (owner !== (user ??= owner)) return -1;
      everLive = true;
      state.set('live');
      const parser = createParser({
        onRetry: (milliseconds) => (base = Math.min(milliseconds / 1000, cap)),
        onEvent({ type, id, data: text }) {
          // The listener may have asked to join again: what follows in this chunk belongs to the old attempt.
          if (signal.aborted) return;
          const data = orNull(() => JSON.parse(text));
          if (type === 'bye') {
            farewell = data?.reason === 'logout' ? -1 : Number(data?.retry_after) || 0;
            controller.abort();
            return;
          }
          failures = 0;
          onEvent({ type, id, data });
        },
      });
      const reader = body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return farewell;
        lastBytes = Date.now();
        if (state.get() === 'offline') state.set('live');
        parser.push(value);
      }
    } catch {
      return farewell; // network, abort, watchdog or an event too large: all of them mean "join again"
    } finally {
      clearInterval(watchdog);
      controller.abort();
    }
  }

  /** @param {object} mine */
  async function loop(mine) {
    for (;;) {
      const asked = await join();
      if (mine !== run) return;
      if (asked === -1) return stop();
      if (skipWait) {
        skipWait = false;
        continue; // on purpose and expected to succeed: not worth telling the reader
      }
      lost();
      const jitter = fullJitter(failures, base, cap, random);
      // The server's word counts, unless it keeps sending us away at once or for longer than anyone would wait.
      const delay =
        asked === null ? jitter : Math.min(failures === 0 ? asked : Math.max(asked, jitter), LONGEST_WAIT);
      failures += 1;
      await alarm.wait(delay);
      if (mine !== run) return;
      skipWait = false;
    }
  }

  /** @param {{backoff?: boolean}} [how] */
  function reconnect({ backoff = false } = {}) {
    if (!run) return;
    skipWait = !backoff;
    attempt.abort();
    if (!backoff) alarm.ring();
  }

  /** @param {{type: string}} event */
  function notice({ type }) {
    if (type === 'pagehide') return leave(); // an open stream keeps a page out of the back-forward cache
    if (!run) {
      if (type === 'pageshow') start();
    } else if (type === 'online') reconnect();
    else if (type === 'offline') lost(state.get());
    // A socket that died while the machine slept still looks open: only fresh bytes prove it is not.
    else if (!isHidden(around) && (state.get() !== 'live' || Date.now() - lastBytes > heartbeat * 1200))
      reconnect();
  }

  function leave() {
    run = null;
    attempt.abort();
    alarm.ring();
  }

  function start() {
    if (run) return;
    listen(around, 'addEventListener', notice);
    skipWait = false;
    failures = 0;
    run = {};
    lost();
    void loop(run);
  }

  function stop() {
    listen(around, 'removeEventListener', notice);
    leave();
    everLive = false;
    user = null;
    state.set('stopped');
  }

  return {
    state,
    start,
    stop,
    reconnect,
    watch(wanted) {
      names = new Set(wanted);
      if ([...names].some((name) => !asked.has(name))) reconnect();
    },
  };
}
