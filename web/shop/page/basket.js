/** The items that the visitor wants to buy, stored in this browser. Unreadable or forbidden storage is an empty basket. */

const NAME = 'waypost:basket';
const MOST_LINES = 20;
const MOST_OF_ONE = 99;

/** @typedef {import('./shapes.js').Line & {currency: string, art: string}} Item */

/** @type {Set<() => void>} */
const listeners = new Set();
/** @type {Item[]} */
let items = load();

function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? '[]');
    return Array.isArray(kept)
      ? kept.filter((item) => typeof item?.sku === 'string' && item.quantity > 0)
      : [];
  } catch {
    return [];
  }
}

/** @param {Item[]} next */
function become(next) {
  items = next;
  try {
    localStorage.setItem(NAME, JSON.stringify(items));
  } catch {
    // Private mode: the basket exists as long as the page.
  }
  for (const listener of listeners) listener();
}

// All tabs share one basket.
addEventListener('storage', (event) => {
  if (event.key !== NAME) return;
  items = load();
  for (const listener of listeners) listener();
});

export const basketItems = () => items;

/** How many of a product are in the basket. @param {string} sku */
export const inBasket = (sku) => items.find((item) => item.sku === sku)?.quantity ?? 0;

/** Which of the person's cards pays; the first one until they choose. @type {import('./shapes.js').Card} */
let card = 'first';
export const chosenCard = () => card;

/** @param {import('./shapes.js').Card} next */
export function chooseCard(next) {
  card = next;
  for (const listener of listeners) listener();
}

export const basketCount = () => items.reduce((sum, item) => sum + item.quantity, 0);

/** @param {() => void} listener */
export function onBasket(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** @param {Item} item @returns {boolean} false if the basket is full */
export function addToBasket(item) {
  const there = items.find((other) => other.sku === item.sku);
  if (!there && items.length >= MOST_LINES) return false;
  const quantity = Math.min(MOST_OF_ONE, (there?.quantity ?? 0) + item.quantity);
  become(there ? items.map((other) => (other === there ? { ...item, quantity } : other)) : [...items, item]);
  return true;
}

/** @param {string} sku @param {number} quantity  0 removes it. */
export function setQuantity(sku, quantity) {
  const bounded = Math.min(MOST_OF_ONE, quantity);
  become(
    bounded < 1
      ? items.filter((item) => item.sku !== sku)
      : items.map((item) => (item.sku === sku ? { ...item, quantity: bounded } : item)),
  );
}

/** What is sold at another price by now has that one in the basket. @param {{sku: string, price_cents: number, currency: string}[]} products */
export function reprice(products) {
  const sold = new Map(products.map(({ sku, price_cents, currency }) => [sku, { price_cents, currency }]));
  become(items.map((item) => ({ ...item, ...sold.get(item.sku) })));
}

export const emptyBasket = () => become([]);
