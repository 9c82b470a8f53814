/** The signed-in person. The live stream starts and ends with it: an anonymous visitor has none. */
import { fetchJson } from './api.js';
import { client } from './live.js';
import { toast } from './toast.js';

/** @typedef {{sub: string, name?: string}} Person */

/** @type {Person | null} */
let person = null;
/** Milliseconds since 1970. */
let ends = Infinity;
/** @type {Set<() => void>} */
const listeners = new Set();

export const who = () => person;

/** When this sign-in has to be renewed, in milliseconds since 1970. */
export const signInEnds = () => ends;

/** @param {() => void} listener */
export function onPerson(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** @param {Person | null} next */
function become(next) {
  person = next;
  for (const listener of listeners) listener();
}

/** Ask the gateway; the session itself never reaches the page. @returns {Promise<import('/client/index.js').Operation[]>} the resumed mutations */
export async function recognise() {
  const user = await fetchJson('/bff/user?anonymous=1');
  if (user === null) {
    lose();
    return [];
  }
  ends = Date.now() + user.expires_in * 1000;
  if (user.sub !== person?.sub) person = null;
  const restored = client.start({ userId: user.sub });
  become(user);
  return restored;
}

/** The session has ended, for any reason. @param {{told?: boolean}} [how]  told: the person knows it already. */
export function lose({ told = false } = {}) {
  if (person === null) return; // the stock that an anonymous visitor sees must not be deleted
  person = null;
  client.stop();
  become(null);
  if (!told) toast('You have been signed out.', { link: { href: signInAt(), text: 'Sign in' } });
}

/** When the end of a stream was last checked, in milliseconds since 1970. */
let doubted = 0;

// The stream stops by itself when its session has ended. Another tab may have a new session meanwhile.
client.connection.subscribe((state) => {
  if (state !== 'stopped' || person === null) return;
  if (client.fault.get()) return void toast('There are no live updates right now.', {});
  const again = Date.now() - doubted < 5000;
  doubted = Date.now();
  if (again) lose();
  else recognise().catch(() => lose());
});

/** The address where a sign-in starts, with the address to return to. */
export const signInAt = (path = location.pathname) => `/bff/login?return=${encodeURIComponent(path)}`;

export async function signOut() {
  const { redirect } = await fetchJson('/bff/logout', { method: 'POST' });
  lose({ told: true });
  location.assign(redirect ?? '/');
}
