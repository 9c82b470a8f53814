/**
 * The transition tables of docs/reference/client-states.md are what the step functions do: each state meets each event here,
 * and the page is compared with the answers. `TABLES=write node --test states.test.js` writes the page anew.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { EMPTY_HUB, step as stepHub } from '../../web/client/membership.js';
import { createOperation, step } from '../../web/client/operation.js';
import { createTab, MODES, step as stepTab } from '../../web/client/sharing.js';

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

// ---- the hub's membership

const joining = (more = {}) => ({
  kind: 'join',
  userId: 'ada',
  cursor: 'e-1',
  names: ['stock/a'],
  settings: { url: '/bff/live', heartbeat: 15 },
  ...more,
});
const event = (id) => ({ type: 'event', event: { type: id ? 'saga' : 'beat', id, data: {} } });
const HUB_EVENTS = {
  'join: stands where the stream does': { type: 'join', from: 'new', join: joining() },
  'join: stands elsewhere': { type: 'join', from: 'new', join: joining({ cursor: 'e-0' }) },
  'join: asks for one value more': { type: 'join', from: 'new', join: joining({ names: ['stock/b'] }) },
  'join: holds a lock': { type: 'join', from: 'new', join: joining({ lock: 'lock of the tab' }) },
  'join: another person': { type: 'join', from: 'new', join: joining({ userId: 'bruno', cursor: null }) },
  'join: knows itself to be another’s': {
    type: 'join',
    from: 'new',
    join: joining({ userId: 'bruno', settings: { url: '/bff/live', user: 'hash of bruno' } }),
  },
  'leave: a tab': { type: 'leave', from: 'one' },
  'gone: the lock of a tab is free': { type: 'gone', from: 'one', lock: 'lock of one' },
  'gone: a lock that it had before': { type: 'gone', from: 'one', lock: 'an older lock' },
  'refused: a value that is asked for': { type: 'refused' },
  'event with a position': event('e-2'),
  'event without': event(''),
  'state: live': { type: 'state', state: 'live', fault: null, user: 'hash of ada' },
  'state: stopped': { type: 'state', state: 'stopped', fault: null, user: null },
  close: { type: 'close' },
};

/** Each kind of hub, made by steps alone. */
function hubs() {
  const after = (hub, ...events) => events.reduce((one, next) => stepHub(one, next).hub, hub);
  const join = (from) => ({ type: 'join', from, join: joining({ lock: `lock of ${from}` }) });
  const live = HUB_EVENTS['state: live'];
  const joined = after(EMPTY_HUB, join('one'), live);
  return {
    empty: EMPTY_HUB,
    'one tab, nothing came yet': joined,
    'one tab, followed': after(joined, event('e-1')),
    'two tabs, followed': after(joined, join('two'), event('e-1')),
  };
}

/** @param {any} effect */
function hubEffectName(effect) {
  switch (effect.type) {
    case 'post': {
      const { kind, event: told, state } = effect.message;
      const what = told ? `the ${told.type}` : (state ?? kind);
      return effect.to.length ? `tell ${effect.to.join(' and ')}: ${what}` : '';
    }
    case 'answer':
      return `tell ${effect.to}: the state`;
    case 'follow':
      return `follow ${[...effect.names].join(' and ') || 'no value'}`;
    case 'watch':
      return 'watch its lock';
    default:
      return `${effect.type} the stream`;
  }
}

function hubTable() {
  const states = hubs();
  const rows = [['event', ...Object.keys(states)]];
  for (const [name, one] of Object.entries(HUB_EVENTS)) {
    const cells = Object.values(states).map((hub) => {
      const { hub: next, effects } = stepHub(hub, one);
      const told = effects.map(hubEffectName);
      const moved = [];
      if (next.cursor !== hub.cursor) moved.push(`position **${next.cursor ?? 'none'}**`);
      if (next.members.size !== hub.members.size) moved.push(`**${next.members.size}** tabs`);
      return [...moved, ...told].filter(Boolean).join(', ') || '–';
    });
    rows.push([name, ...cells]);
  }
  return table(rows);
}

// ---- how a tab shares

