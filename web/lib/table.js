// table.js - rows as a table that is read by keyboard and screen readers, sorted by its heads, and becomes cards where the screen is narrow.
//
//   table({caption, columns, rows, key, empty, sort, more})
//        columns  [{name, label, cell: (row) => node or text, sort: (row) => value, number: true, head: true, grow: true, wide: true}]
//                 head: the row's name (a <th>); number: right-aligned; grow: takes the room; wide: left out where the screen is narrow
//        key      (row) => a name that stays when the rows are shown anew
//        empty    what stands there without rows: a node that says what to do next
//        sort     {name, down}   at the beginning
//        more     async () => void: "Show more" below
//   returns {element, update(rows, {more})}

import { h, put } from "./dom.js";

const compare = (a, b) => (a === null || a === undefined ? 1 : b === null || b === undefined ? -1 : a < b ? -1 : a > b ? 1 : 0);

export function table({ caption, columns, rows = [], empty = null, sort = null, more = null, className = "" }) {
  const shown = columns.filter(Boolean);
  const body = h("tbody", {});
  const nothing = h("div", { class: "empty", hidden: true }, empty);
  const heads = shown.map(head);
  const grid = h("table", { class: `rows ${className}` }, h("caption", { class: "sr-only" }, caption), h("thead", {}, h("tr", {}, heads)), body);
  const box = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, grid);
  const button = h("button", { type: "button", class: "quiet", hidden: true }, "Show more");
  let order = sort;
  let current = rows;

  function head(column) {
    const label = column.sort
      ? h("button", { type: "button", class: "sorter", on: { click: () => turn(column) } }, column.label)
      : column.label ?? "";
    return h("th", { scope: "col", class: classes(column) }, column.hideLabel ? h("span", { class: "sr-only" }, column.label) : label);
  }

  function turn(column) {
    order = { name: column.name, down: order?.name === column.name ? !order.down : Boolean(column.number) };
    show();
  }

  function cell(column, row) {
    const content = column.cell ? column.cell(row) : row[column.name];
    const name = column.label && !column.hideLabel ? { "data-label": column.label } : {};
    return column.head ? h("th", { scope: "row", class: classes(column), ...name }, content) : h("td", { class: classes(column), ...name }, content);
  }

  function show() {
    const column = shown.find((c) => c.name === order?.name);
    const sorted = column?.sort ? [...current].sort((a, b) => (order.down ? -1 : 1) * compare(column.sort(a), column.sort(b))) : current;
    shown.forEach((c, i) => c.sort && heads[i].setAttribute("aria-sort", c !== column ? "none" : order.down ? "descending" : "ascending"));
    put(body, sorted.map((row) => h("tr", {}, shown.map((c) => cell(c, row)))));
    box.hidden = current.length === 0;
    nothing.hidden = current.length > 0;
    button.hidden = !more;
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await more?.();
    } finally {
      button.disabled = false;
    }
  });
  show();
  return {
    element: h("div", { class: "table" }, box, nothing, button),
    update(next, options = {}) {
      current = next;
      if ("more" in options) more = options.more;
      show();
    },
  };
}

const classes = (c) => [c.number && "num", c.grow && "grow", c.wide && "wide-only", c.actions && "actions"].filter(Boolean).join(" ") || null;
