// feedback.js - what people said of answers, and the same as a file to learn from.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { confirm, toast } from "../lib/dialog.js";
import { h, icon, longText, put, visible } from "../lib/dom.js";
import { field, select } from "../lib/form.js";
import { plural, timeElement } from "../lib/format.js";

export const title = "Feedback";

const FORMATS = [
  ["supervised", "Supervised: corrections, and answers with a thumb up"],
  ["dpo", "dpo: a correction is better than the answer"],
  ["rft", "Reinforcement: prompts with the reference for a grader"],
];

export async function show(root, params) {
  const { signal, query, setQuery } = params;
  const list = h("div", { class: "stack" });
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "Show more");
  const { data: models } = await api.get("/v1/models", { signal });
  const model = select([["", "All models"], ...models.map((m) => [m.id, m.id])], query.model ?? "");
  let last = null;

  async function load(fresh) {
    const page = await api.page("/v1/feedback", { limit: 20, model: model.value, after: fresh ? undefined : last }, { signal });
    const cards = page.data.map((f) => card(f, () => load(true)));
    if (fresh) put(list, cards.length > 0 ? cards : nothing());
    else list.append(...cards);
    last = page.data.at(-1)?.id;
    more.hidden = !page.has_more;
  }

  model.addEventListener("change", () => {
    setQuery({ model: model.value });
    load(true);
  });
  more.addEventListener("click", () => load(false));
  await load(true);
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Feedback"), h("p", { class: "lead" }, "Thumbs, corrections and comments from the playground and from programs, with the prompt and the answer.")),
      h("div", { class: "actions" }, callButton(() => ({ path: "/v1/feedback", command: "hone feedback list" }))),
    ),
    exporter(model),
    h("section", { class: "section stack" }, h("div", { class: "fields" }, field("Of the model", model)), list, h("div", {}, more)),
  );
}

const nothing = () =>
  h("div", { class: "empty" }, h("h2", {}, "Nobody has said anything"), h("p", {}, "In the ", h("a", { href: "#/playground" }, "playground"), " each answer can be marked, corrected and commented on. Programs do it by POST /v1/feedback."));

function exporter(model) {
  const format = select(FORMATS, "supervised");
  const query = () => ({ format: format.value, model: model.value });
  const rows = async () => {
    const response = await api.open("/v1/feedback/export", { query: query() });
    return { n: Number(response.headers.get("hone-rows")), content: await response.blob() };
  };
  const save = h("button", { type: "button", class: "quiet" }, icon("download"), "Download");
  const keep = h("button", { type: "button", class: "primary" }, "Make a training file");
  save.addEventListener("click", async () => {
    const { n, content } = await rows();
    if (n === 0) return toast("There is no row of that kind yet.");
    api.save(content, `feedback-${format.value}.jsonl`);
  });
  keep.addEventListener("click", async () => {
    const { n, content } = await rows();
    if (n === 0) return toast("There is no row of that kind yet.");
    const form = new FormData();
    form.append("purpose", "fine-tune");
    form.append("file", content, `feedback-${format.value}.jsonl`);
    const made = await api.upload("/v1/files", form);
    toast(`${plural(n, "row")} in ${made.filename} (${made.id}).`);
  });
  return h("section", { class: "card pad stack", "aria-label": "Export" }, h("h2", {}, "Learn from it"), h("div", { class: "fields wide" }, field("As rows for", format)), h("p", { class: "actions" }, keep, save, callButton(() => ({ path: "/v1/feedback/export", query: query(), command: `hone feedback export --format ${format.value}` }), "Call")));
}

function card(f, changed) {
  const drop = h("button", { type: "button", class: "bare", title: "Delete", "aria-label": `Delete the feedback on ${f.object_id}` }, icon("trash"));
  drop.addEventListener("click", async () => {
    if (!(await confirm({ title: "Delete this feedback?", text: "What was said, and the prompt and answer beside it, will be gone for good.", action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/feedback/${f.id}` })) }))) return;
    await api.del(uri`/v1/feedback/${f.id}`);
    toast("The feedback is deleted.");
    await changed();
  });
  const rating = f.rating && h("span", { class: f.rating === "up" ? "chip good" : "chip bad" }, icon(f.rating), f.rating === "up" ? "good" : "bad");
  return h(
    "article",
    { class: "card" },
    h("header", { class: "bar" }, h("p", {}, rating, " ", h("span", { dir: "auto" }, visible(f.model)), " ", h("span", { class: "soft small" }, timeElement(f.created_at))), drop),
    h(
      "div",
      { class: "pad stack row-body" },
      f.prompt.map((m) => turn(String(m.role ?? "?"), m.content)),
      turn("answer", f.answer?.content ?? f.answer),
      f.correction !== null && turn("correction", f.correction?.content ?? f.correction),
      f.comment !== null && turn("comment", f.comment),
    ),
  );
}

const turn = (name, content) => h("div", { class: "turn" }, h("p", { class: "soft small", dir: "auto" }, visible(name)), longText(typeof content === "string" ? content : JSON.stringify(content, null, 2), { limit: 1200 }));
