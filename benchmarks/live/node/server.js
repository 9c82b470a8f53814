/** Streams with better-sse: one session per user, one channel for what everybody hears. `node server.js <port>` */
import { createServer } from 'node:http';
import { createChannel, createSession } from 'better-sse';

const everybody = createChannel();
const users = new Map();

const server = createServer(async (request, response) => {
  const user = new URL(request.url, 'http://x').searchParams.get('u');
  if (request.method === 'POST') {
    let body = '';
    request.setEncoding('utf8');
    for await (const part of request) body += part;
    if (user === 'all') everybody.broadcast(body);
    else users.get(user)?.push(body);
    response.writeHead(202, { 'content-length': 0 }).end();
    return;
  }
  const session = await createSession(request, response, { keepAlive: 15_000, serializer: (data) => data });
  if (user === 'all') {
    everybody.register(session);
    return;
  }
  users.set(user, session);
  session.on('disconnected', () => users.delete(user));
});
// The publisher pauses while nothing is sent, longer than the five seconds a connection is kept by default.
server.keepAliveTimeout = 600_000;
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);
