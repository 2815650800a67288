// file.js - one file: what it is, and its first rows as text.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, icon, longText, put, visible } from "../lib/dom.js";
import { bytes, plural, timeElement } from "../lib/format.js";
import { remove } from "./files.js";

export const title = "File";

const MOST_BYTES = 400000; // of the beginning that is looked at
const MOST_ROWS = 20;

export async function show(root, params) {
  const path = `/v1/files/${encodeURIComponent(params.id)}`;
  const file = await api.get(path, { signal: params.signal });
  const { lines, whole } = await beginning(path + "/content", params.signal);
  const save = h("button", { type: "button", class: "primary", on: { click: () => api.download(path + "/content", file.filename) } }, icon("download"), "Download");
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
      h("div", { class: "actions" }, save, drop, callButton(() => ({ path: path + "/content", python: `print(client.files.content("${file.id}").text)` }))),
    ),
    rows(lines, whole),
  );
}

// The first lines, without loading what may be gigabytes.
async function beginning(path, signal) {
  const response = await api.open(path, { signal });
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
    !Array.isArray(messages) && messages !== undefined && field("messages", messages),
    Object.entries(rest).map(([name, v]) => field(name, v)),
  ];
}

const field = (name, v) => h("div", { class: "turn" }, h("p", { class: "soft small mono", dir: "auto" }, name), longText(textOf(v), { limit: 1200, className: "text mono" }));
const textOf = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 2));
