/** What a page goes through, as far as a stream must know of it; nothing of it where there is no page. */

/**
 * A window, or what stands for one.
 * @typedef {object} Surroundings
 * @property {Window['addEventListener'] | EventTarget['addEventListener']} [addEventListener]
 * @property {Window['removeEventListener'] | EventTarget['removeEventListener']} [removeEventListener]
 * @property {{onLine?: boolean}} [navigator]
 * @property {{visibilityState?: string}} [document]
 */

/**
 * @param {Surroundings} around
 * @param {'addEventListener' | 'removeEventListener'} how
 * @param {(event: Event) => void} notice
 */
export function listen(around, how, notice) {
  for (const type of ['online', 'offline', 'pageshow', 'pagehide', 'visibilitychange'])
    around[how]?.(type, notice);
}

/** @param {Surroundings} around */
export const isOffline = (around) => around.navigator?.onLine === false;

/** @param {Surroundings} around */
export const isHidden = (around) => around.document?.visibilityState === 'hidden';
