/** The package as users install it: its size, what a bundler can leave out, and what npm packs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';

const HOME = new URL('../../web/client/', import.meta.url);
const tool = createRequire(new URL('package.json', HOME));
const { build } = tool('esbuild');
const { minify } = tool('terser');
const about = JSON.parse(await readFile(new URL('package.json', HOME), 'utf8'));

/** Dynamic imports stay outside, so that they can be measured beside it, once. */
const later = {
  name: 'later',
  setup: (build) =>
    build.onResolve({ filter: /./ }, ({ kind, path }) =>
      kind === 'dynamic-import' ? { path, external: true } : null,
    ),
};

/** Bytes, minified and gzipped, of a module with its static imports. No property is renamed. */
async function weigh(source) {
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: fileURLToPath(HOME) },
    bundle: true,
    minify: true,
    format: 'esm',
    write: false,
    plugins: [later],
  });
  const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2022, compress: { passes: 3 } });
  return gzipSync(code, { level: 9 }).length;
}

test('the client stays small: a size above the aim is a warning, a size above the limit fails', async () => {
  const page = await weigh("export { createClient } from './index.js'");
  const exported = await weigh("export * from './index.js'");
  const worker = await weigh("import './worker.js'");
  // Modules that the page and the part with the stream share count once: no browser needs more than this.
  const whole = await weigh(
    "export { createClient } from './index.js'; export * from './leader.js'; import './worker.js'",
  );
  const monitored = await weigh(
    "export { createClient } from './index.js'; export { createMonitor } from './rum.js'",
  );
  const measured = await weigh(
    "export { createClient } from './index.js'; export { createMonitor, watchVitals } from './rum.js'",
  );
  console.log({ page, exported, worker, whole, monitored, measured });
  // A clear name is worth its bytes: the aim is a warning, the limit is there to find a dependency that crept in.
  for (const [name, size, aim, limit] of [
    ['the part that a page loads', page, 8200, 9000],
    ['all exports', exported, 9100, 10_000],
    ['the part that holds the stream', worker, 3600, 4500],
    ['both parts', whole, 10_900, 12_000],
    ['what a monitor adds to the page', monitored - page, 950, 1000],
    ['what a monitor with web vitals adds', measured - page, 1180, 1250],
  ]) {
    if (size > aim) console.warn(`${name}: ${size} bytes, the aim is ${aim}`);
    assert.ok(size <= limit, `${name}: ${size} bytes of ${limit}`);
  }
});

test('modules that are not imported are not bundled', async () => {
  assert.ok((await weigh("export { ended } from './index.js'")) < 150);
  assert.ok((await weigh("export { readProblem } from './index.js'")) < 700);
  assert.ok((await weigh("export { createStream } from './stream.js'")) < 3000);
  assert.ok((await weigh("export { createMonitor } from './rum.js'")) < 1500);
  assert.equal(about.sideEffects.join(), './worker.js', 'only the worker has side effects when it is loaded');
});

test('npm packs every module that is exported or imported, each with its types, and nothing else', async () => {
  const { stdout } = await promisify(execFile)('npm', ['pack', '--dry-run', '--json'], { cwd: HOME });
  const files = new Set(JSON.parse(stdout)[0].files.map(({ path }) => path));
  for (const way of Object.values(about.exports))
    for (const path of typeof way === 'string' ? [way] : Object.values(way))
      assert.ok(files.has(path.slice(2)), path);
  const modules = [...files].filter((path) => path.endsWith('.js'));
  for (const module of modules) {
    assert.ok(files.has(`types/${module.replace('.js', '.d.ts')}`), `the types of ${module}`);
    const text = await readFile(new URL(module, HOME), 'utf8');
    for (const [, other] of text.matchAll(/(?:from|import\(|new URL\()\s?'\.\/([\w-]+\.js)'/g))
      assert.ok(files.has(other), `${module} needs ${other}`);
  }
  const others = [...files].filter(
    (path) => !/^(\w[\w-]*\.js|types\/[\w-]+\.d\.ts|README\.md|LICENSE|package\.json)$/.test(path),
  );
  assert.deepEqual(others, []);
  assert.deepEqual(about.dependencies ?? {}, {});
});

test('the package says what it is, and under which licence', async () => {
  for (const name of ['description', 'license', 'keywords']) assert.ok(about[name], name);
  const [own, whole] = await Promise.all(
    ['LICENSE', '../../LICENSE'].map((path) => readFile(new URL(path, HOME), 'utf8')),
  );
  assert.equal(own, whole);
});

test('a debugger shows the modules as they are written: none is built, so none needs a source map', async () => {
  const names = (await readdir(HOME)).filter((name) => name.endsWith('.js'));
  assert.ok(names.length > 20);
  for (const name of names) {
    const text = await readFile(new URL(name, HOME), 'utf8');
    assert.doesNotMatch(text, /sourceMappingURL/, name);
    assert.match(text, /^\/\*\*/, `${name} begins with what it does`);
  }
});
