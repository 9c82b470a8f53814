/**
 * @typedef {object} StreamEvent
 * @property {string} type  The event's name; "message" when the stream gave none.
 * @property {string} data  The data lines joined by LF.
 * @property {string} id    The last id seen so far, "" before the first.
 */
/**
 * @typedef {object} ParserOptions
 * @property {(event: StreamEvent) => void} onEvent  Called for each dispatched event, in order.
 * @property {(milliseconds: number) => void} [onRetry]  Called for each valid `retry:` line.
 * @property {number} [limit]  Most characters held for one unfinished event; default `LARGEST`.
 */
/**
 * @param {ParserOptions} options
 * @returns {{push(chunk: Uint8Array): void}} Feed it the body's chunks; what is unfinished at the end is dropped, as the
 *   specification says.
 */
export function createParser({ onEvent, onRetry, limit }: ParserOptions): {
    push(chunk: Uint8Array): void;
};
/**
 * An event-stream parser over byte chunks (WHATWG HTML, 9.2.6 "Interpreting an event stream"). It handles the whole
 * grammar however the bytes are split: CR, LF and CRLF, a byte order mark, many data lines, comments, ids, retry,
 * partial characters. Its memory is bounded: one event larger than `limit` characters throws an `EventTooLarge`.
 */
/** An event has more characters than are read. */
export class EventTooLarge extends RangeError {
}
/** Characters of the largest event. The server sends none of more than 8 MiB (docs/contract.md), and a character takes a byte or more. */
export const LARGEST: number;
export type StreamEvent = {
    /**
     * The event's name; "message" when the stream gave none.
     */
    type: string;
    /**
     * The data lines joined by LF.
     */
    data: string;
    /**
     * The last id seen so far, "" before the first.
     */
    id: string;
};
export type ParserOptions = {
    /**
     * Called for each dispatched event, in order.
     */
    onEvent: (event: StreamEvent) => void;
    /**
     * Called for each valid `retry:` line.
     */
    onRetry?: ((milliseconds: number) => void) | undefined;
    /**
     * Most characters held for one unfinished event; default `LARGEST`.
     */
    limit?: number | undefined;
};
