/**
 * The transition tables of docs/reference/client-states.md are computed here from the step functions, each event in each
 * state, and compared with the page. `TABLES=write node --test states.test.js` writes the page.
 */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';

import { EMPTY_HUB, step as stepHub } from '../../web/client/membership.js';
import { createOperation, progressOf, step } from '../../web/client/operation.js';
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
  'answer: none, or one without an outcome': answered({ kind: 'again', problem }),
  'answer: the same, the last attempt': { ...answered({ kind: 'again', problem }), attempts: 1 },
  'answer: no attempt will show the outcome': answered({ kind: 'unknown', problem }),
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
  const waiting = after(sending, 'answer: none, or one without an outcome');
  return {
    sending,
    waiting,
    asking: after(waiting, 'retry'),
    'gave-up': after(sending, 'answer: no attempt will show the outcome'),
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
      const names = effects.map(effectName);
      if (next.awaited !== operation.awaited) names.push('values end');
      if (next.rowSettled !== operation.rowSettled) names.push('row ends');
      const moved = next.status === operation.status ? '' : `**${next.status}**`;
      return [moved, names.join(', ')].filter(Boolean).join('; ') || '–';
    });
    rows.push([name, ...cells]);
  }
  return table(rows);
}

const STATES = ['sent', 'acknowledged', 'running', 'settled', 'unknown'];

/** What the page of an application sees of each status: `progress.state` and `progress.phase`. */
function operationStateTable() {
  const rows = Object.entries(operations()).map(([status, operation]) => {
    const { state, phase } = progressOf(operation);
    return [status, `\`${state}\``, `\`${phase}\``];
  });
  return table([['state of the table below', '`progress.state`', '`progress.phase`'], ...rows]);
}

/** From which of the five states an event can lead to which others. */
function operationMoveTable() {
  const moves = new Map(STATES.map((state) => [state, new Set()]));
  for (const operation of Object.values(operations()))
    for (const event of Object.values(EVENTS)) {
      const [before, after] = [operation, step(operation, event).operation].map(
        (one) => progressOf(one).state,
      );
      assert.ok(STATES.includes(after), 'always exactly one of the five');
      if (after !== before) moves.get(before).add(after);
    }
  const rows = [...moves].map(([from, to]) => [
    from,
    STATES.filter((state) => to.has(state)).join(', ') || 'nothing: it is over',
  ]);
  return table([['from', 'to'], ...rows]);
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
  'join: at the position of the stream': { type: 'join', from: 'new', join: joining() },
  'join: at another position': { type: 'join', from: 'new', join: joining({ cursor: 'e-0' }) },
  'join: requests another value': { type: 'join', from: 'new', join: joining({ names: ['stock/b'] }) },
  'join: holds a lock': { type: 'join', from: 'new', join: joining({ lock: 'lock of the tab' }) },
  'join: another person': { type: 'join', from: 'new', join: joining({ userId: 'bruno', cursor: null }) },
  'join: another person, whom the server has named': {
    type: 'join',
    from: 'new',
    join: joining({ userId: 'bruno', settings: { url: '/bff/live', user: 'hash of bruno' } }),
  },
  'leave: a tab': { type: 'leave', from: 'one' },
  'gone: the lock of a tab is free': { type: 'gone', from: 'one', lock: 'lock of one' },
  'gone: a lock that it had before': { type: 'gone', from: 'one', lock: 'an older lock' },
  'refused: a requested value': { type: 'refused' },
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
      const { kind, event: live, state } = effect.message;
      return `send ${effect.to.join(' and ')}: ${live ? `the ${live.type}` : (state ?? kind)}`;
    }
    case 'answer':
      return `send ${effect.to}: the state`;
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
      const names = effects.map(hubEffectName);
      const moved = [];
      if (next.cursor !== hub.cursor) moved.push(`position **${next.cursor ?? 'none'}**`);
      if (next.members.size !== hub.members.size) moved.push(`**${next.members.size}** tabs`);
      return [...moved, ...names].join(', ') || '–';
    });
    rows.push([name, ...cells]);
  }
  return table(rows);
}

// ---- how a tab shares

