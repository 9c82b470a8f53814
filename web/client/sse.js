/**
 * An event-stream parser over byte chunks (WHATWG HTML, 9.2.6 "Interpreting an event stream"). It promises the whole
 * grammar however the bytes are cut: CR, LF and CRLF, a byte order mark, many data lines, comments, ids, retry, half a
 * character. It refuses to grow without bound: one event larger than `limit` characters throws `EventTooLarge`.
 */

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
 * @property {number} [limit]  Most characters held for one unfinished event; default 4 Mi.
 */

export class EventTooLarge extends Error {
  /** @param {number} limit */
  constructor(limit) {
    super(`an event of the stream is larger than ${limit} characters`);
    this.name = 'EventTooLarge';
  }
}

/**
 * @param {ParserOptions} options
 * @returns {{push(chunk: Uint8Array): void}} Feed it the body's chunks; what is unfinished at the end is dropped, as the
 *   specification says.
 */
export function createParser({ onEvent, onRetry = () => {}, limit = 4 * 1024 * 1024 }) {
  // The decoder keeps half characters between chunks and strips one leading byte order mark.
  const decoder = new TextDecoder('utf-8');
  let line = '';
  let afterCarriageReturn = false;
  /** @type {string[]} */
  let data = [];
  let held = 0;
  let type = '';
  let id = '';

  function dispatch() {
    if (data.length > 0) onEvent({ type: type || 'message', data: data.join('\n'), id });
    data = [];
    held = 0;
    type = '';
  }

  /** @param {string} text */
  function endLine(text) {
    if (text === '') return dispatch();
    const colon = text.indexOf(':');
    if (colon === 0) return; // a comment
    const field = colon < 0 ? text : text.slice(0, colon);
    let value = colon < 0 ? '' : text.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') {
      data.push(value);
      held += value.length + 1;
    } else if (field === 'event') {
      type = value;
    } else if (field === 'id') {
      if (!value.includes('\0')) id = value;
    } else if (field === 'retry') {
      if (/^[0-9]+$/.test(value)) onRetry(Number(value));
    }
  }

  return {
    push(chunk) {
      let text = decoder.decode(chunk, { stream: true });
      if (text === '') return;
      if (afterCarriageReturn && text.startsWith('\n')) text = text.slice(1);
      afterCarriageReturn = text === '' ? false : text.endsWith('\r');
      let start = 0;
      for (let at = 0; at < text.length; at += 1) {
        const character = text.charCodeAt(at);
        if (character !== 10 && character !== 13) continue;
        const whole = line + text.slice(start, at);
        line = '';
        if (character === 13 && text.charCodeAt(at + 1) === 10) at += 1;
        start = at + 1;
        endLine(whole);
      }
      line += text.slice(start);
      if (held + line.length > limit) throw new EventTooLarge(limit);
    },
  };
}
