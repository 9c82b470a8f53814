/**
 * Real user monitoring: when what a person did, and what came of it, was painted. A monitor begins the trace of a
 * mutation at the click (W3C Trace Context), and reports to the gateway how long after the click the optimistic row, the
 * answer and the outcome were on the screen; with `watchVitals` also web vitals of each screen.
 *
 * It measures only what a person saw: a hidden page is not measured, nor what a reload interrupted. It keeps at most
 * `MOST` mutations and `MOST_SCREENS` screens, sends them in one request with pauses of `PAUSE`, and repeats none. Nothing
 * is done unless the gateway's page, or `sample`, asks for it.
 */
import { newId } from './ids.js';
import { isHidden } from './page.js';

/** @typedef {'optimistic' | 'answer' | 'final'} PaintPhase */
/** @typedef {{lcp?: number, inp?: number, cls?: number}} Vitals  lcp, inp: milliseconds. */

/**
 * @typedef {object} MonitorOptions
 * @property {string} [prefix]  The path below which the gateway is reached, "/desk"; default none.
 * @property {number} [sample]  The share of mutations and screens that are traced and reported, 0 to 1; default: what the
 *   gateway asks of its page (`BFF_TELEMETRY__BROWSER`), else none.
 * @property {boolean} [manual]  The page calls `committed()` whenever the document has what the client announced; default:
 *   it has it by the next frame.
 * @property {() => () => Vitals} [vitals]  `watchVitals`, for web vitals of the screens.
 */

/**
 * A mutation that is measured. All times are those of `performance.now()`.
 * @typedef {object} Report
 * @property {string} id
 * @property {string} method
 * @property {string} path
 * @property {number} start  When the event happened that began it.
 * @property {Partial<Record<PaintPhase, number>>} phases  Milliseconds from there until the frame was painted.
 * @property {string} [outcome]  The last phase of its progress.
 * @property {boolean} closed  Nothing more is measured.
 */

/** @typedef {{path: string, vitals: Vitals}} Visit  Of a screen. */

/** Milliseconds; what takes longer is not measured. */
const LONGEST = 60_000;
/** Milliseconds between two requests. */
const PAUSE = 5_000;
/** Mutations that are measured at a time; more are not. */
const MOST = 50;
/** Screens that wait to be reported; more are not. */
const MOST_SCREENS = 10;
/** Milliseconds; Event Timing has no shorter interactions. */
const SHORTEST = 16;

const hasAny = (/** @type {object} */ measured) => Object.keys(measured).length > 0;

/** The share of this page's mutations and screens that the gateway asks for; 0 where it asks for none. */
const asked = () => {
  const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType('navigation'));
  return Number(page?.serverTiming?.find(({ name }) => name === 'bff-browser')?.description) || 0;
};

/** @param {string} type  Of performance entries. */
const isSupported = (type) => globalThis.PerformanceObserver?.supportedEntryTypes?.includes(type);

/** @param {string} type  Of performance entries; unknown ones are never seen. @param {(entry: any) => void} seen */
function observe(type, seen) {
  if (isSupported(type))
    new PerformanceObserver((list) => list.getEntries().forEach(seen)).observe(
      /** @type {any} durationThreshold is for events */ ({
        type,
        buffered: true,
        durationThreshold: SHORTEST,
      }),
    );
}

