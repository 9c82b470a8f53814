/**
 * `node build.mjs BUNDLER PROJECT OUT`: build the page in the folder PROJECT, which has the client in its node_modules, with
 * one bundler, as docs/how-to/build-the-page.md says; the page is OUT/index.html.
 */
import { cp, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';

const [bundler, project, out] = process.argv.slice(2);
const file = async (path, text) => {
  await mkdir(join(project, path, '..'), { recursive: true });
  await writeFile(join(project, path), text);
};
const html = (script) =>
  `<!doctype html><title>${bundler}</title><body><script type="module" src="${script}"></script>`;
const run = (program, ...words) =>
  execFileSync(process.execPath, [program, ...words], {
    cwd: project,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CI: '1', NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
  });
const packed = (compiler) =>
  new Promise((resolve, reject) =>
    compiler.run((error, stats) => {
      if (error ?? stats.hasErrors()) reject(error ?? new Error(stats.toString()));
      else compiler.close(resolve);
    }),
  );
const webpackConfig = {
  mode: 'production',
  context: project,
  entry: './main.js',
  output: { path: out, filename: '[name].[contenthash].js', publicPath: '/' },
};
/** The page of a build whose script has a hash in its name. */
const pageOf = async () => {
  const script = (await readdir(out)).find((name) => /^main\..*js$/.test(name));
  await writeFile(join(out, 'index.html'), html(`/${script}`));
};

const builds = {
  async vite() {
    const { build } = await import('vite');
    await file('index.html', html('/main.js'));
    await build({ root: project, logLevel: 'warn', build: { outDir: out } });
  },
  async webpack() {
    const { default: webpack } = await import('webpack');
    await packed(webpack(webpackConfig));
    await pageOf();
  },
  async rspack() {
    const { rspack } = await import('@rspack/core');
    await packed(rspack(webpackConfig));
    await pageOf();
  },
  async esbuild() {
    const { build } = await import('esbuild');
    await build({
      absWorkingDir: project,
      // The worker's script is an entry of its own, and both have the same folder.
      entryPoints: { main: 'main.js', worker: 'node_modules/bff-client/worker.js' },
      bundle: true,
      splitting: true,
      minify: true,
      format: 'esm',
      // Chunks beside the entries: the worker's address is relative to the module that starts it.
      chunkNames: '[name]-[hash]',
      outdir: out,
    });
    await writeFile(join(out, 'index.html'), html('/main.js'));
  },
  async 'react-router'() {
    await file(
      'vite.config.js',
      "import { reactRouter } from '@react-router/dev/vite';\nexport default { plugins: [reactRouter()] };\n",
    );
    await file('react-router.config.js', "export default { ssr: true, prerender: ['/'] };\n");
    await file(
      'app/routes.js',
      "import { index } from '@react-router/dev/routes';\nexport default [index('./home.jsx')];\n",
    );
    await file('app/home.jsx', "export { default } from '../Screen.jsx';\n");
    await file(
      'app/root.jsx',
      'import { Outlet, Scripts } from \'react-router\';\nexport default function Root() {\n  return (<html lang="en"><body><Outlet /><Scripts /></body></html>);\n}\n',
    );
    run(join(process.cwd(), 'node_modules/@react-router/dev/bin.cjs'), 'build');
    await cp(join(project, 'build/client'), out, { recursive: true });
  },
  async next() {
    await file('next.config.mjs', "export default { output: 'export', images: { unoptimized: true } };\n");
    await file(
      'app/layout.jsx',
      'export default function Layout({ children }) {\n  return (<html lang="en"><body>{children}</body></html>);\n}\n',
    );
    await file(
      'app/page.jsx',
      "import Screen from '../Screen.jsx';\nexport default function Page() {\n  return <Screen />;\n}\n",
    );
    run(process.env.NEXT, 'build', ...(process.env.NEXT_OPTIONS ?? '').split(' ').filter(Boolean), project);
    await cp(join(project, 'out'), out, { recursive: true });
  },
};
await builds[bundler]();
