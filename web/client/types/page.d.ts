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
export function listen(around: Surroundings, how: "addEventListener" | "removeEventListener", notice: (event: Event) => void): void;
export function isOffline(around: Surroundings): boolean;
export function isHidden(around: Surroundings): boolean;
/**
 * A window, or what stands for one.
 */
export type Surroundings = {
    addEventListener?: ((type: string, callback: EventListenerOrEventListenerObject | null, options?: AddEventListenerOptions | boolean) => void) | {
        <K extends keyof WindowEventMap>(type: K, listener: (this: Window, ev: WindowEventMap[K]) => any, options?: boolean | AddEventListenerOptions): void;
        (type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
    } | undefined;
    removeEventListener?: ((type: string, callback: EventListenerOrEventListenerObject | null, options?: EventListenerOptions | boolean) => void) | {
        <K extends keyof WindowEventMap>(type: K, listener: (this: Window, ev: WindowEventMap[K]) => any, options?: boolean | EventListenerOptions): void;
        (type: string, listener: EventListenerOrEventListenerObject, options?: boolean | EventListenerOptions): void;
    } | undefined;
    navigator?: {
        onLine?: boolean;
    } | undefined;
    document?: {
        visibilityState?: string;
    } | undefined;
};
