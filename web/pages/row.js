// row.js - one row of the data followed through training: its curve, and its answers at two steps side by side.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { lineChart } from "../lib/chart.js";
import { h, longText, put } from "../lib/dom.js";
import { number, plural } from "../lib/format.js";
import { jobHead, nameOf } from "../lib/jobs.js";
import { answerCard, promptText, referenceOf } from "../lib/rollout.js";

export const title = "Row";

const MOST = 100; // answers of a side

export async function show(root, params) {
  const { split, item } = params;
  const path = uri`/v1/fine_tuning/jobs/${params.id}/rollouts`;
  const [job, oldest] = await Promise.all([
    api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal: params.signal }),
    api.page(uri`/v1/fine_tuning/jobs/${params.id}/rollouts`, { split, item, order: "oldest", limit: 1, wait_ms: 5000 }, { signal: params.signal }),
  ]);
  document.title = `Row ${item}, ${nameOf(job)} \u2013 hone`;
  const head = jobHead(job, "rows", [callButton(() => ({ path, query: { split, item, order: "oldest" } }))], h("p", { class: "lead" }, `${split === "valid" ? "Validation row" : "Row"} ${item}, followed through training.`));
  if (oldest.data.length === 0) {
    put(root, head, h("div", { class: "empty" }, h("h2", {}, "This row has not been answered yet"), h("p", {}, "Come back when a step has reached it, or choose another."), h("a", { class: "button quiet", href: `#/jobs/${encodeURIComponent(job.id)}/rows` }, "All rows")));
    return;
  }
  const found = await findItem(params, split, item);
  const steps = found.steps;
  const first = oldest.data[0];
  const at = (name, otherwise) => (steps.some((s) => String(s.step) === params.query[name]) ? params.query[name] : String(otherwise));
  // a link from one answer names its step: beside it stands the last, or the first where it is the last
  const named = params.query.a && !params.query.b ? params.query.a : null;
  const right = steps.at(-1).step;
  // one step alone has nothing beside it
  const sides = steps.length === 1 ? [side("a", "Its", right)] : [
    side("a", "Left", named === String(right) ? steps[0].step : at("a", steps[0].step)),
    side("b", "Right", named === String(right) ? right : at("b", right)),
  ];
  const chart =
    steps.length > 1 &&
    (await lineChart({ label: "Mean reward of its answers", series: [{ name: "Mean reward", x: steps.map((s) => s.step), y: steps.map((s) => s.mean_reward), colour: split === "valid" ? "valid" : "train", points: steps.length < 80 }], format: (y) => number(y, 2), onPick: (step) => sides.at(-1).choose(step) }));

  function side(name, label, step) {
    const id = `side-${name}`;
    const choice = h("select", { id }, steps.map((s) => h("option", { value: String(s.step) }, `${s.step === 0 ? "Before training" : `Step ${s.step}`}, ${plural(s.n_answers, "answer")}, mean ${number(s.mean_reward, 2)}`)));
    choice.value = String(step);
    const order = h("select", { id: `${id}-order` }, [["best", "Best first"], ["worst", "Worst first"], ["longest", "Longest first"]].map(([v, text]) => h("option", { value: v }, text)));
    const list = h("div", { class: "stack" });
    const move = (by) => {
      const i = choice.selectedIndex + by;
      if (i < 0 || i >= steps.length) return;
      choice.selectedIndex = i;
      load();
    };
    async function load() {
      params.setQuery({ [name]: choice.value });
      const page = await api.page(uri`/v1/fine_tuning/jobs/${params.id}/rollouts`, { split, item, step: choice.value, order: order.value, limit: MOST, wait_ms: 2000 }, { signal: params.signal });
      put(list, page.data.map((r) => answerCard(job.id, r, { where: "row" })), page.has_more && h("p", { class: "soft" }, `The first ${MOST} of them.`));
    }
    choice.addEventListener("change", load);
    order.addEventListener("change", load);
    return {
      load,
      choose(s) {
        choice.value = String(s);
        return load();
      },
      element: h(
        "section",
        { class: "stack", "aria-label": `${label} side` },
        h("div", { class: "filters" }, h("div", { class: "field wide" }, h("label", { htmlFor: id }, `${label}: answers of`), choice), h("div", { class: "field" }, h("label", { htmlFor: `${id}-order` }, "Order"), order), h("div", { class: "actions" }, h("button", { type: "button", class: "quiet", "aria-label": `${label}: an earlier step`, on: { click: () => move(-1) } }, "\u2190"), h("button", { type: "button", class: "quiet", "aria-label": `${label}: a later step`, on: { click: () => move(1) } }, "\u2192"))),
        list,
      ),
    };
  }

  await Promise.all(sides.map((s) => s.load()));
  const reference = referenceOf(first);
  put(
    root,
    head,
    h("div", { class: "columns" }, h("section", { class: "card pad stack", "aria-label": "Prompt" }, h("h2", {}, "Prompt"), longText(promptText(first.prompt), { limit: 2000 }), reference && [h("h3", {}, "Reference"), longText(reference, { limit: 1000, className: "text mono" })]), chart ? chart.element : null),
    h("div", { class: "section columns sides" }, sides.map((s) => s.element)),
  );
  return () => chart && chart.destroy();
}

async function findItem(params, split, item) {
  const page = await api.page(uri`/v1/fine_tuning/jobs/${params.id}/items`, { split, item, wait_ms: 5000 }, { signal: params.signal });
  return page.data[0] ?? { steps: [] };
}
