/* report.js - values under the pointer, and light or dark. The page says everything without it. */
(function () {
  "use strict";
  var charts = {};
  try { charts = JSON.parse(document.getElementById("data").textContent || "{}"); } catch (e) { charts = {}; }
  var tip = document.getElementById("tip"), root = document.documentElement;

  /* as chart_number in the program that wrote the page */
  function number(x, unit) {
    var thin = "\u202f", a = Math.abs(x);
    function fixed(v, d) {
      var s = Math.abs(v).toFixed(d).split(".");
      if (s[0].length > 4) s[0] = s[0].replace(/\B(?=(\d{3})+$)/g, thin);
      return (v < 0 ? "\u2212" : "") + s.join(".");
    }
    if (x === null || x === undefined) return "\u2013";
    if (unit === "score") return fixed(x, 2);
    if (unit === "count") return fixed(x, 0);
    if (unit === "share") return fixed(100 * x, a > 0 && a < 0.0995 ? 1 : 0) + thin + "%";
    if (unit === "seconds") {
      if (x >= 3600) return Math.floor(x / 3600) + thin + "h " + ("0" + Math.floor(x % 3600 / 60)).slice(-2) + thin + "min";
      if (x >= 60) return Math.floor(x / 60) + thin + "min " + ("0" + Math.round(x % 60)).slice(-2) + thin + "s";
      return x.toFixed(x < 0.0995 ? 3 : x < 10 ? 1 : 0) + thin + "s";
    }
    if (unit === "bytes") return x >= 1e9 ? (x / 1e9).toFixed(1) + thin + "GB" : (x / 1e6).toFixed(0) + thin + "MB";
    if (a > 0 && a < 1e-3) return (x < 0 ? "\u2212" : "") + a.toExponential(1).replace(".0e", "e").replace("-", "\u2212");
    return fixed(x, a === 0 || a >= 1000 ? 0 : a >= 100 ? 1 : a >= 0.1 ? 2 : a >= 0.01 ? 3 : 4);
  }

  function row(parent, name, value) {
    var line = document.createElement("span"), b = document.createElement("b");
    line.appendChild(document.createTextNode(name));
    b.textContent = value;
    line.appendChild(b);
    parent.appendChild(line);
  }

  function show(svg, chart, i, clientX, clientY) {
    var left = +svg.dataset.left, right = +svg.dataset.right, min = +svg.dataset.min, max = +svg.dataset.max;
    var x = left + (chart.x[i] - min) / (max - min || 1) * (right - left), cursor = svg.querySelector(".cursor");
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    svg.classList.add("live");
    svg.dataset.at = i;
    tip.textContent = "";
    row(tip, "Step", number(chart.x[i], "count"));
    chart.series.forEach(function (s) {
      if (s[1][i] !== null) row(tip, s[0], number(s[1][i], chart.unit));
    });
    tip.hidden = false;
    var box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
    var px = clientX === undefined ? box.left + x * scale : clientX, py = clientY === undefined ? box.top + 20 : clientY;
    var w = tip.offsetWidth, h = tip.offsetHeight;
    px = px + 16 + w > window.innerWidth ? px - 16 - w : px + 16;
    py = Math.min(Math.max(8, py - h / 2), window.innerHeight - h - 8);
    tip.style.transform = "translate(" + Math.max(4, Math.round(px)) + "px," + Math.round(py) + "px)";
  }

  function hide(svg) {
    svg.classList.remove("live");
    tip.hidden = true;
  }

  document.querySelectorAll("svg.plot").forEach(function (svg) {
    var chart = charts[svg.dataset.chart];
    if (!chart || !chart.x.length) return;
    function nearest(event) {
      var box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      var left = +svg.dataset.left, right = +svg.dataset.right, min = +svg.dataset.min, max = +svg.dataset.max;
      var step = min + ((event.clientX - box.left) * scale - left) / (right - left) * (max - min), best = 0;
      chart.x.forEach(function (v, i) { if (Math.abs(v - step) < Math.abs(chart.x[best] - step)) best = i; });
      return best;
    }
    svg.addEventListener("pointermove", function (e) { show(svg, chart, nearest(e), e.clientX, e.clientY); });
    svg.addEventListener("pointerleave", function () { hide(svg); });
    svg.addEventListener("blur", function () { hide(svg); });
    svg.addEventListener("keydown", function (e) {
      var last = chart.x.length - 1, at = svg.dataset.at === undefined ? last : +svg.dataset.at;
      var to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last, PageUp: at - 10, PageDown: at + 10 }[e.key];
      if (e.key === "Escape") hide(svg);
      if (to === undefined) return;
      e.preventDefault();
      show(svg, chart, Math.min(last, Math.max(0, to)));
    });
  });

  var button = document.getElementById("theme"), dark = window.matchMedia("(prefers-color-scheme: dark)");
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function label() { button.textContent = isDark() ? "Light" : "Dark"; }
  button.hidden = false;
  button.addEventListener("click", function () { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();
})();
