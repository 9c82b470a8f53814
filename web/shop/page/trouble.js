/**
 * What failed lately and who maintains it, for developers: the demo's panel shows it. People read what it means for them
 * instead. Of the same failure of the same service only the newest is kept, and eight in all.
 */

const KEPT = 8;

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
    KEPT,
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
