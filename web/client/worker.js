/** The shared worker: one hub for every tab that connects. It ends with the last of them. */
import { createHub } from './hub.js';

/** @type {ReturnType<typeof createHub<MessagePort>>} */
const hub = createHub({
  post(to, told) {
    for (const port of to) port.postMessage(told);
  },
});

/** @param {any} event  A MessageEvent with the tab's port; worker globals have types of their own. */
function connect({ ports: [port] }) {
  port.onmessage = (/** @type {MessageEvent} */ { data }) => hub.hear(port, data);
  port.onclose = () => hub.hear(port, { kind: 'leave' });
}

Object.assign(globalThis, { onconnect: connect });
