/**
 * What the page shows: `view = fold(pending, base)`. The base is never changed: an operation is reverted by leaving
 * it out and folding again, so nothing that arrived meanwhile is lost. An operation's row is dropped once the
 * server's own row is in the base, and its effect on a value once the version that must hold it has arrived.
 */
import { sheltered } from './faults.js';
import { BLANK } from './store.js';

/** @typedef {import('./store.js').State} State */
/** @typedef {import('./store.js').Saga} Saga */

/**
 * What an `apply` function may do. It is called on every fold, so it must depend only on its input and the draft.
 * @typedef {object} Draft
 * @property {string} id  The operation's id.
 * @property {ReadonlyMap<string, Saga>} sagas
 * @property {(row: Partial<Saga> & {type: string}) => void} saga  Add a row, or change an existing one by `id`.
 * @property {(name: string, change: (data: any) => any) => void} value  Change a value's data; no effect if the value is not known.
 */

/**
 * The part of an operation that the fold reads.
 * @typedef {object} Layer
 * @property {string} id
 * @property {(draft: Draft, input: any) => void} apply
 * @property {any} [input]
 * @property {boolean} shown  Whether the base has its row.
 * @property {import('./operation.js').Progress} next  Its progress, and the server's id for its saga, once known.
 * @property {string} at  When it was requested, RFC 3339.
 * @property {Map<string, number>} expected  For each value it changes, the first version that holds its effect.
 */

/**
 * @param {State} base
 * @param {readonly Layer[]} layers  Oldest first.
 * @param {Layer} [claiming]  The layer whose expected versions are recorded, at its first fold; its exceptions are thrown.
 * @returns {State}
 */
export function fold(base, layers, claiming) {
  if (layers.length === 0) return base;
  const sagas = new Map(base.sagas);
  const values = new Map(base.values);
  /** @type {Map<string, number>} the first version that no operation expects, by value */
  const next = new Map();

  for (const layer of layers) {
    const { id, expected } = layer;
    /** @type {Draft} */
    const draft = {
      id,
      sagas,
      saga(row) {
        const changes = sagas.get(row.id ?? '');
        if (layer.shown || (row.id && !changes)) return;
        const key = row.id ?? layer.next.sagaId ?? id;
        sagas.set(key, {
          ...BLANK,
          status: 'PENDING',
          version: -1,
          mutation: id,
          at: layer.at,
          ...changes,
          ...row,
          id: key,
          pending: /** @type {Saga['pending']} an ended operation has no row */ (layer.next.phase),
        });
      },
      value(name, change) {
        const known = base.values.get(name);
        if (!known) return;
        // Two clicks on one value expect two versions: the first that arrives must not settle both.
        if (layer === claiming) expected.set(name, Math.max(known.version + 1, next.get(name) ?? 0));
        const version = expected.get(name) ?? 0;
        if (known.version >= version) return;
        next.set(name, version + 1);
        values.set(name, { ...known, data: change((values.get(name) ?? known).data) });
      },
    };
    const apply = () => layer.apply(draft, layer.input);
    if (layer === claiming) apply();
    else sheltered(apply); // reported, but the other layers and the base are still shown
  }
  return { sagas, values };
}
