/**
 * @param {Surroundings} around
 * @param {(type: string) => void} notice  From now on.
 * @returns {() => void} Ends the subscription.
 */
export function attend(around: Surroundings, notice: (type: string) => void): () => void;
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
