/**
 * One live stream, read with fetch and never given up: it resumes after the last position, notices a dead socket by
 * silence, backs off with full jitter, does as `bye` says, and wakes when the network or the tab does. It refuses to
 * interpret what it carries (the store does), and after a 401 it stays stopped until started again.
 *
 * A source of events shared by several tabs needs only the shape `Source` below to take this one's place.
 */
import { createAlarm, fullJitter } from './backoff.js';
import { createCell } from './observable.js';
import { retryAfterSeconds } from './problem.js';
import { createParser } from './sse.js';

/**
 * connecting: not yet joined. live: joined. stale: was live, being joined again. offline: the browser says there is no
 * network (attempts go on). stopped: nothing is tried until `start()`.
 * @typedef {'connecting' | 'live' | 'stale' | 'offline' | 'stopped'} StreamState
 */

/** @typedef {{type: string, id: string, data: any}} LiveEvent  `data` is parsed JSON, undefined if it could not be. */

/**
 * @typedef {object} Source
 * @property {import('./observable.js').Readable<StreamState>} state
 * @property {(owner?: string) => void} start  Join as this person; nothing happens if already started.
 * @property {() => void} stop   Leave, for good until `start()`.
 * @property {(names: Iterable<string>) => void} watch  From now on these values are asked for (at most 50).
 * @property {(options?: {backoff?: boolean}) => void} reconnect  Join again after the cursor; now, or counted as a failure.
 */

/**
 * What the stream listens to besides the network; the browser's own by default.
 * @typedef {object} Surroundings
 * @property {EventTarget} [window]      online, offline, pageshow, pagehide
 * @property {EventTarget & {visibilityState?: string}} [document]  visibilitychange
 * @property {{onLine?: boolean}} [navigator]
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
 * @property {Surroundings} [surroundings]
 */

const LONGEST_WAIT = 300; // seconds

/**
 * @param {StreamOptions} options
 * @returns {Source}
 */
