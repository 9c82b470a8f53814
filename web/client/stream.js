/**
 * A stream of one page, for pages that do not want to share it between tabs: a connection that reacts to events of
 * the page, and does not keep the page out of the back-forward cache.
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
 * }} StreamOptions  url: default "/bff/live". heartbeat: seconds, default 15. surroundings: the source of page events;
 *   default the page.
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
  const leave = attend(surroundings, notice);

  return {
    ...connection,
    start() {
      away = false;
      wake({ type: '', onLine: isOnLine(surroundings) });
      start();
    },
    stop,
    dispose() {
      leave();
      stop();
    },
  };
}
