/**
 * One stream for many tabs: it follows one person's journal and sends every event to all tabs that joined. It stores only
 * the position: for a tab at another position the stream is joined again from there, and the other tabs ignore repeated
 * events. A tab that requests what the server refuses, or more values than one stream may have, is told to use its own
 * stream. `step` of membership.js decides all of that; this module carries out the effects.
 *
 * It runs in a shared worker, in the leading tab, or in each page.
 */
import { createConnection } from './connection.js';
import { EMPTY_HUB, step } from './membership.js';

/**
 * @param {object} options
 * @param {(to: readonly string[], message: import('./protocol.js').HubMessage) => void} options.post  To these tabs.
 * @param {(options: import('./connection.js').ConnectionOptions) => import('./connection.js').Connection} [options.source]
 * @param {(lock: string, gone: () => void) => void} [options.watch]  Calls back when this Web Lock, which a tab holds until
 *   it ends, is free; default never.
 * @param {typeof fetch | undefined} [options.fetch]
 */
export function createHub({ post, source = createConnection, watch = () => {}, fetch }) {
  let hub = EMPTY_HUB;
  /** @type {import('./connection.js').Connection | null} */
  let stream = null;

  /** @param {import('./membership.js').HubEvent} event */
  function dispatch(event) {
    const next = step(hub, event);
    hub = next.hub;
    next.effects.forEach(run);
  }

  /** @param {import('./membership.js').HubEffect} effect */
  function run(effect) {
    switch (effect.type) {
      case 'open':
        return void (stream = open(effect.settings));
      case 'close': {
        const last = stream;
        stream = null; // the event of its end is not passed on
        return last?.stop();
      }
      case 'follow':
        return stream?.follow(effect.names);
      case 'start':
        return stream?.start({ backoff: effect.backoff });
      case 'reconnect':
        return stream?.reconnect();
      case 'post':
        return post(effect.to, effect.message);
      case 'answer': {
        const { state, fault, userId, user } = hub;
        return post([effect.to], { userId, user, kind: 'state', state, fault });
      }
      case 'watch':
        return watch(effect.lock, () => dispatch({ type: 'gone', from: effect.tab, lock: effect.lock }));
    }
  }

  /** @param {import('./protocol.js').Settings} settings */
  function open(settings) {
    const opened = source({
      ...settings,
      fetch,
      cursor: () => hub.cursor,
      onEvent: (event) => opened === stream && dispatch({ type: 'event', event }),
      onRefused: () => opened === stream && dispatch({ type: 'refused' }),
    });
    function look() {
      if (opened !== stream) return;
      const state = opened.state.get();
      dispatch({ type: 'state', state, fault: opened.fault?.get() ?? null, user: opened.user() });
    }
    opened.state.subscribe(look);
    opened.fault?.subscribe(look);
    return opened;
  }

  return {
    /** @param {string} from  A tab. @param {import('./protocol.js').TabMessage} message */
    onMessage(from, message) {
      if (message.kind === 'wake') stream?.wake(message);
      else if (message.kind === 'join') dispatch({ type: 'join', from, join: message });
      else dispatch({ type: 'leave', from });
    },
    close: () => dispatch({ type: 'close' }),
  };
}
