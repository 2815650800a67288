// new_job_check.js - the check before the start: asked for, followed, told as a verdict with its reasons.
//
//   checkPanel({body, signal, changed, remember})
//        an element with `follow(id)`, `stale()` (the job has changed since) and `verdict()`: null, or whether the job can learn.
//        body() is the job as it is now; changed() is called at the check's end; remember(id) is told which one it is

import * as api from "../lib/api.js";
import { uri } from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { errorBox, sentence } from "../lib/dialog.js";
import { h, longText, put, visible } from "../lib/dom.js";
import { bytes, count, cut, duration, number, percent, plural, timeElement } from "../lib/format.js";

const LOOK_MS = 1000;
const LONG_WAIT_S = 20;
const MOST_LISTED = 10;

const PHASES = {
  reading: "Reading all rows and opening the model",
  sampling: "The untrained model answers some of the cases",
  training: "A first batch is computed",
  "waiting for memory": "Waiting: jobs that run on the machine have the memory",
};

const wait = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

export function checkPanel({ body, signal, changed, remember }) {
  const place = h("div", { class: "stack", "aria-live": "polite" });
  const outdated = h("p", { class: "notice warn", hidden: true }, "The job as it is now is another than the one of this check.");
  const start = h("button", { type: "button", class: "quiet", id: "check" }, "Check this job");
  let current = null; // the check as it was last seen
  let turn = 0;

  start.addEventListener("click", async () => {
    start.disabled = true;
    outdated.hidden = true;
    current = null;
    try {
      const made = await api.post("/v1/fine_tuning/checks", body(), { signal });
      remember(made.id);
      await follow(made.id);
    } catch (e) {
      if (e.name !== "AbortError") put(place, errorBox(e));
    } finally {
      start.disabled = false;
    }
  });

  async function follow(id) {
    const mine = ++turn;
    while (!signal.aborted && mine === turn) {
      current = await api.get(uri`/v1/fine_tuning/checks/${id}`, { signal });
      if (mine !== turn) return;
      show();
      if (current.status !== "queued" && current.status !== "running") break;
      await wait(LOOK_MS, signal);
    }
    changed();
  }

  const list = h("ul", { class: "stack tight" });
  const earlier = h("details", {}, h("summary", {}, "Earlier checks"), list);
  earlier.addEventListener("toggle", () => {
    if (earlier.open) listAll().catch((e) => e.name !== "AbortError" && put(list, h("li", {}, errorBox(e))));
  });

  async function listAll() {
    const { data } = await api.page("/v1/fine_tuning/checks", { limit: MOST_LISTED }, { signal });
    put(list, data.length > 0 ? data.map(line) : h("li", { class: "soft" }, "None is kept: they stay for 30 days."));
  }

  // A check of another job tells of that one: it says so.
  function line(c) {
    const show = h("button", { type: "button", class: "link" }, h("span", { dir: "auto" }, `${visible(cut(c.model, 60))}, ${c.method}`));
    show.addEventListener("click", async () => {
      outdated.hidden = false;
      remember(c.id);
      await follow(c.id).catch((e) => e.name !== "AbortError" && put(place, errorBox(e)));
    });
    const state = c.status === "succeeded" ? (c.result?.can_learn ? ["chip good", "it can learn"] : ["chip warn", "too little to learn from"]) : [c.status === "failed" ? "chip bad" : "chip", c.status];
    return h("li", { class: "bar" }, h("span", {}, show, " ", h("span", { class: "soft small" }, timeElement(c.created_at))), h("span", { class: state[0] }, state[1]));
  }

  const bar = h("progress", { "aria-label": "How far the check is" });
  const words = h("p", {});
  const going = h("div", { class: "well stack" }, words, bar);
  const give = h("button", { type: "button", class: "quiet small" }, "Cancel the check");
  give.addEventListener("click", async () => {
    give.disabled = true;
    try {
      current = await api.post(uri`/v1/fine_tuning/checks/${current.id}/cancel`, {}, { signal });
      show();
    } catch (e) {
      put(place, errorBox(e));
    }
    give.disabled = false;
  });
  going.append(h("div", { class: "actions" }, give));

  function showGoing() {
    const p = current.progress;
    const waited = Date.now() / 1000 - current.created_at;
    const text = p ? PHASES[p.phase] ?? p.phase : current.status === "queued" ? "Waiting for a worker" : "Beginning";
    const hint = current.status === "queued" && !p && waited > LONG_WAIT_S ? " None has taken it so far: is one there (hone serve --workers, hone worker)?" : "";
    words.textContent = `${text}${p?.total ? `, ${count(p.done)} of ${count(p.total)}` : " \u2026"}.${hint}`;
    if (p?.total) {
      bar.max = p.total;
      bar.value = p.done;
    } else bar.removeAttribute("value");
    if (!going.isConnected) put(place, going);
  }

  function show() {
    if (current.status === "queued" || current.status === "running") return showGoing();
    if (current.status === "cancelled") return put(place, h("p", { class: "notice" }, "The check was cancelled."));
    if (current.status === "failed")
      return put(place, h("div", { class: "notice error", role: "alert" }, h("p", {}, h("strong", {}, "The job would fail. ")), longText(sentence(current.error), { limit: 1000 })));
    const r = current.result;
    put(
      place,
      h("div", { class: `notice ${r.can_learn ? "good" : "warn"}` }, h("p", {}, h("strong", {}, r.can_learn ? "It can learn." : "It has too little to learn from.")), longText(r.verdict, { limit: 2000 })),
      tiles(r),
      r.notes?.length > 0 && h("details", {}, h("summary", {}, "What was decided, and why"), h("ul", { class: "stack tight notes" }, r.notes.map((n) => h("li", { dir: "auto" }, n)))),
    );
  }

  return Object.assign(
    h(
      "div",
      { class: "stack" },
      h("p", { class: "soft" }, "The untrained model answers some of your cases before an hour is spent: can the job learn from them, how long will it take, does it fit into memory?"),
      h("div", { class: "actions" }, start, callButton(() => ({ method: "POST", path: "/v1/fine_tuning/checks", body: body(), command: "# job.json: the job, with paths of files in place of their ids\nhone check job.json" }))),
      outdated,
      place,
      earlier,
    ),
    {
      follow,
      stale: () => {
        if (current?.result || current?.error) outdated.hidden = false;
      },
      verdict: () => (outdated.hidden && current?.result ? current.result.can_learn : null),
    },
  );
}

