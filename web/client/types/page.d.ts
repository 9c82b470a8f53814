/** Events of a page that a stream must know; none where there is no page. */
/**
 * A window, or a replacement for one.
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
 * A window, or a replacement for one.
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
