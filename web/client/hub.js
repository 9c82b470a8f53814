/**
 * One stream for many tabs: it follows one person's journal, hands every event to all who joined, and tells whoever joins
 * late where things stand. It serves one person at a time, the one who joined last, and tells the others that they are
 * stopped. It refuses to ask for more values than one stream may carry: who asks for those is told to take its own.
 *
 * It runs wherever one of it can be held: in a shared worker, in the tab that has the lock, or in a page of its own.
 */
import { parseCursor, reached } from './cursor.js';
import { createFollower } from './gaps.js';
import { createStore } from './store.js';
import { createStream } from './stream.js';

/**
 * What a tab says. join: begin, begin again after a gap, or see whether anybody is there. wake: something happened that a
 * stream should hear of.
 * @typedef {{kind: 'join', owner: string, cursor: string | null, names: string[], settings: StreamSettings}
 *   | {kind: 'watch', names: string[]} | {kind: 'wake', type: string, onLine: boolean} | {kind: 'leave'}} Said
 */

/**
 * What a tab is told. owner: whose journal that is about. hello: a new hub is here, join it. full: it cannot serve you.
 * @typedef {{owner?: string | null} & ({kind: 'event', event: import('./stream.js').LiveEvent}
 *   | {kind: 'state', state: import('./stream.js').StreamState} | {kind: 'hello'} | {kind: 'full'})} Told
 */

/** @typedef {{url: string, heartbeat?: number | undefined, base?: number | undefined, cap?: number | undefined}} StreamSettings */

const MOST_VALUES = 50;

/**
 * @param {object} options
 * @param {(to: string | null, message: Told) => void} options.post  To one tab, or to all.
 * @param {(options: import('./stream.js').StreamOptions) => import('./stream.js').Source} [options.source]
 * @param {typeof fetch | undefined} [options.fetch]
 * @param {{owner: string, state: any} | undefined} [options.seed]  Where a tab that outlived the last hub stands.
 */
export function createHub({ post, source = createStream, fetch, seed }) {
  const store = createStore();
  /** @type {Map<string, string[]>} who joined, and what values each asks for */
  const members = new Map();
  // The page's own events, as the tabs tell of them.
  const around = Object.assign(new EventTarget(), { navigator: { onLine: true } });
  /** @type {string | null} */
  let owner = null;
  /** Who was the last to ask for what nobody else had asked for. */
  let newest = '';
  /** @type {import('./stream.js').Source | null} */
  let stream = null;

  if (seed?.state?.cursor) {
    owner = seed.owner;
    store.apply({ type: 'snapshot', id: '', data: seed.state });
  }

  /** @param {string | null} to @param {import('./stream.js').LiveEvent} event */
  const tell = (to, event) => post(to, { kind: 'event', owner, event });

  /** @param {StreamSettings} settings */
  function open(settings) {
    const opened = source({
      ...settings,
      fetch,
      surroundings: around,
      cursor: store.cursor,
      onEvent(event) {
        if (opened !== stream) return;
        if (['applied', 'ignored'].includes(follow(event))) tell(null, event);
      },
      onRefused() {
        // One tab's mistake must not cost the others their stream.
        if (members.size < 2 || !members.delete(newest)) return;
        post(newest, { kind: 'full' });
        opened.watch(wanted());
        opened.reconnect();
      },
    });
    const follow = createFollower(store, opened.reconnect);
    opened.state.subscribe((state) => {
      if (opened !== stream) return;
      if (state === 'stopped') end();
      else post(null, { kind: 'state', owner, state });
    });
    return opened;
  }

  /** Nobody is here any more, or nobody may be: keep nothing of theirs. */
  function end() {
    close();
    for (const id of members.keys()) post(id, { kind: 'state', owner, state: 'stopped' });
    owner = null;
    members.clear();
    store.clear();
  }

  /** It is not the hub any more. */
  function close() {
    const last = stream;
    stream = null;
    last?.stop();
  }

  const wanted = () => new Set([...members.values()].flat());

  /** @param {string} from @param {string[]} names */
  function want(from, names) {
    const before = wanted();
    members.set(from, names);
    const all = wanted();
    if (all.size > MOST_VALUES) {
      leave(from);
      post(from, { kind: 'full' });
      return;
    }
    if (names.some((name) => !before.has(name))) newest = from;
    for (const name of names) {
      const data = store.state.values.get(name);
      if (data) tell(from, { type: 'value', id: '', data });
    }
    stream?.watch(all);
  }

  /** @param {string} from */
  function leave(from) {
    if (members.delete(from) && members.size === 0) end();
  }

  return {
    /** @param {string} from  The tab's id. @param {Said} said */
    hear(from, said) {
      if (said.kind === 'leave') leave(from);
      else if (said.kind === 'wake') {
        around.navigator.onLine = said.onLine;
        around.dispatchEvent(new Event(said.type));
      } else if (said.kind === 'watch') {
        if (members.has(from)) want(from, said.names);
      } else {
        if (owner !== said.owner) {
          members.delete(from);
          end();
        }
        owner = said.owner;
        stream ??= open(said.settings);
        want(from, said.names);
        if (!members.has(from)) return;
        stream.start();
        post(from, { kind: 'state', owner, state: stream.state.get() });
        // A tab that is further than this hub will see what it knows once more, and know it.
        const { cursor, sagas } = store.snapshot();
        if (cursor && !reached(parseCursor(said.cursor), store.position()))
          tell(from, { type: 'snapshot', id: cursor, data: { cursor, sagas, values: [] } });
      }
    },
    close,
  };
}
