/** What a view follows while it is shown: a screen of the gateway, and the stock of products. Both end with the view. */
import { address, screen } from './api.js';
import { client } from './live.js';
import { monitor } from './monitor.js';
import { endSession, onSession, user } from './session.js';
import { createResource } from './resource.js';
import { invalidate } from './schedule.js';

/** @typedef {import('./shapes.js').ScreenPath} ScreenPath */
/** Whatever has an end. @typedef {{onLeave: (leave: () => void) => void}} Owner */

/**
 * @template {ScreenPath} P
 * @param {Owner} owner
 * @param {P} path
 * @param {import('./shapes.js').ScreenNamed<P>} named
 * @param {Pick<import('./resource.js').Options<import('./shapes.js').Screen<P>>, 'initial' | 'received' | 'parts'> & {personal?: boolean, beside?: boolean}} [options]
 *   personal: only a signed-in person has it, and it is requested again when the gateway was asked who that is. beside: it is
 *   shown beside the view, so it is not the screen that is measured.
 */
export function useScreen(owner, path, named, { personal = false, beside = false, ...options } = {}) {
  if (!beside) monitor.screen(address(path, named));
  const resource = createResource((signal) => screen(path, named, signal), {
    ...options,
    changed: invalidate,
    handled({ status }) {
      if (status === 401) endSession();
      return status === 401;
    },
  });
  const reload = () => (user() || !personal) && resource.reload();
  owner.onLeave(resource.abort);
  // The network or the gateway is back.
  owner.onLeave(client.connection.subscribe((state) => state === 'live' && resource.waiting && reload()));
  if (personal) owner.onLeave(onSession(reload));
  reload();
  return resource;
}

/** Stock from a screen is merged with stock from the stream: the newer version wins. @param {import('./shapes.js').Stock[]} levels */
export function learnStock(levels) {
  client.setValues(
    levels.map((level) => ({ name: `stock/${level.sku}`, version: level.version, data: level })),
  );
}

const MOST_STOCK = 20; // of the values that a stream carries

/** left: null while it is unknown. moves: how often it changed while the view was shown. @typedef {{left: number | null, moves: number}} StockLevel */

/**
 * The stock of products, as the stream reports it.
 * @param {Owner} owner
 */
export function useStock(owner) {
  /** @type {(() => void)[]} */
  let leaves = [];
  /** @type {Map<string, number>} */
  const moves = new Map();
  let watched = '';

  const leave = () => leaves.splice(0).forEach((end) => end());
  const leftOf = (/** @type {string} */ sku) => client.value(`stock/${sku}`).get()?.data.available ?? null;

  /** @param {string} sku */
  function follow(sku) {
    let before = leftOf(sku);
    return client.value(`stock/${sku}`).subscribe(() => {
      const now = leftOf(sku);
      if (before !== null && now !== null && before !== now) moves.set(sku, (moves.get(sku) ?? 0) + 1);
      before = now;
      invalidate();
    });
  }

  owner.onLeave(leave);
  return {
    /** Request the stock of these products instead of the earlier ones. @param {string[]} skus */
    watch(skus) {
      const next = skus.slice(0, MOST_STOCK);
      if (next.join() === watched) return;
      watched = next.join();
      const before = leaves;
      leaves = [
        client.subscribe(next.map((sku) => /** @type {const} */ (`stock/${sku}`))),
        ...next.map(follow),
      ];
      before.forEach((end) => end());
    },
    /** @param {string} sku @returns {StockLevel} */
    of: (sku) => ({ left: leftOf(sku), moves: moves.get(sku) ?? 0 }),
  };
}
