/**
 * The client for TanStack Query: values are written into the cache as the stream tells them, and queries that a saga's step
 * makes old are invalidated. It imports nothing of TanStack; a `QueryClient` of version 5 fits.
 */
/** @typedef {readonly unknown[]} QueryKey */
/**
 * @typedef {object} Queries  What is used of a QueryClient.
 * @property {(key: any, data: any) => unknown} setQueryData
 * @property {(filter: {queryKey: any}) => Promise<unknown>} invalidateQueries
 */
/**
 * @param {import('./client.js').Client} client
 * @param {Queries} queries
 * @param {object} plan
 * @param {Record<string, QueryKey>} [plan.values]  For each value that is followed, the query whose data it is.
 * @param {(saga: import('./store.js').Saga) => Iterable<QueryKey>} [plan.invalidates]  What a new version of a saga makes old.
 * @returns {() => void} The way out.
 */
export function connectQueries(client: import("./client.js").Client, queries: Queries, { values, invalidates }: {
    values?: Record<string, QueryKey> | undefined;
    invalidates?: ((saga: import("./store.js").Saga) => Iterable<QueryKey>) | undefined;
}): () => void;
export type QueryKey = readonly unknown[];
/**
 * What is used of a QueryClient.
 */
export type Queries = {
    setQueryData: (key: any, data: any) => unknown;
    invalidateQueries: (filter: {
        queryKey: any;
    }) => Promise<unknown>;
};
