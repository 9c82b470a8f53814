/** Numbers and times as a reader of this page expects them. */

/** @type {Map<string, Intl.NumberFormat>} */
const monies = new Map();

/** @param {number} cents @param {string} currency */
export function money(cents, currency) {
  let format = monies.get(currency);
  if (!format)
    monies.set(currency, (format = new Intl.NumberFormat('en-IE', { style: 'currency', currency })));
  return format.format(cents / 100);
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const precise = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const day = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
});

/** @param {string} at RFC 3339 */
export function time(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '';
  return date.toDateString() === new Date().toDateString()
    ? `Today, ${clock.format(date)}`
    : day.format(date);
}

/** @param {string} at RFC 3339 */
export function seconds(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? '' : precise.format(date);
}

/** @param {number} count @param {string} one @param {string} [many] */
export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** As the notifications name it, too. @param {string} id */
export function shortId(id) {
  return id.slice(0, 8);
}
