// job.js - one job, live: its curves, what it warns of, its events and checkpoints; pause, resume, cancel.
//
// Events come as a stream from where the list of them ends; the figures of new steps are asked for when a step is told. Curves are drawn when
// they come into sight.

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { lineChart } from "../lib/chart.js";
import { confirm, toast } from "../lib/dialog.js";
import { h, icon, longText, put, visible } from "../lib/dom.js";
import { compact, count, duration, number, percent, plural, time, timeElement } from "../lib/format.js";
import { METHODS, gradersOf, has, isLive, isOver, jobHead, loadMetrics, methodOf, nameOf, plain, rewardSeries, statusChip } from "../lib/jobs.js";
import * as streams from "../lib/stream.js";
import { table } from "../lib/table.js";

export const title = "Job";

const BASIC = [
  "total_steps", "train_mean_reward", "reward_std", "samples", "full_valid_mean_reward", "full_valid_reward_ci95", "completion_tokens_mean", "valid_completion_tokens_mean",
  "reasoning_tokens_mean", "valid_reasoning_tokens_mean", "entropy", "kl", "truncated_share", "tokens_per_second", "seconds_left", "loss", "learning_rate", "grad_norm",
  "timing/step/sampling", "timing/step/grading_wait", "timing/step/training", "timing/step/eval", "flat_groups", "groups",
  "train_loss", "valid_loss", "full_valid_loss", "train_mean_token_accuracy", "valid_mean_token_accuracy", "full_valid_mean_token_accuracy", "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected",
];
const EVENTS_AT_ONCE = 50;

