// file.js - one file: what it is, and its rows, as a job of a method reads them with the first mistakes, or as they stand.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { errorBox } from "../lib/dialog.js";
import { h, icon, longText, put, visible } from "../lib/dom.js";
import { foundChip, mistakeList, rowCard } from "../lib/file_rows.js";
import { field, select } from "../lib/form.js";
import { bytes, plural, timeElement } from "../lib/format.js";
import { METHODS } from "../lib/jobs.js";
import { remove } from "./files.js";

export const title = "File";

const MOST_BYTES = 400000; // of the beginning that is looked at
const MOST_ROWS = 20;
const AS_TEXT = "text";
const VIEWS = [["", "A job of the first row\u2019s method"], ...Object.entries(METHODS).map(([method, label]) => [method, `A job: ${label}`]), [AS_TEXT, "Nobody: as they stand"]];

export async function show(root, params) {
  const { id, signal } = params;
  const file = await api.get(uri`/v1/files/${id}`, { signal });
  const isView = VIEWS.some(([name]) => name === params.query.as);
  const view = select(VIEWS, isView ? params.query.as : file.purpose === "fine-tune" ? "" : AS_TEXT);
  const place = h("div", {});
  const call = () => (view.value === AS_TEXT ? { path: uri`/v1/files/${id}/content`, python: `print(client.files.content("${file.id}").text)` } : { path: uri`/v1/files/${id}/rows`, query: { method: view.value } });
  let turn = 0;

  async function look() {
    const mine = ++turn;
    put(place, h("p", { class: "soft", role: "status" }, "Reading the rows \u2026"));
    try {
      const shown = await (view.value === AS_TEXT ? asText(id, signal) : asRows(id, view.value, signal));
      if (mine === turn) put(place, shown);
    } catch (e) {
      if (e.name !== "AbortError" && mine === turn) put(place, errorBox(e));
    }
  }
  view.addEventListener("change", () => {
    params.setQuery({ as: view.value });
    look();
  });
  const save = h("button", { type: "button", class: "primary", on: { click: () => api.download(uri`/v1/files/${id}/content`, file.filename) } }, icon("download"), "Download");
  const drop = h("button", { type: "button", class: "danger" }, "Delete");
  drop.addEventListener("click", async () => (await remove(file)) && params.go("files"));
  document.title = `${file.filename} \u2013 hone`;
  put(
    root,
    h("p", { class: "crumb" }, h("a", { href: "#/files" }, "Files")),
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", { dir: "auto" }, visible(file.filename)), h("p", { class: "lead" }, `${bytes(file.bytes)}, uploaded `, timeElement(file.created_at), ", ", h("span", { class: "mono" }, file.id))),
      h("div", { class: "actions" }, save, drop, callButton(call)),
    ),
    h("div", { class: "fields wide" }, field("Rows as they are read by", view)),
    place,
  );
  await look();
}

// ---- as a job reads them ----

async function asRows(id, method, signal) {
  const page = (after) => api.get(uri`/v1/files/${id}/rows`, { query: { method, after, limit: MOST_ROWS, mistakes: MOST_ROWS }, signal });
  const look = await page();
  const list = h("div", { class: "stack" }, look.data.map((r) => rowCard(r, "card")));
  const more = h("button", { type: "button", class: "quiet", hidden: !look.has_more }, "Show more");
  let last = look.last_id;
  more.addEventListener("click", async () => {
    more.disabled = true;
    const next = await page(last).catch((e) => put(wrong, errorBox(e)) && null);
    more.disabled = false;
    if (!next) return;
    last = next.last_id ?? last;
    list.append(...next.data.map((r) => rowCard(r, "card")));
    more.hidden = !next.has_more;
  });
  const wrong = h("div", {});
  return h(
    "section",
    { class: "section stack", "aria-label": "Rows" },
    h("h2", {}, `Rows for the method ${look.method}`),
    h("p", { role: "status" }, foundChip(look)),
    look.n_mistakes > 0 && h("div", { class: "notice error" }, h("p", {}, h("strong", {}, "A job of this method would fail at the first of these.")), mistakeList(look)),
    list,
    wrong,
    h("div", {}, more),
  );
}

// ---- as they stand ----

async function asText(id, signal) {
  const { lines, whole } = await beginning(id, signal);
  return rows(lines, whole);
}

// The first lines, without loading what may be gigabytes.
async function beginning(id, signal) {
  const response = await api.open(uri`/v1/files/${id}/content`, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let whole = false;
  while (!whole && text.length < MOST_BYTES && text.split("\n").length <= MOST_ROWS) {
    const { value, done } = await reader.read();
    whole = done;
    text += value ?? "";
  }
  reader.cancel().catch(() => {});
  const lines = text.split("\n");
  if (whole && lines.at(-1) === "") lines.pop();
  return { lines: lines.slice(0, MOST_ROWS), whole: whole && lines.length <= MOST_ROWS };
}

function rows(lines, whole) {
  if (lines.length === 0 || (lines.length === 1 && lines[0] === "")) return h("div", { class: "empty" }, h("h2", {}, "This file is empty"), h("p", {}, "Delete it, and upload one with a case on each line."));
  return h(
    "section",
    { class: "section stack", "aria-label": "Rows" },
    h("h2", {}, whole ? plural(lines.length, "row") : `The first ${plural(lines.length, "row")}`),
    lines.map((line, i) => h("article", { class: "card" }, h("header", { class: "soft small" }, `Line ${i + 1}`), h("div", { class: "pad stack row-body" }, row(line)))),
  );
}

function row(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    return longText(line, { limit: 2000, className: "text mono" });
  }
  const { messages, ...rest } = value !== null && typeof value === "object" && !Array.isArray(value) ? value : { value };
  return [
    Array.isArray(messages) && messages.map((m) => h("div", { class: "turn" }, h("p", { class: "soft small" }, String(m?.role ?? "?")), longText(textOf(m?.content ?? m), { limit: 1200 }))),
    !Array.isArray(messages) && messages !== undefined && part("messages", messages),
    Object.entries(rest).map(([name, v]) => part(name, v)),
  ];
}

const part = (name, v) => h("div", { class: "turn" }, h("p", { class: "soft small mono", dir: "auto" }, visible(name)), longText(textOf(v), { limit: 1200, className: "text mono" }));
const textOf = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));
