// machine.js - what this server runs on: processor, memory, disk, the engine process, the models' sizes.

import * as api from "../lib/api.js";
import { callButton } from "../lib/call.js";
import { h, put, svg, visible } from "../lib/dom.js";
import { bytes, compact, count, number, percent, plural, timeElement } from "../lib/format.js";
import { table } from "../lib/table.js";

export const title = "Machine";

const EVERY_MS = 4000;
const KERNELS = { plain: "plain C", avx2: "AVX2", avx512: "AVX-512" };

export async function show(root, params) {
  const place = h("div", { class: "stack machine" });
  const modelsPlace = h("div", {});
  let last = null;

  async function load() {
    const m = await api.get("/v1/machine", { signal: params.signal });
    put(place, figures(m), engine(m, last));
    last = { engine: m.engine, at: performance.now() };
    return m;
  }

  const first = await load();
  put(modelsPlace, models(first));
  root.append(
    h(
      "div",
      { class: "head" },
      h("div", {}, h("h1", {}, "Machine"), h("p", { class: "lead" }, `hone ${first.version} on ${plural(first.cpu.cores, "core")} of ${first.architecture}.`)),
      h("div", { class: "actions" }, callButton(() => ({ path: "/v1/machine", command: "hone version" }))),
    ),
    place,
    h("section", { class: "section stack" }, h("h2", {}, "Base models"), modelsPlace),
  );
  const timer = setInterval(() => document.hidden || load().catch(() => {}), EVERY_MS);
  return () => clearInterval(timer);
}

function tile(name, value, small) {
  return h("div", {}, h("dt", {}, name), h("dd", {}, value, small && h("small", {}, small)));
}

// A bar without a number of its own: what it shows stands beside it as text.
function bar(share) {
  const width = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
  return svg("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", class: "meter", "aria-hidden": "true" }, svg("rect", { width: 100, height: 4, class: "all" }), svg("rect", { width: 100 * width, height: 4, class: "used" }));
}

const used = (total, free) => (total === null || free === null ? null : total - free);

function figures(m) {
  const memory = used(m.memory.total_bytes, m.memory.available_bytes);
  const disk = used(m.disk.total_bytes, m.disk.free_bytes);
  return h(
    "dl",
    { class: "tiles" },
    tile("Memory in use", [bytes(memory), bar(memory / m.memory.total_bytes)], `of ${bytes(m.memory.total_bytes)}`),
    tile("Disk in use", [bytes(disk), bar(disk / m.disk.total_bytes)], `${bytes(m.disk.free_bytes)} free`),
    tile("Load", [number(m.cpu.load, 2), bar(m.cpu.load / m.cpu.cores)], `of ${plural(m.cpu.cores, "core")}`),
    tile("Kernels", KERNELS[m.cpu.kernels] ?? m.cpu.kernels, `runs ${m.cpu.kernels_available.map((k) => KERNELS[k] ?? k).join(", ")}`),
    tile("Workers", count(m.workers.alive), `of this server, started ${plural(m.workers.starts, "time")}`),
  );
}

function engine(m, last) {
  const e = m.engine;
  const heading = h("h2", {}, "Engine");
  if (!e) return h("section", { class: "section stack" }, heading, h("p", { class: "soft" }, "This server has no engine: models cannot be asked here."));
  const seconds = last?.engine ? (performance.now() - last.at) / 1000 : 0;
  const rate = seconds > 0.5 ? Math.max(0, e.tokens_sampled - last.engine.tokens_sampled) / seconds : null;
  return h(
    "section",
    { class: "section stack" },
    h("div", {}, heading, h("p", { class: "soft" }, "The process that answers. When it dies it is started anew, and goes on with what it was asked.")),
    h(
      "dl",
      { class: "tiles" },
      tile("State", h("span", { class: e.alive ? "chip good" : "chip bad" }, e.alive ? "runs" : "is started anew"), `started ${plural(e.starts, "time")}`),
      tile("Memory", bytes(e.resident_bytes), `the server itself ${bytes(m.memory.server_bytes)}`),
      tile("Requests at work", count(e.open_requests), `${count(e.requests)} since the start`),
      tile("Tokens of answers", compact(e.tokens_sampled), rate === null ? "since the start" : `${number(rate, 1)} a second now`),
      tile("Tokens of prompts", compact(e.tokens_prompt), e.tokens_prompt > 0 ? `${percent(e.tokens_cached / e.tokens_prompt, 0)} of them were at hand` : "since the start"),
    ),
  );
}

function models(m) {
  const total = m.models.reduce((sum, x) => sum + x.bytes, 0);
  return table({
    caption: `Base models, ${bytes(total)} together`,
    rows: m.models,
    columns: [
      { name: "id", label: "Name", head: true, grow: true, sort: (x) => x.id, cell: (x) => visible(x.id) },
      { name: "bytes", label: "Size", number: true, sort: (x) => x.bytes, cell: (x) => bytes(x.bytes) },
      { name: "created", label: "Here since", sort: (x) => x.created_at, cell: (x) => timeElement(x.created_at) },
    ],
    empty: [h("h3", {}, "The store has no model"), h("p", {}, h("code", {}, "hone pull ORG/NAME"), " fetches one, ", h("code", {}, "hone import PATH"), " copies one that is there.")],
  }).element;
}