export async function show(root, params) {
  const path = uri`/v1/fine_tuning/jobs/${params.id}`;
  const signal = params.signal;
  let job = await api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal });
  document.title = `${nameOf(job)} \u2013 hone`;
  const ends = [];
  const names = (await api.get(uri`/v1/fine_tuning/jobs/${params.id}/metrics`, { query: { columns: "step", limit: 1 }, signal })).names;
  let graders = gradersOf(names);
  const wanted = () => [...BASIC, ...graders.flatMap((g) => [g.train, g.valid, g.latency, ...g.errors].filter(Boolean))];
  let metrics = await loadMetrics(params.id, wanted(), -1, signal);
  const last = (name) => metrics.columns[name]?.findLast((v) => v !== null) ?? null;

  // ---- the head: state, buttons, figures ----

  const head = h("div", {});
  const state = h("div", { class: "stack" });

  const verbs = {
    pause: () => api.post(uri`/v1/fine_tuning/jobs/${params.id}/pause`),
    resume: () => api.post(uri`/v1/fine_tuning/jobs/${params.id}/resume`),
    cancel: () => api.post(uri`/v1/fine_tuning/jobs/${params.id}/cancel`),
  };
  function ask(verb, label, kind, sure) {
    const button = h("button", { type: "button", class: kind }, label);
    button.addEventListener("click", async () => {
      if (sure && !(await confirm(sure))) return;
      button.disabled = true;
      try {
        job = await verbs[verb]();
        showState();
        follower();
      } catch (e) {
        toast(e.message, "error");
        button.disabled = false;
      }
    });
    return button;
  }

  function buttons() {
    const all = [];
    if (["validating_files", "queued", "running"].includes(job.status)) all.push(ask("pause", "Pause", "quiet"));
    if (job.status === "paused") all.push(ask("resume", "Resume", "primary"));
    if (!isOver(job))
      all.push(ask("cancel", "Cancel", "danger", { title: "Cancel this job?", text: "It ends at once, and cannot be resumed. Its checkpoints and answers stay.", action: "Cancel the job", danger: true, call: callButton(() => ({ method: "POST", path: uri`/v1/fine_tuning/jobs/${params.id}/cancel` })) }));
    if (methodOf(job) === "reinforcement" && metrics.steps.length > 0) {
      const save = h("button", { type: "button", class: "quiet" }, icon("download"), "Report");
      save.addEventListener("click", async () => {
        save.disabled = true;
        await api.download(uri`/v1/fine_tuning/jobs/${params.id}/report`, `report-${job.id}.html`).catch((e) => toast(e.message, "error"));
        save.disabled = false;
      });
      all.push(save);
    }
    all.push(h("a", { class: "button quiet", href: `#/new-job?from=${encodeURIComponent(job.id)}` }, "Again with changes"));
    all.push(callButton(() => ({ path, python: `job = client.fine_tuning.jobs.retrieve("${job.id}")\nprint(job.status, job.fine_tuned_model)` })));
    return all;
  }

  function showState() {
    const had = head.contains(document.activeElement) && document.activeElement.tagName === "BUTTON";
    put(head, jobHead(job, "", buttons(), h("p", { class: "lead job-lead" }, statusChip(job), ` ${METHODS[methodOf(job)] ?? methodOf(job)} of `, h("span", { dir: "auto" }, job.model), ", made ", timeElement(job.created_at), h("span", { class: "id mono small" }, job.id))));
    if (had && document.activeElement === document.body) head.querySelector("button")?.focus();
    put(state, job.error?.message && h("div", { class: "notice error", role: "alert" }, h("p", { dir: "auto" }, job.error.message)), progress(), tiles());
  }

  function progress() {
    const total = last("total_steps");
    const step = metrics.steps.at(-1) ?? 0;
    if (!isLive(job) && job.status !== "paused") return null;
    if (!total) return h("p", { class: "soft" }, job.status === "paused" ? "Paused before its first step: resume it to go on." : job.status === "running" ? "The first step is under way." : "It has not begun yet: a worker takes it up when one is free (hone worker, or hone serve with workers).");
    const left = last("seconds_left");
    return h("div", { class: "stack" }, h("p", {}, `Step ${count(step)} of ${count(total)}`, job.status === "running" && left ? `, about ${duration(left)} left` : ""), h("progress", { max: String(total), value: step, "aria-label": "Steps done" }));
  }

  function tiles() {
    const c = metrics.columns;
    const valid = (c.full_valid_mean_reward ?? []).filter((v) => v !== null);
    const all = [];
    const tile = (label, value, small) => all.push(h("div", {}, h("dt", {}, label), h("dd", {}, value, small && h("small", {}, small))));
    if (has(c.train_mean_reward)) tile("Reward in training", number(last("train_mean_reward")), `${number(c.train_mean_reward.find((v) => v !== null))} at the first step`);
    if (valid.length) tile("Reward on validation", number(valid.at(-1)), `best ${number(Math.max(...valid))}`);
    if (has(c.train_loss)) tile("Loss in training", number(last("train_loss")));
    if (has(c.full_valid_loss)) tile("Loss on validation", number(last("full_valid_loss")));
    if (has(c.completion_tokens_mean)) tile("Tokens of an answer", number(last("completion_tokens_mean"), 1), last("reasoning_tokens_mean") ? `${number(last("reasoning_tokens_mean"), 1)} of thinking` : null);
    if (has(c.truncated_share)) tile("Cut off at the limit", percent(last("truncated_share")));
    if (has(c.tokens_per_second)) tile("Tokens a second", compact(last("tokens_per_second")));
    if (job.trained_tokens) tile("Trained tokens", compact(job.trained_tokens));
    return all.length > 0 && h("dl", { class: "tiles" }, all);
  }

  // ---- curves ----

  const curves = curvesOf(() => metrics, () => graders, (step) => params.go(`jobs/${encodeURIComponent(job.id)}/answers?step=${step}`), ends);

  async function moreMetrics() {
    if (metrics.steps.length === 0) {
      graders = gradersOf((await api.get(uri`/v1/fine_tuning/jobs/${params.id}/metrics`, { query: { columns: "step", limit: 1 }, signal })).names);
      metrics = await loadMetrics(params.id, wanted(), -1, signal);
    } else {
      const next = await loadMetrics(params.id, wanted(), metrics.steps.at(-1), signal);
      if (next.steps.length === 0) return;
      metrics.steps.push(...next.steps);
      for (const name of Object.keys(metrics.columns)) metrics.columns[name].push(...(next.columns[name] ?? next.steps.map(() => null)));
    }
    showState();
    curves.update();
  }

  // ---- events, live ----

  const log = await eventLog(params);
  let following = null;
  let pending = null;

  function newsOfSteps() {
    pending ??= setTimeout(async () => {
      pending = null;
      await moreMetrics().catch(() => {});
    }, 300);
  }

  function follower() {
    if (following || isOver(job)) return;
    const abort = new AbortController();
    signal.addEventListener("abort", () => abort.abort());
    following = streams.follow(uri`/v1/fine_tuning/jobs/${params.id}/events`, {
      query: { stream: "true", after: log.newest() },
      signal: abort.signal,
      onEvent: async (event) => {
        const told = JSON.parse(event.data);
        if (!log.add(told)) return;
        if (told.type === "metrics") return newsOfSteps();
        job = await api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal });
        showState();
        if (told.level !== "info") warnings.load();
        if (/checkpoint/i.test(told.message)) checkpoints.load();
      },
    })
      .catch(() => {})
      .finally(() => (following = null));
  }

  // what says no event: time goes on, a worker takes the job up
  const timer = setInterval(async () => {
    if (document.hidden || isOver(job)) return;
    const before = job.status;
    job = await api.get(uri`/v1/fine_tuning/jobs/${params.id}`, { signal }).catch(() => job);
    if (job.status !== before) showState();
    follower();
  }, 5000);

  const warnings = warningsOf(params);
  const checkpoints = checkpointsOf(job, params);
  showState();
  await Promise.all([warnings.load(), checkpoints.load()]);
  put(root, head, state, warnings.element, curves.element, h("div", { class: "section columns" }, log.element, checkpoints.element), settings(job));
  curves.update();
  follower();
  return () => {
    clearInterval(timer);
    clearTimeout(pending);
    ends.forEach((end) => end());
  };
}

