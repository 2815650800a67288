// format.js - numbers, sizes and times as people read them. Everything is in English and in the browser's own time zone.
//
//   count(n)              12,345                      plural(n, "row")   1 row, 2 rows; plural(n, "entry", "entries")
//   number(x, digits)     0.123, -4, 1.2e-7           percent(x)         12.3 %
//   bytes(n)              3.4 MB                      duration(seconds)  1 h 5 min
//   time(unix)            30 Nov 2026, 08:12          ago(unix)          3 min ago
//   timeElement(unix)     <time> that says "3 min ago" and, pointed at, exactly when
//   compact(n)            12.3k                       cut(text, n)       the first n characters and an ellipsis

import { h } from "./dom.js";

const NONE = "\u2013";
const isNone = (x) => x === null || x === undefined || Number.isNaN(x);

export const count = (n) => (isNone(n) ? NONE : Math.round(n).toLocaleString("en"));
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;

export function number(x, digits = 3) {
  if (isNone(x)) return NONE;
  if (!Number.isFinite(x)) return x > 0 ? "\u221e" : "\u2212\u221e";
  if (x !== 0 && (Math.abs(x) < 10 ** -digits || Math.abs(x) >= 1e9)) return x.toExponential(1).replace("-", "\u2212");
  const rounded = Number(x.toFixed(digits));
  return rounded.toLocaleString("en", { maximumFractionDigits: digits }).replace("-", "\u2212");
}

export const percent = (x, digits = 1) => (isNone(x) ? NONE : `${(100 * x).toFixed(digits).replace("-", "\u2212")}\u00a0%`);

export function bytes(n) {
  if (isNone(n)) return NONE;
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let i = 0;
  while (n >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return i === 0 ? (n === 1 ? "1 byte" : `${n} bytes`) : `${n >= 99.5 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

export function compact(n) {
  if (isNone(n)) return NONE;
  if (n < 10000) return count(n);
  return n < 1e6 ? `${(n / 1e3).toFixed(n < 1e5 ? 1 : 0)}k` : `${(n / 1e6).toFixed(1)}M`;
}

export function duration(s) {
  if (isNone(s)) return NONE;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  const min = Math.round(s / 60);
  if (min < 60) return `${min} min`;
  const hours = Math.floor(min / 60);
  if (hours < 48) return min % 60 ? `${hours} h ${min % 60} min` : `${hours} h`;
  return plural(Math.round(hours / 24), "day");
}

export function time(unix) {
  if (isNone(unix)) return NONE;
  return new Date(unix * 1000).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
}

export function ago(unix, now = Date.now() / 1000) {
  if (isNone(unix)) return NONE;
  const s = now - unix;
  if (s < 0) return s > -5 ? "now" : `in ${duration(-s)}`;
  if (s < 5) return "now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  return s < 14 * 86400 ? `${duration(s)} ago` : time(unix);
}

export function timeElement(unix) {
  if (isNone(unix)) return document.createTextNode(NONE);
  return h("time", { datetime: new Date(unix * 1000).toISOString(), title: time(unix) }, ago(unix));
}

export const cut = (text, n) => {
  const all = String(text ?? "");
  return all.length > n ? all.slice(0, n - 1) + "\u2026" : all;
};
