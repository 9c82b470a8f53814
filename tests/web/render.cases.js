/** What the page's renderer and schedule guarantee, as functions that run in a browser: see test_render.py. */
import { h, render, svg } from '/page/render.js';
import { createSchedule } from '/page/schedule.js';

/** @type {Record<string, () => unknown>} */
const cases = {};
const test = (name, run) => void (cases[name] = run);
/** Runs one case; rejects if it fails. */
export const run = async (name) => void (await cases[name]());

function equal(actual, expected) {
  const [is, should] = [actual, expected].map((value) => JSON.stringify(value));
  if (is !== should) throw new Error(`${is} instead of ${should}`);
}
function throws(what) {
  try {
    what();
  } catch (error) {
    if (error instanceof TypeError) return;
    throw error;
  }
  throw new Error('it did not throw a TypeError');
}
function place() {
  const container = document.createElement('div');
  document.body.append(container);
  return container;
}
const list = (keys, describe = (key) => key) =>
  h(
    'ul',
    {},
    keys.map((key) => h('li', { key, id: `li-${key}` }, describe(key))),
  );
const keysOf = (container) => [...container.querySelectorAll('li')].map((item) => item.id.slice(3));
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

test('an element whose place and tag stay the same is kept, and only what differs is changed', async () => {
  const at = place();
  const view = (text, mood) => h('p', { class: 'one', 'data-mood': mood }, h('b', {}, 'Steps'), text);
  render(view('first', 'good'), at);
  const paragraph = at.firstElementChild;
  const changes = [];
  new MutationObserver((records) => changes.push(...records)).observe(at, {
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  });
  render(view('first', 'good'), at);
  await frame();
  equal(changes.length, 0);
  render(view('second', 'good'), at);
  await frame();
  equal(changes.length, 1);
  equal(at.innerHTML, '<p class="one" data-mood="good"><b>Steps</b>second</p>');
  equal(paragraph === at.firstElementChild, true);
});

test('what was in the container before the first time is removed, and an empty view empties it', () => {
  const at = place();
  at.textContent = 'loading';
  render('ready', at);
  equal(at.textContent, 'ready');
  render(null, at);
  equal(at.childNodes.length, 0);
});

test('null children are left out and keep their place, so that the siblings after them stay the same', () => {
  const at = place();
  const view = (more) =>
    h('div', {}, more && h('input', { id: 'new' }), h('input', { id: 'old' }), [], '', 0);
  render(view(false), at);
  const old = at.querySelector('#old');
  for (const none of [true, false, null, undefined]) render(view(none), at);
  equal(at.querySelector('#old') === old, true);
  equal(at.textContent, '0');
});

test('a list has places of its own: when it grows, what follows it stays the same', () => {
  const at = place();
  const view = (items) =>
    h(
      'div',
      {},
      items.map((text) => h('i', {}, text)),
      h('input'),
    );
  render(view(['a']), at);
  const input = at.querySelector('input');
  render(view(['a', 'b', 'c']), at);
  equal(at.querySelector('input') === input, true);
  equal(
    [...at.firstElementChild.children].map((child) => child.localName),
    ['i', 'i', 'i', 'input'],
  );
});

test('another tag is another element', () => {
  const at = place();
  render(h('a', { href: '/' }, 'x'), at);
  render(h('button', {}, 'x'), at);
  equal(at.innerHTML, '<button>x</button>');
});

test('elements with keys are kept in every order that a list can take', () => {
  const at = place();
  render(list([1, 2, 3, 4, 5]), at);
  const known = new Map([...at.querySelectorAll('li')].map((item) => [item.id, item]));
  const orders = [[5, 4, 3, 2, 1], [2, 3, 4, 5, 1], [1, 5, 2, 4, 3], [3], [1, 2, 3, 4, 5], [], [4, 2, 5]];
  for (const order of orders) {
    const before = new Map([...at.querySelectorAll('li')].map((item) => [item.id, item]));
    render(list(order), at);
    equal(keysOf(at), order.map(String));
    for (const item of at.querySelectorAll('li')) {
      const earlier = before.get(item.id);
      equal(earlier === undefined || earlier === item, true);
    }
  }
  equal(known.size, 5);
});

test('five hundred random orders are drawn as described', () => {
  const at = place();
  let seed = 7;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let turn = 0; turn < 500; turn += 1) {
    const keys = Array.from({ length: 12 }, (_, key) => key)
      .filter(() => random() < 0.7)
      .map((key) => ({ key, at: random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ key }) => key);
    render(list(keys), at);
    equal(keysOf(at), keys.map(String));
  }
});

