// file_rows.js - rows of a file as a job reads them, and its mistakes: what GET /v1/files/{id}/rows said (`look`), as elements.
//
//   foundChip(look)        how many rows, how many mistakes
//   mistakeList(look)      the first mistakes with their lines, and how many more there are
//   rowView(row)           elements: who says what, then the row's other keys
//   rowCard(r, surface)    one row with its line's number; surface: its class, "well" or "card"

import { h, longText, put, visible } from "./dom.js";
import { sentence } from "./dialog.js";
import { bytes, count, cut, plural } from "./format.js";

export function foundChip(look) {
  const whole = look.complete ? "" : ` in the first ${bytes(look.bytes_read)} of ${bytes(look.bytes)}`;
  return look.n_mistakes === 0
    ? h("span", { class: "chip good" }, `${plural(look.n_rows, "row")}, no mistake${whole}`)
    : h("span", { class: "chip bad" }, `${plural(look.n_mistakes, "mistake")} in ${plural(look.n_rows + look.n_mistakes, "row")}${whole}`);
}

// The server's sentence names file and line, which stand before it here.
const plainly = (message) => visible(sentence(message.replace(/^file-[\w-]+(, line \d+)?:? ?/, "").replace(/at line 1, column/, "at column")));

export function mistakeList(look) {
  return [
    h(
      "ol",
      { class: "mistakes" },
      look.mistakes.map((m) =>
        h(
          "li",
          { class: "stack tight" },
          h("p", { dir: "auto" }, h("strong", {}, m.line === null ? "The file" : `Line ${count(m.line)}`), `: ${plainly(m.message)}`),
          m.text && longText(m.text, { limit: 200, className: "text mono" }),
        ),
      ),
    ),
    look.n_mistakes > look.mistakes.length && h("p", {}, `And ${count(look.n_mistakes - look.mistakes.length)} more.`),
  ];
}

export const rowCard = (r, surface = "well") => h("div", { class: `${surface} stack row-body` }, h("p", { class: "soft small" }, `Line ${r.line}`), r.row ? rowView(r.row) : longText(r.text, { limit: 500, className: "text mono" }));

const textOf = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));

function turn(name, v) {
  return h("div", { class: "turn" }, h("p", { class: "soft small", dir: "auto" }, visible(cut(name, 60))), longText(textOf(v), { limit: 600, className: typeof v === "string" ? "text" : "text mono" }));
}

const messagesView = (list) => (Array.isArray(list) ? list.map((m) => turn(String(m?.role ?? "?"), m?.tool_calls ? { content: m.content, tool_calls: m.tool_calls } : m?.content ?? m)) : []);

export function rowView(row) {
  const { messages, input, preferred_output: better, non_preferred_output: worse, ...rest } = row;
  return [
    messagesView(messages ?? input?.messages),
    better && messagesView(better).map((t) => (put(t.firstChild, "better"), t)),
    worse && messagesView(worse).map((t) => (put(t.firstChild, "worse"), t)),
    input !== undefined && !input?.messages && turn("input", input),
    Object.entries(rest).map(([name, v]) => turn(name, v)),
  ];
}
