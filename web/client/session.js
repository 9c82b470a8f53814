/**
 * The signed-in person. The helper asks the gateway at the start, when a person signs in in another tab, when the browser
 * shows a page from the back-forward cache, and when the stream ends because the gateway no longer knows the session. It
 * starts the client for the signed-in person and stops it when nobody is signed in. A failed request does not mean that
 * nobody is signed in: the last answer counts until the next one.
 */
import { createCell } from './observable.js';
import { fetchUser, logOut } from './user.js';

/** @typedef {import('./user.js').User} User */

/**
 * unknown: no answer yet. expiresAt: when the session ends (milliseconds since 1970), as far as it is known.
 * @typedef {{status: 'unknown' | 'signed-out' | 'signed-in', user: User | null, expiresAt: number | null}} Session
 */

/**
 * @typedef {object} SessionOptions
 * @property {string} [prefix]   The path below which the gateway is reached, "/desk"; default none.
 * @property {number} [attempts] How often `start` asks before it fails; default 6.
 * @property {number} [pause]    Seconds between two of them; default 2.
 * @property {number} [timeout]  Seconds for one answer; default 10.
 * @property {(url: string) => void} [go]  Opens an address; default `location.assign`.
 * @property {typeof fetch} [fetch]
 */

/** @typedef {Pick<import('./client.js').Client, 'start' | 'stop' | 'connection' | 'fault' | 'sessionExpiresAt' | 'onSessionChange' | 'takeUpLater'>} Followed */

/** @type {Session} */
const NO_ANSWER = { status: 'unknown', user: null, expiresAt: null };

/** Milliseconds: a stream that stops twice within this time means that the session has ended. */
const RECHECK = 5000;

/**
 * @param {Followed} client
 * @param {SessionOptions} [options]
 */
export function createSession(client, options = {}) {
  const { prefix = '', attempts = 6, pause = 2, timeout = 10, fetch: send } = options;
  const go = options.go ?? ((url) => location.assign(url));
  /** With a count, so that an equal answer notifies, too. */
  const answers = createCell({ count: 0, session: NO_ANSWER });
  const ends = createCell(/** @type {{count: number}} */ ({ count: 0 }));
  /** @type {Promise<void> | null} the request that is under way */
  let asking = null;
  /** Changes when the answer of a request that is under way must be ignored. */
  let generation = 0;
  let disposed = false;
  /** When the stream last stopped. */
  let stoppedAt = -Infinity;
  /** The person whose journal the client follows; null without one. @type {string | null} */
  let following = null;

  const limited = () => ({ signal: AbortSignal.timeout(timeout * 1000) });

  const get = () => {
    const { session } = answers.get();
    const soon = client.sessionExpiresAt.get();
    const { expiresAt } = session;
    return soon === null || session.user === null || (expiresAt !== null && expiresAt < soon)
      ? session
      : { ...session, expiresAt: soon };
  };

  /** @param {Session} session */
  const notify = (session) => answers.set({ count: answers.get().count + 1, session });

  /** @param {User} user */
  function enter(user) {
    if (following !== user.sub) following = null;
    client.start({ userId: user.sub });
    following = user.sub;
    notify({ status: 'signed-in', user, expiresAt: Date.now() + user.expires_in * 1000 });
  }

  /** Nobody is signed in. @param {boolean} here  Whether the person signed out here. */
  function leave(here) {
    const { status } = answers.get().session;
    if (status === 'signed-out') return;
    following = null;
    if (status !== 'unknown') client.stop(); // an anonymous visitor keeps the values
    notify({ status: 'signed-out', user: null, expiresAt: null });
    if (status !== 'unknown' && !here) ends.set({ count: ends.get().count + 1 });
  }

  async function ask() {
    const asked = generation;
    const user = await fetchUser(`${prefix}/bff/user`, limited(), send);
    if (asked !== generation || disposed) return;
    if (user) enter(user);
    else leave(false);
  }

  /** Ask who is signed in; one request at a time. @returns {Promise<void>} Rejects when the request fails. */
  function refresh() {
    asking ??= ask().finally(() => (asking = null));
    return asking;
  }

  /** After a failure the last answer counts. */
  const refreshQuietly = () => void refresh().catch(() => {});

  /** The gateway no longer knows the session of the stream. Another tab may have a new session. */
  function onStopped() {
    if (following === null || client.fault.get()) return;
    const again = Date.now() - stoppedAt < RECHECK;
    stoppedAt = Date.now();
    if (again) leave(false);
    else refresh().catch(() => leave(false));
  }

  const onPageShow = (/** @type {any} a PageTransitionEvent */ { persisted }) =>
    persisted && refreshQuietly();
  const leaves = [
    client.connection.subscribe((state) => state === 'stopped' && onStopped()),
    client.onSessionChange(refreshQuietly),
    () => globalThis.removeEventListener?.('pageshow', onPageShow),
  ];
  globalThis.addEventListener?.('pageshow', onPageShow);

  return {
    /** The last answer, with the end of the session as the stream has reported it since then. @returns {Session} */
    get,

    /**
     * Be notified of each answer, also of an equal one: the screens may be out of date.
     * @param {(session: Session) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    subscribe: (listener) => answers.subscribe(() => listener(get())),

    /**
     * Be notified when the session has ended although the person did not sign out here: it expired, or ended in another tab.
     * @param {() => void} listener
     * @returns {() => void} Ends the subscription.
     */
    onEnded: (listener) => ends.subscribe(() => listener()),

    /** Ask who is signed in, with a few attempts. @returns {Promise<void>} Rejects with the last failure. */
    async start() {
      for (let left = attempts; ;) {
        try {
          return await refresh();
        } catch (error) {
          if ((left -= 1) < 1) throw error;
          await new Promise((resolve) => setTimeout(resolve, pause * 1000));
        }
      }
    },

    refresh,

    /** Report that another request was answered with 401: the session has ended. */
    ended: () => leave(false),

    /**
     * The address where a sign-in starts.
     * @param {string} [path]  Where it returns to; default the path of the page. A server that renders has no page: there "/".
     */
    signInUrl: (path = globalThis.location?.pathname ?? '/') =>
      `${prefix}/bff/login?return=${encodeURIComponent(path)}`,

    /**
     * Go to the sign-in that a refused request needs ("step-up-required"), and return to the page afterwards.
     * @param {import('./problem.js').Problem} problem  Of the refusal.
     * @param {object} [options]
     * @param {string} [options.path]  Where it returns to; default the path of the page.
     * @param {import('./operation.js').Operation} [options.operation]  The refused mutation. One of `define` is sent again, once
     *   and with the same id, when the client starts after the return.
     * @returns {boolean} false: the problem asks for no sign-in, and nothing happens.
     */
    stepUp({ login }, { path = location.pathname, operation } = {}) {
      if (!login) return false;
      if (operation) client.takeUpLater(operation);
      go(`${login}${login.includes('?') ? '&' : '?'}return=${encodeURIComponent(path)}`);
      return true;
    },

    /** Sign out here and at the provider, where the browser is sent. @returns {Promise<void>} Rejects when the request fails. */
    async signOut() {
      const { redirect } = await logOut(`${prefix}/bff/logout`, limited(), send);
      generation += 1;
      leave(true);
      go(redirect ?? `${prefix}/`);
    },

    /** End all subscriptions to the client and the page; an answer that is under way is ignored. The client goes on. */
    dispose() {
      disposed = true;
      for (const end of leaves) end();
    },
  };
}

/** @typedef {ReturnType<typeof createSession>} SessionHelper */