/** @param {MonitorOptions} [options] */
export function createMonitor({ prefix = '', sample = asked(), manual, vitals } = {}) {
  /** @type {Set<Report>} */
  const reports = new Set();
  /** @type {Visit[]} */
  let screens = [];
  /** @type {Visit | null} */
  let visit = null;
  /** @type {((now: number) => void)[]} called when the next commit was painted */
  let waiting = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const beginVitals = sample ? vitals?.() : undefined;

  // The same for each attempt, also after a reload.
  const isSampled = (/** @type {string} */ id) => parseInt(id.slice(-8), 16) < sample * 2 ** 32;

  /** The document has what was announced so far. */
  function committed() {
    const painted = waiting;
    waiting = [];
    // The frame is painted after its callbacks and before the next task.
    if (painted.length)
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
          port1.close();
          for (const call of painted) call(performance.now());
        };
        port2.postMessage(0);
      });
  }

  const later = () => (timer ??= setTimeout(flush, PAUSE));

  function flush() {
    clearTimeout(timer);
    timer = undefined;
    const now = performance.now();
    const mutations = [...reports]
      .filter((report) => report.closed && reports.delete(report) && hasAny(report.phases))
      .map(({ start, closed, ...report }) => ({ ...report, age: now - start }));
    if (!sample || !(mutations.length + screens.length)) return;
    fetch(`${prefix}/bff/browser`, {
      method: 'POST',
      keepalive: true,
      headers: { 'Content-Type': 'application/json', 'X-BFF': '1' },
      body: JSON.stringify({ mutations, screens }),
    }).then(
      // The gateway takes no reports any more.
      ({ status }) => status === 404 && (sample = 0),
      () => {},
    );
    screens = [];
  }

  /** The visit of a screen has ended. @param {string} [path]  Of the next one. */
  function leave(path) {
    if (visit && hasAny(visit.vitals) && screens.length < MOST_SCREENS && screens.push(visit)) later();
    const next = beginVitals?.();
    visit = path && next && Math.random() < sample ? { path, vitals: next } : null;
  }

  if (sample) {
    // The browser's own word about the frame after the event, where that frame was later.
    if (!manual)
      observe('event', ({ startTime, duration }) => {
        for (const { start, phases } of reports)
          if (Math.abs(start - startTime) < 1) phases.optimistic = Math.max(phases.optimistic ?? 0, duration);
      });
    globalThis.document?.addEventListener('visibilitychange', () => {
      if (!isHidden(globalThis)) return;
      for (const report of reports) report.closed = true;
      leave(visit?.path);
      flush();
    });
  }

  return {
    /**
     * The header `traceparent` for a request, where its trace is sampled; without it the gateway decides. The trace of a
     * mutation has the mutation's id, so that each attempt, and the report, belong to it.
     * @param {string} [id]  Of a mutation; default a new trace, for a screen.
     * @returns {string | undefined}
     */
    traceparent: (id = newId()) =>
      isSampled(id) ? id.replace(/(.{8})-(.{4})-(.{4})-(.{4})-(.*)/, '00-$1$2$3$4$5-$4$5-03') : undefined,

    /** For `createClient({ monitor })`: measure this mutation. @type {import('./mutations.js').Monitor['begin']} */
    begin({ id, progress }, { url, method = 'POST' }) {
      if (!isSampled(id) || isHidden(globalThis) || reports.size >= MOST) return;
      /** @type {Report['phases']} */
      const phases = {};
      /** @type {Report} */
      const report = {
        id,
        method,
        path: new URL(url, globalThis.document?.baseURI ?? 'http://h').pathname,
        start: globalThis.event?.timeStamp ?? performance.now(),
        phases,
        closed: false,
      };
      reports.add(report);
      const close = () => {
        report.closed = true;
        later();
      };
      const stamp = (/** @type {PaintPhase} */ phase) => {
        waiting.push((now) => {
          if (report.closed) return;
          phases[phase] = Math.max(phases[phase] ?? 0, now - report.start);
          if (phase === 'final') close();
        });
        if (!manual) committed();
      };
      stamp('optimistic');
      const unsubscribe = progress.subscribe(({ phase }) => {
        if (phase === 'sending' || phase === 'unknown') return;
        if (!report.outcome) stamp('answer');
        report.outcome = phase;
        if (phase === 'accepted') return;
        stamp('final');
        unsubscribe();
      });
      setTimeout(close, LONGEST);
    },

    committed,

    /**
     * The page shows this screen from now on. Web vitals are reported for each visit, which ends with the next screen, and
     * when the page is hidden.
     * @param {string} path  The address of its view, `/api/screens/orders`.
     */
    screen: leave,
  };
}

/** @typedef {ReturnType<typeof createMonitor>} RealUserMonitor */

/**
 * Web vitals, where the browser measures them: LCP of the first visit, CLS (the largest window of layout shifts), and INP as
 * the longest interaction of 16 ms or more.
 * @returns {() => Vitals} Begins a visit; the object changes until the next one begins.
 */
export function watchVitals() {
  /** @type {Vitals} */
  let vitals = {};
  let visits = 0;
  let [began, last, shifted] = [0, 0, 0];
  // What is painted late because the page was opened in the background is no slow page.
  let isFirst = !isHidden(globalThis);
  const interaction = (/** @type {any} */ { interactionId, duration }) => {
    if (interactionId) vitals.inp = Math.max(vitals.inp ?? 0, duration);
  };
  observe('largest-contentful-paint', ({ startTime }) => {
    if (isFirst) vitals.lcp = startTime;
  });
  observe('first-input', interaction);
  observe('event', interaction);
  observe('layout-shift', ({ hadRecentInput, value, startTime }) => {
    if (hadRecentInput) return;
    const joined = startTime - last < 1000 && startTime - began < 5000;
    shifted = joined ? shifted + value : value;
    if (!joined) began = startTime;
    last = startTime;
    vitals.cls = Math.max(vitals.cls ?? 0, shifted);
  });
  return () => {
    // The first visit has what happened before the page said which one it is.
    if (visits++) {
      vitals = {};
      began = last = shifted = 0;
      isFirst = false;
    }
    if (isSupported('layout-shift')) vitals.cls ??= 0;
    return vitals;
  };
}
