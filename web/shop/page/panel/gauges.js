/** Displays while things break: whom to ask, breakers, the stream, the last screens' timings, orders that need attention. */
import { shortId } from '../format.js';
import { client } from '../live.js';
import { h } from '../render.js';
import { interpolate, number, texts } from '../texts.js';
import { lastTroubles } from '../diagnostics.js';
import { readShares } from './shares.js';
import { entryOf, service } from '../words.js';

/** @typedef {import('./inside.js').Press} Press */

/** @param {Record<string, string>} breakers  The state of each, by its service. */
export const breakersView = (breakers) =>
  h(
    'ul',
    { class: 'lamps', 'aria-label': texts.panel.breakers },
    Object.entries(breakers).map(([name, state]) =>
      h(
        'li',
        { key: name, 'data-test': 'breaker', 'data-service': name, 'data-state': state },
        h('i', { 'aria-hidden': true }),
        h('span', {}, name),
        h('span', { class: 'quiet' }, entryOf(texts.breakerStates, state) ?? state),
      ),
    ),
  );

/** @param {number} streams  How many are open at the gateway. */
export function streamView(streams) {
  const { position, heardAt } = client.status();
  const state = client.connection.get();
  const { panel } = texts;
  const heard =
    heardAt === null
      ? panel.noneYet
      : interpolate(panel.secondsAgo, { seconds: Math.round((Date.now() - heardAt) / 1000) });
  const reading = (/** @type {string} */ name, /** @type {string} */ key, /** @type {string} */ value) => [
    h('dt', {}, name),
    h('dd', { 'data-test': `stream-${key}` }, value),
  ];
  return h(
    'dl',
    { class: 'readings', 'data-test': 'stream', 'data-state': state },
    reading(panel.thisPage, 'state', entryOf(texts.streamStates, state) ?? state),
    reading(panel.position, 'position', position ?? panel.noneYet),
    reading(panel.heard, 'heard', heard),
    reading(panel.streams, 'streams', number(streams)),
  );
}

/** How an answer came without a failure: from its service, or from the cache. */
const ANSWERED = new Set(['ok', 'hit', 'stale', 'revalidated', 'miss', 'coalesced']);

/** @param {import('./shares.js').Share} share @param {number} longest */
export const shareView = ({ name, start, milliseconds, outcome }, longest) =>
  h(
    'li',
    {
      'data-test': 'share',
      'data-outcome': outcome,
      'data-failed': !ANSWERED.has(outcome),
      'data-cached': outcome !== 'ok' && ANSWERED.has(outcome),
    },
    h('span', { class: 'share-name' }, name),
    h(
      'span',
      { class: 'share-line' },
      h('i', {
        'aria-hidden': true,
        style: {
          'margin-inline-start': `${(start / longest) * 100}%`,
          width: `${Math.max(1, (milliseconds / longest) * 100)}%`,
        },
      }),
    ),
    h(
      'span',
      { class: 'share-time' },
      interpolate(texts.panel.milliseconds, { milliseconds: Math.round(milliseconds) }),
      outcome !== 'ok' && h('b', {}, ` ${outcome}`),
    ),
  );

/** @param {import('../diagnostics.js').Taken} taken */
function screenView({ path, status, complete, milliseconds, serverTiming }) {
  const shares = readShares(serverTiming);
  const longest = Math.max(milliseconds, 1, ...shares.map((share) => share.start + share.milliseconds));
  const took = complete ? texts.panel.screenTook : texts.panel.screenIncomplete;
  return h(
    'li',
    { key: path },
    h(
      'p',
      {},
      h('code', {}, path.replace('/api/screens/', '')),
      h(
        'span',
        { class: 'quiet' },
        interpolate(took, { status: String(status), milliseconds: Math.round(milliseconds) }),
      ),
    ),
    shares.length > 0
      ? h(
          'ul',
          {},
          shares.map((share) => shareView(share, longest)),
        )
      : h('p', { class: 'quiet' }, texts.panel.noService),
  );
}

/** @param {import('../diagnostics.js').Taken[]} timings */
export const waterfallView = (timings) =>
  h('ol', { class: 'waterfall', 'data-test': 'waterfall' }, timings.map(screenView));

/** @param {import('../diagnostics.js').Trouble} trouble */
function troubleView({ key, what, reason, owner, reference }) {
  const team = owner.team || owner.service;
  const missing = entryOf(texts.missing, reason);
  const docs = owner.docs && /^https?:\/\//.test(owner.docs) ? owner.docs : null;
  return h(
    'li',
    { key, 'data-test': 'owner', 'data-service': owner.service },
    h(
      'span',
      {},
      missing
        ? interpolate(texts.panel.part, { what, team, reason: missing })
        : interpolate(texts.panel.problem, { what, status: reason, team }),
    ),
    h(
      'span',
      { class: 'quiet' },
      owner.contact && interpolate(texts.panel.contact, { contact: owner.contact }),
      docs && [' · ', h('a', { href: docs, target: '_blank', rel: 'noreferrer' }, texts.panel.docs)],
      reference && [` · ${texts.part.reference} `, h('code', {}, reference)],
    ),
  );
}

/** Team and channel of what failed lately, and of the steps that orders are stuck at. @param {any[]} stuck */
export function ownersView(stuck) {
  const troubles = lastTroubles();
  if (troubles.length + stuck.length === 0) return h('p', { class: 'quiet' }, texts.panel.noOwners);
  return h(
    'ul',
    { class: 'owners' },
    stuck.map(({ id, step, last_error }) =>
      h(
        'li',
        { key: id, 'data-test': 'owner' },
        h('span', {}, h('code', {}, shortId(id)), ` ${entryOf(texts.tried, step) ?? step}`),
        h('span', { class: 'quiet' }, `${service(last_error ?? '').team}, ${texts.services.other.team}`),
      ),
    ),
    troubles.map(troubleView),
  );
}

/** @param {any[]} stuck  The orders that an operator has to look at. @param {Press} press */
export function operatorView(stuck, press) {
  const button = (/** @type {string} */ id, /** @type {string} */ operation, /** @type {string} */ text) =>
    h(
      'button',
      {
        type: 'button',
        class: 'small',
        'data-test': operation,
        onclick: () => press('POST', `/demo/orders/${id}/${operation}`),
      },
      text,
    );
  return h(
    'div',
    { class: 'desk', hidden: stuck.length === 0 },
    h('h2', {}, texts.panel.stuck),
    h(
      'ul',
      {},
      stuck.map(({ id, step, attempt }) =>
        h(
          'li',
          { key: id, 'data-test': 'stuck', 'data-order': id },
          h(
            'span',
            {},
            h('code', {}, shortId(id)),
            ` ${interpolate(texts.panel.stuckAttempt, { what: entryOf(texts.tried, step) ?? step, attempt })}`,
          ),
          h(
            'span',
            { class: 'actions' },
            button(id, 'retry', texts.panel.retry),
            button(id, 'give-up', texts.panel.giveUp),
          ),
        ),
      ),
    ),
  );
}
