/**
 * The types that the page uses, by the page's names. All come from `gateway.d.ts`, which `make openapi` writes, so
 * `make check` finds a field that a screen, a command or an order does not have.
 */
import type { Client, Draft, Operation, Saga, Value } from '/client/index.js';
import type { components, paths } from './gateway.js';

type Schemas = components['schemas'];
/** A, which must be assignable to B, the type that the client expects. */
type Fits<A extends B, B> = A;
type Readable<T> = { get(): T; subscribe(listener: (now: T) => void): () => void };

export type Product = Schemas['Product'];
export type Stock = Schemas['Stock'];
export type Card = Schemas['Card'];
export type Line = Schemas['OrderLine'];
export type Moment = Schemas['Moment'];
export type Notification = Schemas['Notification'];
export type Step = Schemas['Step'];
export type Reason = Schemas['Reason'];
export type Owner = Schemas['OwnerInfo'];
export type Missing = Schemas['Missing'];
export type Part<T> = { state: 'ready'; data: T } | { state: 'stale'; data: T; age: number } | Missing;

/** An order from a screen or from the stream; it has `pending` while only this browser has it. */
export type Order = Schemas['OrderStatus'] & Pick<Saga, 'pending'>;
/** An order from the stream. */
export type LiveOrder = Fits<Schemas['saga.order'], Saga> & Pick<Saga, 'pending'>;

// ---- screens and commands

type Of<P extends keyof paths, M extends 'get' | 'post'> = NonNullable<paths[P][M]>;
type Json<T> = T extends { content: { 'application/json': infer J } } ? J : never;
type Named<T> = T extends { parameters: { path: infer N extends object } } ? N : Record<never, never>;

export type ScreenPath = keyof paths & `/api/screens/${string}`;
export type Screen<P extends ScreenPath> = Json<Of<P, 'get'>['responses'][200]>;
export type ScreenNamed<P extends ScreenPath> = Named<Of<P, 'get'>>;

/** A path that needs an idempotency key is a command. */
export type CommandPath = {
  [P in keyof paths]: paths[P] extends { post: { parameters: { header: { 'Idempotency-Key': string } } } }
    ? P
    : never;
}[keyof paths];
export type CommandNamed<P extends CommandPath> = Named<Of<P, 'post'>>;
export type Body<P extends CommandPath> =
  Of<P, 'post'> extends { requestBody: infer B } ? Json<B> : undefined;
export type Answer<P extends CommandPath> = Json<
  Of<P, 'post'>['responses'][keyof Of<P, 'post'>['responses'] & (200 | 202)]
>;
/** The part of an answer from which the client knows the saga that began. */
export type Started = Fits<Schemas['started.order'], Begun>;
type Begun = { mutation: string; cursor: string; saga: Pick<Saga, 'id' | 'type' | 'status' | 'version'> };

/** A request for a command, which only `command` makes; A is the type of its answer. */
export interface Asked<A = unknown> {
  readonly url: string;
  readonly body: unknown;
  readonly answer?: A;
}

// ---- what is drawn

export type Child =
  | import('./render.js').ElementDescription
  | import('./render.js').SourceDrawing
  | string
  | number
  | false
  | null
  | undefined
  | readonly Child[];

// ---- texts

/** The keys of a table of texts, with any text in place of the English one. */
type Translated<T> = { readonly [K in keyof T]: T[K] extends string ? string : Translated<T[K]> };
/** What a file of texts in another language has: a text for each English one, and no other. */
export type Translation = Translated<typeof import('./texts.en.js').en>;
export type DrawerTranslation = Translated<typeof import('./panel/texts.en.js').en>;

// ---- the client, with the types of this gateway's sagas and values

interface Values {
  stock: Fits<Schemas['value.stock'], Omit<Value, 'at'>>;
  bell: Fits<Schemas['value.bell'], Omit<Value, 'at'>>;
}
export type ValueName = `${keyof Values}/${string}`;
export type ValueOf<N extends ValueName> = N extends `${infer K extends keyof Values}/${string}`
  ? Values[K]
  : never;

export interface LiveDraft extends Pick<Draft, 'id'> {
  readonly sagas: ReadonlyMap<string, LiveOrder>;
  saga(row: Partial<LiveOrder> & Pick<LiveOrder, 'type' | 'data'>): void;
  value<N extends ValueName>(name: N, change: (data: ValueOf<N>['data']) => ValueOf<N>['data']): void;
}

export interface LiveKind<I> {
  request(input: I): Asked;
  apply(draft: LiveDraft, input: I): void;
  settledWhen?(state: { sagas: ReadonlyMap<string, LiveOrder> }, input: I): boolean;
}

export interface LiveClient extends Omit<
  Client,
  'saga' | 'sagas' | 'value' | 'setValues' | 'subscribe' | 'define' | 'mutate'
> {
  saga(id: string): Readable<LiveOrder | undefined>;
  sagas(): Readable<readonly LiveOrder[]>;
  value<N extends ValueName>(name: N): Readable<ValueOf<N> | undefined>;
  setValues(values: Iterable<Values[keyof Values]>): void;
  subscribe(names: Iterable<ValueName>): () => void;
  define<I>(name: string, kind: LiveKind<I>): (input: I) => Operation;
}