const fields = (keys) => list(keys, (key) => h('input', { id: `input-${key}` }));

for (const atomic of [true, false])
  test(`the focus, the selection and typed text survive a new order${atomic ? '' : ' without moveBefore'}`, async () => {
    const { moveBefore } = Element.prototype;
    if (!atomic) delete Element.prototype.moveBefore;
    try {
      for (const focused of [1, 2, 3, 4]) {
        const at = place();
        render(fields([1, 2, 3, 4]), at);
        const input = at.querySelector(`#input-${focused}`);
        input.value = 'typed by a person';
        input.focus();
        input.setSelectionRange(2, 5);
        let lost = 0;
        input.addEventListener('blur', () => (lost += 1));
        for (const order of [
          [4, 3, 2, 1],
          [2, 4, 1, 3],
          [9, 1, 2, 3, 4],
          [3, 1, 4, 2],
        ])
          render(fields(order), at);
        equal(document.activeElement === input, true);
        equal([input.value, input.selectionStart, input.selectionEnd, lost], ['typed by a person', 2, 5, 0]);
        at.remove();
      }
    } finally {
      if (moveBefore) Element.prototype.moveBefore = moveBefore;
    }
  });

test('scroll positions and open details survive a new order', () => {
  const at = place();
  const tall = (key) => [
    h(
      'div',
      { class: 'box', style: { height: '20px', overflow: 'auto' } },
      h('div', { style: { height: '400px' } }, key),
    ),
    h('details', {}, h('summary', {}, 'More'), 'text'),
  ];
  render(list([1, 2, 3], tall), at);
  for (const box of at.querySelectorAll('.box')) box.scrollTop = 60;
  at.querySelector('#li-2 details').open = true;
  render(list([3, 2, 1], tall), at);
  const moved = 'moveBefore' in Element.prototype ? [60, 60, 60] : [60];
  const kept = [...at.querySelectorAll('.box')].map((box) => box.scrollTop).filter((top) => top === 60);
  equal(kept, moved);
  equal(at.querySelector('#li-2 details').open, true);
});

test('of siblings with one key the first one has it, and all are drawn', () => {
  const at = place();
  render(list([1, 2, 2, 3]), at);
  const first = at.querySelector('#li-2');
  render(list([2, 2]), at);
  equal(keysOf(at), ['2', '2']);
  equal(at.querySelector('#li-2') === first, true);
});

test('a listener is replaced and never called twice, and a listener that is left out is gone', () => {
  const at = place();
  const calls = [];
  const view = (listener) => h('button', { onclick: listener }, 'Press');
  for (const turn of [1, 2, 3])
    render(
      view(() => calls.push(turn)),
      at,
    );
  at.querySelector('button').click();
  equal(calls, [3]);
  render(view(null), at);
  at.querySelector('button').click();
  equal(calls, [3]);
  render(
    view(() => calls.push(4)),
    at,
  );
  at.querySelector('button').click();
  equal(calls, [3, 4]);
});

test('a listener gets the event with the element as its current target', () => {
  const at = place();
  let target;
  render(h('p', { onclick: ({ currentTarget }) => (target = currentTarget.localName) }, h('b', {}, 'x')), at);
  at.querySelector('b').click();
  equal(target, 'p');
});

test('true is an empty attribute, for aria the word; null, undefined and false remove it', () => {
  const at = place();
  const view = (value) =>
    h('p', { hidden: value, 'aria-busy': value, title: value === true ? 'x' : value }, '');
  render(view(true), at);
  equal(at.innerHTML, '<p hidden="" aria-busy="true" title="x"></p>');
  render(view(false), at);
  equal(at.innerHTML, '<p aria-busy="false"></p>');
  render(view(null), at);
  equal(at.innerHTML, '<p></p>');
});

test('a value is set when it is described differently, and typed text stays otherwise', () => {
  const at = place();
  const view = (value, more) =>
    h('div', {}, h('input', { value }), h('input', { type: 'checkbox', checked: true }), more);
  render(view(1), at);
  const [input, box] = at.querySelectorAll('input');
  equal([input.value, box.checked], ['1', true]);
  input.value = '12';
  box.checked = false;
  render(view(1, 'an event'), at);
  equal([input.value, box.checked], ['12', false]);
  render(view(3), at);
  equal(input.value, '3');
});

