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
  port.onmessage = (/** @type {MessageEvent} */ { data }) => {
    hub.hear(id, data);
    if (data.kind === 'leave') ports.delete(id);
  };
  port.onclose = () => {
    hub.hear(id, { kind: 'leave' });
    ports.delete(id);
  };
}

Object.assign(globalThis, { onconnect: connect });
