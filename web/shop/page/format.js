/** Money and times as a reader of the page's language expects them. */
import { interpolate, number, texts } from './texts.js';

/** @type {Map<string, {format: Intl.NumberFormat, units: number}>} by language and currency */
const monies = new Map();
const MOST = 100; // formats, which is more than the shop has currencies

/**
 * @param {number} amount  In the currency's minor unit: cents for EUR, yen for JPY, thousandths for KWD.
 * @param {string} currency  ISO 4217.
 */
export function money(amount, currency) {
  const key = `${texts.locale} ${currency}`;
  let known = monies.get(key);
  if (!known) {
    const format = new Intl.NumberFormat(texts.locale, { style: 'currency', currency });
    const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
    if (monies.size >= MOST) monies.clear();
    monies.set(key, (known = { format, units: 10 ** digits }));
  }
  return known.format.format(amount / known.units);
}

/** @type {Map<string, Intl.DateTimeFormat>} by language and form: as many as there are languages, times three */
const dates = new Map();

const FORMS = /** @satisfies {Record<string, Intl.DateTimeFormatOptions>} */ ({
  clock: { hour: '2-digit', minute: '2-digit' },
  precise: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  day: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' },
});

/** @param {Date} date @param {keyof typeof FORMS} form */
function written(date, form) {
  const key = `${texts.locale} ${form}`;
  let format = dates.get(key);
  if (!format) dates.set(key, (format = new Intl.DateTimeFormat(texts.locale, FORMS[form])));
  return format.format(date);
}

/** @param {string} at RFC 3339 */
export function time(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '';
  return date.toDateString() === new Date().toDateString()
    ? interpolate(texts.time.today, { time: written(date, 'clock') })
    : written(date, 'day');
}

/** @param {string} at RFC 3339 */
export function seconds(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '' : written(date, 'precise');
}

/** @param {number} grams */
export const weight = (grams) =>
  grams >= 1000
    ? number(grams / 1000, {
        style: 'unit',
        unit: 'kilogram',
        minimumFractionDigits: 1,
        maximumFractionDigits: 1,
      })
    : number(grams, { style: 'unit', unit: 'gram' });

/** As the notifications name it, too. @param {string} id */
export const shortId = (id) => id.slice(0, 8);
