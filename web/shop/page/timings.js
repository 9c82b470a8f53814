/** How long the last screens took, the newest of each, and the time of each service from the gateway's Server-Timing. */

const KEPT = 5;

/** @typedef {{name: string, start: number, milliseconds: number, outcome: string}} Share  start: milliseconds after the request began; outcome: "ok", how the cache answered, or the reason of the failure. */
/** @typedef {{path: string, status: number, complete: boolean, milliseconds: number, shares: Share[]}} Taken */

/** @type {Taken[]} */
let taken = [];

/** Newest first, at most five. */
export const timings = () => taken;

/**
 * @param {string} path
 * @param {number} began  performance.now() before the request.
 * @param {Response} response
 */
export function note(path, began, response) {
  const one = {
    path,
    status: response.status,
    complete: response.headers.get('bff-complete') !== 'false',
    milliseconds: performance.now() - began,
    shares: readShares(response.headers.get('server-timing') ?? ''),
  };
  taken = [one, ...taken.filter((other) => other.path !== path)].slice(0, KEPT);
}

/** @param {string} header  Server-Timing: names, each with `dur`, `start` and, after a failure, a `desc`. @returns {Share[]} */
export function readShares(header) {
  return header
    .split(',')
    .map((part) => part.split(';').map((word) => word.trim()))
    .filter(([name]) => name)
    .map(([name = '', ...words]) => {
      const said = Object.fromEntries(words.map((word) => word.split('=')));
      return {
        name,
        start: Number(said.start) || 0,
        milliseconds: Number(said.dur) || 0,
        outcome: said.desc?.replaceAll('"', '') ?? 'ok',
      };
    });
}
