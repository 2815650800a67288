/* report.js - values under the pointer, tokens between any two models, and light or dark. What it adds to the page are choices. */
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

  /* ---- tokens between two models; classes and sentences as report_changes.c writes them for the first two ---- */

  function changed(changes) {
    var from = document.getElementById("from"), to = document.getElementById("to"), told = document.getElementById("told");
    var strips = [].slice.call(document.querySelectorAll("[data-changed]"));
    function under(strip, select) { return changes.answers[strip.dataset.changed][+select.value]; }
    function change(strip, i) {
      var a = under(strip, from), b = under(strip, to);
      return !a || !b || a[i] === null || b[i] === null ? null : b[i] - a[i];
    }
    function signed(x) { return (x > 0 ? "+" : "") + number(x, "score"); }
    function level(d) {
      var share = (Math.abs(d) - changes.least) / (changes.full - changes.least);
      return share <= 0 ? 0 : share < 0.25 ? 1 : share < 0.5 ? 2 : share < 0.75 ? 3 : 4;
    }
    function count(n) { return n + (n === 1 ? " token" : " tokens"); }
    function sum(strip) {
      var total = 0, n = 0, up = 0, down = 0;
      for (var i = 0; i < strip.children.length; i++) {
        var d = change(strip, i);
        if (d === null) continue;
        total += d;
        n++;
        up += d > changes.least;
        down += d < -changes.least;
      }
      if (n === 0) return "There are no figures of this answer under both.";
      if (Math.abs(total) < 1e-6) return "Both say the same of this answer.";
      return (total > 0 ? "Likelier" : "Less likely") + ": log-probability " + signed(total) + ", a token " + signed(total / n) + "; " + count(up) + " rose, " + down + " fell.";
    }
    function draw() {
      strips.forEach(function (strip) {
        for (var i = 0; i < strip.children.length; i++) {
          var token = strip.children[i], d = change(strip, i), n = d === null ? 0 : level(d);
          token.classList.remove("u1", "u2", "u3", "u4", "d1", "d2", "d3", "d4");
          if (n > 0) token.classList.add((d > 0 ? "u" : "d") + n);
        }
        document.getElementById("sum-" + strip.dataset.changed).textContent = sum(strip);
      });
      document.getElementById("from-name").textContent = from.selectedOptions[0].textContent;
      document.getElementById("to-name").textContent = to.selectedOptions[0].textContent;
    }
    function share(logprob) { return number(Math.exp(logprob), "share"); }
    function say(strip, i) {
      var d = change(strip, i), token = strip.children[i], a = under(strip, from), b = under(strip, to);
      var head = "\u201c" + token.textContent + "\u201d, token " + (i + 1) + ": ";
      if (token.classList.contains("given")) return head + "given, not drawn by the model.";
      if (d === null) return head + "no figure.";
      return head + share(a[i]) + " \u2192 " + share(b[i]) + "; log-probability " + number(a[i], "score") + " \u2192 " + number(b[i], "score") + " (" + signed(d) + "), " +
        (Math.abs(d) <= changes.least ? "hardly changed." : d > 0 ? "strengthened." : "weakened.");
    }
    strips.forEach(function (strip) {
      var at = -1;
      strip.setAttribute("role", "listbox");
      strip.tabIndex = 0;
      for (var i = 0; i < strip.children.length; i++) {
        strip.children[i].setAttribute("role", "option");
        strip.children[i].setAttribute("aria-selected", "false");
        if (strip.children[i].textContent.trim() === "") strip.children[i].setAttribute("aria-label", "white space");
        strip.children[i].id = "token-" + strip.dataset.changed + "-" + i;
      }
      function mark(i) {
        if (at >= 0) strip.children[at].setAttribute("aria-selected", "false");
        at = i;
        strip.children[i].setAttribute("aria-selected", "true");
        strip.setAttribute("aria-activedescendant", strip.children[i].id);
        told.textContent = say(strip, i);
      }
      function under_pointer(e) {
        var token = e.target.closest("i");
        return token ? [].indexOf.call(strip.children, token) : -1;
      }
      strip.addEventListener("pointerover", function (e) {
        var i = under_pointer(e);
        if (i >= 0) told.textContent = say(strip, i);
      });
      strip.addEventListener("click", function (e) {
        var i = under_pointer(e);
        if (i >= 0) mark(i);
      });
      strip.addEventListener("focus", function () { if (at < 0 && strip.children.length) mark(0); });
      strip.addEventListener("keydown", function (e) {
        var last = strip.children.length - 1;
        var next = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: last, PageUp: at - 20, PageDown: at + 20 }[e.key];
        if (next === undefined || last < 0) return;
        e.preventDefault();
        mark(Math.min(last, Math.max(0, next)));
        strip.children[at].scrollIntoView({ block: "nearest" });
      });
    });
    from.addEventListener("change", draw);
    to.addEventListener("change", draw);
    document.getElementById("swap").addEventListener("click", function () {
      var was = from.value;
      from.value = to.value;
      to.value = was;
      draw();
    });
    document.getElementById("models").hidden = false;
    told.hidden = false;
  }
  if (charts.changes) changed(charts.changes);

  /* ---- the answers of this file, by list and by what they say ---- */

  (function () {
    var text = document.getElementById("find-text"), which = document.getElementById("find-list");
    var lists = [].slice.call(document.querySelectorAll("#newest [data-list]"));
    if (!text || !lists.length) return;
    lists.forEach(function (list) {
      var option = document.createElement("option");
      option.textContent = option.value = list.dataset.list;
      which.appendChild(option);
    });
    function find() {
      var wanted = text.value.trim().toLowerCase(), n = 0, all = 0;
      lists.forEach(function (list) {
        var cards = [].slice.call(list.querySelectorAll("article")), some = 0;
        cards.forEach(function (card) {
          card.hidden = wanted !== "" && card.textContent.toLowerCase().indexOf(wanted) < 0;
          some += !card.hidden;
        });
        list.hidden = (which.value !== "" && which.value !== list.dataset.list) || some === 0;
        all += cards.length;
        n += list.hidden ? 0 : some;
      });
      document.getElementById("found").textContent = n + " of " + all;
    }
    text.addEventListener("input", find);
    which.addEventListener("change", find);
    document.getElementById("find").hidden = false;
    find();
  })();

  var button = document.getElementById("theme"), dark = window.matchMedia("(prefers-color-scheme: dark)");
  function isDark() { return root.dataset.theme ? root.dataset.theme === "dark" : dark.matches; }
  function label() { button.textContent = isDark() ? "Light" : "Dark"; }
  button.hidden = false;
  button.addEventListener("click", function () { root.dataset.theme = isDark() ? "light" : "dark"; label(); });
  dark.addEventListener("change", label);
  label();
})();
