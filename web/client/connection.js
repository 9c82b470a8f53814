/**
 * One live stream, read with fetch and retried without end: it resumes after the last position, notices a dead socket
 * by silence, backs off with full jitter, obeys `bye`, and reconnects at once when the network or the page is back.
 * It does not interpret events (the store does). After a 401, a 204 (WHATWG HTML, 9.2.3) and an event too large to be
 * read it stays stopped until it is started again; `fault` says why, where it was not the end of the session.
 */
import { createBackoff } from './backoff.js';
import { orNull, sheltered } from './faults.js';
import { createCell } from './observable.js';
import { retryAfterSeconds } from './problem.js';
import { createParser, EventTooLarge } from './sse.js';

/**
 * connecting: not yet joined. live: joined; a client has this state only once it has data. stale: was live, is
 * joining again. offline: the browser reports no network (attempts continue). stopped: no attempts until `start()`.
 * @typedef {'connecting' | 'live' | 'stale' | 'offline' | 'stopped'} StreamState
 */

/**
 * `data` is parsed JSON, null if it could not be parsed. The warning that the session ends soon is a `beat`; every
 * beat has `ends`, the time of the end (milliseconds since 1970), or null while it does not end soon.
 * @typedef {{type: string, id: string, data: any}} LiveEvent
 */

/**
 * What keeps a stream from working, where it is not an outage. no-content: the server answered 204, there is no
 * stream for this person; it is stopped. too-large: an event has more characters than are read (`LARGEST`); it is
 * stopped. redirect: the address redirects endlessly or to a forbidden address; it is tried again after the longest
 * pause. not-found: there is no stream at the address (404, 410); it is tried again after the longest pause.
 * @typedef {'no-content' | 'too-large' | 'redirect' | 'not-found'} Fault
 */

/**
 * `id` is the position of the event itself; empty where it has none.
 * @typedef {object} Source
 * @property {import('./observable.js').Readable<StreamState>} state
 * @property {import('./observable.js').Readable<Fault | null>} [fault]  null while only the network can be the problem.
 * @property {(userId?: string) => void} start  Join as this person; where that is done already, join again without a change of state.
 * @property {() => void} stop   Leave, until `start()`.
 * @property {() => void} [dispose]  Leave for good: no listener stays.
 * @property {(names: Iterable<string>) => void} follow  Request these values from now on (at most 50).
 * @property {(options?: {backoff?: boolean}) => void} reconnect  Join again after the cursor: now, or with backoff as after a failure.
 */

/** @typedef {{type: string, onLine: boolean}} Wake  What happened to a page, by the event's type, and whether there is a network. */

/**
 * A source that is notified of events around it.
 * @typedef {Omit<Source, 'start'> & {
 *   start: (how?: {backoff?: boolean | undefined}) => void,
 *   pause: () => void,
 *   wake: (news: Wake) => void,
 *   user: () => string | null,
 * }} Connection  pause: send no events, and continue from here at `start()`. user: the owner of the journal, as the server names them.
 */

/**
 * @typedef {object} ConnectionOptions
 * @property {(event: LiveEvent) => void} onEvent
 * @property {() => string | null} cursor  The last position applied; called before every attempt.
 * @property {() => void} [onRefused]  A requested value does not exist, or belongs to another person. The stream is tried again.
 * @property {string} url
 * @property {number} heartbeat  Seconds between the server's heartbeats. Silence of 2.5 times that ends an attempt.
 * @property {number | undefined} [base]       Seconds; first backoff, default 1. A `retry:` line replaces it.
 * @property {number | undefined} [cap]        Seconds; longest backoff, default 30.
 * @property {string | null} [user]  The owner that the journal must have; default the first one.
 * @property {typeof fetch | undefined} [fetch]
 * @property {() => number} [random]
 */

/**
 * @param {ConnectionOptions} options
 * @returns {Connection}
 */