// ---- curves ----

const seconds = (y) => duration(y);
const tokens = (y) => number(y, 1);

// What is drawn of a run, in groups; a curve without a figure is left out.
function plan(m, graders, pick) {
  const line = (name, column, more = {}) => ({ name, x: m.steps, y: m.columns[column] ?? [], ...more });
  const measured = (name, column, more = {}) => {
    const at = m.steps.map((_, i) => i).filter((i) => m.columns[column]?.[i] != null);
    return { name, x: at.map((i) => m.steps[i]), y: at.map((i) => m.columns[column][i]), points: at.length < 60, ...more };
  };
  const errors = (g) => m.steps.map((_, i) => g.errors.reduce((sum, c) => sum + (m.columns[c]?.[i] ?? 0), 0));
  return [
    {
      title: has(m.columns.train_mean_reward) ? "Reward" : "Loss",
      charts: [
        { label: "Reward", wide: true, note: "A point leads to the answers of its step.", series: rewardSeries(m), height: "19rem", onPick: pick },
        { label: "Loss", wide: true, series: [line("Training", "train_loss", { colour: "train" }), measured("Validation", "full_valid_loss", { colour: "valid" })], height: "19rem" },
        { label: "Tokens that were right", series: [line("Training", "train_mean_token_accuracy", { colour: "train" }), measured("Validation", "full_valid_mean_token_accuracy", { colour: "valid" })], format: percent },
        { label: "Rewards of the pair", series: [line("Preferred", "rewards/chosen"), line("The other", "rewards/rejected")] },
      ],
    },
    {
      title: "Graders",
      note: "Each grader\u2019s own score. A shadow grader is measured and never rewarded: where it falls while the reward rises, the reward is being gamed.",
      charts: graders.map((g) => ({ label: g.shadow ? `${g.name} (shadow)` : g.name, series: [line("Training", g.train, { colour: "train", dashed: g.shadow }), measured("Validation", g.valid, { colour: "valid", dashed: g.shadow })] })),
    },
    {
      title: "Answers",
      charts: [
        { label: "Tokens of an answer", series: [line("Training", "completion_tokens_mean", { colour: "train" }), measured("Validation", "valid_completion_tokens_mean", { colour: "valid" })], format: tokens },
        { label: "Tokens of thinking", series: [line("Training", "reasoning_tokens_mean", { colour: "train" }), measured("Validation", "valid_reasoning_tokens_mean", { colour: "valid" })], format: tokens },
        { label: "Cut off at the limit", series: [line("Share of answers", "truncated_share", { colour: 0 })], format: percent, min: 0 },
        { label: "Prompts that teach nothing", note: "All their answers earned the same.", series: [{ name: "Share of prompts", x: m.steps, y: m.steps.map((_, i) => (m.columns.groups?.[i] ? (m.columns.flat_groups?.[i] ?? 0) / m.columns.groups[i] : null)), colour: 0 }], format: percent, min: 0 },
      ],
    },
    {
      title: "Learning",
      charts: [
        { label: "Entropy", note: "How undecided the model is, in nats a token; near 0 it always says the same.", series: [line("Entropy", "entropy", { colour: 0 })] },
        { label: "KL", note: "How far each step moved the model, in nats a token.", series: [line("KL", "kl", { colour: 0 })] },
        { label: "Learning rate", series: [line("Learning rate", "learning_rate", { colour: 0 })], format: (y) => number(y, 6) },
        { label: "Size of the gradient", series: [line("Norm", "grad_norm", { colour: 0 })] },
      ],
    },
    {
      title: "Grading and time",
      charts: [
        { label: "Grader errors", note: "Answers of a step that a grader failed on.", series: graders.filter((g) => g.errors.length).map((g, i) => ({ name: g.name, x: m.steps, y: errors(g), colour: i, dashed: g.shadow })), format: count, min: 0, max: 1 },
        { label: "Seconds of a grader", series: graders.filter((g) => g.latency).map((g, i) => line(g.name, g.latency, { colour: i, dashed: g.shadow })), format: seconds, min: 0 },
        { label: "Time of a step", series: [line("Sampling", "timing/step/sampling", { colour: 0 }), line("Waiting for graders", "timing/step/grading_wait", { colour: 1 }), line("Training", "timing/step/training", { colour: 2 }), measured("Validation", "timing/step/eval", { colour: 3 })], format: seconds, min: 0 },
        { label: "Tokens a second", series: [line("Tokens", "tokens_per_second", { colour: 0 })], format: count, min: 0 },
      ],
    },
  ].map((group) => ({ ...group, charts: group.charts.map((c) => ({ ...c, series: c.series.filter((s) => has(s.y)) })).filter((c) => c.series.length > 0) }));
}

