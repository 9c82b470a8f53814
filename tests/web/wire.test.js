/** The stream over real sockets, split in every way: the parser gets the pieces that the operating system delivers. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, test } from 'node:test';

import { createStream } from '../../web/client/stream.js';

const OPEN = [];
after(() => OPEN.forEach((close) => close()));

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n';
const tick = () => new Promise((resolve) => setImmediate(resolve));
const bytes = (text) => Buffer.from(text);

/** A server that writes its answer in exactly these pieces, each in its own packet, on every connection. */
async function serve(pieces, { end = true } = {}) {
  let joins = 0;
  const after_ = [];
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', async (request) => {
      joins += 1;
      after_.push(/last-event-id: (.*)\r/i.exec(String(request))?.[1] ?? null);
      socket.write(HEAD);
      await tick();
      for (const piece of typeof pieces === 'function' ? pieces(joins) : pieces) {
        if (socket.destroyed) return;
        if (!socket.write(piece)) await new Promise((resolve) => socket.once('drain', resolve));
        await tick();
      }
      if (end) socket.end();
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  OPEN.push(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}/bff/live`, joins: () => joins, after: after_ };
}

/** Follow until `done` is true; returns the events. */
async function follow(url, done, options = {}) {
  const events = [];
  let cursor = null;
  const stream = createStream({
    url,
    base: 0.005,
    cap: 0.02,
    heartbeat: 20,
    cursor: () => cursor,
    onEvent(event) {
      events.push(event);
      cursor = event.id || cursor;
    },
    ...options,
  });
  stream.start();
  const deadline = Date.now() + 60_000;
  while (!done(events, stream)) {
    if (Date.now() > deadline) assert.fail(`${events.length} events came`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  stream.stop();
  return events;
}

const NASTY = bytes(
  '\uFEFFevent: saga\r\nid: e-1\r\ndata: {"name":\r\ndata: "☕é🫖"}\r\n\r\n' +
    ': beat\r\rid: with\0nul\revent: saga\rdata: [2]\r\r' +
    'retry: 7\nid: e-3\nevent: saga\ndata: {"three":\ndata:3}\n\ndata: unfinished',
);
const MEANT = [
  { type: 'saga', id: 'e-1', data: { name: '☕é🫖' } },
  { type: 'saga', id: '', data: [2] }, // a NUL: it has no id, and moves no position
  { type: 'saga', id: 'e-3', data: { three: 3 } },
];

test('a split at every byte changes nothing: line ends, byte order mark, NUL in an id, half a character', async () => {
  for (let cut = 1; cut < NASTY.length; cut += 1) {
    const { url } = await serve([NASTY.subarray(0, cut), NASTY.subarray(cut)], { end: false });
    assert.deepEqual(await follow(url, (events) => events.length >= 3), MEANT, `cut at byte ${cut}`);
  }
});

test('one byte a packet changes nothing', async () => {
  const { url } = await serve(
    [...NASTY].map((byte) => Buffer.of(byte)),
    { end: false },
  );
  assert.deepEqual(await follow(url, (events) => events.length >= 3), MEANT);
});

test('after a connection that ends at any byte the stream resumes after the last whole event, without repeats', async () => {
  const events = [1, 2, 3].map((at) => bytes(`event: saga\nid: e-${at}\ndata: {"at":${at},"é":"☕"}\n\n`));
  const whole = Buffer.concat(events);
  for (let cut = 1; cut < whole.length; cut += 3) {
    let sent = 0; // whole events in the part that arrives
    for (let size = 0; sent < 3 && (size += events[sent].length) <= cut;) sent += 1;
    const server = await serve((join) => (join === 1 ? [whole.subarray(0, cut)] : events.slice(sent)));
    const seen = await follow(server.url, (all) => all.length >= 3);
    assert.deepEqual(
      seen.map(({ data }) => data.at),
      [1, 2, 3],
      `ended at byte ${cut}`,
    );
    assert.deepEqual(server.after.slice(0, 2), [null, sent ? `e-${sent}` : null]);
  }
});

test('an event of 10 MB stops the stream before it uses much memory', async () => {
  const mega = Buffer.alloc(1024 * 1024, 'x');
  const server = await serve([
    bytes('event: saga\nid: e-1\ndata: 1\n\ndata: '),
    ...Array(10).fill(mega),
    bytes('\n\n'),
  ]);
  const seen = await follow(server.url, (events, stream) => stream.fault.get() === 'too-large');
  assert.deepEqual(
    seen.map(({ data }) => data),
    [1],
  );
  assert.equal(server.joins(), 1);
});

test('a large event within the bound arrives whole', async () => {
  const text = 'é'.repeat(1024 * 1024);
  const { url } = await serve([bytes(`event: saga\ndata: "${text}"\n\n`)], { end: false });
  const [event] = await follow(url, (events) => events.length >= 1);
  assert.equal(event.data, text);
});

test('bytes that are not UTF-8 spoil one event, not the stream', async () => {
  const { url } = await serve(
    [bytes('event: saga\ndata: "'), Buffer.of(0xff, 0xc3), bytes('"\n\nevent: saga\ndata: 2\n\n')],
    { end: false },
  );
  const seen = await follow(url, (events) => events.length >= 2);
  assert.equal(seen[0].data, '\uFFFD\uFFFD');
  assert.equal(seen[1].data, 2);
});
