import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';

import { createClient } from '../../web/client/index.js';
import { createStream } from '../../web/client/stream.js';

const OPEN = [];
after(() => OPEN.forEach((close) => close()));

/** A real server whose every connection to the stream is handled by the next of `turns` (the last one repeats). */
async function serve(...turns) {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push({ url: request.url, headers: request.headers, at: Date.now(), request, response });
    turns[Math.min(requests.length, turns.length) - 1](response, request);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  OPEN.push(() => (server.close(), server.closeAllConnections()));
  return { requests, url: `http://127.0.0.1:${server.address().port}/bff/live`, server };
}

function frame(type, data, id) {
  return `event: ${type}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;
}

const open =
  (text = '', end = false) =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.write(text || ': hello\n\n');
    if (end) response.end();
  };
const status =
  (code, headers = {}) =>
  (response) =>
    response.writeHead(code, headers).end();
const snapshot = (cursor, sagas = []) => frame('snapshot', { cursor, sagas, values: [] }, cursor);
const row = (version) => ({ id: 'o', type: 'order', status: 'RUNNING', version });

async function until(condition, what) {
  const deadline = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A stream with short times, and its events and states. */
function join(url, options = {}) {
  const events = [];
  const states = [];
  let cursor = null;
  const stream = createStream({
    url,
    base: 0.01,
    cap: 0.05,
    heartbeat: 10,
    cursor: () => cursor,
    onEvent(event) {
      events.push(event);
      if (event.id) cursor = event.id;
    },
    ...options,
  });
  stream.state.subscribe((state) => states.push(state));
  stream.start();
  OPEN.push(() => stream.stop());
  return { stream, events, states };
}

test('the first request has no position; the next one resumes after the last id', async () => {
  const { requests, url } = await serve(open(snapshot('e-7'), true), open());
  const { events, states } = join(url);
  await until(() => requests.length === 2 && states.at(-1) === 'live', 'a second join');
  assert.equal(requests[0].headers['x-bff'], '1');
  assert.equal(requests[0].headers['last-event-id'], undefined);
  assert.equal(requests[1].headers['last-event-id'], 'e-7');
  assert.deepEqual(events, [{ type: 'snapshot', id: 'e-7', data: { cursor: 'e-7', sagas: [], values: [] } }]);
  assert.deepEqual(states, ['connecting', 'live', 'stale', 'live']);
});

test('events arrive whole however the wire splits them', async () => {
  const { url } = await serve((response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const bytes = Buffer.from(snapshot('e-1') + frame('value', { name: 'é☕' }));
    let at = 0;
    const timer = setInterval(
      () => (at < bytes.length ? response.write(bytes.subarray(at, (at += 7))) : clearInterval(timer)),
      1,
    );
  });
  const { events } = join(url);
  await until(() => events.length === 2, 'both events');
  assert.equal(events[1].data.name, 'é☕');
});

test('values are requested by name; one more name joins again while the state stays live', async () => {
  const { requests, url } = await serve(open(snapshot('e-1')));
  const { stream, states, events } = join(url);
  await until(() => events.length === 1, 'a snapshot');
  stream.follow(['stock/b', 'stock/a']);
  await until(() => requests.length === 2, 'a join with values');
  stream.follow(['stock/a']); // fewer names cause no new join
  await new Promise((resolve) => setTimeout(resolve, 30));
  assert.equal(requests.length, 2);
  assert.equal(requests[1].url, '/bff/live?value=stock%2Fa&value=stock%2Fb');
  assert.equal(requests[1].headers['last-event-id'], 'e-1');
  assert.deepEqual(states, ['connecting', 'live']);
});

test('silence for two and a half heartbeats ends the attempt; any byte is a sign of life', async () => {
  let beats;
  const { requests, url } = await serve((response) => {
    open(snapshot('e-1'))(response);
    let left = 8;
    beats = setInterval(() => (left-- > 0 ? response.write(':\n') : clearInterval(beats)), 300);
  }, open());
  join(url, { heartbeat: 0.8 }); // a limit of 2 s: no machine is so busy that it is silent for so long
  await until(() => requests.length === 2, 'a second join');
  const lasted = requests[1].at - requests[0].at;
  assert.ok(lasted > 2300, `comments kept it for ${lasted} ms`);
});

test('the same watchdog ends an attempt whose server accepts the connection and sends nothing', async () => {
  const { requests, url } = await serve(() => {}, open());
  const { states } = join(url, { heartbeat: 0.05 });
  await until(() => requests.length >= 2 && states.at(-1) === 'live', 'a second join');
});

test('after bye the client joins again after the requested time, not before', async () => {
  const { requests, url } = await serve(
    open(snapshot('e-1') + frame('bye', { reason: 'drain', retry_after: 0.3 })),
    open(),
  );
  const { events } = join(url);
  await until(() => requests.length === 2, 'a second join');
  const waited = requests[1].at - requests[0].at;
  assert.ok(waited >= 290 && waited < 20_000, `${waited} ms`);
  assert.equal(events.length, 1, 'bye is not passed on to subscribers');
});

test('bye for a logout stops; nothing is tried again', async () => {
  const { requests, url } = await serve(open(frame('bye', { reason: 'logout', retry_after: 0 })));
  const { stream } = join(url);
  await until(() => stream.state.get() === 'stopped', 'stopped');
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(requests.length, 1);
});

test('after an announced end the stream continues for a person who signed in again meanwhile', async () => {
  const { requests, url } = await serve(
    open(snapshot('e-1') + frame('expiring', { at: '', seconds: 0.5 }) + frame('beat', { at: '' })),
    open(frame('beat', { at: '' })),
  );
  const { stream, events, states } = join(url);
  await until(() => events.length === 3, 'the warning');
  const [, warning, beat] = events;
  assert.equal(warning.type, 'beat');
  assert.ok(Math.abs(warning.data.ends - Date.now() - 500) < 400, 'when it ends, by this clock');
  assert.equal(beat.data.ends, warning.data.ends, 'every heartbeat repeats it, for tabs that joined late');
  requests[0].response.end(frame('bye', { reason: 'expired', retry_after: null }));
  await until(() => events.length === 4, 'a beat of the next stream');
  assert.equal(events[3].data.ends, null);
  assert.equal(requests[1].headers['last-event-id'], 'e-1');
  assert.deepEqual(states, ['connecting', 'live'], 'the state stayed live');
  stream.stop();
});

test('a person who did not sign in again is stopped by the answer, and not before it', async () => {
  const { requests, url } = await serve(
    open(snapshot('e-1') + frame('expiring', { at: '', seconds: 0.1 }) + frame('bye', { reason: 'expired' })),
    status(401),
  );
  const { states } = join(url);
  await until(() => states.at(-1) === 'stopped', 'stopped');
  assert.equal(requests.length, 2);
  assert.deepEqual(states, ['connecting', 'live', 'stopped']);
});

test('after unannounced ends the client waits as after any other', async () => {
  const { requests, url } = await serve(open(frame('bye', { reason: 'expired', retry_after: null })));
  join(url, { base: 0.2, cap: 1, random: () => 1 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(requests.length <= 4, `${requests.length} joins in half a second`);
});

test('the page gets the end of the session, and then the new sign-in, without a change of state', async () => {
  let renewed = false;
  const { requests, url } = await serve((response) => {
    const warning = renewed ? '' : frame('expiring', { at: '', seconds: 20 });
    open(snapshot('e-1') + warning + frame('beat', { at: '' }))(response);
  });
  const client = createClient({ url, storage: null, stream: { share: 'none' } });
  OPEN.push(() => client.stop());
  const ends = [];
  const states = [];
  client.sessionExpiresAt.subscribe((moment) => ends.push(moment));
  client.connection.subscribe((state) => states.push(state));
  assert.equal(client.sessionExpiresAt.get(), null);
  client.start({ userId: 'ada' });
  await until(() => ends.length === 1, 'the warning');
  assert.ok(Math.abs(ends[0] - Date.now() - 20_000) < 15_000);
  renewed = true;
  client.start({ userId: 'ada' });
  assert.equal(client.sessionExpiresAt.get(), null, 'at once');
  await until(() => requests.length === 2, 'a stream of the new session');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual([ends.length, states], [2, ['connecting', 'live']]);
});

test('a server that always sends bye at once is not flooded with requests', async () => {
  const { requests, url } = await serve(open(frame('bye', { reason: 'age', retry_after: 0 })));
  join(url, { base: 0.2, cap: 1, random: () => 1 });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.ok(requests.length <= 4, `${requests.length} joins in half a second`);
});

test('a 401 stops until started again', async () => {
  const { requests, url } = await serve(status(401), open());
  const { stream, states } = join(url);
  await until(() => stream.state.get() === 'stopped', 'stopped');
  stream.reconnect();
  assert.equal(requests.length, 1);
  stream.start();
  await until(() => stream.state.get() === 'live', 'live');
  assert.deepEqual(states, ['connecting', 'stopped', 'connecting', 'live']);
});

test('a stream that now belongs to another person is closed at once, and none of its events is passed on', async () => {
  const of = (user, text) => (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'bff-user': user });
    response.end(text);
  };
  const { requests, url } = await serve(
    of('a', snapshot('e-1')),
    of('a', frame('saga', row(1), 'e-2')),
    of('b', snapshot('f-1')),
  );
  const { stream, events } = join(url);
  await until(() => stream.state.get() === 'stopped', 'stopped');
  assert.equal(requests.length, 3);
  assert.deepEqual(
    events.map(({ id }) => id),
    ['e-1', 'e-2'],
  );
});

test('a clock that jumped ahead, as after sleep, ends an attempt that only looks open', async () => {
  const { requests, url } = await serve(open(snapshot('e-1')), open());
  const { events } = join(url, { heartbeat: 1 });
  await until(() => events.length === 1, 'a snapshot');
  const { now } = Date;
  try {
    Date.now = () => now() + 3_600_000;
    await until(() => requests.length === 2, 'a second join, long before two and a half beats');
  } finally {
    Date.now = now;
  }
});

test('after errors, invalid answers and refused connections the client tries again, with growing pauses, without end', async () => {
  const page = (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>a proxy</p>');
  const gone = (response) => response.destroy();
  const { requests, url } = await serve(status(500), page, gone, status(404), status(503), open());
  const { states } = join(url, { base: 0.02, cap: 1, random: () => 1 });
  await until(() => states.at(-1) === 'live', 'live');
  const gaps = requests.slice(1).map((request, at) => request.at - requests[at].at);
  for (const [at, gap] of gaps.entries()) assert.ok(gap >= 20 * 2 ** at - 5, `gap ${at} of ${gap} ms`);
  assert.deepEqual(
    states,
    ['connecting', 'live'],
    'always connecting, because there was no state that could be stale',
  );
});

test('Retry-After is obeyed', async () => {
  const { requests, url } = await serve(status(503, { 'retry-after': '1' }), open());
  join(url);
  await until(() => requests.length === 2, 'a second join');
  assert.ok(requests[1].at - requests[0].at >= 980);
});

test('the wait ends at once when the network is back or the tab is shown', async () => {
  const document_ = { visibilityState: 'visible' };
  const navigator_ = { onLine: true };
  const window_ = Object.assign(new EventTarget(), { document: document_, navigator: navigator_ });
  const { requests, url } = await serve(status(500), status(500), status(500), open());
  const { stream, states } = join(url, { base: 60, cap: 60, random: () => 1, surroundings: window_ });
  await until(() => requests.length === 1, 'one join');
  navigator_.onLine = false;
  window_.dispatchEvent(new Event('offline'));
  await until(() => stream.state.get() === 'offline', 'offline');
  await new Promise((resolve) => setTimeout(resolve, 30));
  navigator_.onLine = true;
  window_.dispatchEvent(new Event('online'));
  await until(() => requests.length === 2 && stream.state.get() === 'connecting', 'a join when online');
  await new Promise((resolve) => setTimeout(resolve, 30));
  window_.dispatchEvent(new Event('visibilitychange'));
  await until(() => requests.length === 3, 'a join when visible');
  await new Promise((resolve) => setTimeout(resolve, 30));
  window_.dispatchEvent(new Event('pageshow'));
  await until(() => states.at(-1) === 'live', 'live');
  window_.dispatchEvent(new Event('visibilitychange'));
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(requests.length, 4, 'a live stream with recent bytes is not replaced');
});

test('a page that is shown during its first attempt does not start another', async () => {
  const window_ = new EventTarget();
  const { requests, url } = await serve((response) => setTimeout(() => open()(response), 50));
  const { stream } = join(url, { surroundings: window_ });
  await until(() => requests.length === 1, 'a request');
  window_.dispatchEvent(new Event('pageshow'));
  window_.dispatchEvent(new Event('visibilitychange'));
  await until(() => stream.state.get() === 'live', 'live');
  assert.equal(requests.length, 1);
});

test('a retry time is obeyed, also shortly before the session ends', async () => {
  const { requests, url } = await serve(
    open(
      frame('expiring', { at: '', seconds: 20 }) + frame('bye', { reason: 'drain', retry_after: 0.3 }),
      true,
    ),
    open(),
  );
  join(url);
  await until(() => requests.length === 2, 'a second join');
  assert.ok(requests[1].at - requests[0].at >= 290);
});

test('a hidden page closes its stream, and resumes it when shown', async () => {
  const window_ = new EventTarget();
  const { requests, url } = await serve(open(snapshot('e-4')), open());
  const { events } = join(url, { surroundings: window_ });
  await until(() => events.length === 1, 'a snapshot');
  const closed = new Promise((resolve) => requests[0].response.on('close', resolve));
  window_.dispatchEvent(new Event('pagehide'));
  await closed;
  window_.dispatchEvent(new Event('pageshow'));
  await until(() => requests.length === 2, 'a second join');
  assert.equal(requests[1].headers['last-event-id'], 'e-4');
});

test('stop closes the connection and nothing follows', async () => {
  const { requests, url } = await serve(open(snapshot('e-4')));
  const { stream, events } = join(url);
  await until(() => events.length === 1, 'a snapshot');
  const closed = new Promise((resolve) => requests[0].response.on('close', resolve));
  stream.stop();
  await closed;
  assert.equal(stream.state.get(), 'stopped');
  await new Promise((resolve) => setTimeout(resolve, 80));
  assert.equal(requests.length, 1);
});

test('after a gap the client resumes from the last position it applied, and does not apply what followed the gap', async () => {
  const gap = frame('saga', row(3), 'e-3') + frame('saga', row(4), 'e-4');
  const { requests, url } = await serve(
    open(snapshot('e-1', [row(1)]) + gap),
    open(frame('saga', row(2), 'e-2') + gap),
  );
  const client = createClient({ url, storage: null, stream: { base: 0.01 } });
  OPEN.push(() => client.stop());
  client.start({ userId: 'ada' });
  await until(() => client.saga('o').get()?.version === 4, 'the newest version');
  assert.deepEqual(
    requests.map((request) => request.headers['last-event-id']),
    [undefined, 'e-1'],
  );
});

test('a journal whose gap is never closed is read again from a snapshot', async () => {
  const { requests, url } = await serve(
    open(snapshot('e-1', [row(1)]) + frame('saga', row(3), 'e-3')),
    open(frame('saga', row(3), 'e-3')),
    open(snapshot('e-3', [row(3)])),
  );
  const client = createClient({ url, storage: null, stream: { base: 0.01 } });
  OPEN.push(() => client.stop());
  client.start({ userId: 'ada' });
  await until(() => client.saga('o').get()?.version === 3, 'the newest version');
  assert.deepEqual(
    requests.map((request) => request.headers['last-event-id']),
    [undefined, 'e-1', undefined],
  );
});

test('a 204 stops the stream for good, and reports that there is none', async () => {
  const { requests, url } = await serve(status(204), open());
  const { stream } = join(url);
  await until(() => stream.state.get() === 'stopped', 'stopped');
  assert.equal(stream.fault.get(), 'no-content');
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(requests.length, 1, 'no second attempt');
  stream.start();
  await until(() => stream.state.get() === 'live', 'live');
  assert.equal(stream.fault.get(), null);
});

test('an endless redirect is a visible error, and is requested again after the longest pause only', async () => {
  const { requests, url } = await serve((response, request) =>
    status(307, { location: `${request.url.split('?')[0]}?${Math.random()}` })(response),
  );
  const faults = [];
  const { stream } = join(url, { cap: 0.6 });
  stream.fault.subscribe((fault) => faults.push(fault));
  await until(() => stream.fault.get() === 'redirect', 'the error');
  const asked = requests.length;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal(requests.length, asked, 'not hammered');
  await until(() => requests.length > asked, 'another try');
  assert.notEqual(stream.state.get(), 'stopped');
  assert.deepEqual(faults, ['redirect']);
});

test('a redirect to a forbidden address is the same error, until it leads to a stream', async () => {
  const there = await serve(open());
  let location = 'http://127.0.0.1:1/'; // a port that fetch never calls
  const { url } = await serve((response) => status(302, { location })(response));
  const { stream } = join(url);
  await until(() => stream.fault.get() === 'redirect', 'the error');
  location = there.url;
  await until(() => stream.state.get() === 'live', 'live');
  assert.equal(stream.fault.get(), null);
  assert.equal(there.requests[0].headers['x-bff'], '1');
});

test('a redirect to a stream is followed, also after the network was away', async () => {
  const there = await serve(open(snapshot('e-1'), true), open());
  const here = status(307, { location: there.url });
  const { url } = await serve(here, (response) => response.destroy(), here);
  const { stream, events } = join(url);
  await until(() => there.requests.length === 2 && stream.state.get() === 'live', 'live again');
  assert.equal(there.requests[1].headers['last-event-id'], 'e-1');
  assert.equal(stream.fault.get(), null);
  assert.equal(events.length, 1);
});

test('a state of a hundred sagas of 60 kB, as large as the contract allows, is read', async () => {
  const sagas = Array.from({ length: 100 }, (_, at) => ({
    ...row(1),
    id: `o${at}`,
    data: 'x'.repeat(60_000),
  }));
  const { requests, url } = await serve(open(snapshot('e-1', sagas)));
  const { events } = join(url);
  await until(() => events.length === 1, 'the snapshot');
  assert.equal(events[0].data.sagas.length, 100);
  assert.equal(requests.length, 1);
});

test('an event larger than the contract allows stops the stream with an error instead of joining for ever', async () => {
  const { requests, url } = await serve(open(snapshot('e-1', [{ ...row(1), data: 'x'.repeat(9_000_000) }])));
  const client = createClient({ url, storage: null, stream: { base: 0.01, share: 'none' } });
  OPEN.push(() => client.stop());
  client.start({ userId: 'ada' });
  await until(() => client.fault.get() === 'too-large', 'the error');
  assert.equal(client.connection.get(), 'stopped');
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.equal(requests.length, 1);
});

test('a saga event without a position is applied by its version, moves no position, and is ignored without a state', async () => {
  const bare = (version, id = 'o') => frame('saga', { ...row(version), id });
  const { requests, url } = await serve(
    open(bare(9, 'early') + snapshot('e-1', [row(2)]) + bare(4) + bare(3) + bare(1, 'p'), true),
    open(bare(6)),
  );
  const client = createClient({ url, storage: null, stream: { base: 0.01 } });
  OPEN.push(() => client.stop());
  client.start({ userId: 'ada' });
  await until(() => client.saga('o').get()?.version === 6, 'the newest version');
  assert.equal(client.saga('p').get().version, 1);
  assert.equal(client.saga('early').get(), undefined);
  assert.deepEqual(
    requests.map((request) => request.headers['last-event-id']),
    [undefined, 'e-1'],
  );
});
