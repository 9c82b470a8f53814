/** What a page goes through, as far as a stream must know of it; nothing of it where there is no page. */
/**
 * A window, or what stands for one.
 * @typedef {object} Surroundings
 * @property {Window['addEventListener'] | EventTarget['addEventListener']} [addEventListener]
 * @property {{onLine?: boolean}} [navigator]
 * @property {{visibilityState?: string}} [document]
 */
/** @param {Surroundings} around @param {(type: string) => void} notice  From now on. */
export function attend(around: Surroundings, notice: (type: string) => void): void;
export function isOnLine({ navigator }: Surroundings): boolean;
export function isHidden({ document }: Surroundings): boolean;
/**
 * A window, or what stands for one.
 */
export type Surroundings = {
    addEventListener?: ((type: string, callback: EventListenerOrEventListenerObject | null, options?: AddEventListenerOptions | boolean) => void) | {
        <K extends keyof WindowEventMap>(type: K, listener: (this: Window, ev: WindowEventMap[K]) => any, options?: boolean | AddEventListenerOptions): void;
        (type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
    } | undefined;
    navigator?: {
        onLine?: boolean;
    } | undefined;
    document?: {
        visibilityState?: string;
    } | undefined;
};
