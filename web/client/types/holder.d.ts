/** @typedef {import('./hub.js').Said} Said */
/** @typedef {import('./hub.js').Told} Told */
/**
 * @typedef {object} Place
 * @property {string} name   Of the lock and the channel.
 * @property {(told: Told) => void} hear
 * @property {() => void} failed
 * @property {() => {owner: string, state: any} | undefined} seed  Where this tab stands.
 * @property {typeof fetch | undefined} [fetch]
 */
/** @param {Place} place @returns {import('./tabs.js').Link} */
export function holdAlone({ hear, fetch }: Place): import("./tabs.js").Link;
/** @param {Place} place @returns {import('./tabs.js').Link} */
export function holdForAll({ name, hear, failed, seed, fetch }: Place): import("./tabs.js").Link;
export type Said = import("./hub.js").Said;
export type Told = import("./hub.js").Told;
export type Place = {
    /**
     * Of the lock and the channel.
     */
    name: string;
    hear: (told: Told) => void;
    failed: () => void;
    /**
     * Where this tab stands.
     */
    seed: () => {
        owner: string;
        state: any;
    } | undefined;
    fetch?: typeof fetch | undefined;
};
