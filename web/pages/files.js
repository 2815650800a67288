// files.js - the files of the project: drop new ones, look at their rows, take them away.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { confirm, toast } from "../lib/dialog.js";
import { h, icon, put, visible } from "../lib/dom.js";
import { takesFiles } from "../lib/form.js";
import { bytes, count, plural, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Files";

const PURPOSES = {
  "fine-tune": "Rows to train on",
  evals: "Rows to evaluate on",
  "fine-tune-results": "Results of a job",
  user_data: "Other data",
};
const purposeOf = (p) => PURPOSES[p] ?? p;
const PAGE = 100;

export async function show(root, params) {
  let files = [];
  let more = false;
  const list = table({
    caption: "Files",
    columns: [
      { name: "filename", label: "Name", head: true, grow: true, sort: (f) => f.filename.toLowerCase(), cell: nameOf },
      { name: "purpose", label: "Kind", sort: (f) => purposeOf(f.purpose), cell: (f) => purposeOf(f.purpose) },
      { name: "bytes", label: "Size", number: true, sort: (f) => f.bytes, cell: (f) => bytes(f.bytes) },
      { name: "created_at", label: "Uploaded", sort: (f) => f.created_at, cell: (f) => timeElement(f.created_at) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: buttons },
    ],
    empty: [h("h2", {}, "No files yet"), h("p", {}, "Drop a file of cases above: JSON lines, one case a line. Each line holds the messages that the model is given, and what a grader compares its answer with.")],
  });
  const total = h("p", { class: "lead", role: "status" });

  function nameOf(f) {
    return [h("a", { href: `#/files/${encodeURIComponent(f.id)}`, dir: "auto" }, visible(f.filename)), h("span", { class: "id" }, f.id)];
  }

  function buttons(f) {
    const save = h("button", { type: "button", class: "bare", title: "Download", "aria-label": `Download ${f.filename}` }, icon("download"));
    const drop = h("button", { type: "button", class: "bare", title: "Delete", "aria-label": `Delete ${f.filename}` }, icon("trash"));
    save.addEventListener("click", () => api.download(uri`/v1/files/${f.id}/content`, f.filename));
    drop.addEventListener("click", () => remove(f).then((gone) => gone && load()));
    return [save, drop];
  }

  async function load() {
    const page = await api.page("/v1/files", { limit: PAGE }, { signal: params.signal });
    files = page.data;
    more = page.has_more;
    showAll();
  }

  async function loadMore() {
    const page = await api.page("/v1/files", { limit: PAGE, after: files.at(-1).id }, { signal: params.signal });
    files = [...files, ...page.data];
    more = page.has_more;
    showAll();
  }

  function showAll() {
    list.update(files, { more: more ? loadMore : null });
    const size = files.reduce((sum, f) => sum + f.bytes, 0);
    put(total, files.length === 0 ? "Cases to train and to evaluate on, as JSON lines." : `${more ? `The newest ${count(files.length)} files` : plural(files.length, "file")}, ${bytes(size)} together.`);
  }

  await load();
  put(
    root,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Files"), total), h("div", { class: "actions" }, callButton(() => ({ path: "/v1/files", python: "for file in client.files.list():\n    print(file.id, file.filename, file.bytes)" })))),
    uploader(load, params.signal),
    h("section", { class: "section", "aria-label": "All files" }, list.element),
  );
}

// Asks, then deletes; false where it was not wanted. file.js uses it, too.
export async function remove(f) {
  const sure = await confirm({
    title: "Delete this file?",
    text: h("p", { dir: "auto" }, `${visible(f.filename)} (${bytes(f.bytes)}) will be gone for good. Jobs that have begun keep what they read.`),
    action: "Delete",
    danger: true,
    call: callButton(() => ({ method: "DELETE", path: uri`/v1/files/${f.id}`, python: `client.files.delete("${f.id}")` })),
  });
  if (!sure) return false;
  await api.del(uri`/v1/files/${f.id}`);
  toast("The file is deleted.");
  return true;
}

function uploader(done, signal) {
  const input = h("input", { type: "file", multiple: true, class: "sr-only", tabindex: "-1", "aria-label": "Files to upload" });
  const purpose = h("select", { id: "purpose" }, ["fine-tune", "evals", "user_data"].map((p) => h("option", { value: p }, PURPOSES[p])));
  const going = h("div", { class: "stack" });
  const choose = h("button", { type: "button", class: "primary", on: { click: () => input.click() } }, icon("upload"), "Choose files");
  const box = h(
    "div",
    { class: "drop" },
    h("div", {}, h("h2", {}, "Drop files here"), h("p", { class: "soft" }, "JSON lines, one case a line.")),
    h("div", { class: "field" }, h("label", { htmlFor: "purpose" }, "What is in them"), purpose),
    h("div", { class: "actions" }, choose, callButton(() => uploadCall(purpose.value), "Call")),
    input,
  );
  const take = async (chosen) => {
    await Promise.all([...chosen].map((file) => send(file, purpose.value, going, signal)));
    input.value = "";
    await done();
  };
  takesFiles(box, input, take);
  return h("div", { class: "stack" }, box, going);
}

const uploadCall = (purpose) => ({
  method: "POST",
  path: "/v1/files",
  form: { purpose, file: "@cases.jsonl" },
  python: `file = client.files.create(file=open("cases.jsonl", "rb"), purpose="${purpose}")\nprint(file.id)`,
});

async function send(file, purpose, place, signal) {
  const bar = h("progress", { max: "1", value: 0, "aria-label": `Upload of ${file.name}` });
  const line = h("div", { class: "card pad stack" }, h("p", { dir: "auto" }, `${file.name}, ${bytes(file.size)}`), bar);
  place.append(line);
  const form = new FormData();
  form.append("purpose", purpose);
  form.append("file", file, file.name);
  try {
    const made = await api.upload("/v1/files", form, { progress: (x) => (bar.value = x), signal });
    toast(`${made.filename} is uploaded.`);
  } catch (e) {
    if (e.name !== "AbortError") toast(`${file.name}: ${e.message}`, "error");
  } finally {
    line.remove();
  }
}
