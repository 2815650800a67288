// eval.js - an eval: its runs as they go, then models side by side, with intervals, a paired test, and each item's answers.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { csv, figures, gather, pairs } from "../lib/comparison.js";
import { confirm, dialog, errorBox, toast } from "../lib/dialog.js";
import { h, icon, longText, put, visible } from "../lib/dom.js";
import { field, input, select } from "../lib/form.js";
import { count, cut, number, percent, plural, timeElement } from "../lib/format.js";
import { intervalPlot } from "../lib/plot.js";
import { mean, pairedPasses, pairedScores, winsAndLosses } from "../lib/statistics.js";
import { table } from "../lib/table.js";

export const title = "Eval";

const EVERY_MS = 2000;
const SHOWN_ITEMS = 100;
const goesOn = (run) => run.status === "queued" || run.status === "in_progress";
const WORDS = { queued: ["chip", "waits"], in_progress: ["chip live", "is asked"], completed: ["chip good", "done"], failed: ["chip bad", "failed"], canceled: ["chip", "cancelled"] };

export async function show(root, params) {
  const { signal, go } = params;
  const one = await api.get(uri`/v1/evals/${params.id}`, { signal });
  document.title = `${visible(one.name || "Eval")} \u2013 hone`;
  const ranking = one.metadata?.ranked && one.metadata?.reference ? one.metadata : null;
  const runsPlace = h("div", { class: "stack" });
  const result = h("div", {});
  const criterion = select(one.testing_criteria.map((c, i) => [String(i), c.name || `Grader ${i + 1}`]), "0");
  const items = new Map();
  let runs = [];
  let last = "";
  let timer = null;
  let end = null;

  const drop = h("button", { type: "button", class: "danger" }, "Delete");
  drop.addEventListener("click", async () => {
    if (!(await confirm({ title: "Delete this eval?", text: "It and all of its runs will be gone for good.", action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/evals/${params.id}` })) }))) return;
    await api.del(uri`/v1/evals/${params.id}`);
    toast("The eval is deleted.");
    go("evals");
  });

  const heading = h("h1", { dir: "auto" }, visible(one.name || "Eval"));
  const named = (next) => {
    one.name = next.name;
    put(heading, visible(one.name || "Eval"));
    document.title = `${visible(one.name || "Eval")} \u2013 hone`;
  };
  const name = h("button", { type: "button", class: "quiet", on: { click: () => rename(one, named) } }, "Rename");

  async function load() {
    clearTimeout(timer);
    runs = await api.all(uri`/v1/evals/${params.id}/runs`, { order: "asc" }, 1000);
    if (signal.aborted) return;
    const told = JSON.stringify(runs);
    if (told !== last) put(runsPlace, runTable(runs, params.id, load)); // what is as it was keeps the focus
    last = told;
    let news = false;
    for (const id of items.keys())
      if (!runs.some((run) => run.id === id)) {
        items.delete(id);
        news = true;
      }
    for (const run of runs)
      if (run.status === "completed" && !items.has(run.id)) {
        items.set(run.id, await api.all(uri`/v1/evals/${params.id}/runs/${run.id}/output_items`, {}, 20000));
        news = true;
      }
    if (signal.aborted) return;
    if (news || result.childNodes.length === 0) showResult();
    if (runs.some(goesOn)) timer = setTimeout(() => load().catch((e) => put(runsPlace, errorBox(e))), EVERY_MS);
  }

  function showResult() {
    const sides = gather(runs, items, Number(criterion.value), ranking);
    end?.();
    end = null;
    if (sides.length === 0) {
      put(result, runs.some(goesOn) ? h("p", { class: "soft section", role: "status" }, "Models are being asked; the figures come when a run is done.") : h("div", { class: "empty section" }, h("h2", {}, "No run is done"), h("p", {}, "Begin another eval, or look at what went wrong above.")));
      return;
    }
    const view = comparison(one, sides, ranking);
    end = view.end;
    put(result, view.element);
  }

  criterion.addEventListener("change", showResult);
  await load();
  root.append(
    h("p", { class: "crumb" }, h("a", { href: "#/evals" }, "Evals")),
    h(
      "div",
      { class: "head" },
      h("div", {}, heading, h("p", { class: "lead" }, "Made ", timeElement(one.created_at), ".")),
      h("div", { class: "actions" }, name, drop, callButton(() => ({ path: uri`/v1/evals/${params.id}/runs`, python: `for run in client.evals.runs.list("${params.id}"):\n    print(run.model, run.result_counts)` }))),
    ),
    one.testing_criteria.length > 1 ? h("div", { class: "fields" }, field("Judged by", criterion)) : "",
    result,
    h("section", { class: "section stack" }, h("h2", {}, "Runs"), runsPlace),
  );
  return () => {
    clearTimeout(timer);
    end?.();
  };
}

function rename(one, done) {
  const name = input({ maxlength: "512", value: one.name ?? "" });
  const body = () => ({ name: name.value });
  dialog({
    title: "Rename the eval",
    body: [field("Name", name), h("div", {}, callButton(() => ({ method: "POST", path: uri`/v1/evals/${one.id}`, body: body() })))],
    actions: [{ label: "Cancel" }, { label: "Save", kind: "primary", run: async () => done(await api.post(uri`/v1/evals/${one.id}`, body())) }],
  });
}

// ---- runs ----

function runTable(runs, id, again) {
  const remove = async (run) => {
    if (!(await confirm({ title: "Delete this run?", text: h("p", { dir: "auto" }, `What ${visible(run.model || run.name || run.id)} answered in it will be gone for good.`), action: "Delete", danger: true, call: callButton(() => ({ method: "DELETE", path: uri`/v1/evals/${id}/runs/${run.id}` })) }))) return;
    await api.del(uri`/v1/evals/${id}/runs/${run.id}`);
    toast("The run is deleted.");
    await again();
  };
  const cancel = async (run) => {
    await api.post(uri`/v1/evals/${id}/runs/${run.id}/cancel`);
    await again();
  };
  return table({
    caption: "Runs",
    rows: runs,
    columns: [
      { name: "model", label: "Model", head: true, grow: true, cell: (r) => [h("span", { dir: "auto" }, visible(r.model || r.name || "given answers")), h("span", { class: "id" }, r.id)] },
      { name: "status", label: "State", cell: (r) => [h("span", { class: WORDS[r.status]?.[0] ?? "chip" }, WORDS[r.status]?.[1] ?? r.status), r.error && h("span", { class: "id", dir: "auto" }, visible(r.error.message))] },
      { name: "done", label: "Answers", number: true, cell: (r) => count(r.result_counts.passed + r.result_counts.failed + r.result_counts.errored) },
      { name: "passed", label: "Passed", number: true, cell: (r) => count(r.result_counts.passed) },
      { name: "errored", label: "Errors", number: true, cell: (r) => count(r.result_counts.errored) },
      { name: "do", label: "Do", hideLabel: true, actions: true, cell: (r) => (goesOn(r) ? h("button", { type: "button", class: "quiet small", "aria-label": `Cancel ${r.id}`, on: { click: () => cancel(r) } }, "Cancel") : h("button", { type: "button", class: "bare", title: "Delete", "aria-label": `Delete the run ${r.id}`, on: { click: () => remove(r) } }, icon("trash"))) },
    ],
    empty: [h("h3", {}, "Nobody was asked"), h("p", {}, "Runs begun by the API stand here, too.")],
  }).element;
}

// ---- figures ----

const interval = (v, show) => [v.mean === null ? "\u2013" : show(v.mean), v.low !== null && v.mean !== null && h("small", {}, `${show(v.low)} to ${show(v.high)}`)];
const share = (v) => interval(v, (x) => percent(x, 1));

function columnsOf(rows, ranking) {
  const ks = [...new Set(rows.flatMap((r) => r.f.passAt.map((p) => p.k)))];
  return [
    { name: "model", label: "Model", head: true, grow: true, cell: (r) => [h("span", { dir: "auto" }, visible(r.side.model)), h("small", {}, `${plural(r.f.items, "item")}, ${plural(r.f.answers, "answer")}`)] },
    { name: "score", label: "Mean score", number: true, sort: (r) => r.f.score.mean, cell: (r) => h("span", {}, interval(r.f.score, (x) => number(x, 3))) },
    { name: "passed", label: "Passed", number: true, sort: (r) => r.f.passed.mean, cell: (r) => h("span", {}, share(r.f.passed)) },
    ...ks.map((k) => ({ name: `pass${k}`, label: `pass@${k}`, number: true, cell: (r) => h("span", {}, share(r.f.passAt.find((p) => p.k === k)?.value ?? { mean: null, low: null })) })),
    ...(ranking ? [["1", "Top 1"], ["5", "Top 5"], ["max", "Anywhere"]].map(([k, label]) => ({ name: `top${k}`, label, number: true, sort: (r) => r.f.top[k].mean, cell: (r) => h("span", {}, share(r.f.top[k])) })) : []),
    rows.some((r) => r.f.tokens !== null) && { name: "tokens", label: "Tokens", number: true, cell: (r) => number(r.f.tokens, 0) },
    rows.some((r) => r.f.errors > 0) && { name: "errors", label: "Errors", number: true, cell: (r) => count(r.f.errors) },
  ];
}

function plotOf(rows, ranking) {
  if (ranking) return intervalPlot({ label: "How often the right answer is first, among five, anywhere", series: ["Top 1", "Top 5", "Anywhere"], groups: rows.map((r) => ({ name: r.side.model, values: [r.f.top[1], r.f.top[5], r.f.top.max] })), format: (x) => percent(x, 0), max: 1 });
  const most = Math.max(1, ...rows.map((r) => r.f.score.high ?? r.f.score.mean ?? 0));
  return intervalPlot({ label: "Mean score of each model, with its 95 % interval", series: ["Mean score"], groups: rows.map((r) => ({ name: r.side.model, values: [r.f.score] })), format: (x) => number(x, 2), max: most });
}

function comparison(one, sides, ranking) {
  const rows = sides.map((side) => ({ side, f: figures(side, ranking) }));
  const plot = plotOf(rows, ranking);
  const file = (one.name || "eval").replace(/[^\w.-]+/g, "-").slice(0, 60);
  const save = (label, run) => h("button", { type: "button", class: "quiet", on: { click: run } }, icon("download"), label);
  const element = h(
    "div",
    {},
    h(
      "section",
      { class: "stack", "aria-label": "Result" },
      plot.element,
      table({ caption: "Figures, with 95 % intervals", rows, columns: columnsOf(rows, ranking), className: "figures" }).element,
      h("p", { class: "soft small" }, "Below each figure: where the true one is in 95 of 100 such samples of items. Shares by Wilson, means by Student\u2019s t over the items."),
      h("p", { class: "actions" }, save("CSV", () => api.save(new Blob([csv(sides, ranking)], { type: "text/csv" }), `${file}.csv`)), save("PNG", () => plot.savePng(`${file}.png`)), save("SVG", () => plot.saveSvg(`${file}.svg`))),
    ),
    sides.length > 1 ? versus(sides) : alone(sides[0]),
  );
  return { element, end: () => plot.destroy() };
}

// ---- two models, item by item ----

const scoreOf = (answers) => mean(answers.map((a) => a.score));

function versus(sides) {
  const options = sides.map((s, i) => [String(i), s.model]);
  const a = select(options, "0");
  const b = select(options, "1");
  const which = select([["all", "All items"], ["wins", "The second is better"], ["losses", "The second is worse"], ["ties", "No difference"]], "all");
  const verdict = h("div", { class: "stack", role: "status" });
  const list = h("div", { class: "stack" });
  const fill = () => {
    const [first, second] = [sides[Number(a.value)], sides[Number(b.value)]];
    const both = pairs(first, second);
    put(verdict, verdictOf(first, second, both));
    const wanted = both.filter((p) => which.value === "all" || kindOf(p) === which.value);
    put(list, itemList(wanted, [first.model, second.model]));
  };
  for (const control of [a, b, which]) control.addEventListener("change", fill);
  fill();
  return h("section", { class: "section stack" }, h("h2", {}, "Item by item"), h("div", { class: "fields" }, field("First", a), field("Second", b), field("Show", which)), verdict, list);
}

const kindOf = (p) => {
  const d = scoreOf(p.b) - scoreOf(p.a);
  return d > 0 ? "wins" : d < 0 ? "losses" : "ties";
};

function verdictOf(first, second, both) {
  if (both.length === 0) return h("p", {}, "They have no item in common.");
  const as = both.map((p) => scoreOf(p.a));
  const bs = both.map((p) => scoreOf(p.b));
  const score = pairedScores(as, bs);
  const won = winsAndLosses(as, bs);
  const single = both.every((p) => p.a.length === 1 && p.b.length === 1);
  const passes = single ? pairedPasses(both.map((p) => p.a[0].passed), both.map((p) => p.b[0].passed)) : null;
  const sure = score.p !== null && score.p < 0.05;
  const signed = (x) => (x > 0 ? "+" : "") + number(x, 3);
  const better = score.difference > 0 ? second.model : first.model;
  return [
    h("p", { class: "verdict", dir: "auto" }, sure ? [h("b", {}, visible(better)), " is better on these items, and chance alone would hardly do that."] : "The difference may be chance: more items would tell."),
    h(
      "dl",
      { class: "tiles" },
      tile("Difference of scores", signed(score.difference), score.low === null ? "one item" : `${signed(score.low)} to ${signed(score.high)}`),
      tile("Paired t-test", score.p === null ? "\u2013" : `p = ${number(score.p, 4)}`, plural(score.n, "item")),
      passes && tile("Passed: McNemar\u2019s test", `p = ${number(passes.p, 4)}`, `${passes.wins} won, ${passes.losses} lost`),
      tile("Better, worse, equal", `${won.wins} / ${won.losses} / ${won.ties}`, "the second beside the first"),
    ),
  ];
}

const tile = (name, value, small) => h("div", {}, h("dt", {}, name), h("dd", {}, value, small && h("small", {}, small)));

function alone(side) {
  const rows = [...side.byItem].sort(([x], [y]) => x - y).map(([id, { item, answers }]) => ({ id, item, a: answers, b: null }));
  return h("section", { class: "section stack" }, h("h2", {}, "Item by item"), itemList(rows, [side.model]));
}

function itemList(rows, names) {
  if (rows.length === 0) return h("p", { class: "soft" }, "There is no such item.");
  const place = h("div", { class: "stack" }, rows.slice(0, SHOWN_ITEMS).map((p) => itemCard(p, names)));
  if (rows.length <= SHOWN_ITEMS) return place;
  let shown = SHOWN_ITEMS;
  const more = h("button", { type: "button", class: "quiet" }, "Show more");
  more.addEventListener("click", () => {
    place.append(...rows.slice(shown, shown + SHOWN_ITEMS).map((p) => itemCard(p, names)));
    shown += SHOWN_ITEMS;
    if (shown >= rows.length) more.remove();
  });
  return [place, h("div", {}, more)];
}

const questionOf = (answers) => {
  const input = answers[0]?.input ?? [];
  const last = input.at(-1);
  return typeof last?.content === "string" ? last.content : last ? JSON.stringify(last.content) : "";
};

// Closed, an item costs one line; what it holds is made when it is opened.
function itemCard(p, names) {
  const sides = [p.a, p.b].filter(Boolean);
  const body = h("div", { class: "stack" });
  const scores = sides.map((answers, i) => h("span", { class: answers.every((a) => a.passed) ? "chip good" : answers.some((a) => a.passed) ? "chip warn" : "chip bad" }, h("span", { class: "sr-only" }, `${cut(visible(names[i]), 60)}: `), number(scoreOf(answers), 2)));
  const card = h("details", { class: "card item" }, h("summary", {}, h("span", {}, `${p.id + 1}. ${cut(visible(questionOf(p.a) || JSON.stringify(p.item)), 160)}`), h("span", { class: "scores" }, scores)), body);
  card.addEventListener("toggle", () => {
    if (!card.open || body.childNodes.length > 0) return;
    put(
      body,
      h("div", { class: "turn" }, h("p", { class: "soft small" }, "row"), longText(JSON.stringify(p.item, null, 2), { limit: 1500, className: "text mono" })),
      h("div", { class: "pair" }, sides.map((answers, i) => h("div", { class: "stack" }, h("h3", { dir: "auto" }, visible(names[i])), answers.map(answerCard)))),
    );
  });
  return card;
}

const answerCard = (a) =>
  h("div", { class: "well stack" }, h("p", { class: "soft small" }, [`score ${number(a.score, 3)}`, a.passed ? "passed" : "not passed", a.place !== null && (a.place > 0 ? `place ${a.place}` : "not ranked"), a.tokens !== null && `${count(a.tokens)} tokens`].filter(Boolean).join(" \u00b7 ")), longText(a.text, { limit: 2000 }), a.error && h("p", { class: "chip bad", dir: "auto" }, visible(cut(a.error, 300))));
