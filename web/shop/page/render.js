/**
 * The one way to draw. `h` describes an element and `render` makes a container show descriptions: it changes in place only
 * what differs from what it drew there before.
 *
 * Guarantees: an element is kept while its place among its siblings (or its `key`) and its tag stay the same, and with it
 * the focus, the selection, the scroll position, typed text and open `<details>`, also when siblings with keys change their
 * order. A listener is replaced, never added twice. What other code set on an element stays.
 *
 * Refuses, when it is described and before anything is drawn: a listener that is no function, an address that would run a
 * script, an element that loads code. Text is always text, and `svg` takes only drawings that are written in the source, so
 * no data becomes markup. A view that throws leaves the page as it was. Of siblings with one key only the first has it.
 */

/** @typedef {(event: any) => unknown} Listener  The event's type depends on the name of the listener. */
/** @typedef {string | number | boolean | null | undefined} Attribute */
/**
 * `on…` listens. `style` has CSS properties by name. `value` and `checked` are properties, which are set again only when
 * they are described differently. All others are attributes: true sets an empty one, null, undefined and false leave it
 * out; for `aria-…` true and false are words. Null children are left out and keep their place.
 * @typedef {{key?: string | number, [name: string]: Attribute | Listener | Record<string, string>}} Props
 */
/** @typedef {Description} ElementDescription */
/** @typedef {Drawing} SourceDrawing */
/** @typedef {import('./shapes.js').Child} Child  A description, a drawing, text, or a list of them. */
/** @typedef {ReadonlyMap<string, Description | Drawing | string>} Children  By place. */

/** An element as it is to be. */
class Description {
  /**
   * @param {string} tag
   * @param {string | number | undefined} key
   * @param {ReadonlyMap<string, string>} attributes
   * @param {ReadonlyMap<string, unknown>} properties
   * @param {ReadonlyMap<string, string>} style
   * @param {ReadonlyMap<string, Listener>} listeners
   * @param {Children} children
   */
  constructor(tag, key, attributes, properties, style, listeners, children) {
    this.tag = tag;
    this.key = key;
    this.attributes = attributes;
    this.properties = properties;
    this.style = style;
    this.listeners = listeners;
    this.children = children;
  }
}

/** A drawing that is written in the source; only `svg` makes one. */
class Drawing {
  /** @type {HTMLTemplateElement | null} */
  #template = null;

  /** @param {string} markup */
  constructor(markup) {
    this.markup = markup;
  }

