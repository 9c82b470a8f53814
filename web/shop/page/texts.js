/**
 * The page's texts in the language of the person: the one chosen here before, or else the first of the browser's
 * languages that the page has. `texts` is what `setLanguage` chose; views read it while they are drawn. Only the texts of
 * the language in use are fetched.
 */
import { invalidate } from './schedule.js';

/** Those of the drawer are there once it was fetched. @typedef {typeof import('./texts.en.js').en & DrawerTexts} Texts */
/** @typedef {typeof import('./panel/texts.en.js').en} DrawerTexts */
/** @typedef {{readonly one: string, readonly other: string}} PluralForms */
/**
 * The names between braces in a text.
 * @template {string} T
 * @typedef {T extends `${string}{${infer Name}}${infer Rest}` ? Name | Placeholders<Rest> : never} Placeholders
 */

const NAME = 'waypost:language';

/** Each language under its own name. */
export const LANGUAGES = /** @type {const} */ ({ en: 'English', de: 'Deutsch' });

/** @typedef {keyof typeof LANGUAGES} Language */

/** The types of English stand for the keys and placeholders of all. @type {Record<Language, () => Promise<Texts>>} */
const FETCH = {
  en: async () => /** @type {any} */ ((await import('./texts.en.js')).en),
  de: async () => /** @type {any} */ ((await import('./texts.de.js')).de),
};

/** @type {Language} */
export let language = preferred();
export let texts = await FETCH[language]();
let plurals = new Intl.PluralRules(texts.locale);
let numbers = new Intl.NumberFormat(texts.locale);

/** @returns {Language} */
function preferred() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(NAME);
  } catch {
    // Forbidden storage: the browser's languages decide.
  }
  for (const tag of [chosen, ...navigator.languages]) {
    const [known = ''] = tag?.split('-') ?? [];
    if (Object.hasOwn(LANGUAGES, known)) return /** @type {Language} */ (known);
  }
  return 'en';
}

/** The texts of what was fetched later, by language. @type {Partial<Record<Language, DrawerTexts>>} */
let more = {};

/** Add the texts of a part of the page that is fetched later. @param {Record<Language, DrawerTexts>} added */
export function addTexts(added) {
  more = added;
  texts = { ...texts, ...more[language] };
}

/** Draw the page in this language, as soon as its texts are there, and at the next visit. @param {Language} next */
export async function setLanguage(next) {
  const fetched = await FETCH[next]();
  language = next;
  texts = { ...fetched, ...more[next] };
  plurals = new Intl.PluralRules(texts.locale);
  numbers = new Intl.NumberFormat(texts.locale);
  try {
    localStorage.setItem(NAME, next);
  } catch {
    // Private mode: the choice lasts as long as the page.
  }
  invalidate();
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export const number = (value, options) =>
  (options ? new Intl.NumberFormat(texts.locale, options) : numbers).format(value);

/**
 * The text with its placeholders replaced; numbers are written as in the language.
 * @template {string} T
 * @param {T} text
 * @param {Record<Placeholders<T>, string | number>} values
 */
export function interpolate(text, values) {
  return text.replace(/\{(\w+)\}/g, (all, name) => {
    const value = /** @type {Record<string, string | number | undefined>} */ (values)[name];
    return typeof value === 'number' ? number(value) : (value ?? all);
  });
}

/** The form for this number, which replaces `{count}`. @param {PluralForms} forms @param {number} count */
export const plural = (forms, count) =>
  interpolate(plurals.select(count) === 'one' ? forms.one : forms.other, { count });
