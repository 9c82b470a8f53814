/**
 * One stream for many tabs: it follows one person's journal and sends every event to all tabs that joined. It stores
 * only the position: for a tab at another position the stream is joined again from there, and the other tabs ignore
 * repeated events. It serves one person at a time, the one who joined last, and notifies the tabs of others that they
 * are stopped; a tab whose person is not the owner of the journal is stopped, too. A tab that requests what the
 * server refuses, or more values than one stream may have, is told to use its own stream.
 *
 * It runs in a shared worker, in the tab that has the lock, or in a page of its own.
 */
import { createConnection } from './connection.js';

/**
 * A message from a tab. join: start, start again from here, request other values, or check whether a hub is there.
 * wake: something happened that concerns a stream.
 * @typedef {{kind: 'join', owner: string, cursor: string | null, names: string[], settings: Settings, backoff?: boolean | undefined}
 *   | ({kind: 'wake'} & import('./connection.js').Wake) | {kind: 'leave'}} Said
 */

/** @typedef {Pick<import('./connection.js').ConnectionOptions, 'url' | 'heartbeat' | 'base' | 'cap' | 'user'>} Settings */

/**
 * A message to a tab. owner: the person that it is about; user: the server's name for them, once known. hello: a new
 * hub is here, join it. full: the hub cannot serve this tab.
 * @typedef {{owner?: string | null, user?: string | null | undefined} & (
 *   {kind: 'event', event: import('./connection.js').LiveEvent}
 *   | {kind: 'state', state: import('./connection.js').StreamState, fault?: import('./connection.js').Fault | null | undefined} | {kind: 'hello'} | {kind: 'full'})} Told
 */

/**
 * @param {object} options
 * @param {(to: string[], told: Told) => void} options.post  To these tabs.
 * @param {(options: import('./connection.js').ConnectionOptions) => import('./connection.js').Connection} [options.source]
 * @param {typeof fetch | undefined} [options.fetch]
 */
export function createHub({ post, source = createConnection, fetch }) {
  /** @type {Map<string, string[]>} the tabs that joined, and the values that each requests */
  const members = new Map();
  /** @type {string | null} */
  let owner = null;
  /** @type {string | null} */
  let cursor = null;
  /** The last tab that requested a value which no other tab had requested. */
  let newest = '';
  /** What has arrived since the stream was last joined for a tab: nothing, something, or something with a position. */
  let came = 0;
  /** @type {import('./connection.js').Connection | null} */
  let stream = null;

  const wanted = () => new Set([...members.values()].flat());

  /** @param {Told} told @param {Iterable<string>} [to] */
  const tell = (told, to = members.keys()) => post([...to], { owner, user: stream?.user(), ...told });

  /** @param {Settings} settings */
  function open(settings) {
    const opened = source({
      ...settings,
      fetch,
      cursor: () => cursor,
      onEvent(event) {
        if (opened !== stream) return;
        came = event.id ? 2 : came || 1;
        cursor = event.id || cursor;
        tell({ kind: 'event', event });
      },
      onRefused() {
        // A mistake of one tab must not end the stream of the others.
        if (members.size < 2) return;
        const last = members.has(newest) ? newest : ([...members.keys()].pop() ?? '');
        members.delete(last);
        tell({ kind: 'full' }, [last]);
        opened.watch(wanted());
        opened.reconnect();
      },
    });
    function look() {
      if (opened !== stream) return;
      const state = opened.state.get();
      const fault = opened.fault?.get();
      if (state === 'stopped') end(fault);
      else tell({ kind: 'state', state, fault });
    }
    opened.state.subscribe(look);
    opened.fault?.subscribe(look);
    return opened;
  }

  /**
   * No tab is left, or none may use the stream.
   * @param {import('./connection.js').Fault | null} [fault]
   */
  function end(fault) {
    close();
    tell({ kind: 'state', state: 'stopped', fault });
    members.clear();
  }

  /** It is not the hub any more. */
  function close() {
    const last = stream;
    stream = null;
    last?.stop();
  }

  /** @param {string} from @param {Said & {kind: 'join'}} said */
  function join(from, { settings, names, ...said }) {
    const user = settings.user && stream?.user();
    if (user && user !== settings.user)
      return tell({ kind: 'state', state: 'stopped', owner: said.owner }, [from]);
    if (owner !== said.owner) {
      end(); // a tab that joins now ignores this message: it is about another person
      owner = said.owner;
    }

    const before = wanted();
    const mine = members.get(from);
    if (names.some((name) => !before.has(name))) newest = from;
    members.set(from, names);
    // Where another tab still waits for events after another position, the whole state serves both.
    const place = stream && came < 2 && cursor !== said.cursor ? null : said.cursor;
    const elsewhere = cursor !== place || (came && names.some((name) => !mine?.includes(name)));
    const anew = !stream || elsewhere;
    cursor = place;
    stream ??= open(settings);
    stream.watch(wanted());
    if (anew) {
      came = 0;
      stream.start(said);
    }
    tell({ kind: 'state', state: stream.state.get(), fault: stream.fault?.get() }, [from]);
  }

  return {
    /** @param {string} from  A tab. @param {Said} said */
    hear(from, said) {
      if (said.kind === 'wake') stream?.wake(said);
      else if (said.kind === 'join') join(from, said);
      else if (members.delete(from)) members.size ? stream?.watch(wanted()) : end();
    },
    close,
  };
}