function curvesOf(metrics, graders, pick, ends) {
  const element = h("div", {});
  const places = new Map(); // label -> {spec, box, chart, seen}
  const seen = new IntersectionObserver(
    (all) => all.filter((e) => e.isIntersecting).forEach((e) => draw([...places.values()].find((p) => p.box === e.target))),
    { rootMargin: "300px" },
  );
  let ended = false;
  ends.push(() => {
    ended = true;
    seen.disconnect();
    places.forEach((p) => p.chart?.destroy());
  });

  async function draw(place) {
    if (!place || place.drawn) return;
    place.drawn = true;
    seen.unobserve(place.box);
    const chart = await lineChart(place.spec);
    if (ended) return chart.destroy();
    place.chart = chart;
    put(place.box, chart.element);
    chart.update(place.spec.series);
  }

  function make(groups) {
    put(
      element,
      groups
        .filter((g) => g.charts.length > 0)
        .map((g) =>
          h(
            "section",
            { class: "section stack", "aria-label": g.title },
            h("h2", {}, g.title),
            g.note && h("p", { class: "soft" }, g.note),
            h("div", { class: "grid" }, g.charts.map((spec) => {
              const box = h("div", { class: spec.wide ? "chart-place wide" : "chart-place", css: { "--height": spec.height ?? "13rem" } });
              places.set(g.title + spec.label, { spec, box });
              return box;
            })),
          ),
        ),
    );
    places.forEach((p) => seen.observe(p.box));
  }

  return {
    element,
    update() {
      if (ended) return;
      const groups = plan(metrics(), graders(), pick);
      const keys = groups.flatMap((g) => g.charts.map((c) => g.title + c.label));
      if (keys.length !== places.size || keys.some((k) => !places.has(k))) {
        places.forEach((p) => p.chart?.destroy());
        places.clear();
        make(groups);
        return;
      }
      for (const g of groups)
        for (const spec of g.charts) {
          const place = places.get(g.title + spec.label);
          place.spec = spec;
          place.chart?.update(spec.series);
        }
    },
  };
}

