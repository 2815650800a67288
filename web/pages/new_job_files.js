// new_job_files.js - a file for a job: dropped, chosen from the disk, or one that is there; its rows and first mistakes at once.
//
//   fileBox({label, about, name, needed, files, state, method, changed, signal, switchMethod, told, partner})
//        an element with `check()`, which looks at the rows anew, `accept(file)`, which takes one that is uploaded, and `drop(id)`, after which
//        that one is not chosen. state is the caller's {id, look, error, busy, table}; id is the file, look what GET /v1/files/{id}/rows said of it by the method.
//        told() is called where a table was opened or left; partner(): the box that takes the rows kept back, where this one takes tables, too (new_job_table.js)
//   fieldsOf(look)               keys of the rows that a grader may compare with, the likeliest first

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { announce, errorBox } from "../lib/dialog.js";
import { h, icon, put, visible } from "../lib/dom.js";
import { foundChip, mistakeList, rowCard } from "../lib/file_rows.js";
import { takesFiles } from "../lib/form.js";
import { bytes, cut, plural } from "../lib/format.js";
import { WORKBOOK, kindOf } from "../lib/table_file.js";
import { openTable, tablePanel } from "./new_job_table.js";

const MOST_MISTAKES = 10;
const SHOWN_ROWS = 3;
const NOT_FOR_GRADERS = new Set(["messages", "tools", "parallel_tool_calls", "functions"]);

export function fieldsOf(look) {
  const seen = new Map();
  for (const { row } of look?.data ?? [])
    for (const [name, v] of Object.entries(row ?? {})) if (!NOT_FOR_GRADERS.has(name) && /^[\p{L}\p{M}\p{N}_-]+$/u.test(name)) seen.set(name, (seen.get(name) ?? 0) + (typeof v === "string" || typeof v === "number" ? 2 : 1));
  const likely = (name) => (/answer|reference|solution|label|target|expected|gold/i.test(name) ? 1 : 0);
  return [...seen.keys()].sort((a, b) => likely(b) - likely(a) || seen.get(b) - seen.get(a));
}

