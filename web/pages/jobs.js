// jobs.js - the jobs of the project, newest first; those that are ticked can be compared.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put } from "../lib/dom.js";
import { count, duration, plural, timeElement } from "../lib/format.js";
import { METHODS, isLive, methodOf, nameOf, statusChip } from "../lib/jobs.js";
import { table } from "../lib/table.js";

export const title = "Jobs";

const PAGE = 50;
const MOST_COMPARED = 6;
const LOOK_AGAIN_MS = 5000;

export async function show(root, params) {
  let jobs = [];
  let more = false;
  const chosen = new Set();
  const compare = h("button", { type: "button", class: "primary", disabled: true }, "Compare");
  const list = table({
    caption: "Jobs",
    columns: [
      { name: "pick", label: "Compare", hideLabel: true, cell: tick },
      { name: "name", label: "Name", head: true, grow: true, sort: (j) => nameOf(j).toLowerCase(), cell: (j) => [h("a", { href: `#/jobs/${encodeURIComponent(j.id)}`, dir: "auto" }, nameOf(j)), h("span", { class: "id" }, j.id)] },
      { name: "status", label: "State", sort: (j) => j.status, cell: statusChip },
      { name: "method", label: "Method", wide: true, sort: methodOf, cell: (j) => METHODS[methodOf(j)] ?? methodOf(j) },
      { name: "model", label: "Model", wide: true, sort: (j) => j.model, cell: (j) => h("span", { dir: "auto" }, j.model) },
      { name: "tokens", label: "Trained tokens", number: true, wide: true, sort: (j) => j.trained_tokens, cell: (j) => count(j.trained_tokens) },
      { name: "created", label: "Made", sort: (j) => j.created_at, cell: (j) => timeElement(j.created_at) },
      { name: "left", label: "Ends", cell: (j) => (j.estimated_finish ? `in about ${duration(Math.max(0, j.estimated_finish - Date.now() / 1000))}` : j.finished_at ? timeElement(j.finished_at) : "\u2013") },
    ],
    empty: [
      h("h2", {}, "No jobs yet"),
      h("p", {}, "A job trains a model on your cases: give it a file of them and a grader that says what a good answer is."),
      h("a", { class: "button primary", href: "#/new-job" }, "Make the first job"),
    ],
  });
  const total = h("p", { class: "lead", role: "status" });

  function tick(j) {
    const box = h("input", { type: "checkbox", checked: chosen.has(j.id), "aria-label": `Compare ${nameOf(j)} (${j.id})` });
    box.addEventListener("change", () => {
      if (box.checked && chosen.size === MOST_COMPARED) {
        box.checked = false;
        return;
      }
      if (box.checked) chosen.add(j.id);
      else chosen.delete(j.id);
      showChosen();
    });
    return box;
  }

  function showChosen() {
    compare.disabled = chosen.size < 2;
    compare.textContent = chosen.size < 2 ? "Compare" : `Compare ${plural(chosen.size, "job")}`;
    compare.title = chosen.size < 2 ? "Tick two jobs or more" : "";
  }

  async function load(least = PAGE) {
    const data = [];
    let after;
    do {
      const page = await api.page("/v1/fine_tuning/jobs", { limit: Math.min(100, Math.max(PAGE, least)), after }, { signal: params.signal });
      data.push(...page.data);
      after = page.data.at(-1)?.id;
      more = page.has_more;
    } while (more && data.length < least);
    jobs = data;
    showAll();
  }

  function showAll() {
    const focused = document.activeElement?.getAttribute("aria-label");
    list.update(jobs, { more: more ? () => load(jobs.length + PAGE) : null });
    if (focused && document.activeElement === document.body) [...root.querySelectorAll("input[type=checkbox]")].find((b) => b.getAttribute("aria-label") === focused)?.focus();
    const running = jobs.filter((j) => j.status === "running").length;
    put(total, jobs.length === 0 ? "What is being trained, and what was." : `${more ? `The newest ${count(jobs.length)} jobs` : plural(jobs.length, "job")}${running ? `, ${count(running)} running` : ""}.`);
  }

  compare.addEventListener("click", () => params.go(`compare?jobs=${[...chosen].map(encodeURIComponent).join(",")}`));
  await load();
  showChosen();
  put(
    root,
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Jobs"), total), h("div", { class: "actions" }, h("a", { class: "button primary", href: "#/new-job" }, "New job"), compare, callButton(() => ({ path: "/v1/fine_tuning/jobs", python: "for job in client.fine_tuning.jobs.list():\n    print(job.id, job.status, job.fine_tuned_model)" })))),
    h("section", { "aria-label": "All jobs" }, list.element),
  );
  const timer = setInterval(() => {
    if (!document.hidden && jobs.some(isLive)) load(jobs.length).catch(() => {});
  }, LOOK_AGAIN_MS);
  return () => clearInterval(timer);
}
