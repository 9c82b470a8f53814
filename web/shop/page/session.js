/** The signed-in person: the client's session helper, and the messages of this shop when a session or the stream ends. */
import { createSession } from '/client/index.js';
import { client } from './live.js';
import { invalidate } from './schedule.js';
import { texts } from './texts.js';
import { toast } from './toast.js';

/** @typedef {{sub: string, name?: string}} Person */

const session = createSession(client);

/** @returns {Person | null} */
export const user = () => session.get().user;

/** Whether the gateway could not be asked; then a visitor can still sign in. */
let unreachable = false;

/** Whether the gateway has not answered yet who is signed in. */
export const isSessionUnknown = () => session.get().status === 'unknown' && !unreachable;

/** When this sign-in has to be renewed, in milliseconds since 1970. */
export const sessionEnds = () => session.get().expiresAt ?? Infinity;

/** @type {Set<() => void>} */
const listeners = new Set();
let before = session.get().status;

session.subscribe(({ status }) => {
  // For an anonymous visitor nothing changes: the screens were requested without a person.
  const visitor = before === 'unknown' && status === 'signed-out';
  before = status;
  invalidate();
  if (visitor) return;
  // A listener may end others, whose view is left.
  for (const listener of [...listeners]) if (listeners.has(listener)) listener();
});

/**
 * Be notified of each answer about the person, also of an equal one, after which screens may be out of date.
 * @param {() => void} listener
 */
export function onSession(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Ask at the start who is signed in, again after a failure: a gateway that is full or starting refuses only for a moment. */
export async function startSession() {
  try {
    await session.start();
  } catch {
    unreachable = true;
    toast(texts.person.unrecognised, { tone: 'bad' });
  }
}

/** Ask the gateway who is signed in; the session itself never reaches the page. */
export const refreshSession = session.refresh;

/** Report that an answer showed the end of the session. */
export const endSession = session.ended;

/** The address where a sign-in starts, with the address to return to. */
export const signInUrl = () => session.signInUrl();

export const signOut = session.signOut;

session.onEnded(() =>
  toast(texts.person.signedOut, { link: { href: signInUrl(), text: texts.person.signIn } }),
);

client.connection.subscribe((state) => {
  if (state === 'stopped' && user() !== null && client.fault.get()) toast(texts.person.noLiveUpdates);
});
