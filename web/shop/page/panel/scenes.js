/** The scenes: each is a card with its fault, what to watch, and one button that stays pressed while the fault is in force. */
import { h } from '../render.js';
import { interpolate, texts } from '../texts.js';

/** @typedef {import('./services.js').Press} Press */

/** @param {string} name @param {{title: string, does: string, watch: string}} told @param {{active: boolean, note: string | null} | undefined} scene @param {Press} press */
function sceneCard(name, { title, does, watch }, scene, press) {
  const active = Boolean(scene?.active);
  return h(
    'li',
    { key: name, class: 'scene', 'data-active': active },
    h(
      'button',
      {
        type: 'button',
        class: 'small toggle',
        'aria-pressed': active,
        'data-test': `scene-${name}`,
        'aria-describedby': `scene-${name}`,
        onclick: () => press(active ? 'DELETE' : 'POST', `/demo/scenes/${name}`),
      },
      title,
    ),
    h(
      'p',
      { id: `scene-${name}` },
      does,
      ' ',
      h('span', { class: 'watch' }, h('b', {}, `${texts.panel.watch} `), watch),
    ),
    h('p', { class: 'scene-note', role: 'status', 'data-test': 'scene-note' }, scene?.note),
  );
}

/** @param {any} state  What /demo/state says. @param {Press} press */
export function scenesView({ scenes, redis }, press) {
  const left = redis.seconds_left;
  const stopped = left ? interpolate(texts.panel.stoppedFor, { seconds: Math.ceil(left) }) : null;
  return h(
    'div',
    { class: 'stack' },
    h(
      'ul',
      { class: 'scenes' },
      Object.entries(texts.scenes).map(([name, told]) => {
        const scene = scenes[name];
        const note = (name === 'stop-redis' && stopped) || scene?.note;
        return sceneCard(name, told, { ...scene, note }, press);
      }),
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
  );
}
