/** Every service with its process and its switches, one by one, to break things by hand. */
import { fill, h, say } from '../dom.js';

const FAULTS = /** @type {const} */ ([
  ['Slow', 'latency_ms', 2000, 0],
  ['Failing', 'error_rate', 1, 0],
  ['Refusing', 'refuse', true, false],
]);

/** @typedef {(method: string, path: string, body?: unknown) => Promise<void>} Press */

/** @param {string} name @param {Press} press */
function createRow(name, press) {
  /** @type {Record<string, any>} */
  let faults = {};
  const pid = h('span', { class: 'quiet' });
  const switches = FAULTS.map(([text, fault, on, off]) => {
    const button = h(
      'button',
      {
        type: 'button',
        class: 'small toggle',
        'data-test': `fault-${fault}`,
        'aria-label': `${name}: ${text}`,
        onclick() {
          const now = Object.fromEntries(FAULTS.map(([, other, , none]) => [other, faults[other] ?? none]));
          void press('POST', `/demo/faults/${name}`, { ...now, [fault]: faults[fault] ? off : on });
        },
      },
      text,
    );
    return { fault, button };
  });
  const kill = h(
    'button',
    {
      type: 'button',
      class: 'small danger',
      'data-test': 'kill',
      'aria-label': `kill -9 ${name}`,
      onclick: () => press('POST', `/demo/kill/${name}`),
    },
    'kill -9',
  );
  const element = h(
    'li',
    { 'data-test': 'service', 'data-service': name },
    h('strong', {}, name),
    pid,
    // Identity has no faults; it can only be killed.
    h('div', { class: 'actions' }, name !== 'identity' && switches.map(({ button }) => button), kill),
  );
  return {
    element,
    /** @param {any} service */
    update(service) {
      faults = service.faults ?? {};
      element.setAttribute('data-up', String(Boolean(service.up)));
      say(pid, service.up ? `pid ${service.pid ?? '?'}` : 'down');
      kill.disabled = !service.up;
      for (const { fault, button } of switches)
        button.setAttribute('aria-pressed', String(Boolean(faults[fault])));
    },
  };
}

/** @param {Press} press */
export function createServices(press) {
  const element = h('ul', { class: 'switches' });
  /** @type {Map<string, ReturnType<typeof createRow>>} */
  const rows = new Map();
  return {
    element,
    /** @param {any[]} services */
    update(services) {
      if (rows.size === 0) {
        for (const { name } of services) rows.set(name, createRow(name, press));
        fill(
          element,
          [...rows.values()].map((row) => row.element),
        );
      }
      for (const service of services) rows.get(service.name)?.update(service);
    },
  };
}
