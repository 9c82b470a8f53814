/**
 * Data that is requested, kept while it is requested again, and retried. One request runs at a time: a reload during one
 * follows it. `abort` cancels the request and the retries, so nothing arrives after a view was left.
 */

/** @typedef {import('/client/index.js').Problem} Problem */
/** @typedef {{state: 'ready' | 'stale'} | Pick<import('./shapes.js').Missing, 'state' | 'retry_after'>} Awaited  The fields of a part that decide about retries. */

const TRIES = 5;
const PAUSE = 5; // seconds, where an answer does not say when to try again
const SHORTEST = 2; // seconds

/**
 * @template T
 * @typedef {object} Resource
 * @property {T | null} data        The last answer.
 * @property {Problem | null} problem  Why the last request failed.
 * @property {boolean} stale        Whether the data is older than the last request: it runs, or it failed.
 * @property {boolean} waiting      Whether something is missing that may be there later.
 * @property {() => void} reload    Request the data again.
 * @property {() => void} abort
 */

/**
 * @template T
 * @typedef {object} Options
 * @property {() => void} changed          Called after each change of the resource.
 * @property {T | null} [initial]          Shown until the first answer.
 * @property {(data: T) => void} [received]
 * @property {(problem: Problem) => boolean} [handled]  Whether a problem is dealt with elsewhere and not shown.
 * @property {(data: T) => Awaited[]} [parts]  The parts of an answer that may be missing and are requested again.
 */

/**
 * An answer with missing parts, or a failure that may pass, is requested again at the time that it names: a few times in
 * a row, and only while the page is visible.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} request  Rejects with an error that has a `problem`.
 * @param {Options<T>} options
 * @returns {Resource<T>}
 */
export function createResource(request, options) {
  const { changed, initial = null, received, handled, parts } = options;
  /** @type {AbortController | null} */
  let running = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  let again = false;
  let left = TRIES;
  let waiting = false;

  const resource = {
    data: initial,
    problem: /** @type {Problem | null} */ (null),
    stale: initial !== null,
    get waiting() {
      return waiting;
    },
    reload,
    abort,
  };

  function reload() {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', retry);
    again = running !== null;
    if (!again) void run((running = new AbortController()));
  }

  /** @param {AbortController} controller */
  async function run(controller) {
    const { signal } = controller;
    resource.stale = resource.data !== null;
    changed();
    try {
      const data = await request(signal);
      if (signal.aborted) return;
      Object.assign(resource, { data, problem: null, stale: false });
      awaitParts(parts?.(data) ?? []);
      received?.(data);
    } catch (error) {
      if (signal.aborted) return;
      const { problem } = Object(error);
      if (!problem) throw error; // a bug of ours
      if (handled?.(problem)) return;
      resource.problem = problem;
      awaitParts(lacking(problem));
    } finally {
      if (running === controller) {
        running = null;
        changed();
        if (again) reload();
      }
    }
  }

  /** @param {Awaited[]} awaited */
  function awaitParts(awaited) {
    const pauses = awaited.flatMap((part) => (part.state === 'missing' ? [part.retry_after ?? PAUSE] : []));
    waiting = pauses.length > 0;
    if (!waiting) left = TRIES;
    else if (left > 0) timer = setTimeout(retry, Math.max(SHORTEST, Math.min(...pauses)) * 1000);
  }

  function retry() {
    if (document.hidden) return document.addEventListener('visibilitychange', retry, { once: true });
    left -= 1;
    reload();
  }

  function abort() {
    running?.abort();
    running = null;
    again = waiting = false;
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', retry);
  }

  return resource;
}

/**
 * A failed request as a part that may be there in a moment, or not (a refusal stays one).
 * @param {Problem} problem
 * @returns {Awaited[]}
 */
export const lacking = (problem) =>
  problem.status >= 500 || problem.status === 429 || problem.status === 0
    ? [{ state: 'missing', retry_after: problem.retryAfter }]
    : [];
