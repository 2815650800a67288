// dom.js - elements from plain calls. Whatever a model or a user wrote becomes text here, never markup.
//
//   h(tag, attributes, ...children)   an element; children are nodes, texts, numbers, lists of these, or null/false (nothing)
//   svg(tag, attributes, ...children) the same in SVG
//   put(element, ...children)         replaces what is in it
//   $(selector, root)                 the first that matches
//   icon(name)                        a small drawing beside a word
//   visible(text)                     the text with control and direction marks made visible: what a terminal or a line would obey is only shown
//   longText(text, options)           a block for a text of any length: direction of its own, cut after `limit` characters with a button for the rest
//
// Attributes: class, hidden, ... as in HTML; true sets an empty one, null and false none. on: {click: fn}. data: {name: value}.
// css: {"--share": ".5"} sets custom properties by the CSSOM, which the Content-Security-Policy allows. Properties that hold a value
// (value, checked, disabled, selected, indeterminate, open) are set as properties.

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "indeterminate", "open", "htmlFor", "readOnly", "multiple"]);
const SAFE_ADDRESS = /^(#|\/(?!\/)|blob:|data:image\/)/;

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) {
      if (PROPERTIES.has(name) && value === false) node[name] = false;
      continue;
    }
    if (name === "on") for (const [event, fn] of Object.entries(value)) node.addEventListener(event, fn);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "css") for (const [key, v] of Object.entries(value)) node.style.setProperty(key, v);
    else if (/^on/i.test(name) || name === "style" || name === "srcdoc") throw new Error(`${name} is not an attribute for h()`);
    else if ((name === "href" || name === "src") && !SAFE_ADDRESS.test(value)) throw new Error("an address of another place");
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  append(node, children);
  return node;
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

export const h = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
export const $ = (selector, root = document) => root.querySelector(selector);

export function put(node, ...children) {
  node.replaceChildren();
  append(node, children);
  return node;
}

const ICONS = {
  plus: "M12 5v14M5 12h14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  upload: "M12 20V9M7 13l5-5 5 5M5 4h14",
  up: "M7 11v9H4v-9zM7 11l4-7c2 0 3 1 2.500 3L13 10h6c1 0 2 1 1.700 2l-1.500 6c-.3 1.200-1 2-2.200 2H7",
  down: "M7 13V4H4v9zM7 13l4 7c2 0 3-1 2.500-3L13 14h6c1 0 2-1 1.700-2l-1.500-6C18.900 4.800 18.200 4 17 4H7",
  close: "M6 6l12 12M18 6L6 18",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5",
  more: "M6 9l6 6 6-6",
};

export const icon = (name) => svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

// Control characters get their pictures (U+2400 ...), marks of direction their code points; tab and newline are as they are.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

export function visible(text) {
  return String(text).replace(HIDDEN, (c) => {
    const code = c.charCodeAt(0);
    if (code === 13) return "";
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}

export function longText(text, { limit = 4000, tag = "div", className = "text", label = null } = {}) {
  const whole = String(text ?? "");
  const block = h(tag, { class: className, dir: "auto", ...(label ? { "aria-label": label, role: "group" } : {}) });
  let shown = 0;
  const grow = (most) => {
    const end = Math.min(whole.length, shown + most);
    block.append(document.createTextNode(visible(whole.slice(shown, end))));
    shown = end;
  };
  grow(limit);
  if (shown >= whole.length) return block;
  for (const [name, value] of Object.entries({ tabindex: "0", role: "region", "aria-label": label ?? "A long text" })) block.setAttribute(name, value);
  // Pieces of 100,000 characters: a browser lays out a line of a megabyte, but not at once.
  const more = h("button", { type: "button", class: "quiet small" });
  const say = () => (more.textContent = `Show more (${(whole.length - shown).toLocaleString("en")} characters are left)`);
  more.addEventListener("click", () => {
    grow(100000);
    if (shown >= whole.length) more.remove();
    else say();
  });
  say();
  return h("div", { class: "long" }, block, more);
}
