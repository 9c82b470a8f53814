/** The demo's switches, at the foot of the page. They exist only where /demo/state answers; nobody else hears of them. */
import { fetchJson } from './api.js';
import { fill, h } from './dom.js';
import { toast } from './toast.js';

const FAULTS = /** @type {const} */ ([
  ['Slow', 'latency_ms', 2000, 0],
  ['Failing', 'error_rate', 1, 0],
  ['Refusing', 'refuse', true, false],
]);

/** @param {string} path @param {unknown} [body] */
async function press(path, body) {
  try {
    await fetchJson(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body ?? {}),
    });
  } catch (error) {
    const { problem } = /** @type {any} */ (error);
    toast(problem.detail || problem.title, { tone: 'bad' });
  }
  await refresh();
}

const list = h('ul', { class: 'switches' });
const details = h(
  'details',
  { ontoggle: () => details.open && refresh() },
  h('summary', {}, 'Break things'),
  h(
    'p',
    { class: 'quiet' },
    'Slow a service down, make it fail or refuse, or kill its process, and watch what the page makes of it.',
  ),
  list,
);

/** @param {any} service */
function row(service) {
  const { name, pid, up, faults = {} } = service;
  const now = Object.fromEntries(FAULTS.map(([, fault, , off]) => [fault, faults[fault] ?? off]));
  return h(
    'li',
    { 'data-test': 'service', 'data-service': name, 'data-up': String(Boolean(up)) },
    h('strong', {}, name),
    h('span', { class: 'quiet' }, up ? `pid ${pid ?? '?'}` : 'down'),
    h(
      'div',
      { class: 'actions' },
      FAULTS.map(([text, fault, on, off]) => {
        const active = Boolean(faults[fault]);
        return h(
          'button',
          {
            type: 'button',
            class: 'small toggle',
            'aria-pressed': String(active),
            'data-test': `fault-${fault}`,
            onclick: () => press(`/demo/faults/${name}`, { ...now, [fault]: active ? off : on }),
          },
          text,
        );
      }),
      h(
        'button',
        {
          type: 'button',
          class: 'small danger',
          'data-test': 'kill',
          disabled: !up,
          onclick: () => press(`/demo/kill/${name}`),
        },
        'kill -9',
      ),
    ),
  );
}

async function refresh() {
  try {
    const state = await fetchJson('/demo/state');
    const focus = /** @type {HTMLElement | null} */ (document.activeElement);
    const at = [...list.querySelectorAll('button')].indexOf(/** @type {any} */ (focus));
    fill(list, state.services.map(row));
    list.querySelectorAll('button')[at]?.focus();
    return true;
  } catch {
    return false;
  }
}

export async function startPanel() {
  const panel = /** @type {HTMLElement} */ (document.getElementById('panel'));
  if (!(await refresh())) return;
  fill(panel, details);
  panel.hidden = false;
  setInterval(() => details.open && !document.hidden && void refresh(), 3000);
}
