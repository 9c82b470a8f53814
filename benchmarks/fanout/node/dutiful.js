// The screen as a careful Node team writes it, with well-known libraries: jose verifies bearer tokens, lru-cache remembers
// them for a minute, @fastify/rate-limit counts each person in Redis by one script through ioredis, opossum has
// a breaker for each service, prom-client counts requests and calls, pino writes one access line. Correlation id and
// W3C trace context are passed on, and one deadline bounds all calls.
// `node dutiful.js <port> <port of the metrics>`
import { randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import rateLimit from "@fastify/rate-limit";
import Fastify from "fastify";
import { Redis } from "ioredis";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { LRUCache } from "lru-cache";
import CircuitBreaker from "opossum";
import pino from "pino";
import { Counter, Histogram, Registry } from "prom-client";
import { Pool } from "undici";

const { BENCH_KEYS, BENCH_REDIS, BENCH_ISSUER, BENCH_AUDIENCE, BENCH_LIMIT } = process.env;
const KINDS = ["product", "stock", "delivery"];
const DEADLINE = 30_000;

const registry = new Registry();
const metric = { registers: [registry] };
const requests = new Counter({ ...metric, name: "requests_total", help: "Answers.", labelNames: ["route", "status"] });
const seconds = new Histogram({ ...metric, name: "request_seconds", help: "Until the answer.", labelNames: ["route"] });
const calls = new Counter({ ...metric, name: "calls_total", help: "Calls.", labelNames: ["service", "outcome"] });
const callSeconds = new Histogram({ ...metric, name: "call_seconds", help: "Of a call.", labelNames: ["service"] });

const keys = createRemoteJWKSet(new URL(BENCH_KEYS));
const claims = { algorithms: ["ES256"], issuer: BENCH_ISSUER, audience: BENCH_AUDIENCE };
const remembered = new LRUCache({ max: 10_000, ttl: 60_000 });

async function subject(token) {
  const known = remembered.get(token);
  if (known !== undefined && known.exp > Date.now() / 1000) return known.sub;
  const { payload } = await jwtVerify(token, keys, claims);
  remembered.set(token, { sub: payload.sub, exp: payload.exp });
  return payload.sub;
}

const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

class Refused extends Error {
  constructor(kind, status) {
    super(`${kind} answered ${status}`);
    this.reason = status === 429 || status === 503 ? "overloaded" : "failed";
  }
}

const services = Object.fromEntries(
  KINDS.map((kind) => {
    const pool = new Pool(process.env[`BENCH_${kind.toUpperCase()}`], { connections: 100 });
    const call = async (path, headers, left) => {
      const { statusCode, body } = await pool.request({
        method: "GET",
        path,
        headers: { ...headers, "bff-deadline-ms": String(left) },
        headersTimeout: left,
        bodyTimeout: left,
      });
      if (statusCode !== 200) {
        await body.dump();
        throw new Refused(kind, statusCode);
      }
      return body.json();
    };
    // undici has the time limit.
    const breaker = new CircuitBreaker(call, {
      name: kind,
      timeout: false,
      errorThresholdPercentage: 50,
      volumeThreshold: 20,
      resetTimeout: 5_000,
    });
    return [kind, breaker];
  }),
);

async function part(kind, request) {
  const began = performance.now();
  const left = request.deadline - Date.now();
  let outcome = "ok";
  try {
    if (left <= 0) throw new Refused(kind, 504);
    return await services[kind].fire(`/${kind}/${request.params.sku}`, request.passedOn, left);
  } catch (error) {
    outcome = error.code === "EOPENBREAKER" ? "circuit-open" : (error.reason ?? "unreachable");
    throw Object.assign(error, { reason: outcome });
  } finally {
    calls.inc({ service: kind, outcome });
    callSeconds.observe({ service: kind }, (performance.now() - began) / 1000);
  }
}

const optional = (kind, request) =>
  part(kind, request).then(
    (data) => ({ state: "ready", data }),
    (error) => ({ state: "missing", reason: error.reason }),
  );

const out = pino.destination({ sync: false, minLength: 4096 });
setInterval(() => out.flush(), 50).unref();
const app = Fastify({
  loggerInstance: pino(out),
  disableRequestLogging: true,
  requestIdHeader: "x-correlation-id",
  genReqId: () => randomUUID(),
});

app.decorateRequest("person", null);
app.decorateRequest("deadline", 0);
app.decorateRequest("passedOn", null);

app.addHook("onRequest", async (request, reply) => {
  request.deadline = Date.now() + DEADLINE;
  reply.header("x-correlation-id", request.id);
  const [, trace = randomBytes(16).toString("hex"), , flags = "00"] =
    TRACEPARENT.exec(request.headers.traceparent ?? "") ?? [];
  const authorization = request.headers.authorization ?? "";
  request.passedOn = {
    authorization,
    "x-correlation-id": request.id,
    traceparent: `00-${trace}-${randomBytes(8).toString("hex")}-${flags}`,
  };
  try {
    request.person = await subject(authorization.replace(/^Bearer /, ""));
  } catch {
    await reply.code(401).send({ status: 401, title: "Sign in." });
  }
});

app.addHook("onResponse", async (request, reply) => {
  const route = request.routeOptions.url ?? "";
  requests.inc({ route, status: reply.statusCode });
  seconds.observe({ route }, reply.elapsedTime / 1000);
  request.log.info({
    method: request.method,
    path: request.url,
    route,
    status: reply.statusCode,
    person: request.person,
    milliseconds: reply.elapsedTime,
    correlation_id: request.id,
    traceparent: request.passedOn.traceparent,
  });
});

const redis = new Redis(BENCH_REDIS, { enableAutoPipelining: true, connectTimeout: 500, maxRetriesPerRequest: 1 });
await app.register(rateLimit, {
  redis,
  hook: "preHandler",
  max: Number(BENCH_LIMIT),
  timeWindow: "1 minute",
  keyGenerator: (request) => request.person,
});

app.get("/own/:sku", async (request, reply) => {
  try {
    const [product, stock, delivery] = await Promise.all([
      part("product", request),
      optional("stock", request),
      optional("delivery", request),
    ]);
    return { product, stock, delivery };
  } catch (error) {
    request.log.error(error);
    return reply.code(error.reason === "circuit-open" ? 503 : 502).send({ status: 502, title: error.reason });
  }
});

createServer(async (_, response) => {
  response.setHeader("content-type", registry.contentType).end(await registry.metrics());
}).listen(Number(process.argv[3]), "127.0.0.1");
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