// ---- events ----

async function eventLog(params) {
  const list = h("ol", { class: "events", tabindex: "0", role: "list", "aria-label": "Events, the newest first" });
  const which = h("select", { id: "which-events" }, [["all", "All"], ["words", "Without steps"], ["warn", "Warnings and errors"]].map(([value, label]) => h("option", { value }, label)));
  which.value = "words";
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "Show earlier ones");
  const known = new Set();
  let events = []; // newest first
  let hasMore = false;

  const fits = (e) => which.value === "all" || (which.value === "words" ? e.type !== "metrics" : e.level !== "info");
  const item = (e) => {
    const said = plain(e);
    return h("li", { class: said.kind, data: { id: e.id } }, h("p", { class: "soft small" }, timeElement(e.created_at), said.step !== null && said.step > 0 ? `, step ${said.step}` : "", said.kind === "warn" ? " \u2013 warning" : said.kind === "error" ? " \u2013 error" : ""), longText(said.text, { limit: 400 }));
  };
  const showAll = () => {
    const fit = events.filter(fits);
    put(list, fit.length ? fit.map(item) : h("li", { class: "soft" }, "No events of this kind so far."));
    more.hidden = !hasMore;
  };

  async function load() {
    const page = await api.page(uri`/v1/fine_tuning/jobs/${params.id}/events`, { limit: EVENTS_AT_ONCE, after: events.at(-1)?.id }, { signal: params.signal });
    hasMore = page.has_more;
    for (const e of page.data) if (!known.has(e.id)) (known.add(e.id), events.push(e));
  }

  // Enough of what is shown, though most events of a long run are steps.
  async function loadSome() {
    const least = events.filter(fits).length + 10;
    for (let i = 0; i < 4; i++) {
      await load();
      if (!hasMore || events.filter(fits).length >= least) break;
    }
    showAll();
  }
  more.addEventListener("click", loadSome);
  which.addEventListener("change", showAll);
  await load();
  showAll();
  return {
    element: h("section", { class: "stack", "aria-label": "Events" }, h("div", { class: "head" }, h("h2", {}, "Events"), h("div", { class: "field inline" }, h("label", { htmlFor: "which-events" }, "Show"), which)), h("div", { class: "card" }, list), more),
    newest: () => events[0]?.id,
    add(e) {
      if (known.has(e.id)) return false;
      known.add(e.id);
      events.unshift(e);
      if (fits(e)) {
        list.prepend(item(e));
        list.querySelector("li.soft:not([data-id])")?.remove();
      }
      return true;
    },
  };
}

// ---- warnings ----

function warningsOf(params) {
  const element = h("div", {});
  const address = `#/jobs/${encodeURIComponent(params.id)}/answers/`;
  const example = (e) =>
    h("li", {}, h("p", { class: "small" }, e.rollout_id ? h("a", { href: address + encodeURIComponent(e.rollout_id) }, `Step ${e.step}, row ${e.item}, sample ${e.sample}`) : `Step ${e.step}, row ${e.item}, sample ${e.sample}`, ", ", h("span", { dir: "auto" }, e.told)), longText(e.text, { limit: 300, className: "text mono" }));
  return {
    element,
    async load() {
      const all = (await api.get(uri`/v1/fine_tuning/jobs/${params.id}/warnings`, { signal: params.signal })).data;
      if (all.length === 0) return put(element);
      const shown = all.map((w) =>
        h(
          "div",
          { class: `notice ${w.level === "error" ? "error" : "warn"}` },
          h("p", { class: "small" }, w.last_step > 0 ? (w.count > 1 ? `${count(w.count)} times, steps ${w.first_step} to ${w.last_step}` : `Step ${w.last_step}`) : time(w.created_at)),
          longText(plain({ message: w.message, level: w.level, data: { step: w.last_step } }).text, { limit: 600 }),
          w.examples.length > 0 && h("details", {}, h("summary", {}, plural(w.examples.length, "answer that shows it", "answers that show it")), h("ul", { class: "stack" }, w.examples.map(example))),
        ),
      );
      put(element, h("section", { class: "section stack", "aria-label": "Warnings" }, h("h2", {}, plural(all.length, "warning")), shown.slice(0, 3), shown.length > 3 && h("details", {}, h("summary", {}, `${plural(shown.length - 3, "more")}`), h("div", { class: "stack" }, shown.slice(3)))));
    },
  };
}