const told = (message) => ({ type: 'message', message: { userId: 'ada', user: 'hash of ada', ...message } });
const TAB_EVENTS = {
  start: { type: 'start', userId: 'ada' },
  stop: { type: 'stop' },
  'other values are asked for': { type: 'names' },
  'a step is missing': { type: 'reconnect', backoff: false },
  'hub: an event': told({ kind: 'event', event: { type: 'beat', id: '', data: {} } }),
  'hub: live': told({ kind: 'state', state: 'live' }),
  'hub: stopped': told({ kind: 'state', state: 'stopped' }),
  'hub: here is a new one': told({ kind: 'hello' }),
  'hub: it cannot serve this tab': told({ kind: 'full' }),
  'hub: something about another person': told({ userId: 'bruno', kind: 'state', state: 'stopped' }),
  'what was opened failed': { type: 'failed' },
  'silence for three beats': { type: 'silence', of: 'beat' },
  'no answer for five seconds': { type: 'silence', of: 'answer' },
  'the pause before a retry is over': { type: 'silence', of: 'retry' },
  'a better mode may be tried': { type: 'recover' },
  'page: hidden for good, or kept by the browser': { type: 'page', name: 'pagehide', hidden: false },
  'page: shown again': { type: 'page', name: 'pageshow', hidden: false },
  'page: the network is back': { type: 'page', name: 'online', hidden: false },
};

function tabStates() {
  const after = (tab, ...events) => events.reduce((one, name) => stepTab(one, TAB_EVENTS[name]).tab, tab);
  const worker = after(createTab(0), 'start', 'hub: live');
  const lock = after(worker, 'what was opened failed');
  const none = after(lock, 'what was opened failed');
  return {
    stopped: createTab(0),
    'by the worker': worker,
    'by the tab that leads': lock,
    'by itself': none,
    'by itself, in a pause': after(none, 'what was opened failed'),
    'kept by the browser': after(worker, 'page: hidden for good, or kept by the browser'),
  };
}

/** @param {any} effect */
function tabEffectName(effect) {
  switch (effect.type) {
    case 'open':
      return `open **${effect.mode}**`;
    case 'wait':
      return { beat: 'wait for beats', answer: 'wait for an answer', retry: 'pause' }[effect.for];
    case 'recover':
      return `better mode in ${effect.after / 1000} s`;
    case 'state':
      return `**${effect.state}**`;
    case 'fault':
      return effect.fault ? `fault: ${effect.fault}` : '';
    default:
      return effect.type;
  }
}

function tabTable() {
  const states = tabStates();
  const rows = [['event', ...Object.keys(states)]];
  for (const [name, one] of Object.entries(TAB_EVENTS)) {
    const cells = Object.values(states).map(
      (tab) => stepTab(tab, one).effects.map(tabEffectName).filter(Boolean).join(', ') || '–',
    );
    rows.push([name, ...cells]);
  }
  return table(rows);
}

test('the page of the client’s states is what the steps do', async () => {
  const before = await readFile(PAGE, 'utf8');
  const page = [
    ['operation', operationTable()],
    ['hub', hubTable()],
    ['tab', tabTable()],
  ].reduce((text, [name, rows]) => fill(text, name, rows), before);
  if (process.env.TABLES === 'write') await writeFile(PAGE, page);
  else assert.equal(before, page, 'TABLES=write writes it anew');
});

test('a tab that shares worse than it could tries the better mode again, later and later', () => {
  let tab = stepTab(createTab(0), TAB_EVENTS.start).tab;
  const pauses = [];
  for (let tries = 0; tries < 9; tries += 1) {
    const { tab: worse, effects } = stepTab(tab, TAB_EVENTS['what was opened failed']);
    pauses.push(effects.find(({ type }) => type === 'recover').after / 1000);
    const again = stepTab(worse, TAB_EVENTS['a better mode may be tried']);
    assert.deepEqual(again.effects.slice(0, 2), [{ type: 'close' }, { type: 'open', mode: 'worker' }]);
    tab = again.tab;
  }
  assert.deepEqual(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
  const { tab: well } = stepTab(tab, TAB_EVENTS['hub: live']);
  assert.equal(well.setbacks, 0, 'it is well again');
  assert.equal(MODES[well.mode], 'worker');
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
