/**
 * The transition tables of docs/reference/client-states.md are what the step functions do: each state meets each event here,
 * and the page is compared with the answers. `TABLES=write node --test states.test.js` writes the page anew.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { createOperation, step } from '../../web/client/operation.js';

const PAGE = new URL('../../docs/reference/client-states.md', import.meta.url);

/** A table of Markdown. @param {string[][]} rows  The first is the head. */
function table(rows) {
  const [head, ...others] = rows.map((cells) => `| ${cells.join(' | ')} |`);
  return [head, `|${'---|'.repeat(rows[0].length)}`, ...others].join('\n');
}

/** Put between the marks of this name in the page. */
const fill = (page, name, text) =>
  page.replace(
    new RegExp(`(<!-- ${name} -->\n)[^]*?(\n<!-- /${name} -->)`),
    (_, before, after) => before + text + after,
  );

// ---- an operation

const ID = 'm';
const saga = (status, more = {}) => ({
  id: 'o',
  type: 'order',
  status,
  version: 3,
  mutation: ID,
  reason: null,
  ...more,
});
const base = (sagas, values = []) => ({
  sagas: new Map(sagas.map((one) => [one.id, one])),
  values: new Map(values.map((one) => [one.name, one])),
});
const at = { epoch: 'e', offset: 5 };
const problem = { status: 503, code: 'unavailable', title: '', detail: '', retryAfter: null };
const timer = (name, state = base([])) => ({ type: 'timer', timer: name, live: true, state });
const answered = (answer) => ({ type: 'answer', answer, attempts: 3 });
const begun = { id: 'o', type: 'order', status: 'PENDING', version: 0 };

const EVENTS = {
  'answer: a saga began': answered({ kind: 'accepted', saga: begun, cursor: at }),
  'answer: done': answered({ kind: 'accepted', saga: null, cursor: null }),
  'answer: refused': answered({ kind: 'rejected', problem }),
  'answer: nobody can tell, or none': answered({ kind: 'again', problem }),
  'answer: the same, the last attempt': { ...answered({ kind: 'again', problem }), attempts: 1 },
  'answer: nobody will tell': answered({ kind: 'unknown', problem }),
  'stream: its saga goes on': { type: 'stream', state: base([saga('RUNNING')]), position: at },
  'stream: its saga completed': { type: 'stream', state: base([saga('COMPLETED')]), position: at },
  'stream: its saga was undone': { type: 'stream', state: base([saga('COMPENSATED')]), position: at },
  'stream: its saga was refused': { type: 'stream', state: base([saga('REJECTED')]), position: at },
  'stream: a value that names it': {
    type: 'stream',
    state: base([], [{ name: 'stock/mug', version: 2, data: null, at: '', mutations: [ID] }]),
    position: null,
  },
  'snapshot: nothing of it': { type: 'snapshot', state: base([]), position: at },
  'timer: the pause is over': timer('retry'),
  'timer: its event never came': timer('event'),
  'timer: its values never came': timer('values'),
  retry: { type: 'retry' },
  dismiss: { type: 'dismiss' },
  stop: { type: 'stop' },
};

/** Each state as an operation that is in it, made by steps alone. */
function operations() {
  const awaited = new Map([['stock/mug', 1]]);
  const sending = { ...createOperation({ request: { url: '/' }, apply() {} }, ID, '', false), awaited };
  const after = (operation, ...events) =>
    events.reduce((one, event) => step(one, EVENTS[event]).operation, operation);
  const waiting = after(sending, 'answer: nobody can tell, or none');
  return {
    sending,
    waiting,
    asking: after(waiting, 'retry'),
    'gave-up': after(sending, 'answer: nobody will tell'),
    'accepted, no event yet': after(sending, 'answer: a saga began'),
    accepted: after(sending, 'stream: its saga goes on'),
    confirmed: after(sending, 'stream: its saga completed'),
    compensated: after(sending, 'stream: its saga was undone'),
    rejected: after(sending, 'answer: refused'),
    closed: after(sending, 'dismiss'),
  };
}

/** An effect as the page has it. */
function effectName(effect) {
  if (effect.type === 'wait') return `wait (${effect.timer})`;
  if (effect.type === 'conclude') return `${effect.final ? 'settled' : 'outcome'}: ${effect.outcome.kind}`;
  return effect.type === 'accept' ? 'accepted' : effect.type;
}

function operationTable() {
  const states = operations();
  const rows = [['event', ...Object.keys(states)]];
  for (const [name, event] of Object.entries(EVENTS)) {
    const cells = Object.entries(states).map(([status, operation]) => {
      assert.equal(operation.status, status.split(',')[0], 'the sample is in the state that it stands for');
      const { operation: next, effects } = step(operation, event);
      const told = effects.map(effectName);
      if (next.awaited !== operation.awaited) told.push('values end');
      if (next.rowSettled !== operation.rowSettled) told.push('row ends');
      const moved = next.status === operation.status ? '' : `**${next.status}**`;
      return [moved, told.join(', ')].filter(Boolean).join('; ') || '–';
    });
    rows.push([name, ...cells]);
  }
  return table(rows);
}

test('the page of the client’s states is what the steps do', async () => {
  const before = await readFile(PAGE, 'utf8');
  const page = fill(before, 'operation', operationTable());
  if (process.env.TABLES === 'write') await writeFile(PAGE, page);
  else assert.equal(before, page, 'TABLES=write writes it anew');
});

test('a step changes nothing in place, and an ended operation stays ended', () => {
  const freeze = (value) => {
    if (Object(value) === value && !Object.isFrozen(value))
      Object.values(Object.freeze(value)).forEach(freeze);
    return value;
  };
  for (const [status, operation] of Object.entries(operations()))
    for (const event of Object.values(EVENTS)) {
      const next = step(freeze(operation), event).operation;
      if (['confirmed', 'compensated', 'rejected', 'closed'].includes(status))
        assert.equal(next.status, status);
    }
});