export function createConnection(options) {
  const { cursor, url, heartbeat, cap = 30, random = Math.random, fetch = globalThis.fetch } = options;
  const state = createCell(/** @type {StreamState} */ ('stopped'));
  const fault = createCell(/** @type {Fault | null} */ (null));
  const backoff = createBackoff(random, cap);
  /** @type {Set<string>} */
  let names = new Set();
  /** @type {Set<string>} the values that the current attempt requested */
  let asked = names;
  let { base = 1, user = null } = options;
  /** @type {object | null} the current loop; null while stopped or paused */
  let run = null;
  let onLine = true;
  let lastBytes = 0;
  /** @type {number | null} seconds that the server requested to wait, null when it requested none */
  let farewell = null;
  /** Whether the last attempt got no answer, and whether the address is known to redirect. */
  let unanswered = false;
  let redirects = false;
  let quiet = false; // the next attempt is intentional and should succeed, so the state does not change
  let attempt = new AbortController();

  const lost = () => state.set(!onLine ? 'offline' : user === null ? 'connecting' : 'stale');

  /** One attempt, from request to end. */
  async function join() {
    const controller = (attempt = new AbortController());
    const { signal } = controller;
    lastBytes = Date.now();
    // By wall-clock time, because a timer's own clock stops while the machine sleeps.
    const watchdog = setInterval(() => {
      if (Math.abs(Date.now() - lastBytes) >= heartbeat * 2500) controller.abort();
    }, heartbeat * 100);
    farewell = null;
    /** @type {number | null} */
    let ends = null;
    let seen = ''; // the last id: an event with the same id has none of its own
    // An endless redirect and an unreachable network are the same failure for fetch. With `redirect: 'manual'` a
    // redirect is visible.
    const manual = unanswered && !redirects;
    unanswered = true;

    try {
      asked = names;
      const query = String(new URLSearchParams([...names].sort().map((name) => ['value', name])));
      const after = cursor();
      const { ok, status, type, headers, body } = await fetch(query ? `${url}?${query}` : url, {
        headers: {
          Accept: 'text/event-stream',
          'X-BFF': '1',
          ...(after !== null && { 'Last-Event-ID': after }),
        },
        cache: 'no-store',
        redirect: manual ? 'manual' : 'follow',
        signal,
      });
      unanswered = false;
      if (signal.aborted) return;
      redirects = manual && (type === 'opaqueredirect' || (status > 300 && status < 400));
      if (redirects) {
        quiet = true; // now follow it once more
        return;
      }
      if (status === 401) return stop();
      if (status === 204) return stop('no-content');
      if (!ok || !headers.get('content-type')?.startsWith('text/event-stream')) {
        if (status === 400 || status === 403) options.onRefused?.();
        farewell = retryAfterSeconds(headers.get('retry-after'));
        // Not an outage: the address is wrong, or a deployment does not have it for a while.
        const missing = status === 404 || status === 410;
        fault.set(missing ? 'not-found' : null);
        if (missing) farewell = Math.max(cap, farewell ?? 0);
        return;
      }
      // Another person has signed in meanwhile: their data must not be mixed with the existing state.
      const owner = headers.get('bff-user') ?? '';
      if (owner !== (user ??= owner)) return stop();
      state.set('live');
      fault.set(null);
      const parser = createParser({
        onRetry: (milliseconds) => (base = Math.min(milliseconds / 1000, cap)),
        onEvent({ type, id, data: text }) {
          // The listener may have requested a new join: then the rest of this chunk belongs to the old attempt.
          if (signal.aborted) return;
          if (id === seen) id = '';
          else seen = id;
          let data = orNull(() => JSON.parse(text));
          if (type === 'bye') {
            farewell = Number(data?.retry_after) || 0;
            if (data?.reason === 'logout') stop();
            // An announced end: for a person who has signed in again meanwhile nothing changes.
            quiet = ends !== null && !farewell;
            return controller.abort();
          }
          backoff.reset();
          if (type === 'expiring') {
            ends = Date.now() + data?.seconds * 1000;
            type = 'beat';
          }
          if (type === 'beat') data = { ...data, ends };
          // An exception of the listener is not an outage: it is reported, and the stream continues.
          sheltered(() => options.onEvent({ type, id, data }));
        },
      });
      const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
      // A custom `fetch` may not end its answer at the signal.
      signal.addEventListener('abort', () => void reader.cancel().catch(() => {}));
      while (!signal.aborted) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return;
        lastBytes = Date.now();
        if (state.get() === 'offline') state.set('live');
        parser.push(value);
      }
    } catch (error) {
      if (error instanceof EventTooLarge) return stop('too-large');
      // Network failure, abort or watchdog: all of them mean "join again".
      if (unanswered && redirects && !signal.aborted) {
        fault.set('redirect');
        farewell = cap;
      }
    } finally {
      clearInterval(watchdog);
      controller.abort();
    }
  }

  /** @param {object} mine */
  async function loop(mine) {
    while (mine === run) {
      await join();
      if (mine !== run) return;
      if (!quiet) {
        lost();
        await backoff.wait(farewell, base);
      }
      quiet = false;
    }
  }

  /** @param {{backoff?: boolean | undefined}} [how] */
  function reconnect(how) {
    quiet = !how?.backoff;
    attempt.abort();
    if (quiet) backoff.ring();
  }

  function pause() {
    run = null;
    attempt.abort();
    backoff.ring();
  }

  /** @param {Fault | null} [why] */
  function stop(why = null) {
    pause();
    user = null;
    fault.set(why);
    state.set('stopped');
  }

  return {
    state,
    fault,
    start(how) {
      if (run) return reconnect(how);
      fault.set(null);
      quiet = false;
      backoff.reset();
      run = {};
      lost();
      void loop(run);
    },
    stop: () => stop(),
    pause,
    reconnect,
    user: () => user,
    follow(wanted) {
      names = new Set(wanted);
      if ([...names].some((name) => !asked.has(name))) reconnect();
    },
    wake(news) {
      ({ onLine } = news);
      if (!run) return;
      if (news.type === 'offline') state.set('offline');
      // A socket that died while the machine slept still looks open: only fresh bytes prove that it works.
      else if (news.type === 'online' || attempt.signal.aborted || Date.now() - lastBytes > heartbeat * 1200)
        reconnect();
    },
  };
}