// ---- checkpoints ----

function checkpointsOf(job, params) {
  const reinforced = methodOf(job) === "reinforcement";
  const list = table({
    caption: "Checkpoints",
    columns: [
      { name: "step", label: "Step", head: true, sort: (c) => c.step_number, cell: (c) => (reinforced ? h("a", { href: `#/jobs/${encodeURIComponent(params.id)}/answers?step=${c.step_number}`, title: "The answers of this step" }, `Step ${c.step_number}`) : `Step ${c.step_number}`) },
      { name: "name", label: "Model", grow: true, cell: (c) => h("a", { class: "mono small", dir: "auto", href: `#/models/${encodeURIComponent(c.fine_tuned_model_checkpoint)}` }, visible(c.fine_tuned_model_checkpoint)) },
      { name: "valid", label: reinforced ? "Validation" : "Validation loss", number: true, sort: valueOf, cell: (c) => number(valueOf(c)) },
    ],
    empty: [h("h3", {}, "No checkpoints yet"), h("p", {}, "They are kept after validations, and at the end.")],
  });
  function valueOf(c) {
    return c.metrics?.full_valid_mean_reward ?? c.metrics?.full_valid_loss ?? c.metrics?.valid_loss ?? null;
  }
  return {
    element: h("section", { class: "stack", "aria-label": "Checkpoints of the job" }, h("div", { class: "head" }, h("h2", {}, "Checkpoints"), callButton(() => ({ path: uri`/v1/fine_tuning/jobs/${params.id}/checkpoints`, python: `for c in client.fine_tuning.jobs.checkpoints.list("${params.id}"):\n    print(c.step_number, c.fine_tuned_model_checkpoint)` }))), list.element),
    load: async () => list.update(await api.all(uri`/v1/fine_tuning/jobs/${params.id}/checkpoints`, {}, 200)),
  };
}

// ---- settings ----

function settings(job) {
  const method = job.method?.[methodOf(job)] ?? {};
  const rows = Object.entries({ ...(method.hyperparameters ?? {}), ...(job.hone ?? {}) }).filter(([, v]) => typeof v !== "object" || v === null);
  const graders = method.grader;
  return h(
    "section",
    { class: "section stack", "aria-label": "Settings" },
    h("h2", {}, "Settings"),
    h(
      "div",
      { class: "columns" },
      h(
        "dl",
        { class: "facts card pad" },
        [["Training file", job.training_file], ["Validation file", job.validation_file]].filter(([, id]) => id).map(([label, id]) => [h("dt", {}, label), h("dd", {}, h("a", { href: `#/files/${encodeURIComponent(id)}` }, id))]),
        job.fine_tuned_model && [h("dt", {}, "Model"), h("dd", { class: "mono", dir: "auto" }, h("a", { href: `#/models/${encodeURIComponent(job.fine_tuned_model)}` }, visible(job.fine_tuned_model)))],
        job.finished_at && [h("dt", {}, "Ended"), h("dd", {}, time(job.finished_at))],
        h("dt", {}, "Seed"),
        h("dd", {}, String(job.seed)),
        rows.map(([name, v]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", { dir: "auto" }, typeof v === "number" ? number(v, 6) : String(v))]),
      ),
      graders && h("details", { class: "card pad" }, h("summary", {}, "Grader"), h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "The grader" }, JSON.stringify(graders, null, 2))),
    ),
  );
}
