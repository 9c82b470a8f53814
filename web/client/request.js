/**
 * The request of a command, from its path as the gateway declares it. It refuses a parameter that the path has and the call
 * lacks: the request would go to another address.
 */

/** @typedef {{path?: Record<string, string | number> | undefined, query?: Record<string, unknown> | undefined, body?: unknown}} Parts */

/**
 * @param {string} method
 * @param {string} path  As declared, "/api/tickets/{id}/close".
 * @param {Parts} [parts]  path, query: by name; a list in `query` repeats its name, and undefined leaves it out.
 * @returns {import('./send.js').RequestData} For `request` of `define` and `mutate`.
 */
export function createRequest(method, path, { path: named = {}, query = {}, body } = {}) {
  const url = path.replace(/\{(.+?)\}/g, (_, name) => {
    if (named[name] === undefined) throw new TypeError(`${path}: ${name} is missing`);
    return encodeURIComponent(named[name]);
  });
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    [value].flat().flatMap((one) => (one === undefined ? [] : [[name, `${one}`]])),
  );
  return { method, url: pairs.length ? `${url}?${new URLSearchParams(pairs)}` : url, body };
}
