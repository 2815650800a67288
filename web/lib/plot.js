// plot.js - means with their intervals as a drawing that can be taken along.
//
//   intervalPlot({label, groups, series, format, max})
//        groups  [{name, values: [{mean, low, high} or null, one for each of series]}]      models
//        series  names of what is measured: the colours
//   returns {element, svgText(), savePng(name), saveSvg(name)}
//
// The colours stand in the drawing itself, so that it looks the same elsewhere; it is made anew when the theme changes.

import { save } from "./api.js";
import { put, svg, visible, h } from "./dom.js";
import { cut } from "./format.js";

const ROW = 26;
const GAP = 20;
const LEFT = 12;
// Beside the names where there is room, else below them.
const WIDE = { name: "wide", width: 760, from: 250, to: 730, above: 0 };
const NARROW = { name: "narrow", width: 330, from: 22, to: 302, above: 22 };
const FONT = "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function draw({ label, groups, series, format, max }, form) {
  const top = 34 + (series.length > 1 ? 0 : -6);
  const height = top + groups.length * (form.above + series.length * ROW + GAP) + 34;
  const x = (v) => form.from + ((form.to - form.from) * Math.min(v, max)) / max;
  const colours = { ink: token("--ink"), soft: token("--soft"), grid: token("--rule"), paper: token("--card") };
  const text = (at, y, content, more) => svg("text", { x: at, y, fill: colours.soft, "font-size": 12.5, "font-family": FONT, ...more }, content);
  const root = svg("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${form.width} ${height}`, width: form.width, height, class: `interval-plot ${form.name}`, role: "img", "aria-label": label });
  root.append(svg("rect", { width: form.width, height, fill: colours.paper }));
  for (let i = 0; i <= 4; i++) {
    const v = (max * i) / 4;
    root.append(svg("line", { x1: x(v), x2: x(v), y1: top - 8, y2: height - 28, stroke: colours.grid }), text(x(v), height - 10, format(v), { "text-anchor": "middle" }));
  }
  if (series.length > 1) series.forEach((s, i) => root.append(svg("circle", { cx: form.from + 6 + i * 95, cy: 12, r: 5, fill: token(`--s${i % 6}`) }), text(form.from + 17 + i * 95, 16, s)));
  groups.forEach((group, g) => {
    const begin = top + g * (form.above + series.length * ROW + GAP);
    const y0 = begin + form.above;
    root.append(text(LEFT, form.above > 0 ? begin + 12 : y0 + (series.length * ROW) / 2 + 6, cut(visible(group.name), 34), { fill: colours.ink, "font-weight": 600 }));
    group.values.forEach((v, s) => {
      if (!v || v.mean === null) return;
      const y = y0 + s * ROW + ROW / 2 + 2;
      const colour = token(`--s${s % 6}`);
      if (v.low !== null) root.append(svg("line", { x1: x(Math.max(0, v.low)), x2: x(v.high), y1: y, y2: y, stroke: colour, "stroke-width": 9, "stroke-linecap": "round", opacity: 0.25 }));
      root.append(svg("circle", { cx: x(v.mean), cy: y, r: 5.5, fill: colour }));
      const end = x(v.high ?? v.mean) + 12;
      root.append(text(end > form.to - 34 ? x(Math.max(0, v.low ?? v.mean)) - 12 : end, y + 4.5, format(v.mean), { fill: colours.ink, "text-anchor": end > form.to - 34 ? "end" : "start" }));
    });
  });
  return root;
}

export function intervalPlot(options) {
  const narrow = matchMedia("(max-width: 46rem)");
  const place = h("div", { class: "plot-scroll", tabindex: "0", role: "region", "aria-label": options.label });
  const repaint = () => put(place, draw(options, narrow.matches ? NARROW : WIDE));
  repaint();
  const watch = new MutationObserver(repaint);
  watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const query = matchMedia("(prefers-color-scheme: dark)");
  for (const q of [query, narrow]) q.addEventListener("change", repaint);
  const svgText = () => new XMLSerializer().serializeToString(draw(options, WIDE));
  return {
    element: place,
    svgText,
    saveSvg: (name) => save(new Blob([svgText()], { type: "image/svg+xml" }), name),
    async savePng(name) {
      const picture = new Image();
      picture.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svgText());
      await picture.decode();
      const canvas = document.createElement("canvas");
      canvas.width = 2 * picture.width;
      canvas.height = 2 * picture.height;
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      await new Promise((resolve) => canvas.toBlob((png) => resolve(save(png, name)), "image/png"));
    },
    destroy() {
      watch.disconnect();
      for (const q of [query, narrow]) q.removeEventListener("change", repaint);
    },
  };
}
