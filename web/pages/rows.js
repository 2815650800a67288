// rows.js - the rows of a run's files, and what became of each: where the model gained, where it lost, what is still hard.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put, svg, visible } from "../lib/dom.js";
import { count, cut, number } from "../lib/format.js";
import { jobHead, nameOf } from "../lib/jobs.js";
import { promptText, referenceOf } from "../lib/rollout.js";
import { table } from "../lib/table.js";

export const title = "Rows";

const ORDERS = [["gain", "Gained most first"], ["loss", "Lost most first"], ["hardest", "Hardest now first"], ["item", "As in the file"]];
const PAGE = 25;

export async function show(root, params) {
  const path = uri`/v1/fine_tuning/jobs/${params.id}/items`;
  const job = await api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal: params.signal });
  document.title = `Rows, ${nameOf(job)} \u2013 hone`;
  const select = (id, options, value) => {
    const s = h("select", { id }, options.map(([v, text]) => h("option", { value: v }, text)));
    s.value = options.some(([v]) => v === value) ? value : options[0][0];
    s.addEventListener("change", load);
    return s;
  };
  const order = select("order", ORDERS, params.query.order);
  const split = select("split", [["train", "Training"], ["valid", "Validation"]], params.query.split);
  const status = h("p", { class: "soft", role: "status" });
  let rows = [];
  let shared = 0; // characters with which the prompts of all rows begin: the system's, mostly
  const asked = (x) => (shared > 0 ? `\u2026 ${promptText(x.prompt).slice(shared)}` : promptText(x.prompt));
  const list = table({
    caption: "Rows",
    columns: [
      { name: "item", label: "Row", head: true, cell: (x) => h("a", { href: `#/jobs/${encodeURIComponent(job.id)}/rows/${x.split}/${x.item}` }, `Row\u00a0${x.item}`) },
      { name: "prompt", label: "Prompt", grow: true, wide: true, cell: (x) => [h("span", { class: "one-line", dir: "auto" }, visible(cut(asked(x), 160))), h("span", { class: "one-line soft small", dir: "auto" }, visible(cut(referenceOf(x) ?? "", 100)))] },
      { name: "curve", label: "Mean reward", cell: curve },
      { name: "first", label: "First", number: true, cell: (x) => number(x.first_mean_reward, 2) },
      { name: "last", label: "Last", number: true, cell: (x) => number(x.last_mean_reward, 2) },
      { name: "gain", label: "Change", number: true, cell: (x) => change(x.last_mean_reward - x.first_mean_reward) },
      { name: "n", label: "Answers", number: true, wide: true, cell: (x) => count(x.n_answers) },
    ],
    empty: [h("h2", {}, "No rows yet"), h("p", {}, "Each row of the file stands here once it has been answered.")],
  });
  const query = () => ({ order: order.value, split: split.value });

  async function fetchPage(after) {
    for (;;) {
      const page = await api.page(uri`/v1/fine_tuning/jobs/${params.id}/items`, { ...query(), limit: PAGE, after, wait_ms: 1000 }, { signal: params.signal });
      if (page.complete) return page;
      put(status, "Reading the answers of this run for the first time\u2026");
    }
  }
  async function showMore() {
    const page = await fetchPage(rows.at(-1)?.id);
    rows = [...rows, ...page.data];
    shared = sharedWords(rows.map((x) => promptText(x.prompt)));
    list.update(rows, { more: page.has_more ? showMore : null });
    put(status, rows.length ? `${count(rows.length)} of ${count(page.n_matching)} rows` : "");
  }
  async function load() {
    params.setQuery({ order: order.value === "gain" ? null : order.value, split: split.value === "train" ? null : split.value });
    rows = [];
    await showMore();
  }
  await load();
  put(
    root,
    jobHead(job, "rows", [callButton(() => ({ path, query: query() }))], h("p", { class: "lead" }, "Which rows of your data the model learned, and which it did not.")),
    h("div", { class: "filters" }, h("div", { class: "field" }, h("label", { htmlFor: "order" }, "Order"), order), h("div", { class: "field" }, h("label", { htmlFor: "split" }, "File"), split)),
    status,
    list.element,
  );
}

// How long the whole words are that all texts begin with; 0 where a text is nothing but that.
function sharedWords(texts) {
  if (texts.length < 2) return 0;
  let n = 0;
  while (n < texts[0].length && texts.every((t) => t[n] === texts[0][n])) n++;
  const words = texts[0].slice(0, n).search(/\S*$/);
  return texts.some((t) => t.length === words) ? 0 : words;
}

const change = (x) => h("span", { class: `advantage ${x > 0 ? "up" : x < 0 ? "down" : ""}` }, `${x > 0 ? "\u25b2 +" : x < 0 ? "\u25bc " : ""}${number(Math.round(100 * x) / 100, 2)}`);

// A small curve over the steps; the figures stand beside it.
function curve(x) {
  const s = x.steps;
  if (s.length < 2) return h("span", { class: "soft small" }, "once");
  const lowest = Math.min(...s.map((p) => p.mean_reward), 0);
  const highest = Math.max(...s.map((p) => p.mean_reward), 1);
  const X = (step) => (100 * (step - s[0].step)) / Math.max(1, s.at(-1).step - s[0].step);
  const Y = (r) => 22 - (20 * (r - lowest)) / Math.max(1e-9, highest - lowest);
  const points = s.map((p) => `${X(p.step).toFixed(1)},${Y(p.mean_reward).toFixed(1)}`).join(" ");
  return svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", role: "img", "aria-label": `${s.length} times, from ${number(x.first_mean_reward, 2)} to ${number(x.last_mean_reward, 2)}` }, svg("polyline", { points }));
}
