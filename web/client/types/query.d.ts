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
export function connectQueries(client: import("./client.js").Client, queries: Queries, { values, invalidates }: {
    values?: Record<string, QueryKey> | undefined;
    invalidates?: ((saga: import("./store.js").Saga) => Iterable<QueryKey>) | undefined;
}): () => void;
export type QueryKey = readonly unknown[];
/**
 * The methods of a QueryClient that are used.
 */
export type Queries = {
    setQueryData: (key: any, data: any) => unknown;
    invalidateQueries: (filter: {
        queryKey: any;
    }) => Promise<unknown>;
};