  /** A new element with this drawing. */
  draw() {
    if (!this.#template) {
      this.#template = document.createElement('template');
      this.#template.innerHTML = this.markup;
    }
    return /** @type {Element} */ (this.#template.content.firstElementChild?.cloneNode(true));
  }
}

const TAG = /^[a-z][a-z0-9-]*$/;
const NAME = /^[a-z][a-z0-9:_.-]*$/i;
const LOADING = new Set(['script', 'iframe', 'object', 'embed', 'link', 'meta', 'base', 'style', 'template']);
const MOST_NAMES = 500;
const ADDRESSES = new Set(['href', 'src', 'action', 'formaction', 'poster', 'ping']);
const SAFE = /^(https?:|mailto:|[/?#]|$)/i;
const PROPERTIES = new Set(['value', 'checked']);
/** Shared by all that have no entries, because most elements have few and there are many. @type {Map<string, any>} */
const NONE = new Map();

/** @param {Map<string, any>} map @param {string} name @param {any} value */
const withEntry = (map, name, value) => (map === NONE ? new Map() : map).set(name, value);

/** Names that were found right: they are written in the source, so there are not many. @type {Set<string>} */
const names = new Set();

/** @param {string} name */
function isName(name) {
  if (names.has(name)) return true;
  if (!NAME.test(name) || name === 'srcdoc') return false;
  if (names.size < MOST_NAMES) names.add(name);
  return true;
}

/**
 * Describe an element.
 * @param {string} tag
 * @param {Props} [props]
 * @param {...Child} children
 * @returns {Description}  Throws a TypeError for what the module refuses.
 */
export function h(tag, props = {}, ...children) {
  if (!TAG.test(tag) || LOADING.has(tag)) throw new TypeError(`<${tag}> is not drawn`);
  let attributes = NONE;
  let properties = NONE;
  let listeners = NONE;
  let style = NONE;
  for (const [name, value] of Object.entries(props)) {
    if (!isName(name)) throw new TypeError(`"${name}" is not set`);
    if (value === null || value === undefined || name === 'key') continue;
    if (name.startsWith('on')) {
      if (value === false) continue;
      if (typeof value !== 'function') throw new TypeError(`${name} is not a function`);
      listeners = withEntry(listeners, name.slice(2), value);
    } else if (name === 'style') {
      if (typeof value !== 'object') throw new TypeError('a style is an object');
      for (const [property, text] of Object.entries(value)) style = withEntry(style, property, String(text));
    } else if (typeof value === 'function' || typeof value === 'object') {
      throw new TypeError(`${name} is not a text`);
    } else if (PROPERTIES.has(name)) {
      properties = withEntry(properties, name, value);
    } else if (typeof value !== 'boolean') {
      if (ADDRESSES.has(name) && !SAFE.test(String(value)))
        throw new TypeError(`${name}="${value}" is not safe`);
      attributes = withEntry(attributes, name, String(value));
    } else if (value || name.startsWith('aria-')) {
      attributes = withEntry(attributes, name, name.startsWith('aria-') ? String(value) : '');
    }
  }
  return new Description(tag, props.key, attributes, properties, style, listeners, placed(children));
}

/**
 * A drawing: a template literal of this page. What it interpolates is another drawing's part or becomes plain text.
 * @param {TemplateStringsArray} strings
 * @param {...(Drawing | string | number)} parts
 */
export function svg(strings, ...parts) {
  if (!Object.isFrozen(strings) || !Array.isArray(strings.raw)) throw new TypeError('svg`…` is for literals');
  const escaped = (/** @type {string | number} */ part) =>
    String(part).replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return new Drawing(
    strings.reduce((text, next, at) => {
      const part = parts[at - 1] ?? '';
      return text + (part instanceof Drawing ? part.markup : escaped(part)) + next;
    }),
  );
}

/**
 * Children by their place: their key, or their position among the arguments. A list has its places within its own.
 * @param {readonly Child[]} children
 * @param {string} [list]
 * @param {Map<string, Description | Drawing | string>} [into]
 * @returns {Children}
 */
function placed(children, list = '', into = new Map()) {
  if (children.length === 0) return NONE;
  children.forEach((child, at) => {
    if (child === null || child === undefined || typeof child === 'boolean' || child === '') return;
    if (Array.isArray(child)) return void placed(child, `${list}${at}/`, into);
    const known = child instanceof Description || child instanceof Drawing;
    if (!known && typeof child === 'object') throw new TypeError('a child is neither described nor text');
    if (child instanceof Drawing && !child.markup.startsWith('<')) throw new TypeError('half a drawing');
    const key = child instanceof Description && child.key !== undefined && `${list}#${child.key}`;
    into.set(key && !into.has(key) ? key : list + at, known ? child : String(child));
  });
  return into;
}

/** What was drawn into a node, and its listeners: one for each type of event, which calls the newest function. */
class Drawn {
  /** @type {Map<string, ChildNode>} by place */
  nodes = new Map();

  /** @param {Description | Drawing | string} child */
  constructor(child) {
    this.child = child;
  }

  /** @param {Event} event */
  handleEvent(event) {
    if (this.child instanceof Description)
      this.child.listeners.get(event.type)?.call(event.currentTarget, event);
  }
}

/** @type {WeakMap<Node, Drawn>} */
const drawings = new WeakMap();
const EMPTY = new Description('div', undefined, NONE, NONE, NONE, NONE, NONE);

/**
 * Make `container` show `view`. What was in it before the first time is removed.
 * @param {Child} view
 * @param {Element} container
 */
export function render(view, container) {
  const children = placed([view]);
  let drawn = drawings.get(container);
  if (!drawn) {
    container.replaceChildren();
    drawings.set(container, (drawn = new Drawn(EMPTY)));
  }
  patchChildren(container, drawn, children);
}

/** @param {Element} parent @param {Drawn} drawn @param {Children} children */
function patchChildren(parent, drawn, children) {
  if (children.size === 0 && drawn.nodes.size === 0) return;
  const before = drawn.nodes;
  /** @type {Map<string, ChildNode>} */
  const nodes = new Map();
  for (const [place, child] of children) {
    const node = before.get(place);
    nodes.set(place, node && patched(node, child) ? node : created(child));
  }
  for (const [place, node] of before) if (nodes.get(place) !== node) node.remove();
  drawn.nodes = nodes;
  arrange(parent, [...nodes.values()]);
}

/** @param {Description | Drawing | string} child */
function created(child) {
  const node =
    typeof child === 'string'
      ? document.createTextNode(child)
      : child instanceof Drawing
        ? child.draw()
        : document.createElement(child.tag);
  const drawn = new Drawn(child);
  drawings.set(node, drawn);
  if (node instanceof HTMLElement && child instanceof Description) patchElement(node, drawn, EMPTY, child);
  return node;
}

/** @param {ChildNode} node @param {Description | Drawing | string} child @returns {boolean} false if it needs another node */
function patched(node, child) {
  const drawn = /** @type {Drawn} */ (drawings.get(node));
  const before = drawn.child;
  if (before === child) return true;
  if (typeof before === 'string' && typeof child === 'string') /** @type {Text} */ (node).data = child;
  else if (before instanceof Description && child instanceof Description && before.tag === child.tag)
    patchElement(/** @type {HTMLElement} */ (node), drawn, before, child);
  else return before instanceof Drawing && child instanceof Drawing && before.markup === child.markup;
  drawn.child = child;
  return true;
}

/** @param {HTMLElement} element @param {Drawn} drawn @param {Description} before @param {Description} after */
function patchElement(element, drawn, before, after) {
  drawn.child = after;
  changes(before.attributes, after.attributes, (name, text) =>
    text === undefined ? element.removeAttribute(name) : element.setAttribute(name, text),
  );
  changes(before.style, after.style, (name, text) => element.style.setProperty(name, text ?? ''));
  for (const type of before.listeners.keys())
    if (!after.listeners.has(type)) element.removeEventListener(type, drawn);
  for (const type of after.listeners.keys())
    if (!before.listeners.has(type)) element.addEventListener(type, drawn);
  patchChildren(element, drawn, after.children);
  // After the children: the value of a <select> is one of its options.
  changes(before.properties, after.properties, (name, value) =>
    Object.assign(element, { [name]: value ?? (name === 'checked' ? false : '') }),
  );
}

/**
 * @template T
 * @param {ReadonlyMap<string, T>} before
 * @param {ReadonlyMap<string, T>} after
 * @param {(name: string, value: T | undefined) => void} change
 */
function changes(before, after, change) {
  if (before === after) return;
  for (const name of before.keys()) if (!after.has(name)) change(name, undefined);
  for (const [name, value] of after) if (before.get(name) !== value) change(name, value);
}

/**
 * Put the nodes into this order with few moves. A node that is pressed or has the focus stays and the others move around
 * it, because a move takes the focus and the click away.
 * @param {Element} parent
 * @param {readonly ChildNode[]} nodes
 */
function arrange(parent, nodes) {
  if (nodes.every((node, at) => node === parent.childNodes[at])) return;
  const now = new Map(Array.from(parent.childNodes, (node, at) => [/** @type {Node} */ (node), at]));
  const there = nodes.flatMap((node, at) => {
    const from = now.get(node);
    return from === undefined ? [] : [{ node, from, at }];
  });
  const pinned =
    there.find(({ node }) => node instanceof Element && node.matches(':active')) ??
    there.find(({ node }) => node.contains(document.activeElement));
  const staying = new Set(
    longestRise(
      there.filter(
        ({ from, at }) => !pinned || from === pinned.from || from < pinned.from === at < pinned.at,
      ),
    ).map(({ node }) => node),
  );
  /** @type {ChildNode | null} */
  let next = null;
  for (const node of nodes.toReversed()) {
    if (!staying.has(node)) move(parent, node, next);
    next = node;
  }
}

/** `moveBefore` keeps the state of what it moves; not every browser has it yet. @param {any} parent @param {ChildNode} node @param {ChildNode | null} next */
function move(parent, node, next) {
  if (parent.moveBefore && node.parentNode === parent && parent.isConnected) parent.moveBefore(node, next);
  else parent.insertBefore(node, next);
}

/**
 * The longest rising subsequence by `from` (patience sorting).
 * @template {{from: number}} T
 * @param {readonly T[]} items
 */
function longestRise(items) {
  /** @type {{item: T, before: any}[]} the end of the best sequence of each length */
  const ends = [];
  for (const item of items) {
    let low = 0;
    for (let high = ends.length; low < high;) {
      const middle = (low + high) >> 1;
      if (/** @type {{item: T}} */ (ends[middle]).item.from < item.from) low = middle + 1;
      else high = middle;
    }
    ends[low] = { item, before: ends[low - 1] };
  }
  /** @type {T[]} */
  const rise = [];
  for (let end = ends.at(-1); end; end = end.before) rise.unshift(end.item);
  return rise;
}
