// chart.js - curves over steps, by Chart.js on a canvas, in the colours of the theme.
//
//   await lineChart({label, note, series, x, format, height, min, max, onPick})
//        label   its heading; note: a sentence below it
//        series  [{name, x: [numbers], y: [numbers or null], low, high: [...] a band, colour: "train" | "valid" | 0..5, dashed, points, hidden}]
//        x       what stands below the axis ("step"); format: (y) => text; onPick(x) where a point is clicked
//   returns {element, update(series), save(name), destroy()}; the page that shows it calls destroy when it ends
//
// A chart is announced by its label and the first and last value of each series; pages that show more figures say them in a table, too.

import { h, put } from "./dom.js";
import { number } from "./format.js";
import { save } from "./api.js";

const DASHES = [[], [6, 3.5], [2, 3.5], [10, 3, 2, 3], [14, 4], [1, 2]];
const live = new Set();
let loading = null;

// One classic script, as Debian ships it: as a module it leaves itself in globalThis.
const library = () => (loading ??= import("/web/vendor/chart.js").then(() => globalThis.Chart));

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = (s, i) => token(s.colour === "train" ? "--train" : s.colour === "valid" ? "--accent" : `--s${(s.colour ?? i) % 6}`);

// "#rrggbb" with an opacity
const faint = (colour, share) => colour + Math.round(255 * share).toString(16).padStart(2, "0");
const points = (xs, ys) => xs.map((x, i) => ({ x, y: ys[i] ?? NaN }));

function datasets(series) {
  return series.flatMap((s, i) => {
    const colour = colourOf(s, i);
    const dash = s.dashed ? [7, 4] : s.colour === "train" || s.colour === "valid" ? [] : DASHES[(s.colour ?? i) % 6];
    const common = { parsing: false, borderJoinStyle: "round", tension: 0, spanGaps: true, hidden: s.hidden };
    const all = [];
    if (s.low && s.high) {
      all.push({ ...common, label: "", data: points(s.x, s.low), borderWidth: 0, pointRadius: 0, hitRadius: 0 });
      all.push({ ...common, label: "", data: points(s.x, s.high), borderWidth: 0, pointRadius: 0, hitRadius: 0, backgroundColor: faint(colour, 0.16), fill: "-1" });
    }
    const dots = s.points ?? s.x.length < 25;
    all.push({
      ...common,
      label: s.name,
      data: points(s.x, s.y),
      borderColor: colour,
      backgroundColor: colour,
      borderWidth: 2,
      borderDash: dash,
      pointRadius: dots ? 2.5 : 0,
      pointHoverRadius: 4,
    });
    return all;
  });
}

function options({ x, format, min, max, onPick }) {
  const text = token("--soft");
  const axis = { grid: { color: token("--grid"), borderColor: token("--rule") }, ticks: { color: text, maxRotation: 0, font: { size: 11 } } };
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    normalized: true,
    interaction: { mode: "index", intersect: false, axis: "x" },
    onClick: (event, found) => found.length > 0 && onPick?.(found[0].element.$context.parsed.x),
    scales: {
      x: { ...axis, type: "linear", title: { display: Boolean(x), text: x, color: text }, ticks: { ...axis.ticks, precision: 0, maxTicksLimit: 8 } },
      y: { ...axis, suggestedMin: min, suggestedMax: max, ticks: { ...axis.ticks, maxTicksLimit: 6, callback: (v) => format(v) } },
    },
    plugins: {
      legend: { display: false },
      decimation: { enabled: true, algorithm: "min-max", samples: 400, threshold: 800 },
      tooltip: {
        backgroundColor: token("--ink"),
        titleColor: token("--paper"),
        bodyColor: token("--paper"),
        filter: (item) => item.dataset.label !== "",
        callbacks: { title: (items) => (items.length ? `${x} ${items[0].parsed.x}` : ""), label: (item) => ` ${item.dataset.label}: ${format(item.parsed.y)}` },
      },
    },
  };
}

function summary(label, series, format) {
  const parts = series
    .filter((s) => s.y.length > 0)
    .map((s) => `${s.name}: ${format(s.y.find(Number.isFinite))} at first, ${format(s.y.findLast(Number.isFinite))} at last`);
  return `${label}. ${parts.length ? parts.join("; ") : "No figures yet"}.`;
}

export async function lineChart({ label, note = null, series, x = "step", format = (y) => number(y, 3), height = "13rem", min, max, onPick }) {
  const Chart = await library();
  const canvas = h("canvas", { role: "img" });
  const legend = h("ul", { class: "legend" });
  const element = h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("h3", {}, label), note && h("p", {}, note)),
    legend,
    h("div", { class: "canvas", css: { "--height": height } }, canvas),
  );
  const settings = { x, format, min, max, onPick };
  const chart = new Chart(canvas, { type: "line", data: { datasets: datasets(series) }, options: options(settings) });

  function swatch(s, i) {
    const key = h("span", { class: `swatch${s.dashed ? " dashed" : ""}`, css: { "--colour": colourOf(s, i) } });
    const toggle = h("button", { type: "button", class: "bare", "aria-pressed": String(!s.hidden) }, key, s.name);
    toggle.addEventListener("click", () => {
      s.hidden = !s.hidden;
      update(series);
      legend.querySelectorAll("button")[i]?.focus();
    });
    return h("li", {}, toggle);
  }

  function update(next) {
    // what was switched off stays so
    for (const s of next) s.hidden ??= series.find((old) => old.name === s.name)?.hidden;
    series = next;
    chart.data.datasets = datasets(series);
    chart.update("none");
    canvas.setAttribute("aria-label", summary(label, series, format));
    put(legend, series.length > 1 ? series.map(swatch) : []);
  }

  const self = {
    element,
    update,
    repaint() {
      chart.options = options(settings);
      update(series);
    },
    save: (name) => canvas.toBlob((png) => save(png, name)),
    destroy() {
      live.delete(self);
      chart.destroy();
    },
  };
  live.add(self);
  update(series);
  return self;
}

// Called when the theme changes: a canvas knows nothing of style sheets.
export const repaintCharts = () => live.forEach((c) => c.repaint());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaintCharts);
