/** Events of a page that a stream must know; none where there is no page. */

/**
 * A window, or a replacement for one.
 * @typedef {object} Surroundings
 * @property {Window['addEventListener'] | EventTarget['addEventListener']} [addEventListener]
 * @property {{onLine?: boolean}} [navigator]
 * @property {{visibilityState?: string}} [document]
 */

/** @param {Surroundings} around @param {(type: string) => void} notice  From now on. */
export function attend(around, notice) {
  for (const type of ['online', 'offline', 'pageshow', 'pagehide', 'visibilitychange'])
    around.addEventListener?.(type, () => notice(type));
}

/** @param {Surroundings} around */
export const isOnLine = ({ navigator }) => navigator?.onLine !== false;

/** @param {Surroundings} around */
export const isHidden = ({ document }) => document?.visibilityState === 'hidden';
