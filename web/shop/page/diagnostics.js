/**
 * For developers, in the demo's panel: what failed lately and who maintains it (people read what it means for them instead),
 * and how long the last screens took, with the gateway's Server-Timing. Of the same failure of the same service, and of the
 * same screen, only the newest is kept.
 */

const MOST_TROUBLES = 8;

/** @typedef {NonNullable<import('/client/index.js').Problem['owner']>} Owner */
/** what: the part of a screen, or the code of a problem. reference: of the request. @typedef {{key: string, what: string, reason: string, owner: Owner, reference: string | null, at: number}} Trouble */

/** @type {Trouble[]} */
let troubles = [];

/** Newest first. */
export const lastTroubles = () => troubles;

/** @param {Omit<Trouble, 'key' | 'at'>} one */
function keep(one) {
  const key = `${one.owner.service} ${one.what} ${one.reason}`;
  troubles = [{ ...one, key, at: Date.now() }, ...troubles.filter((other) => other.key !== key)].slice(
    0,
    MOST_TROUBLES,
  );
}

/** The parts that an answer lacks; a refusal is an answer. @param {string} path @param {unknown} data */
export function noteMissing(path, data) {
  if (!path.startsWith('/api/')) return;
  for (const [name, part] of Object.entries(Object(data)))
    if (part?.state === 'missing' && part.owner && part.reason !== 'refused')
      keep({ what: name, reason: part.reason, owner: part.owner, reference: null });
}

/** @param {import('/client/index.js').Problem} problem */
export function noteProblem({ code, status, owner, correlationId }) {
  if (owner) keep({ what: code, reason: String(status), owner, reference: correlationId });
}

const MOST_SCREENS = 5;

/** @typedef {{path: string, status: number, complete: boolean, milliseconds: number, serverTiming: string}} Taken  serverTiming: the header; panel/shares.js reads it. */

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
    serverTiming: response.headers.get('server-timing') ?? '',
  };
  taken = [one, ...taken.filter((other) => other.path !== path)].slice(0, MOST_SCREENS);
}
