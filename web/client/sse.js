/**
 * An event-stream parser over byte chunks (WHATWG HTML, 9.2.6 "Interpreting an event stream"). It handles the whole
 * grammar however the bytes are split: CR, LF and CRLF, a byte order mark, many data lines, comments, ids, retry,
 * partial characters. Its memory is bounded: one event larger than `limit` characters throws an `EventTooLarge`.
 */

/** An event has more characters than are read. */
export class EventTooLarge extends RangeError {}

/** Characters of the largest event. The server sends none of more than 8 MiB (docs/contract.md), and a character takes a byte or more. */
export const LARGEST = 8 * 1024 * 1024;

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
export function createParser({ onEvent, onRetry, limit = LARGEST }) {
  // The decoder keeps partial characters between chunks and strips one leading byte order mark.
  const decoder = new TextDecoder();
  let line = '';
  let afterReturn = false;
  let data = '';
  let type = '';
  let id = '';

  /** @param {string} text */
  function endLine(text) {
    if (text === '') {
      if (data) onEvent({ type: type || 'message', data: data.slice(0, -1), id });
      data = type = '';
      return;
    }
    // The text before the first colon, and after it and one space; a comment has no field.
    const [, field, value = ''] = /^([^:]*)(?:: ?)?(.*)/s.exec(text) ?? [];
    if (field === 'data') data += `${value}\n`;
    else if (field === 'event') type = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) onRetry?.(Number(value));
  }

  return {
    push(chunk) {
      let text = decoder.decode(chunk, { stream: true });
      if (text === '') return;
      if (afterReturn && text.startsWith('\n')) text = text.slice(1);
      afterReturn = text.endsWith('\r');
      const [first, ...others] = text.split(/\r\n?|\n/);
      const lines = [line + first, ...others];
      line = lines.pop() ?? '';
      lines.forEach(endLine);
      if (data.length + line.length > limit) throw new EventTooLarge('event too large');
    },
  };
}