export function fileBox({ label, about, name, needed, files, state, method, changed, signal, switchMethod, told, partner = null }) {
  const id = `file-${name}`;
  const input = h("input", { type: "file", class: "sr-only", tabindex: "-1", "aria-label": `${label}: a file of this computer` });
  const choose = h("button", { type: "button", class: "quiet", id: `${id}-choose`, on: { click: () => input.click() } }, icon("upload"), "Choose a file of this computer");
  const select = h("select", { id });
  const found = h("div", { class: "stack" }); // what is found is announced
  const sheet = h("div", { class: "stack" }); // a table, until its rows are used
  let reading = 0;
  const box = h(
    "div",
    { class: "drop", role: "group", "aria-label": label },
    h("div", {}, h("h3", {}, label), h("p", { class: "soft" }, about), h("p", { class: "soft small" }, partner ? "Drop it here, or choose one: JSON lines, or a table (.csv, .tsv), which is made into them here." : "Drop it here, or choose one.")),
    h("div", { class: "field" }, h("label", { htmlFor: id }, "One that is here"), select),
    h("div", { class: "actions" }, choose),
    input,
  );

  function list() {
    const known = files.some((f) => f.id === state.id);
    put(
      select,
      h("option", { value: "", selected: !state.id }, needed ? "Choose \u2026" : "None"),
      state.id && !known && h("option", { value: state.id, selected: true }, state.id),
      files.map((f) => h("option", { value: f.id, selected: f.id === state.id }, `${cut(f.filename, 60)} (${bytes(f.bytes)})`)),
    );
  }

  async function send(file, place) {
    const bar = h("progress", { max: "1", value: 0, "aria-label": `Upload of ${file.name}` });
    put(place, h("p", { dir: "auto" }, `${file.name}, ${bytes(file.size)}`), bar);
    const form = new FormData();
    form.append("purpose", "fine-tune");
    form.append("file", file, file.name);
    return api.upload("/v1/files", form, { progress: (x) => (bar.value = x), signal });
  }

  async function take(file) {
    if (!file) return;
    input.value = "";
    const kind = kindOf(file.name);
    if (kind === "table" && partner) return takeTable(file);
    leaveTable();
    if (kind === "workbook") return put(sheet, errorBox(WORKBOOK));
    if (kind === "table") return put(sheet, errorBox("A table is taken by the box of the training file, which keeps some of its rows back for this one."));
    try {
      accept(await send(file, found));
    } catch (e) {
      if (e.name !== "AbortError") put(found, errorBox(e));
    }
  }

  function accept(made) {
    files.unshift(made);
    pick(made.id);
  }

  function drop(file) {
    if (file && file === state.id) pick("");
  }

  function pick(to) {
    Object.assign(state, { id: to, look: null, error: null });
    list();
    changed();
    check();
  }

  // ---- a table ----

  async function takeTable(file) {
    leaveTable();
    const mine = reading;
    put(sheet, h("p", { class: "soft" }, "Reading the table \u2026"));
    try {
      const table = await openTable(file);
      if (mine !== reading || signal.aborted) return;
      state.table = table;
      showTable();
      announce(`${plural(table.table.rows.length, "row")}, ${plural(table.table.heads.length, "column")}. What the model is asked is put together below.`);
    } catch (e) {
      if (mine === reading) put(sheet, errorBox(e));
    }
    told();
  }

  function leaveTable() {
    reading++;
    state.table = null;
    showTable();
    told();
  }

  // The panel; where its rows are in use a way back to it; nothing where there is no table.
  function showTable() {
    const open = Boolean(state.table?.open);
    found.hidden = open;
    const again = () => {
      state.table.open = true;
      showTable();
      told();
      sheet.querySelector("textarea")?.focus();
    };
    if (open) put(sheet, tablePanel({ state: state.table, method: method(), signal, use: useTable, close: closeTable }));
    else put(sheet, state.table && h("div", { class: "actions" }, h("button", { type: "button", class: "quiet", on: { click: again } }, `Change what is made of ${cut(visible(state.table.name), 60)}`)));
  }

  async function useTable(parts, place) {
    const made = await send(parts.train, place);
    const kept = parts.valid && (await send(parts.valid, place));
    const before = state.table.kept; // what the same table kept back when it was used last
    Object.assign(state.table, { open: false, kept: kept?.id });
    showTable();
    accept(made);
    if (kept) partner().accept(kept);
    else partner().drop(before);
    select.focus();
  }

  function closeTable() {
    leaveTable();
    choose.focus();
  }

  async function check() {
    const mine = state.id;
    if (!mine) {
      put(found);
      return;
    }
    state.busy = true;
    if (!state.look) put(found, h("p", { class: "soft" }, "Reading the rows \u2026"));
    try {
      const by = method();
      const look = await api.get(uri`/v1/files/${mine}/rows`, { query: { method: by, limit: 20, mistakes: MOST_MISTAKES }, signal });
      if (mine !== state.id || by !== method()) return;
      Object.assign(state, { look, error: null, busy: false });
      show();
      announce(look.n_mistakes ? `${plural(look.n_mistakes, "mistake")} in the ${label.toLowerCase()}.` : `${plural(look.n_rows, "row")}, no mistake.`);
    } catch (e) {
      if (e.name === "AbortError" || mine !== state.id) return;
      Object.assign(state, { look: null, error: e, busy: false });
      put(found, errorBox(e));
    }
    changed();
  }

  function show() {
    const { look } = state;
    put(
      found,
      h(
        "div",
        { class: "actions" },
        foundChip(look),
        callButton(() => ({ path: uri`/v1/files/${look.file_id}/rows`, query: { method: look.method } }), "Call"),
      ),
      look.n_mistakes > 0 && mistakes(look),
      look.data.length > 0 && preview(look),
    );
  }

  function mistakes(look) {
    const other = otherMethod(look);
    return h(
      "div",
      { class: "notice error", role: "alert" },
      h("p", {}, h("strong", {}, "A job would fail at the first of these. "), "Mend the file and choose it again."),
      other && h("p", {}, `The rows look like those of method ${other}. `, h("button", { type: "button", class: "quiet small", on: { click: () => switchMethod(other) } }, `Use method ${other}`)),
      mistakeList(look),
    );
  }

  function preview(look) {
    return h(
      "details",
      {},
      h("summary", {}, look.n_rows > SHOWN_ROWS ? `The first ${SHOWN_ROWS} rows as the job reads them` : "The rows as the job reads them"),
      h("div", { class: "stack" }, look.data.slice(0, SHOWN_ROWS).map((r) => rowCard(r))),
    );
  }

  takesFiles(box, input, (chosen) => take(chosen[0]));
  select.addEventListener("change", () => {
    leaveTable();
    pick(select.value);
  });
  list();
  showTable();
  if (state.look) show();
  else if (state.error) put(found, errorBox(state.error));
  const element = h("div", { class: "stack" }, box, sheet, found);
  return Object.assign(element, { check, accept, drop });
}

// By what the server's own sentence says of the first mistake.
function otherMethod(look) {
  const says = look.mistakes[0]?.message.match(/that is a file for method (reinforcement|supervised|dpo)|files for (method supervised) end so/);
  return says ? says[1] ?? "supervised" : null;
}
