/** The client on a server that renders pages: importing it and creating clients needs no page. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const HOME = fileURLToPath(new URL('../../web/client/', import.meta.url));
// Whatever belongs to a page throws when it is touched.
const SCRIPT = `
for (const name of ['location', 'window', 'document', 'localStorage', 'sessionStorage', 'SharedWorker', 'BroadcastChannel'])
  Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error(name + ' was touched'); } });
const { createClient, createSession } = await import('./index.js');
for (const name of ['sse', 'stream', 'query']) await import('./' + name + '.js');
const allowed = process.argv[1].split(',');
for (const name of allowed) Object.defineProperty(globalThis, name, { value: undefined });
const client = createClient();
const session = createSession(client);
client.define('place', { request: () => ({ url: '/api/orders' }), apply() {} });
const seen = [client.connection.get(), client.sagas().get(), client.value('stock/mug').get(), session.get().status];
seen.push(session.signInUrl());
session.dispose();
client.dispose();
console.log(JSON.stringify(seen));
`;

test('importing the modules touches nothing of a page, and a client can be created where there is none', async () => {
  const absent = 'location,SharedWorker,BroadcastChannel,sessionStorage';
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', SCRIPT, absent],
    { cwd: HOME },
  );
  assert.deepEqual(JSON.parse(stdout), ['stopped', [], null, 'unknown', '/bff/login?return=%2F']);
});
