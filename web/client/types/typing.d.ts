export type Saga = import("./store.js").Saga;
export type Value = import("./store.js").Value;
export type Untyped = ReturnType<typeof import("./client.js").createUntyped>;
export type Readable<T> = import("./observable.js").Readable<T>;
export type Schemas<G> = G extends {
    components: {
        schemas: infer S;
    };
} ? S : unknown;
/**
 * The sagas by type.
 */
export type Sagas<G> = { [K in keyof Schemas<G> as K extends `saga.${infer T}` ? T : never]: Schemas<G>[K]; };
/**
 * The data of values by kind, the first part of their names.
 */
export type Values<G> = { [K in keyof Schemas<G> as K extends `value.${infer T}` ? T : never]: Schemas<G>[K] extends {
    data: infer D;
} ? D : never; };
export type SagaType<G> = [G] extends [{
    components: {
        schemas: object;
    };
}] ? keyof Sagas<G> & string : string;
export type ValueName<G> = [G] extends [{
    components: {
        schemas: object;
    };
}] ? (keyof Values<G> & string) | `${keyof Values<G> & string}/${string}` : string;
export type ValueData<G, N extends string> = N extends `${infer K}/${string}` ? K extends keyof Values<G> ? Values<G>[K] : any : N extends keyof Values<G> ? Values<G>[N] : any;
export type ValueOf<G, N extends string> = Omit<Value, "data"> & {
    data: ValueData<G, N>;
};
/**
 * A saga of this type; with a union of types a union of sagas, which `type` tells apart.
 */
export type SagaOf<G, T extends string = SagaType<G>> = [G] extends [{
    components: {
        schemas: object;
    };
}] ? { [K in T]: Omit<Saga, "type" | "data"> & {
    type: K;
    data: K extends keyof Sagas<G> ? Sagas<G>[K] extends {
        data: infer D;
    } ? D : any : any;
}; }[T] : Saga;
export type Method = "POST" | "PUT" | "PATCH" | "DELETE";
export type Paths<G> = G extends {
    paths: infer P;
} ? P : Record<string, any>;
export type CommandPath<G, M extends Method> = { [P in keyof Paths<G>]: Paths<G>[P] extends { [K in Lowercase<M>]: object; } ? P : never; }[keyof Paths<G>] & string;
export type Operates<G, M extends Method, P extends string> = P extends keyof Paths<G> ? Paths<G>[P] extends { [K in Lowercase<M>]: infer O; } ? O : any : any;
export type Json<T> = T extends {
    content: {
        "application/json": infer J;
    };
} ? J : never;
/**
 * What a request needs beside its path.
 */
export type PartsOf<O> = 0 extends 1 & O ? import("./request.js").Parts : (O extends {
    parameters: {
        path: infer N extends object;
    };
} ? {
    path: N;
} : {
    path?: undefined;
}) & (O extends {
    parameters: {
        query: infer Q extends object;
    };
} ? {
    query: Q;
} : O extends {
    parameters: {
        query?: infer Q;
    };
} ? {
    query?: Q | undefined;
} : {
    query?: undefined;
}) & (O extends {
    requestBody: infer B;
} ? {
    body: Json<B>;
} : O extends {
    requestBody?: infer B;
} ? {
    body?: Json<NonNullable<B>> | undefined;
} : {
    body?: undefined;
});
export type AnswerOf<O> = O extends {
    responses: infer R;
} ? { [S in keyof R & (200 | 201 | 202)]: Json<R[S]>; }[keyof R & (200 | 201 | 202)] : any;
/**
 * The data of an operation's outcome: what a plain command answers, or the data of the saga that it starts.
 */
export type OutcomeData<G, O> = 0 extends 1 & O ? any : AnswerOf<O> extends {
    saga: {
        type: infer T extends string;
    };
} ? SagaOf<G, T>["data"] : AnswerOf<O>;
/**
 * A request for a command. A: the data of its outcome.
 */
export type RequestFor<A> = import("./send.js").RequestData & {
    readonly outcome?: A;
};
export type DraftOf<G> = {
    /**
     * The operation's id.
     */
    id: string;
    sagas: ReadonlyMap<string, SagaOf<G>>;
    /**
     * Add a row, or change an existing one by `id`.
     */
    saga: <T extends SagaType<G>>(row: Partial<SagaOf<G, T>> & {
        type: T;
    }) => void;
    /**
     * Change a value's data; no
     * effect if the value is not known.
     */
    value: <N extends ValueName<G>>(name: N, change: (data: ValueData<G, N>) => ValueData<G, N>) => void;
};
export type StateOf<G> = {
    sagas: ReadonlyMap<string, SagaOf<G>>;
    values: ReadonlyMap<string, Value>;
};
export type KindOf<G, I, A> = {
    request: (input: I) => RequestFor<A>;
    apply: (draft: DraftOf<G>, input: I) => void;
    /**
     * See `Definition.settledWhen`.
     */
    settledWhen?: ((state: StateOf<G>, input: I) => boolean) | undefined;
};
/**
 * A client of a gateway: `createClient<Gateway>()`.
 */
export type Client<G = unknown> = Omit<Untyped, "saga" | "sagas" | "value" | "setValues" | "subscribe" | "request" | "define" | "mutate"> & {
    saga(id: string): Readable<SagaOf<G> | undefined>;
    saga<T extends SagaType<G>>(id: string, type: T): Readable<SagaOf<G, T> | undefined>;
    sagas(): Readable<readonly SagaOf<G>[]>;
    sagas<T extends SagaType<G>>(type: T): Readable<readonly SagaOf<G, T>[]>;
    value<N extends ValueName<G>>(name: N): Readable<ValueOf<G, N> | undefined>;
    setValues(values: Iterable<{
        name: ValueName<G>;
        version: number;
        data: any;
        at?: string;
    }>): void;
    subscribe(names: Iterable<ValueName<G>>): () => void;
    request<M extends Method, P extends CommandPath<G, M>>(method: M, path: P, ...parts: {} extends PartsOf<Operates<G, M, P>> ? [parts?: PartsOf<Operates<G, M, P>>] : [parts: PartsOf<Operates<G, M, P>>]): RequestFor<OutcomeData<G, Operates<G, M, P>>>;
    define<I = void, A = any>(name: string, kind: KindOf<G, I, A>): (input: I) => import("./operation.js").Operation<A, I>;
    mutate<A = any>(definition: Omit<import("./operation.js").Definition, "request" | "apply" | "settledWhen"> & KindOf<G, any, A>): import("./operation.js").Operation<A>;
};
