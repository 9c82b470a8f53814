// The screen as a Node team writes it: Fastify with a response schema, undici with a pool for each service.
import Fastify from "fastify";
import { Pool } from "undici";

const KINDS = ["product", "stock", "delivery"];
const WAIT = 30_000;
const pools = Object.fromEntries(
  KINDS.map((kind) => [
    kind,
    new Pool(process.env[`BENCH_${kind.toUpperCase()}`], {
      connections: 100,
      headersTimeout: WAIT,
      bodyTimeout: WAIT,
    }),
  ]),
);

async function part(kind, sku) {
  const { statusCode, body } = await pools[kind].request({ method: "GET", path: `/${kind}/${sku}` });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`${kind} answered ${statusCode}`);
  }
  return body.json();
}

const app = Fastify({ logger: false });
app.get("/open/:sku", async (request) => {
  const { sku } = request.params;
  const [product, stock, delivery] = await Promise.all(KINDS.map((kind) => part(kind, sku)));
  return {
    product,
    stock: { state: "ready", data: stock },
    delivery: { state: "ready", data: delivery },
  };
});
await app.listen({ host: "127.0.0.1", port: Number(process.argv[2]) });
