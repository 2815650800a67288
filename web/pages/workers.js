// workers.js - who works on jobs, on this machine and on others, and what each does at the moment.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put, visible } from "../lib/dom.js";
import { bytes, plural, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Workers";

const EVERY_MS = 4000;

export async function show(root, params) {
  const lead = h("p", { class: "lead" });
  const list = table({
    caption: "Workers",
    columns: [
      { name: "id", label: "Worker", head: true, grow: true, cell: (w) => [visible(w.machine), h("span", { class: "id" }, visible(w.id))] },
      { name: "status", label: "Does", cell: doing },
      { name: "progress", label: "Progress", cell: progress },
      { name: "memory", label: "Memory for jobs", number: true, cell: (w) => bytes(w.memory_bytes) },
      { name: "version", label: "Version", cell: (w) => w.version },
      { name: "seen", label: "Last heard of", cell: (w) => timeElement(w.seen_at) },
    ],
    empty: [h("h2", {}, "Nobody works here"), h("p", {}, "Jobs and checks wait until a worker takes them. ", h("code", {}, "hone serve"), " starts its own unless it was told ", h("code", {}, "--workers=0"), "; on any machine that shares the database, ", h("code", {}, "hone worker"), " is one more.")],
  });

  async function load() {
    const { data } = await api.get("/v1/workers", { signal: params.signal });
    const busy = data.filter((w) => w.status === "working").length;
    const said = data.length === 0 ? "They take jobs from the queue." : `${plural(data.length, "worker")}, ${busy === 0 ? "none at work" : `${busy} at work`}.`;
    if (lead.textContent !== said) put(lead, said);
    list.update(data);
  }

  await load();
  root.append(
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Workers"), lead), h("div", { class: "actions" }, callButton(() => ({ path: "/v1/workers", command: "hone worker" })))),
    list.element,
  );
  const timer = setInterval(() => document.hidden || load().catch(() => {}), EVERY_MS);
  return () => clearInterval(timer);
}

function doing(w) {
  if (w.status === "waiting") return h("span", { class: "chip" }, "waits for work");
  if (!w.job) return h("span", { class: "chip live" }, "works for another project");
  return [h("span", { class: "chip live" }, w.job.status), h("span", { class: "id" }, w.job.id)];
}

function progress(w) {
  if (!w.job || !w.job.total_steps) return "\u2013";
  return `${w.job.step} of ${w.job.total_steps} steps`;
}
