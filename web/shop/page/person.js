/** Who is here. Starting and leaving the live stream follows from it: an anonymous visitor has none. */
import { fetchJson } from './api.js';
import { client } from './live.js';

/** @typedef {{sub: string, name?: string}} Person */

/** @type {Person | null} */
let person = null;
/** @type {Set<() => void>} */
const listeners = new Set();

export const who = () => person;

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

/** Ask the gateway; the session itself never reaches the page. @returns {Promise<import('/client/index.js').Operation[]>} what a reload interrupted */
export async function recognise() {
  try {
    const user = await fetchJson('/bff/user');
    const restored = client.start({ owner: user.sub });
    become(user);
    return restored;
  } catch (error) {
    const problem = /** @type {import('/client/index.js').ProblemError} */ (error).problem;
    if (problem?.status === 401) lose();
    else throw error;
    return [];
  }
}

/** The session is over, whoever ended it. */
export function lose() {
  if (person === null) return; // an anonymous visitor's stock is not to be forgotten
  client.stop();
  become(null);
}

/** Where signing in starts, and returns to. */
export const signInAt = (path = location.pathname) => `/bff/login?return=${encodeURIComponent(path)}`;

export async function signOut() {
  const { redirect } = await fetchJson('/bff/logout', { method: 'POST' });
  lose();
  location.assign(redirect ?? '/');
}
