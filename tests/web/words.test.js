import assert from 'node:assert/strict';
import { test } from 'node:test';

// What a browser has and this Node does not.
globalThis.navigator ??= /** @type {any} */ ({ languages: ['en-IE'] });
Object.assign(globalThis, { requestAnimationFrame: () => 0, cancelAnimationFrame() {} });

const PAGE = new URL('../../web/shop/page/', import.meta.url);
const { setLanguage } = await import(`${PAGE}texts.js`);
const { isTrouble, message, moment } = await import(`${PAGE}words.js`);
const { trackView } = await import(`${PAGE}track.js`);
await setLanguage('en');

const entry = (status, step, reason = null) => ({ status, step, reason });
/** What a history says, oldest first, with "!" before trouble. */
const told = (...history) =>
  history.map((one, at) => (isTrouble(one, history[at + 1]) ? '! ' : '') + moment(one, history[at + 1]));

/** The stops of an order: its name and its state. */
function stops(status, { step = null, reason = null, reached = null } = {}) {
  const order = { status, step, reason, attempt: 1, version: 1, data: { lines: [], reached } };
  const texts = (part) => (typeof part === 'string' ? part : [...part.children.values()].map(texts).join(''));
  return [...trackView(order).children.values()].map(texts);
}

test('only the newest line of a running order is in the present tense', () => {
  assert.deepEqual(told(entry('RUNNING', 'reserve'), entry('RUNNING', 'charge'), entry('RUNNING', 'ship')), [
    'Items set aside',
    'Card charged',
    'Booking the parcel…',
  ]);
  assert.deepEqual(told(entry('RUNNING', 'ship'), entry('COMPLETED', 'ship')), [
    'Parcel booked',
    'Order complete',
  ]);
});

test('a step that was refused, stopped or given up does not read as if it was done', () => {
  const undone = (reason) => [
    entry('COMPENSATING', 'release', reason),
    entry('COMPENSATED', 'release', reason),
  ];
  assert.deepEqual(told(entry('RUNNING', 'charge'), ...undone('card-declined')), [
    '! Card declined',
    'Items put back',
    'Card declined, everything undone',
  ]);
  assert.equal(
    told(entry('RUNNING', 'charge'), ...undone('cancelled'))[0],
    'Charge: stopped, because you cancelled',
  );
  assert.equal(
    told(entry('RUNNING', 'charge'), ...undone('payments-unavailable'))[0],
    '! Charge: no answer, given up',
  );
  assert.deepEqual(told(entry('RUNNING', 'reserve'), entry('REJECTED', 'reserve', 'out-of-stock')), [
    '! Sold out',
    '! Sold out, nothing done',
  ]);
});

test('a compensation that needed attention says so in the past once it is over', () => {
  assert.deepEqual(told(entry('COMPENSATING', 'refund'), entry('NEEDS_ATTENTION', 'refund')), [
    'Money refunded',
    '! Refund: needs attention, still being tried',
  ]);
  assert.equal(
    told(entry('NEEDS_ATTENTION', 'refund'), entry('COMPENSATED', 'release'))[0],
    'Refund: needed attention',
  );
});

test('a step that this page does not know is told without its name', () => {
  assert.deepEqual(told(entry('RUNNING', 'wrap'), entry('RUNNING', 'reserve'), entry('RUNNING', 'wrap')), [
    'Step done',
    'Items set aside',
    'Under way…',
  ]);
});

test('the line of an order tells its history, and what will not come is not to come', () => {
  assert.deepEqual(stops('RUNNING', { step: 'charge', reached: 'charge' }), [
    'Reserved: done',
    'Charge: in progress',
    'Ship: to come',
  ]);
  assert.deepEqual(stops('COMPENSATING', { step: 'refund', reached: 'ship', reason: 'cancelled' }), [
    'Reserved: done',
    'Refunding: being undone',
    'Called back: undone',
  ]);
  assert.deepEqual(stops('COMPENSATED', { step: 'release', reached: 'charge', reason: 'cancelled' }), [
    'Put back: undone',
    'Refunded: undone',
    'Ship: not reached',
  ]);
  assert.deepEqual(stops('COMPENSATED', { step: 'release', reached: 'ship', reason: 'no-carrier' }), [
    'Put back: undone',
    'Refunded: undone',
    'Not shipped: refused',
  ]);
  assert.deepEqual(stops('REJECTED', { step: 'reserve', reached: 'reserve', reason: 'out-of-stock' }), [
    'Not reserved: refused',
    'Charge: not reached',
    'Ship: not reached',
  ]);
});

test('a service that did not answer may have charged nothing, so nothing is said to be refunded', () => {
  const reason = 'payments-unavailable';
  assert.deepEqual(stops('COMPENSATED', { step: 'release', reached: 'charge', reason }), [
    'Put back: undone',
    'Undone: undone',
    'Ship: not reached',
  ]);
});

test('no message to people names a team, a channel or a service of ours', () => {
  const ends = [
    'card-declined',
    'no-carrier',
    'out-of-stock',
    'payments-unavailable',
    'cancelled',
    'unknown',
  ];
  const orders = [
    ...ends.map((reason) => ({ status: 'COMPENSATED', step: 'release', reason })),
    ...['given-up', null].map((reason) => ({ status: 'NEEDS_ATTENTION', step: 'refund', reason })),
  ];
  for (const order of orders) {
    const { happened, next } = message(order);
    assert.doesNotMatch(`${happened} ${next}`, /#|Payments|Orders|Inventory|Shipping/);
  }
});
