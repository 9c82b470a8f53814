/** Who is here: the client's session helper, and what this shop says when a session has ended. */
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
  // That a visitor is nobody is no news: what they see was asked for without a person.
  const visitor = before === 'unknown' && status === 'signed-out';
  before = status;
  if (!visitor) for (const listener of listeners) listener();
});

/** @param {() => void} listener */
export function onPerson(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Ask at the start, a few times if the gateway is full or starting. */
export const recogniseAtLast = session.start;

/** Ask the gateway; the session itself never reaches the page. */
export const recognise = session.refresh;

/** An answer has shown that the session is over. */
export const lose = session.ended;

/** Where signing in starts, and returns to. */
export const signInAt = session.signInUrl;

export const signOut = session.signOut;

session.onEnded(() => toast('You have been signed out.', { link: { href: signInAt(), text: 'Sign in' } }));

client.connection.subscribe((state) => {
  if (state === 'stopped' && who() !== null && client.fault.get())
    toast('There are no live updates right now.', {});
});
