/**
 * A stream of this page's own, for who wants no sharing between tabs: a connection that minds what the page goes through,
 * and keeps it out of no back-forward cache.
 */
import { createConnection } from './connection.js';
import { attend, isHidden, isOnLine } from './page.js';

/** @typedef {import('./connection.js').LiveEvent} LiveEvent */
/** @typedef {import('./connection.js').Source} Source */
/** @typedef {import('./connection.js').StreamState} StreamState */

/**
 * @typedef {Omit<import('./connection.js').ConnectionOptions, 'url' | 'heartbeat'> & {
 *   url?: string | undefined,
 *   heartbeat?: number,
 *   surroundings?: import('./page.js').Surroundings,
 * }} StreamOptions  url: default "/bff/live". heartbeat: seconds, default 15. surroundings: what it listens to besides the
 *   network; default the page.
 */

/**
 * @param {StreamOptions} options
 * @returns {Source}
 */
export function createStream({ url = '/bff/live', heartbeat = 15, surroundings = globalThis, ...options }) {
  const { pause, wake, ...connection } = createConnection({ url, heartbeat, ...options });
  const { state, start, stop } = connection;
  let away = false;

  /** @param {string} type */
  function notice(type) {
    if (state.get() === 'stopped') return;
    if (type === 'pagehide') {
      away = true;
      pause();
    } else if (away) {
      if (type !== 'pageshow') return;
      away = false;
      start();
    } else if (!isHidden(surroundings)) wake({ type, onLine: isOnLine(surroundings) });
  }
  attend(surroundings, notice);

  return {
    ...connection,
    start() {
      away = false;
      wake({ type: '', onLine: isOnLine(surroundings) });
      start();
    },
    stop,
  };
}
