/** @param {MonitorOptions} [options] */
export function createMonitor({ prefix, sample, manual, vitals }?: MonitorOptions): {
    /**
     * The header `traceparent` for a request, where its trace is sampled; without it the gateway decides. The trace of a
     * mutation has the mutation's id, so that each attempt, and the report, belong to it.
     * @param {string} [id]  Of a mutation; default a new trace, for a screen.
     * @returns {string | undefined}
     */
    traceparent: (id?: string) => string | undefined;
    begin(operation: import("./mutations.js").Operation, request: import("./send.js").RequestData): void;
    committed: () => void;
    /**
     * The page shows this screen from now on. Web vitals are reported for each visit, which ends with the next screen, and
     * when the page is hidden.
     * @param {string} path  The address of its view, `/api/screens/orders`.
     */
    screen: (path?: string) => void;
};
/** @typedef {ReturnType<typeof createMonitor>} RealUserMonitor */
/**
 * Web vitals, where the browser measures them: LCP of the first visit, CLS (the largest window of layout shifts), and INP as
 * the longest interaction of 16 ms or more.
 * @returns {() => Vitals} Begins a visit; the object changes until the next one begins.
 */
export function watchVitals(): () => Vitals;
export type RealUserMonitor = ReturnType<typeof createMonitor>;
export type PaintPhase = "optimistic" | "answer" | "final";
/**
 * lcp, inp: milliseconds.
 */
export type Vitals = {
    lcp?: number;
    inp?: number;
    cls?: number;
};
export type MonitorOptions = {
    /**
     * The path below which the gateway is reached, "/desk"; default none.
     */
    prefix?: string | undefined;
    /**
     * The share of mutations and screens that are traced and reported, 0 to 1; default: what the
     * gateway asks of its page (`BFF_TELEMETRY__BROWSER`), else none.
     */
    sample?: number | undefined;
    /**
     * The page calls `committed()` whenever the document has what the client announced; default:
     * it has it by the next frame.
     */
    manual?: boolean | undefined;
    /**
     * `watchVitals`, for web vitals of the screens.
     */
    vitals?: (() => () => Vitals) | undefined;
};
/**
 * A mutation that is measured. All times are those of `performance.now()`.
 */
export type Report = {
    id: string;
    method: string;
    path: string;
    /**
     * When the event happened that began it.
     */
    start: number;
    /**
     * Milliseconds from there until the frame was painted.
     */
    phases: Partial<Record<PaintPhase, number>>;
    /**
     * The last phase of its progress.
     */
    outcome?: string | undefined;
    /**
     * Nothing more is measured.
     */
    closed: boolean;
};
/**
 * Of a screen.
 */
export type Visit = {
    path: string;
    vitals: Vitals;
};