const tile = (name, value, more) => value && h("div", {}, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, more)));

function tiles(r) {
  const room = r.memory_plan?.room > 0 ? `of ${bytes(r.memory_plan.room)} there` : null;
  const common = [tile("Time", duration(r.seconds_total), `about ${duration(r.seconds_per_step)} a step`), tile("Memory", bytes(r.memory_bytes), room)];
  const own =
    r.reward_mean !== undefined
      ? [
          tile("Cases that teach", percent(1 - r.flat_share, 0), `of ${plural(r.rows_checked, "case")} that were asked`),
          tile("Reward now", number(r.reward_mean, 3), `the best of ${count(r.samples)}: ${number(r.best_mean, 3)}`),
          tile("Length of answers", plural(r.tokens_mean, "token"), `${count(r.max_tokens)} at most${r.truncated_share > 0 ? `; ${percent(r.truncated_share, 0)} were cut` : ""}`),
          r.grader_error_share > 0 && tile("Grader failed", percent(r.grader_error_share, 1), "of the answers"),
        ]
      : [
          tile("Steps", count(r.steps), `${plural(r.batch_size, "row")} each, ${count(r.n_epochs)} times through`),
          tile("Learned", plural(r.learned_tokens, "token"), `of ${count(r.tokens)}`),
          tile("Loss of the first batch", number(r.first_loss, 3), `right tokens: ${percent(r.first_mean_token_accuracy, 0)}`),
        ];
  return h("dl", { class: "tiles" }, common, own);
}
