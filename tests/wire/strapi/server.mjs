// A Strapi 5 with one content type, articles with drafts, as `npx create-strapi` would make it, without the files of the
// admin panel. It prints its address on standard output once it listens. Its data is in the PostgreSQL database DATABASE.
//
// FOLDER: where the application is written; PORT: where it listens; DATABASE: a connection string; SEED: makes its
// secrets, which are the same after a restart.
import { createHmac } from "node:crypto";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const { FOLDER, PORT, DATABASE, SEED } = process.env;
const require = createRequire(import.meta.url);
const secret = (name) => JSON.stringify(createHmac("sha256", SEED).update(name).digest("hex").slice(0, 32));

function write(path, content) {
  const file = join(FOLDER, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
}

write("package.json", { name: "magazine", version: "0.0.0", strapi: { uuid: false } });
write("config/server.js", `module.exports = { host: "127.0.0.1", port: ${PORT}, app: { keys: [${secret("app")}] } };`);
write(
  "config/admin.js",
  `module.exports = {
    auth: { secret: ${secret("admin")} },
    apiToken: { salt: ${secret("token")} },
    transfer: { token: { salt: ${secret("transfer")} } },
    secrets: { encryptionKey: ${secret("encryption")} },
    watchIgnoreFiles: [],
  };`,
);
write(
  "config/database.js",
  `module.exports = {
    connection: { client: "postgres", connection: { connectionString: ${JSON.stringify(DATABASE)} } },
  };`,
);
write(
  "config/middlewares.js",
  `module.exports = ["logger", "errors", "security", "cors", "query", "body", "session", "favicon", "public"]
    .map((name) => "strapi::" + name);`,
);
write("src/api/article/content-types/article/schema.json", {
  kind: "collectionType",
  collectionName: "articles",
  info: { singularName: "article", pluralName: "articles", displayName: "Article" },
  options: { draftAndPublish: true },
  attributes: { title: { type: "string", required: true }, body: { type: "text" } },
});
for (const [folder, factory] of [
  ["controllers", "createCoreController"],
  ["routes", "createCoreRouter"],
  ["services", "createCoreService"],
]) {
  write(
    `src/api/article/${folder}/article.js`,
    `module.exports = require("@strapi/strapi").factories.${factory}("api::article.article");`,
  );
}
// Strapi does not start without it.
mkdirSync(join(FOLDER, "public", "uploads"), { recursive: true });
if (!existsSync(join(FOLDER, "node_modules"))) {
  symlinkSync(join(dirname(fileURLToPath(import.meta.url)), "node_modules"), join(FOLDER, "node_modules"));
}

process.chdir(FOLDER);
const { createStrapi } = require("@strapi/strapi");
await createStrapi({ appDir: FOLDER, distDir: FOLDER, serveAdminPanel: false, autoReload: false }).start();
console.log(`http://127.0.0.1:${PORT}`);
