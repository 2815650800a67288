// jobs.js - what the pages about jobs share: states in words, the head of a job's pages, its curves' names, its events in plain language.
//
//   statusChip(job)                 the state as a chip            isOver(job), isLive(job)
//   nameOf(job)                     its suffix, or what it trains
//   jobHead(job, where, actions)    crumb, heading, tabs; where: "" | "answers" | "rows"
//   plain(event)                    {text, step, kind} of an event: kind "info" | "warn" | "error" | "step"
//   loadMetrics(id, columns, after, signal)   {steps, columns} of all pages
//   gradersOf(names)                [{name, shadow, train, valid, errors: [columns], latency}] by the columns of a run
//   rewardSeries(metrics)           training and validation with their 95 % bands

import * as api from "./api.js";
import { uri } from "./api.js";
import { h } from "./dom.js";
import { number } from "./format.js";

const STATES = {
  validating_files: ["Checking the files", "live"],
  queued: ["Waiting for a worker", "live"],
  running: ["Running", "live"],
  pausing: ["Pausing", "warn"],
  paused: ["Paused", "warn"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", ""],
};

export const isOver = (job) => ["succeeded", "failed", "cancelled"].includes(job.status);
export const isLive = (job) => ["validating_files", "queued", "running", "pausing"].includes(job.status);
export const methodOf = (job) => job.method?.type ?? "supervised";
export const stateOf = (job) => (STATES[job.status] ?? [job.status])[0];
export const statusChip = (job) => h("span", { class: `chip ${(STATES[job.status] ?? ["", ""])[1]}`, data: { status: job.status } }, stateOf(job));
export const nameOf = (job) => job.user_provided_suffix || job.model;
export const METHODS = { reinforcement: "Reinforcement", supervised: "Supervised", dpo: "Preference (DPO)" };

export function jobHead(job, where, actions = [], lead = null) {
  const base = `#/jobs/${encodeURIComponent(job.id)}`;
  const tabs = [["", "Overview", base]];
  if (methodOf(job) === "reinforcement") tabs.push(["answers", "Answers", `${base}/answers`], ["rows", "Rows", `${base}/rows`]);
  return [
    h("p", { class: "crumb" }, h("a", { href: "#/jobs" }, "Jobs")),
    h("div", { class: "head" }, h("div", {}, h("h1", { dir: "auto" }, nameOf(job)), lead), h("div", { class: "actions" }, actions)),
    tabs.length > 1 && h("nav", { class: "tabs", "aria-label": "This job" }, tabs.map(([name, label, href]) => h("a", { class: "button tab", href, ...(name === where ? { "aria-current": "page" } : {}) }, label))),
  ];
}

// ---- events ----

const SAYINGS = [
  [/^Created fine-tuning job: .*$/, () => "The job was made."],
  [/^Validating training file: (\S+)( and validation file: (\S+))?$/, () => "The files are being checked."],
  [/^Files validated, moving job to queued state$/, () => "The files are fine. The job waits for a worker."],
  [/^Checkpoint created at step (\d+) with Snapshot ID: (.*)$/, (m) => `Checkpoint kept: ${m[2]}. It can be used from now on.`],
  [/^The run is saved at step (\d+), to go on from there$/, () => "Saved, to go on from here after an interruption."],
  [/^New fine-tuned model created: (.*)$/, (m) => `The model is ready: ${m[1]}.`],
  [/^The job has successfully completed$/, () => "The job has finished."],
];

export function plain(event) {
  const data = event.data ?? {};
  const step = Number.isInteger(data.step) ? data.step : null;
  if (event.type === "metrics") return { text: stepSaying(event, data), step, kind: "step" };
  let text = String(event.message ?? "").replace(new RegExp(`^Step ${step}(: |(?= moved))`), "").trim();
  for (const [pattern, say] of SAYINGS) {
    const found = pattern.exec(text);
    if (found) return { text: say(found), step, kind: "info" };
  }
  text = text.charAt(0).toUpperCase() + text.slice(1);
  return { text, step, kind: event.level === "error" ? "error" : event.level === "warn" ? "warn" : "info" };
}

function stepSaying(event, data) {
  if (Number.isFinite(data.train_mean_reward)) {
    const valid = Number.isFinite(data.full_valid_mean_reward) ? `, ${number(data.full_valid_mean_reward)} on the validation file` : "";
    return `Answers earned ${number(data.train_mean_reward)} on average${valid}.`;
  }
  if (Number.isFinite(data.train_loss)) return `Loss ${number(data.train_loss)}${Number.isFinite(data.full_valid_loss) ? `, ${number(data.full_valid_loss)} on the validation file` : ""}.`;
  return event.message;
}

// ---- metrics ----

export async function loadMetrics(id, columns, after = -1, signal) {
  const all = { steps: [], columns: {}, names: [] };
  for (;;) {
    const part = await api.get(uri`/v1/fine_tuning/jobs/${id}/metrics`, { query: { columns: columns?.join(","), after_step: after < 0 ? "" : after, limit: 10000 }, signal });
    all.names = part.names;
    for (const name of Object.keys(part.columns)) (all.columns[name] ??= []).push(...part.columns[name]);
    all.steps.push(...part.steps);
    if (!part.has_more || part.steps.length === 0) return all;
    after = part.steps.at(-1);
  }
}

export function gradersOf(names) {
  const found = new Map();
  for (const name of names) {
    const m = /^(scores|errors|timing)\/(shadow_)?graders\/(.*)\/([^/]+)$/.exec(name);
    if (!m) continue;
    const key = `${m[2] ?? ""}${m[3]}`;
    if (!found.has(key)) found.set(key, { name: m[3], shadow: Boolean(m[2]), errors: [] });
    const g = found.get(key);
    if (m[4] === "train_reward_mean") g.train = name;
    else if (m[4] === "valid_reward_mean") g.valid = name;
    else if (m[4] === "train_execution_latency_mean") g.latency = name;
    else if (/^train_.*_count$/.test(m[4]) && m[1] === "errors") g.errors.push(name);
  }
  return [...found.values()];
}

export const has = (values) => values?.some((v) => v !== null) ?? false;

export function rewardSeries({ steps, columns: c }) {
  const series = [];
  if (has(c.train_mean_reward)) {
    const half = steps.map((_, i) => (c.reward_std?.[i] != null && c.samples?.[i] > 0 ? (1.96 * c.reward_std[i]) / Math.sqrt(c.samples[i]) : null));
    const banded = has(half);
    const edge = (sign) => steps.map((_, i) => (c.train_mean_reward[i] === null ? null : c.train_mean_reward[i] + sign * (half[i] ?? 0)));
    series.push({ name: banded ? "Training, with its 95 % band" : "Training", x: steps, y: c.train_mean_reward, colour: "train", points: steps.length < 25, ...(banded ? { low: edge(-1), high: edge(1) } : {}) });
  }
  if (has(c.full_valid_mean_reward)) {
    const at = steps.map((_, i) => i).filter((i) => c.full_valid_mean_reward[i] !== null);
    const pick = (f) => at.map(f);
    const ci = c.full_valid_reward_ci95;
    series.push({
      name: ci ? "Validation, with its 95 % band" : "Validation",
      x: pick((i) => steps[i]),
      y: pick((i) => c.full_valid_mean_reward[i]),
      colour: "valid",
      points: at.length < 60,
      ...(ci ? { low: pick((i) => c.full_valid_mean_reward[i] - (ci[i] ?? 0)), high: pick((i) => c.full_valid_mean_reward[i] + (ci[i] ?? 0)) } : {}),
    });
  }
  return series;
}
