/**
 * The messages between tabs and the hub, and the name of this protocol. Pages of two deployments, or a page and the worker of
 * another deployment, use different channels when their messages differ: a test computes the name from the rest of this file.
 */
export const PROTOCOL = 'bff-live-40c2667b';

/**
 * @typedef {object} Settings
 * @property {string} url
 * @property {number} heartbeat  Seconds.
 * @property {number | undefined} [base]
 * @property {number | undefined} [cap]
 * @property {string | null} [user]  Whose journal it must be, as the server names them.
 */

/**
 * A message of a tab. join: start, join again from this position, request other values, or check for a hub; lock: the name of
 * a Web Lock that the tab holds until it ends. wake: an event of the page that may concern the stream, by its type. leave: the
 * tab ends.
 * @typedef {{kind: 'join', userId: string, cursor: string | null, names: string[], settings: Settings, lock?: string | null, backoff?: boolean | undefined}
 *   | {kind: 'wake', type: string, onLine: boolean} | {kind: 'leave'}} TabMessage
 */

/**
 * A message of the hub. userId: the person of the journal; user: the server's name of that person, once known. hello: a new
 * hub has started, join it. full: the hub cannot serve this tab.
 * @typedef {{userId?: string | null, user?: string | null | undefined} & (
 *   {kind: 'event', event: {type: string, id: string, data: any}}
 *   | {kind: 'state', state: 'connecting' | 'live' | 'stale' | 'offline' | 'stopped', fault?: 'no-content' | 'too-large' | 'redirect' | 'not-found' | null | undefined}
 *   | {kind: 'hello'} | {kind: 'full'})} HubMessage
 */

/** On the channel: {from, message} of a tab; {to, message} of the hub, for all tabs where `to` is missing. */
