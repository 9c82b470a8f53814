/** The shared worker: one hub for every tab that connects. It ends with the last of them. */
import { createHub } from './hub.js';

/** @type {Map<string, MessagePort>} */
const ports = new Map();
const hub = createHub({
  post(to, message) {
    for (const port of to === null ? ports.values() : [ports.get(to)]) port?.postMessage(message);
  },
});

/** @param {any} event  A MessageEvent with the tab's port; worker globals have types of their own. */
function connect({ ports: [port] }) {
  const id = crypto.randomUUID();
  ports.set(id, port);
  /** @param {import('./hub.js').Said} said */
  function say(said) {
    hub.hear(id, said);
    if (said.kind === 'leave') ports.delete(id);
  }
  port.onmessage = (/** @type {MessageEvent} */ { data }) => say(data);
  port.onclose = () => say({ kind: 'leave' });
}

Object.assign(globalThis, { onconnect: connect });
