/** What a page goes through, as far as a stream must know of it; nothing of it where there is no page. */

/**
 * A window, or what stands for one.
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
