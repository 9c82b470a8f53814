/**
 * What the page shows: `view = fold(pending, base)`. The base is never changed: an operation is reverted by leaving it out
 * and folding again, so nothing that arrived meanwhile is lost. An operation's row is dropped once the server's own row is
 * in the base, and its effect on a value once the base contains it.
 */
import { sheltered } from './faults.js';
import { progressOf } from './operation.js';
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
 * @param {State} base
 * @param {readonly import('./operation.js').OperationState[]} operations  Oldest first.
 * @param {Map<string, number>} [touched]  For the first fold of the last operation: it gets the name and known version of each
 *   value that the operation changes. Without it exceptions of `apply` are reported; with it, those of the last operation
 *   are thrown.
 * @returns {State}
 */
export function fold(base, operations, touched) {
  if (operations.length === 0) return base;
  const sagas = new Map(base.sagas);
  const values = new Map(base.values);
  const first = touched && operations.at(-1);

  for (const operation of operations) {
    const { id, at, awaited, definition, rowSettled, sagaId } = operation;
    /** @type {Draft} */
    const draft = {
      id,
      sagas,
      saga(row) {
        const changes = sagas.get(row.id ?? '');
        if (rowSettled || (row.id && !changes)) return;
        const key = row.id ?? sagaId ?? id;
        sagas.set(key, {
          ...BLANK,
          status: 'PENDING',
          version: -1,
          mutation: id,
          at,
          ...changes,
          ...row,
          id: key,
          pending: /** @type {Saga['pending']} an ended operation has no row */ (progressOf(operation).phase),
        });
      },
      value(name, change) {
        const known = values.get(name);
        if (!known) return;
        if (operation === first) touched?.set(name, known.version);
        else if (!awaited.has(name)) return;
        values.set(name, { ...known, data: change(known.data) });
      },
    };
    const apply = () => definition.apply(draft, definition.input);
    if (operation === first) apply();
    else sheltered(apply); // reported, but the other operations and the base are still shown
  }
  return { sagas, values };
}
