/** Elements without a framework. `h` builds one, `svg` parses one of our own constant drawings, `fill` replaces content. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [props]  `on…` functions listen, true sets an empty attribute (of aria-… the word), null and false leave it out.
 * @param {...any} children  Nodes and texts; null, undefined and false are left out.
 * @returns {any} the element; typed loosely, as its properties depend on the tag
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
  }
  fill(element, ...children);
  return element;
}

/**
 * @param {Element} element
 * @param {...any} children
 */
export function fill(element, ...children) {
  element.replaceChildren(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
}

/** @param {string} markup  A constant of this page, never data. @returns {Element} */
export function svg(markup) {
  const template = document.createElement('template');
  template.innerHTML = markup;
  return /** @type {Element} */ (template.content.firstElementChild);
}

/** Set text only if it differs, so that screen readers and selections are not disturbed. @param {Element} element @param {string} text */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
