/** The signed-in person: the client's session helper, and the toasts of this shop when a session or the stream ends. */
import { createSession } from '/client/index.js';
import { client } from './live.js';
import { toast } from './toast.js';

/** @typedef {{sub: string, name?: string}} Person */

const session = createSession(client);

/** @returns {Person | null} */
export const who = () => session.get().user;

/** When this sign-in has to be renewed, in milliseconds since 1970. */
export const signInEnds = () => session.get().expiresAt ?? Infinity;

/** @type {Set<() => void>} */
const listeners = new Set();
let before = session.get().status;

session.subscribe(({ status }) => {
  // For an anonymous visitor nothing changes: the screens were requested without a person.
  const visitor = before === 'unknown' && status === 'signed-out';
  before = status;
  if (!visitor) for (const listener of listeners) listener();
});

/** @param {() => void} listener */
export function onPerson(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Ask at the start who is signed in, again after a failure: a gateway that is full or starting refuses only for a moment. */
export const recogniseAtLast = session.start;

/** Ask the gateway who is signed in; the session itself never reaches the page. */
export const recognise = session.refresh;

/** Report that an answer showed the end of the session. */
export const lose = session.ended;

/** The address where a sign-in starts, with the address to return to. */
export const signInAt = session.signInUrl;

export const signOut = session.signOut;

session.onEnded(() => toast('You have been signed out.', { link: { href: signInAt(), text: 'Sign in' } }));

client.connection.subscribe((state) => {
  if (state === 'stopped' && who() !== null && client.fault.get())
    toast('There are no live updates right now.', {});
});