test('styles are set and removed one by one', () => {
  const at = place();
  const view = (style) => h('p', { style });
  render(view({ width: '10%', color: 'red' }), at);
  render(view({ width: '20%' }), at);
  equal(at.firstElementChild.getAttribute('style'), 'width: 20%;');
});

test('attributes that other code has set stay', () => {
  const at = place();
  render(h('p', { class: 'a' }), at);
  at.firstElementChild.setAttribute('data-extension', 'x');
  render(h('p', { class: 'b' }), at);
  equal(at.innerHTML, '<p class="b" data-extension="x"></p>');
});

test('text is text', () => {
  const at = place();
  const evil = '<img src=x onerror="window.evil = 1"><script>window.evil = 1</script>';
  render(h('p', { title: evil }, evil), at);
  equal(at.querySelectorAll('img, script').length, 0);
  equal([at.textContent, at.firstElementChild.title], [evil, evil]);
  equal(window.evil, undefined);
});

test('what would run a script is refused before anything is drawn', () => {
  const at = place();
  render(h('p', {}, 'before'), at);
  for (const tag of ['script', 'iframe', 'object', 'SCRIPT', 'p onclick=x'])
    throws(() => render(h('div', {}, h(tag)), at));
  for (const href of [
    'javascript:alert(1)',
    ' JavaScript:alert(1)',
    '\tjavascript:x',
    'data:text/html,x',
    'java\nscript:x',
  ])
    throws(() => render(h('a', { href }), at));
  throws(() => render(h('p', { onclick: 'alert(1)' }), at));
  throws(() => render(h('p', { style: 'color: red' }), at));
  throws(() => render(h('p', { srcdoc: '<p>' }), at));
  throws(() => render(h('p', { title: { toString: () => 'x' } }), at));
  throws(() => render(h('p', {}, { tag: 'script', children: [] }), at));
  equal(at.innerHTML, '<p>before</p>');
  for (const href of ['/orders', 'https://example.org/', '#main', '?page=2', 'mailto:a@example.org'])
    render(h('a', { href }), at);
  equal(at.querySelector('a').getAttribute('href'), 'mailto:a@example.org');
});

test('a view that throws in the middle leaves the page as it was', () => {
  const at = place();
  const view = (items) =>
    h(
      'ul',
      {},
      items.map((item) => h('li', {}, item.name)),
    );
  render(view([{ name: 'a' }, { name: 'b' }]), at);
  const before = at.innerHTML;
  throws(() => render(view([{ name: 'c' }, null]), at));
  equal(at.innerHTML, before);
  render(view([{ name: 'c' }]), at);
  equal(at.innerHTML, '<ul><li>c</li></ul>');
});

test('a drawing comes from the source, and what it interpolates is text', () => {
  const at = place();
  const shape = svg`<circle r="${4}" fill="${'"/><script>alert(1)</script>'}"/>`;
  render(svg`<svg viewBox="0 0 9 9">${shape}</svg>`, at);
  equal(at.querySelectorAll('script').length, 0);
  equal(at.querySelector('circle').getAttribute('fill'), '"/><script>alert(1)</script>');
  equal(at.firstElementChild.namespaceURI, 'http://www.w3.org/2000/svg');
  const drawn = at.firstElementChild;
  render(svg`<svg viewBox="0 0 9 9">${shape}</svg>`, at);
  equal(at.firstElementChild === drawn, true);
  render(svg`<svg viewBox="0 0 8 8"></svg>`, at);
  equal(at.innerHTML, '<svg viewBox="0 0 8 8"></svg>');
  throws(() => svg(['<img src=x onerror=alert(1)>']));
  throws(() => svg(Object.assign(['<img>'], { raw: ['<img>'] })));
});

test('a hundred changes are drawn once, in the next frame', async () => {
  let drawn = 0;
  const schedule = createSchedule(() => (drawn += 1));
  for (let turn = 0; turn < 100; turn += 1) schedule.invalidate();
  equal(drawn, 0);
  await frame();
  await frame();
  equal(drawn, 1);
  schedule.invalidate();
  schedule.drawNow();
  equal(drawn, 2);
  await frame();
  await frame();
  equal(drawn, 2);
});

test('without frames, as in a hidden tab, a timer draws', async () => {
  const { requestAnimationFrame: frames } = window;
  window.requestAnimationFrame = () => 0;
  try {
    await new Promise((resolve) => createSchedule(() => resolve(undefined)).invalidate());
  } finally {
    window.requestAnimationFrame = frames;
  }
});