export function createStream(options) {
  const { onEvent, cursor, url = '/bff/live', heartbeat = 15, cap = 30, random = Math.random } = options;
  const get = options.fetch ?? globalThis.fetch.bind(globalThis);
  const around = options.surroundings ?? /** @type {Surroundings} */ (globalThis);
  const page = around.window ?? (typeof window === 'undefined' ? undefined : window);
  const state = createCell(/** @type {StreamState} */ ('stopped'));
  const alarm = createAlarm();
  /** @type {Set<string>} */
  let names = new Set();
  /** @type {Set<string>} what the current attempt asked for */
  let asked = names;
  let base = options.base ?? 1;
  let run = 0; // which loop is the current one; 0 while stopped
  let runs = 0;
  let failures = 0;
  let everLive = false;
  let lastBytes = 0;
  let skipWait = false;
  let paused = false;
  /** @type {string | null} whose journal it is, as the server names them */
  let user = null;
  /** @type {AbortController | null} */
  let attempt = null;

  /** @param {StreamState} next */
  function lost(next) {
    state.set(around.navigator?.onLine === false ? 'offline' : next);
  }

  /**
   * One attempt, from request to end.
   * @param {number} mine
   * @returns {Promise<number | null>} Seconds the server asks us to wait, null when it did not say; -1 to stop.
   */
  async function join(mine) {
    const controller = new AbortController();
    attempt = controller;
    lastBytes = Date.now();
    // By the clock on the wall: a timer's own clock stands still while the machine sleeps.
    const watchdog = setInterval(() => {
      if (Math.abs(Date.now() - lastBytes) >= heartbeat * 2500) controller.abort();
    }, heartbeat * 100);
    /** @type {number | null} */
    let farewell = null;
    let over = false;

    try {
      asked = names;
      const query = [...names]
        .sort()
        .map((name) => `value=${encodeURIComponent(name)}`)
        .join('&');
      /** @type {Record<string, string>} */
      const headers = { Accept: 'text/event-stream', 'X-BFF': '1' };
      const after = cursor();
      if (after !== null) headers['Last-Event-ID'] = after;
      const response = await get(query ? `${url}?${query}` : url, {
        headers,
        cache: 'no-store',
        credentials: 'same-origin',
        signal: controller.signal,
      });
      if (response.status === 401 || response.status === 204) return -1;
      const type = response.headers.get('content-type') ?? '';
      if (!response.ok || response.body === null || !type.startsWith('text/event-stream')) {
        if (response.status === 400 || response.status === 403) options.onRefused?.();
        controller.abort();
        return retryAfterSeconds(response.headers.get('retry-after'));
      }
      if (mine !== run) return null;
      // Somebody else has signed in meanwhile: theirs is not to be mixed with what is here.
      const owner = response.headers.get('bff-user');
      if (owner !== (user ??= owner)) return -1;
      everLive = true;
      state.set('live');
      const parser = createParser({
        onRetry: (milliseconds) => (base = Math.min(milliseconds / 1000, cap)),
        onEvent(event) {
          if (mine !== run || over) return;
          /** @type {any} JSON of unknown shape; the store checks it */
          let data;
          try {
            data = JSON.parse(event.data);
          } catch {
            data = undefined;
          }
          if (event.type === 'bye') {
            over = true;
            farewell = data?.reason === 'logout' ? -1 : Number(data?.retry_after ?? 0) || 0;
            return;
          }
          failures = 0;
          onEvent({ type: event.type, id: event.id, data });
          // The listener may have asked to join again: what follows in this chunk belongs to the old attempt.
          if (controller.signal.aborted) over = true;
        },
      });
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done || mine !== run) return farewell;
        lastBytes = Date.now();
        if (state.get() === 'offline') state.set('live');
        parser.push(value);
        if (over) return farewell;
      }
    } catch {
      return farewell; // network, abort, watchdog or an event too large: all of them mean "join again"
    } finally {
      clearInterval(watchdog);
      controller.abort();
      if (attempt === controller) attempt = null;
    }
  }

  /** @param {number} mine */
  async function loop(mine) {
    while (mine === run) {
      const asked = await join(mine);
      if (mine !== run) return;
      if (asked === -1) return stop();
      if (skipWait) {
        skipWait = false;
        continue; // on purpose and expected to succeed: not worth telling the reader
      }
      lost(everLive ? 'stale' : 'connecting');
      const jitter = fullJitter(failures, base, cap, random);
      // The server's word counts, unless it keeps sending us away at once or for longer than anyone would wait.
      const delay =
        asked === null ? jitter : Math.min(failures === 0 ? asked : Math.max(asked, jitter), LONGEST_WAIT);
      failures += 1;
      await alarm.wait(delay);
      skipWait = false;
    }
  }

  /** @param {{backoff?: boolean}} [how] */
  function reconnect({ backoff = false } = {}) {
    if (run === 0) return;
    skipWait = !backoff;
    attempt?.abort();
    if (!backoff) alarm.ring();
  }

  function wake() {
    if (run === 0 || around.document?.visibilityState === 'hidden') return;
    // A socket that died while the machine slept still looks open: only fresh bytes prove it is not.
    if (state.get() !== 'live' || Date.now() - lastBytes > heartbeat * 1200) reconnect();
  }

  /** @type {[EventTarget | undefined, string, () => void][]} */
  const wakings = [
    [page, 'online', () => reconnect()],
    [page, 'offline', () => run !== 0 && lost(state.get())],
    [around.document, 'visibilitychange', wake],
    [
      page,
      'pagehide', // an open stream keeps a page out of the back-forward cache
      () => {
        if (run === 0) return;
        paused = true;
        leave();
      },
    ],
    [page, 'pageshow', () => (paused ? start() : wake())],
  ];

  function leave() {
    run = 0;
    attempt?.abort();
    alarm.ring();
  }

  function start() {
    if (run !== 0) return;
    for (const [target, name, listener] of wakings) target?.addEventListener(name, listener);
    paused = false;
    skipWait = false;
    failures = 0;
    runs += 1;
    run = runs;
    lost(everLive ? 'stale' : 'connecting');
    void loop(run);
  }

  function stop() {
    for (const [target, name, listener] of wakings) target?.removeEventListener(name, listener);
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
      for (const name of names) if (!asked.has(name)) return reconnect();
    },
  };
}
