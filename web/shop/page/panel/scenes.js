/**
 * The scenes: each is a card that says what it breaks and what to watch, with one button below that stays pressed while
 * the fault is in force.
 */
import { h } from '../render.js';
import { interpolate, texts } from '../texts.js';

/** @typedef {import('./inside.js').Press} Press */

/** @param {string} name @param {{title: string, does: string, watch: string}} told @param {{active: boolean, note: string | null} | undefined} scene @param {Press} press */
function sceneCard(name, { title, does, watch }, scene, press) {
  const active = Boolean(scene?.active);
  return h(
    'li',
    { key: name, class: 'scene', 'data-active': active },
    h('h2', { id: `scene-${name}` }, title),
    h(
      'p',
      { id: `scene-${name}-what` },
      does,
      ' ',
      h('span', { class: 'watch' }, h('b', {}, `${texts.panel.watch} `), watch),
    ),
    h('p', { class: 'scene-note', role: 'status', 'data-test': 'scene-note' }, scene?.note),
    h(
      'button',
      {
        type: 'button',
        class: 'small toggle',
        'aria-pressed': active,
        'aria-label': `${texts.panel.start}: ${title}`,
        'data-test': `scene-${name}`,
        'aria-describedby': `scene-${name}-what`,
        onclick: () => press(active ? 'DELETE' : 'POST', `/demo/scenes/${name}`),
      },
      texts.panel.start,
    ),
  );
}

/** What a scene tells of its progress; of Redis, how long it is still stopped. @param {string} name @param {any} state @returns {string | null} */
export function sceneNote(name, { scenes, redis }) {
  const left = redis.seconds_left;
  return name === 'stop-redis' && left
    ? interpolate(texts.panel.stoppedFor, { seconds: Math.ceil(left) })
    : (scenes[name]?.note ?? null);
}

/** @param {any} state  What /demo/state says. @param {Press} press */
export const scenesView = (state, press) => [
  h(
    'ul',
    { class: 'scenes' },
    Object.entries(texts.scenes).map(([name, told]) =>
      sceneCard(name, told, { ...state.scenes[name], note: sceneNote(name, state) }, press),
    ),
  ),
  h(
    'div',
    { class: 'actions' },
    h(
      'button',
      {
        type: 'button',
        class: 'small',
        'data-test': 'reset',
        onclick: () => press('DELETE', '/demo/scenes'),
      },
      texts.panel.reset,
    ),
  ),
];
