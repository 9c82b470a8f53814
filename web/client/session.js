/**
 * Who is signed in, kept true for as long as the page is open: asked at the start, after a failure once more, when somebody
 * signs in in another tab, when the browser shows a kept page again, and when the stream ends because the gateway knows the
 * session no longer. The client follows: it is started for who is here, and stopped when nobody is. It refuses to take an
 * answer that failed for nobody: until it is known the last answer counts.
 */
import { createCell } from './observable.js';
import { fetchUser, logOut } from './user.js';

/** @typedef {import('./user.js').User} User */

/**
 * unknown: not asked yet. expiresAt: when the session ends (milliseconds since 1970), as far as it is known.
 * @typedef {{status: 'unknown' | 'signed-out' | 'signed-in', user: User | null, expiresAt: number | null}} Session
 */

/**
 * @typedef {object} SessionOptions
 * @property {string} [prefix]   The path below which the gateway is reached, "/desk"; default none.
 * @property {number} [attempts] How often `start` asks before it fails; default 6.
 * @property {number} [pause]    Seconds between two of them; default 2.
 * @property {number} [timeout]  Seconds for one answer; default 10.
 * @property {(url: string) => void} [go]  Goes to a page; default `location.assign`.
 * @property {typeof fetch} [fetch]
 */

/** @typedef {Pick<import('./client.js').Client, 'start' | 'stop' | 'connection' | 'fault' | 'sessionExpiresAt' | 'onSessionChange'>} Followed */

/** Milliseconds: a stream that ends twice within these has told the truth both times. */
const DOUBT = 5000;

/**
 * @param {Followed} client
 * @param {SessionOptions} [options]
 */
export function createSession(client, options = {}) {
  const { prefix = '', attempts = 6, pause = 2, timeout = 10, fetch: send } = options;
  const go = options.go ?? ((url) => location.assign(url));
  /** Counts the answers, so that one that says the same is told, too. */
  const answers = createCell({ count: 0, session: /** @type {Session} */ (NOBODY_ASKED) });
  const ends = createCell(/** @type {{count: number}} */ ({ count: 0 }));
  /** @type {Promise<void> | null} */
  let asking = null;
  let doubtedAt = -Infinity;
  /** Whose journal the client follows; null while it follows none, or is about to follow another's. @type {string | null} */
  let following = null;

  const patience = () => ({ signal: AbortSignal.timeout(timeout * 1000) });

  const get = () => {
    const { session } = answers.get();
    const soon = client.sessionExpiresAt.get();
    const { expiresAt } = session;
    return soon === null || session.user === null || (expiresAt !== null && expiresAt < soon)
      ? session
      : { ...session, expiresAt: soon };
  };

  /** @param {Session} session */
  const tell = (session) => answers.set({ count: answers.get().count + 1, session });

  /** @param {User} user */
  function enter(user) {
    if (following !== user.sub) following = null;
    client.start({ userId: user.sub });
    following = user.sub;
    tell({ status: 'signed-in', user, expiresAt: Date.now() + user.expires_in * 1000 });
  }

  /** Nobody is here. @param {boolean} told  Whether the person knows already. */
  function leave(told) {
    const { status } = answers.get().session;
    if (status === 'signed-out') return;
    following = null;
    tell({ status: 'signed-out', user: null, expiresAt: null });
    if (status === 'unknown') return; // what a visitor was shown is not to be forgotten
    client.stop();
    if (!told) ends.set({ count: ends.get().count + 1 });
  }

  async function ask() {
    const user = await fetchUser(`${prefix}/bff/user`, patience(), send);
    if (user) enter(user);
    else leave(false);
  }

  /** Ask who is here; one question at a time. @returns {Promise<void>} Rejects where nobody could tell. */
  function refresh() {
    asking ??= ask().finally(() => (asking = null));
    return asking;
  }

  /** Without a word of a failure: the last answer counts. */
  const refreshQuietly = () => void refresh().catch(() => {});

  /** The stream stops by itself when the gateway knows nobody by the session that it was opened with. Another tab may have a new one. */
  function onStopped() {
    if (following === null || client.fault.get()) return;
    const again = Date.now() - doubtedAt < DOUBT;
    doubtedAt = Date.now();
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
    /** What is known. `expiresAt` counts what the stream has told since. @returns {Session} */
    get,

    /**
     * Hear of each answer, also of one that says the same: a screen may be out of date by then.
     * @param {(session: Session) => void} listener
     * @returns {() => void} The way out.
     */
    subscribe: (listener) => answers.subscribe(() => listener(get())),

    /**
     * Hear that the session has ended without the person asking for it: it expired, or ended in another tab.
     * @param {() => void} listener
     * @returns {() => void} The way out.
     */
    onEnded: (listener) => ends.subscribe(() => listener()),

    /** Ask who is here, a few times if nobody can tell. @returns {Promise<void>} Rejects with the last failure. */
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

    /** An answer has shown that the session is over (401). */
    ended: () => leave(false),

    /** Where signing in starts; it returns to this path. @param {string} [path]  Default where the page is. */
    signInUrl: (path = location.pathname) => `${prefix}/bff/login?return=${encodeURIComponent(path)}`,

    /** Sign out here and at the provider: the page goes there. @returns {Promise<void>} */
    async signOut() {
      const { redirect } = await logOut(`${prefix}/bff/logout`, patience(), send);
      leave(true);
      go(redirect ?? `${prefix}/`);
    },

    /** No listener stays. The client is the caller's. */
    dispose() {
      for (const off of leaves) off();
    },
  };
}

/** @type {Session} */
const NOBODY_ASKED = { status: 'unknown', user: null, expiresAt: null };

/** @typedef {ReturnType<typeof createSession>} SessionHelper */
