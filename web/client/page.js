/** Events of a page that a stream must know; none where there is no page. */

/**
 * A window, or a replacement for one.
 * @typedef {object} Surroundings
 * @property {Window['addEventListener'] | EventTarget['addEventListener']} [addEventListener]
 * @property {Window['removeEventListener'] | EventTarget['removeEventListener']} [removeEventListener]
 * @property {{onLine?: boolean}} [navigator]
 * @property {{visibilityState?: string}} [document]
 */

const NOTICED = ['online', 'offline', 'pageshow', 'pagehide', 'visibilitychange'];

/**
 * @param {Surroundings} around
 * @param {(type: string) => void} notice  From now on.
 * @returns {() => void} Ends the subscription.
 */
export function attend(around, notice) {
  const listener = (/** @type {Event} */ { type }) => notice(type);
  for (const type of NOTICED) around.addEventListener?.(type, listener);
  return () => {
    for (const type of NOTICED) around.removeEventListener?.(type, listener);
  };
}

/** @param {Surroundings} around */
export const isOnLine = ({ navigator }) => navigator?.onLine !== false;

/** @param {Surroundings} around */
export const isHidden = ({ document }) => document?.visibilityState === 'hidden';
