/**
 * @param {object} options
 * @param {(to: readonly string[], message: import('./protocol.js').HubMessage) => void} options.post  To these tabs.
 * @param {(options: import('./connection.js').ConnectionOptions) => import('./connection.js').Connection} [options.source]
 * @param {(lock: string, gone: () => void) => void} [options.watch]  Calls back when this Web Lock, which a tab holds until
 *   it ends, is free; default never.
 * @param {typeof fetch | undefined} [options.fetch]
 */
export function createHub({ post, source, watch, fetch }: {
    post: (to: readonly string[], message: import("./protocol.js").HubMessage) => void;
    source?: ((options: import("./connection.js").ConnectionOptions) => import("./connection.js").Connection) | undefined;
    watch?: ((lock: string, gone: () => void) => void) | undefined;
    fetch?: typeof globalThis.fetch | undefined;
}): {
    /** @param {string} from  A tab. @param {import('./protocol.js').TabMessage} message */
    onMessage(from: string, message: import("./protocol.js").TabMessage): void;
    close: () => void;
};