const received = (message) => ({
  type: 'message',
  message: { userId: 'ada', user: 'hash of ada', ...message },
});
const TAB_EVENTS = {
  start: { type: 'start', userId: 'ada' },
  stop: { type: 'stop' },
  'other values are requested': { type: 'names' },
  'an event is missing': { type: 'reconnect', backoff: false },
  'hub: an event': received({ kind: 'event', event: { type: 'beat', id: '', data: {} } }),
  'hub: live': received({ kind: 'state', state: 'live' }),
  'hub: stopped': received({ kind: 'state', state: 'stopped' }),
  'hub: a new one has started': received({ kind: 'hello' }),
  'hub: it cannot serve this tab': received({ kind: 'full' }),
  'hub: a message about another person': received({ userId: 'bruno', kind: 'state', state: 'stopped' }),
  'the mode failed': { type: 'failed' },
  'silence for three heartbeats': { type: 'silence', of: 'beat' },
  'no answer for five seconds': { type: 'silence', of: 'answer' },
  'the pause before a retry is over': { type: 'silence', of: 'retry' },
  'the best mode may be tried again': { type: 'recover' },
  'page: left, or put into the back-forward cache': { type: 'page', name: 'pagehide', hidden: false },
  'page: shown again': { type: 'page', name: 'pageshow', hidden: false },
  'page: the network is back': { type: 'page', name: 'online', hidden: false },
};

function tabStates() {
  const after = (tab, ...events) => events.reduce((one, name) => stepTab(one, TAB_EVENTS[name]).tab, tab);
  const worker = after(createTab(0), 'start', 'hub: live');
  const lock = after(worker, 'the mode failed');
  const none = after(lock, 'the mode failed');
  return {
    stopped: createTab(0),
    'mode worker': worker,
    'mode lock': lock,
    'mode none': none,
    'mode none, in a pause': after(none, 'the mode failed'),
    'in the back-forward cache': after(worker, 'page: left, or put into the back-forward cache'),
  };
}

/** @param {any} effect */
function tabEffectName(effect) {
  switch (effect.type) {
    case 'open':
      return `open **${effect.mode}**`;
    case 'wait':
      return { beat: 'wait for heartbeats', answer: 'wait for an answer', retry: 'pause' }[effect.for];
    case 'recover':
      return `best mode in ${effect.after / 1000} s`;
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

test('the tables on the page of the client’s states are those of the step functions', async () => {
  const before = await readFile(PAGE, 'utf8');
  const page = [
    ['operation states', operationStateTable()],
    ['operation moves', operationMoveTable()],
    ['operation', operationTable()],
    ['hub', hubTable()],
    ['tab', tabTable()],
  ].reduce((text, [name, rows]) => fill(text, name, rows), before);
  if (process.env.TABLES === 'write') await writeFile(PAGE, page);
  else assert.equal(before, page, 'TABLES=write writes the page');
});

test('a tab in a worse mode tries the best one again, after longer and longer pauses', () => {
  let tab = stepTab(createTab(0), TAB_EVENTS.start).tab;
  const pauses = [];
  for (let tries = 0; tries < 9; tries += 1) {
    const { tab: worse, effects } = stepTab(tab, TAB_EVENTS['the mode failed']);
    pauses.push(effects.find(({ type }) => type === 'recover').after / 1000);
    const again = stepTab(worse, TAB_EVENTS['the best mode may be tried again']);
    assert.deepEqual(again.effects.slice(0, 2), [{ type: 'close' }, { type: 'open', mode: 'worker' }]);
    tab = again.tab;
  }
  assert.deepEqual(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
  const { tab: well } = stepTab(tab, TAB_EVENTS['hub: an event']);
  assert.equal(well.setbacks, 0, 'the next failure is the first one again');
  assert.equal(MODES[well.mode], 'worker');
});

test('a tab whose values the hub cannot serve asks it again after longer and longer pauses', () => {
  let tab = stepTab(createTab(0), TAB_EVENTS.start).tab;
  const pauses = [];
  for (let tries = 0; tries < 3; tries += 1) {
    tab = stepTab(tab, TAB_EVENTS['hub: live']).tab; // the answer to its join, before the server refuses
    const { tab: refused, effects } = stepTab(tab, TAB_EVENTS['hub: it cannot serve this tab']);
    pauses.push(effects.find(({ type }) => type === 'recover').after / 1000);
    tab = stepTab(refused, TAB_EVENTS['the best mode may be tried again']).tab;
  }
  assert.deepEqual(pauses, [60, 120, 240]);
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
