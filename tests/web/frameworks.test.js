/** The adapters of docs/how-to/use-the-client-in-a-framework.md for Vue and Svelte, run as they stand there. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';

import { createClient } from '../../web/client/index.js';

const PAGE = await readFile(
  new URL('../../docs/how-to/use-the-client-in-a-framework.md', import.meta.url),
  'utf8',
);
/** The code of a section as a module, with what it uses from outside. */
async function section(title, outside) {
  const [, text] = PAGE.split(`\n## ${title}\n`);
  const [, code] = /^```js\n([^]*?)^```/m.exec(text);
  globalThis.outside = outside;
  const names = Object.keys(outside).join(', ');
  const body = code.replace(/^import .*$/gm, '');
  return import(
    `data:text/javascript,${encodeURIComponent(`const { ${names} } = globalThis.outside;\n${body}`)}`
  );
}

/** A client whose source the test drives. */
function driven() {
  const followed = [];
  let emit;
  const client = createClient({
    storage: null,
    source({ onEvent }) {
      emit = onEvent;
      const state = { get: () => 'live', subscribe: () => () => {} };
      return { state, start() {}, stop() {}, reconnect() {}, follow: (names) => followed.push([...names]) };
    },
  });
  const value = (version, open) =>
    emit({ type: 'value', id: '', data: { name: 'desk/support', version, data: { open }, at: '' } });
  emit({ type: 'snapshot', id: 'e-1', data: { cursor: 'e-1', sagas: [], values: [] } });
  return { client, followed, value };
}

test('the adapter for Vue shows each version, and ends with its scope', async () => {
  const { client, followed, value } = driven();
  const ends = [];
  const vue = { onScopeDispose: (end) => ends.push(end), shallowRef: (first) => ({ value: first }) };
  const { useValue } = await section('Vue', { client, ...vue });
  const desk = useValue('desk/support');
  assert.equal(desk.value, undefined);
  value(1, 2);
  assert.equal(desk.value.data.open, 2);
  for (const end of ends) end();
  value(2, 3);
  assert.equal(desk.value.data.open, 2, 'no change after the scope has ended');
  await null;
  assert.deepEqual(followed.at(-1), []);
});

test('the adapter for Svelte calls at once and at each version, and ends with the subscription', async () => {
  const { client, followed, value } = driven();
  const module = await section('Svelte', { client });
  const seen = [];
  value(1, 2);
  const end = module.value('desk/support').subscribe((desk) => seen.push(desk?.data.open));
  value(2, 3);
  end();
  value(3, 4);
  assert.deepEqual(seen, [2, 3]);
  await null;
  assert.deepEqual(followed.at(-1), []);
});

test('the example without a framework shows what is there, and each version', async () => {
  const { client, value } = driven();
  const output = {};
  globalThis.document = { querySelector: () => output };
  value(1, 2);
  await section('Without a framework', { client });
  assert.equal(output.textContent, 2);
  value(2, 3);
  assert.equal(output.textContent, 3);
  delete globalThis.document;
});
