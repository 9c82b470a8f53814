/** The time of each service in an answer, from the gateway's Server-Timing. */

/** @typedef {{name: string, start: number, milliseconds: number, outcome: string}} Share  start: milliseconds after the request began; outcome: "ok", how the cache answered, or the reason of the failure. */

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
