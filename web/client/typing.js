/**
 * Types of a client that knows its gateway; nothing of it is loaded. G is `{components, paths}` as openapi-typescript writes
 * them from the gateway's description (`bff openapi`); without one every name is text and all data is `any`.
 */
export {};

/** @typedef {import('./store.js').Saga} Saga */
/** @typedef {import('./store.js').Value} Value */
/** @typedef {ReturnType<typeof import('./client.js').createUntyped>} Untyped */

/**
 * @template T
 * @typedef {import('./observable.js').Readable<T>} Readable
 */

// ---- the gateway's names

/**
 * @template G
 * @typedef {G extends {components: {schemas: infer S}} ? S : unknown} Schemas
 */

/**
 * The sagas by type.
 * @template G
 * @typedef {{[K in keyof Schemas<G> as K extends `saga.${infer T}` ? T : never]: Schemas<G>[K]}} Sagas
 */

/**
 * The data of values by kind, the first part of their names.
 * @template G
 * @typedef {{[K in keyof Schemas<G> as K extends `value.${infer T}` ? T : never]: Schemas<G>[K] extends {data: infer D} ? D : never}} Values
 */

/**
 * @template G
 * @typedef {[G] extends [{components: {schemas: object}}] ? keyof Sagas<G> & string : string} SagaType
 */

/**
 * @template G
 * @typedef {[G] extends [{components: {schemas: object}}] ? (keyof Values<G> & string) | `${keyof Values<G> & string}/${string}` : string} ValueName
 */

/**
 * @template G
 * @template {string} N
 * @typedef {N extends `${infer K}/${string}` ? K extends keyof Values<G> ? Values<G>[K] : any : N extends keyof Values<G> ? Values<G>[N] : any} ValueData
 */

/**
 * @template G
 * @template {string} N
 * @typedef {Omit<Value, 'data'> & {data: ValueData<G, N>}} ValueOf
 */

/**
 * A saga of this type; with a union of types a union of sagas, which `type` tells apart.
 * @template G
 * @template {string} [T=SagaType<G>]
 * @typedef {[G] extends [{components: {schemas: object}}] ? {[K in T]: Omit<Saga, 'type' | 'data'> & {type: K, data: K extends keyof Sagas<G> ? Sagas<G>[K] extends {data: infer D} ? D : any : any}}[T] : Saga} SagaOf
 */

// ---- commands

/** @typedef {'POST' | 'PUT' | 'PATCH' | 'DELETE'} Method */

/**
 * @template G
 * @typedef {G extends {paths: infer P} ? P : Record<string, any>} Paths
 */

/**
 * @template G
 * @template {Method} M
 * @typedef {{[P in keyof Paths<G>]: Paths<G>[P] extends {[K in Lowercase<M>]: object} ? P : never}[keyof Paths<G>] & string} CommandPath
 */

/**
 * @template G
 * @template {Method} M
 * @template {string} P
 * @typedef {P extends keyof Paths<G> ? Paths<G>[P] extends {[K in Lowercase<M>]: infer O} ? O : any : any} Operates
 */

/**
 * @template T
 * @typedef {T extends {content: {'application/json': infer J}} ? J : never} Json
 */

/**
 * What a request needs beside its path.
 * @template O
 * @typedef {0 extends 1 & O ? import('./request.js').Parts
 *   : (O extends {parameters: {path: infer N extends object}} ? {path: N} : {path?: undefined})
 *   & (O extends {parameters: {query: infer Q extends object}} ? {query: Q} : O extends {parameters: {query?: infer Q}} ? {query?: Q | undefined} : {query?: undefined})
 *   & (O extends {requestBody: infer B} ? {body: Json<B>} : O extends {requestBody?: infer B} ? {body?: Json<NonNullable<B>> | undefined} : {body?: undefined})} PartsOf
 */

/**
 * @template O
 * @typedef {O extends {responses: infer R} ? {[S in keyof R & (200 | 201 | 202)]: Json<R[S]>}[keyof R & (200 | 201 | 202)] : any} AnswerOf
 */

/**
 * The data of an operation's outcome: what a plain command answers, or the data of the saga that it starts.
 * @template G
 * @template O
 * @typedef {0 extends 1 & O ? any : AnswerOf<O> extends {saga: {type: infer T extends string}} ? SagaOf<G, T>['data'] : AnswerOf<O>} OutcomeData
 */

/**
 * A request for a command. A: the data of its outcome.
 * @template A
 * @typedef {import('./send.js').RequestData & {readonly outcome?: A}} RequestFor
 */

// ---- mutations

/**
 * @template G
 * @typedef {object} DraftOf
 * @property {string} id  The operation's id.
 * @property {ReadonlyMap<string, SagaOf<G>>} sagas
 * @property {<T extends SagaType<G>>(row: Partial<SagaOf<G, T>> & {type: T}) => void} saga  Add a row, or change an existing one by `id`.
 * @property {<N extends ValueName<G>>(name: N, change: (data: ValueData<G, N>) => ValueData<G, N>) => void} value  Change a value's data; no
 *   effect if the value is not known.
 */

/**
 * @template G
 * @typedef {{sagas: ReadonlyMap<string, SagaOf<G>>, values: ReadonlyMap<string, Value>}} StateOf
 */

/**
 * @template G
 * @template I
 * @template A
 * @typedef {object} KindOf
 * @property {(input: I) => RequestFor<A>} request
 * @property {(draft: DraftOf<G>, input: I) => void} apply
 * @property {(state: StateOf<G>, input: I) => boolean} [settledWhen]  See `Definition.settledWhen`.
 */

/**
 * A client of a gateway: `createClient<Gateway>()`.
 * @template [G=unknown]
 * @typedef {Omit<Untyped, 'saga' | 'sagas' | 'value' | 'setValues' | 'subscribe' | 'request' | 'define' | 'mutate'> & {
 *   saga(id: string): Readable<SagaOf<G> | undefined>,
 *   saga<T extends SagaType<G>>(id: string, type: T): Readable<SagaOf<G, T> | undefined>,
 *   sagas(): Readable<readonly SagaOf<G>[]>,
 *   sagas<T extends SagaType<G>>(type: T): Readable<readonly SagaOf<G, T>[]>,
 *   value<N extends ValueName<G>>(name: N): Readable<ValueOf<G, N> | undefined>,
 *   setValues(values: Iterable<{name: ValueName<G>, version: number, data: any, at?: string}>): void,
 *   subscribe(names: Iterable<ValueName<G>>): () => void,
 *   request<M extends Method, P extends CommandPath<G, M>>(method: M, path: P, ...parts: {} extends PartsOf<Operates<G, M, P>> ? [parts?: PartsOf<Operates<G, M, P>>] : [parts: PartsOf<Operates<G, M, P>>]): RequestFor<OutcomeData<G, Operates<G, M, P>>>,
 *   define<I = void, A = any>(name: string, kind: KindOf<G, I, A>): (input: I) => import('./operation.js').Operation<A, I>,
 *   mutate<A = any>(definition: Omit<import('./operation.js').Definition, 'request' | 'apply' | 'settledWhen'> & KindOf<G, any, A>): import('./operation.js').Operation<A>,
 * }} Client
 */
