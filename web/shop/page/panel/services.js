/** Every service with its process and its switches, one by one, to break things by hand. */
import { h } from '../render.js';
import { texts } from '../texts.js';

/** @typedef {import('./inside.js').Press} Press */

/** fault, on, off */
const FAULTS = /** @type {const} */ ([
  ['latency_ms', 2000, 0],
  ['error_rate', 1, 0],
  ['refuse', true, false],
]);

/** @param {{name: string, up?: boolean, pid?: number | null, faults?: Record<string, any>}} service @param {Press} press */
function serviceRow({ name, up, pid, faults = {} }, press) {
  const now = Object.fromEntries(FAULTS.map(([fault, , off]) => [fault, faults[fault] ?? off]));
  const faultSwitch = (/** @type {(typeof FAULTS)[number]} */ [fault, on, off]) =>
    h(
      'button',
      {
        type: 'button',
        class: 'small toggle',
        'data-test': `fault-${fault}`,
        'aria-label': `${name}: ${texts.faults[fault]}`,
        'aria-pressed': Boolean(faults[fault]),
        onclick: () => press('POST', `/demo/faults/${name}`, { ...now, [fault]: faults[fault] ? off : on }),
      },
      texts.faults[fault],
    );
  return h(
    'li',
    { key: name, 'data-test': 'service', 'data-service': name, 'data-up': String(Boolean(up)) },
    h('strong', {}, name),
    h('span', { class: 'quiet pid' }, up ? `pid ${pid ?? '?'}` : texts.panel.down),
    h(
      'div',
      { class: 'actions' },
      // The sign-in has faults of its own, on its own page.
      name !== 'identity' && FAULTS.map(faultSwitch),
      h(
        'button',
        {
          type: 'button',
          class: 'small danger',
          'data-test': 'kill',
          'aria-label': `kill -9 ${name}`,
          disabled: !up,
          onclick: () => press('POST', `/demo/kill/${name}`),
        },
        'kill -9',
      ),
    ),
  );
}

/** @param {any[]} services @param {Press} press */
export const servicesView = (services, press) =>
  h(
    'ul',
    { class: 'switches' },
    services.map((service) => serviceRow(service, press)),
  );
