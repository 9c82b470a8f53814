import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

// What a browser has and this Node does not.
globalThis.navigator ??= /** @type {any} */ ({ languages: ['en-IE'] });
Object.assign(globalThis, { requestAnimationFrame: () => 0, cancelAnimationFrame() {} });

const PAGE = new URL('../../web/shop/page/', import.meta.url);
const load = async (tag) => ({
  ...(await import(`${PAGE}texts.${tag}.js`))[tag],
  ...(await import(`${PAGE}panel/texts.${tag}.js`))[tag],
});
const de = await load('de');
const en = await load('en');
const { LANGUAGES, interpolate, plural, setLanguage } = await import(`${PAGE}texts.js`);
const { money, time, weight } = await import(`${PAGE}format.js`);

/** Every text with the path to it. @returns {[string, string][]} */
const entries = (value, path = '') =>
  typeof value === 'string'
    ? [[path, value]]
    : Object.entries(value).flatMap(([key, inner]) => entries(inner, `${path}.${key}`));
const placeholders = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test('every language has the same texts with the same placeholders', () => {
  const english = entries(en);
  const german = new Map(entries(de));
  assert.deepEqual([...german.keys()].sort(), english.map(([path]) => path).sort());
  for (const [path, text] of english)
    assert.deepEqual(placeholders(german.get(path)), placeholders(text), path);
  assert.ok(english.length > 200);
});

test('no text is empty, and hardly any is the same in both languages', () => {
  const english = new Map(entries(en));
  const same = entries(de).filter(([path, text]) => {
    assert.notEqual(text.trim(), '', path);
    return english.get(path) === text && /[a-z]{3}/.test(text.replaceAll(/\{\w+\}/g, ''));
  });
  // The names of the services' teams, which are the same for everybody.
  assert.deepEqual(
    same.filter(([path]) => !path.endsWith('.team')),
    [],
  );
});

test('each file of texts is a language that can be chosen', () => {
  const files = readdirSync(PAGE).flatMap((name) => /^texts\.(\w+)\.js$/.exec(name)?.[1] ?? []);
  assert.deepEqual(files.sort(), Object.keys(LANGUAGES).sort());
});

test('each text is used', () => {
  const code = ['./', './views/', './panel/']
    .flatMap((folder) =>
      readdirSync(new URL(folder, PAGE))
        .filter((name) => name.endsWith('.js') && !/^texts\.\w+\.js$/.test(name))
        .map((name) => readFileSync(new URL(folder + name, PAGE), 'utf8')),
    )
    .join('\n');
  const isUsed = ([, group, ...rest]) =>
    // A table is read by code; of any other text the last key is named.
    new RegExp(`texts\\.${group}[[,)]`).test(code) || new RegExp(`\\b${rest.at(-1) ?? group}\\b`).test(code);
  const unused = entries(en).filter(
    ([path]) => !isUsed(path.split('.').filter((key) => !['one', 'other'].includes(key))),
  );
  assert.deepEqual(unused, []);
});

test('placeholders are replaced, and numbers are written as in the language', async () => {
  await setLanguage('en');
  assert.equal(interpolate('{a} of {b}', { a: 'one', b: 1234.5 }), 'one of 1,234.5');
  assert.equal(interpolate('{a}', { a: '{b}' }), '{b}', 'what was inserted is not replaced again');
  assert.equal(plural(en.items, 1), '1 item');
  assert.equal(plural(en.items, 1000), '1,000 items');
  await setLanguage('de');
  assert.equal(interpolate('{b}', { b: 1234.5 }), '1.234,5');
  assert.equal(plural(de.product.days, 2), '2 Tage');
});

test('money has the digits of its currency', async () => {
  await setLanguage('en');
  const plain = (text) => text.replaceAll(/\s/g, ' ');
  assert.equal(money(123456, 'EUR'), '€1,234.56');
  assert.equal(plain(money(1234, 'JPY')), 'JP¥1,234');
  assert.equal(plain(money(1234, 'KWD')), 'KWD 1.234');
  await setLanguage('de');
  assert.equal(plain(money(123456, 'EUR')), '1.234,56 €');
  assert.equal(plain(money(1234, 'JPY')), '1.234 ¥');
  assert.equal(plain(money(1234, 'KWD')), '1,234 KWD');
});

test('times and weights are written as in the language', async () => {
  const old = '2020-03-04T15:06:07Z';
  await setLanguage('en');
  assert.match(time(old), /4 Mar/);
  assert.match(time(new Date().toISOString()), /^Today, \d\d:\d\d$/);
  assert.equal(time('never'), '');
  assert.deepEqual(
    [weight(380), weight(1250)].map((text) => text.replaceAll(/\s/g, ' ')),
    ['380 g', '1.3 kg'],
  );
  await setLanguage('de');
  assert.match(time(old), /4\. März/);
  assert.match(time(new Date().toISOString()), /^Heute, \d\d:\d\d$/);
  assert.deepEqual(
    [weight(380), weight(1250)].map((text) => text.replaceAll(/\s/g, ' ')),
    ['380 g', '1,3 kg'],
  );
});
