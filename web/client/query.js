/**
 * The client for TanStack Query: values of the stream are written into the cache, and a saga's steps invalidate
 * queries. It imports nothing of TanStack; it works with a `QueryClient` of version 5.
 */

/** @typedef {readonly unknown[]} QueryKey */

/**
 * @typedef {object} Queries  The methods of a QueryClient that are used.
 * @property {(key: any, data: any) => unknown} setQueryData
 * @property {(filter: {queryKey: any}) => Promise<unknown>} invalidateQueries
 */

/**
 * @param {import('./client.js').Client} client
 * @param {Queries} queries
 * @param {object} plan
 * @param {Record<string, QueryKey>} [plan.values]  For each value that is followed, the query whose data it is.
 * @param {(saga: import('./store.js').Saga) => Iterable<QueryKey>} [plan.invalidates]  The queries that a new version of a saga invalidates.
 * @returns {() => void} Ends the connection.
 */
export function connectQueries(client, queries, { values = {}, invalidates = () => [] }) {
  const leaves = [client.subscribe(Object.keys(values))];
  for (const [name, key] of Object.entries(values)) {
    const value = client.value(name);
    const write = () => {
      const known = value.get();
      if (known) queries.setQueryData(key, known.data);
    };
    write();
    leaves.push(value.subscribe(write));
  }

  const sagas = client.sagas();
  // Sagas that are there already were there when the queries were made.
  let versions = new Map(sagas.get().map(({ id, version }) => [id, version]));
  leaves.push(
    sagas.subscribe((now) => {
      const before = versions;
      versions = new Map();
      for (const saga of now) {
        const { id, version } = saga;
        const known = before.get(id);
        // A pending change hides the server's version, which must still invalidate later.
        if (!saga.pending) versions.set(id, version);
        else if (known !== undefined) versions.set(id, known);
        if (saga.pending || known === version) continue;
        for (const queryKey of invalidates(saga)) void queries.invalidateQueries({ queryKey });
      }
    }),
  );
  return () => leaves.forEach((leave) => leave());
}
