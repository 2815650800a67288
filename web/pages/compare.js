// compare.js - the same curve of several jobs, and their figures beside each other.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { lineChart } from "../lib/chart.js";
import { h, put } from "../lib/dom.js";
import { count, duration, number, percent } from "../lib/format.js";
import { METHODS, has, loadMetrics, methodOf, nameOf, statusChip } from "../lib/jobs.js";
import { table } from "../lib/table.js";

export const title = "Compare jobs";

const CURVES = [
  ["full_valid_mean_reward", "Reward on the validation file"],
  ["train_mean_reward", "Reward in training"],
  ["completion_tokens_mean", "Tokens of an answer"],
  ["reasoning_tokens_mean", "Tokens of thinking"],
  ["entropy", "Entropy"],
  ["kl", "How far a step moved the model (KL)"],
  ["truncated_share", "Answers cut off at the limit", percent],
  ["tokens_per_second", "Tokens a second", count],
  ["train_loss", "Loss in training"],
  ["full_valid_loss", "Loss on the validation file"],
  ["train_mean_token_accuracy", "Tokens that were right", percent],
];
const COLUMNS = [...CURVES.map(([name]) => name), "timing/step/full_iteration"];
const MOST = 6;

export async function show(root, params) {
  const ids = [...new Set((params.query.jobs ?? "").split(",").filter(Boolean))].slice(0, MOST);
  const head = [h("p", { class: "crumb" }, h("a", { href: "#/jobs" }, "Jobs")), h("div", { class: "head" }, h("div", {}, h("h1", {}, "Compare jobs"), h("p", { class: "lead" }, "The same figures of each, step by step.")))];
  if (ids.length < 2) {
    put(root, head, h("div", { class: "empty" }, h("h2", {}, "Nothing to compare"), h("p", {}, "Tick two jobs or more in the list."), h("a", { class: "button quiet", href: "#/jobs" }, "Go to Jobs")));
    return;
  }
  const runs = await Promise.all(
    ids.map(async (id) => {
      const [job, metrics] = await Promise.all([api.get(uri`/v1/fine_tuning/jobs/${id}`, { signal: params.signal }), loadMetrics(id, COLUMNS, -1, params.signal)]);
      return { job, metrics, name: nameOf(job) };
    }),
  );
  for (const run of runs) if (runs.filter((r) => nameOf(r.job) === nameOf(run.job)).length > 1) run.name = `${nameOf(run.job)} (${run.job.id.slice(-6)})`;
  const charts = [];
  const grid = h("div", { class: "grid" });
  for (const [column, label, format] of CURVES) {
    const series = runs
      .map(({ name, metrics: m }, i) => {
        const at = m.steps.map((_, k) => k).filter((k) => m.columns[column]?.[k] != null);
        return { name, x: at.map((k) => m.steps[k]), y: at.map((k) => m.columns[column][k]), colour: i };
      })
      .filter((s) => has(s.y));
    if (series.length === 0) continue;
    const chart = await lineChart({ label, series, format: format ?? ((y) => number(y)) });
    charts.push(chart);
    grid.append(chart.element);
  }
  const last = (m, column) => m.columns[column]?.findLast((v) => v !== null) ?? null;
  const best = (m, column) => (has(m.columns[column]) ? Math.max(...m.columns[column].filter((v) => v !== null)) : null);
  const sum = (m, column) => (has(m.columns[column]) ? m.columns[column].reduce((a, b) => a + (b ?? 0), 0) : null);
  const figures = table({
    caption: "Figures of each job",
    rows: runs,
    columns: [
      { name: "name", label: "Job", head: true, grow: true, cell: (r) => h("a", { href: `#/jobs/${encodeURIComponent(r.job.id)}`, dir: "auto" }, r.name) },
      { name: "status", label: "State", cell: (r) => statusChip(r.job) },
      { name: "method", label: "Method", wide: true, cell: (r) => METHODS[methodOf(r.job)] },
      { name: "steps", label: "Steps", number: true, sort: (r) => r.metrics.steps.length, cell: (r) => r.metrics.steps.at(-1) ?? "\u2013" },
      { name: "valid", label: "Best validation reward", number: true, sort: (r) => best(r.metrics, "full_valid_mean_reward"), cell: (r) => number(best(r.metrics, "full_valid_mean_reward")) },
      { name: "train", label: "Last training reward", number: true, sort: (r) => last(r.metrics, "train_mean_reward"), cell: (r) => number(last(r.metrics, "train_mean_reward")) },
      { name: "time", label: "Time in steps", number: true, sort: (r) => sum(r.metrics, "timing/step/full_iteration"), cell: (r) => duration(sum(r.metrics, "timing/step/full_iteration")) },
    ],
  });
  put(
    root,
    head,
    h("section", { "aria-label": "Figures" }, figures.element),
    h("section", { class: "section stack", "aria-label": "Curves" }, h("h2", {}, "Curves"), charts.length ? grid : h("div", { class: "empty" }, h("h3", {}, "No figures yet"), h("p", {}, "None of these jobs has done a step. Come back when one has."))),
  );
  return () => charts.forEach((c) => c.destroy());
}
