// statistics.js - what can be said of scores. Pure functions; tests/web/evals_test.py holds them against figures from elsewhere.
//
//   mean(xs), deviation(xs)              deviation: of a sample, n - 1
//   meanInterval(xs)                     {mean, low, high}: 95 % by Student's t; of one value no interval (low = high = null)
//   shareInterval(k, n)                  {mean, low, high}: 95 % by Wilson
//   passAtK(n, c, k)                     of n answers c passed: how likely k of them hold one that did (Chen et al., arXiv:2107.03374); null where k > n
//   pairedScores(as, bs)                 {n, difference, low, high, p}: b - a, item by item, by the paired t-test
//   pairedPasses(as, bs)                 {wins, losses, ties, p}: b against a, by McNemar's test, exact
//   winsAndLosses(as, bs)                the same counts of scores
//   rankPlace(ranking, item, answer)     place of the right name in a ranked answer, 1 for the first; 0: it is not there (as hone eval --ranked)

export const mean = (xs) => xs.reduce((sum, x) => sum + x, 0) / xs.length;

export function deviation(xs) {
  const m = mean(xs);
  return Math.sqrt(xs.reduce((sum, x) => sum + (x - m) ** 2, 0) / (xs.length - 1));
}

// ---- distributions ----

function logGamma(x) {
  const c = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 0.1208650973866179e-2, -0.5395239384953e-5];
  let y = x;
  const t = x + 5.5 - (x + 0.5) * Math.log(x + 5.5);
  let sum = 1.000000000190015;
  for (const part of c) sum += part / ++y;
  return -t + Math.log((2.5066282746310005 * sum) / x);
}

// The continued fraction of the incomplete beta function (Lentz).
function betaFraction(a, b, x) {
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let value = d;
  for (let m = 1; m <= 300; m++) {
    for (const step of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)), (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 + step * d;
      d = 1 / (Math.abs(d) < tiny ? tiny : d);
      c = 1 + step / c;
      c = Math.abs(c) < tiny ? tiny : c;
      value *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  return value;
}

function incompleteBeta(a, b, x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, 1 - x)) / b;
}

// Both tails of Student's t.
const tTails = (t, df) => incompleteBeta(df / 2, 0.5, df / (df + t * t));

function tQuantile(df) {
  let low = 0;
  let high = 1000;
  for (let i = 0; i < 80; i++) {
    const mid = (low + high) / 2;
    if (tTails(mid, df) > 0.05) low = mid;
    else high = mid;
  }
  return (low + high) / 2;
}

// ---- intervals ----

export function meanInterval(xs) {
  if (xs.length === 0) return { mean: null, low: null, high: null };
  const m = mean(xs);
  if (xs.length === 1) return { mean: m, low: null, high: null };
  const half = (tQuantile(xs.length - 1) * deviation(xs)) / Math.sqrt(xs.length);
  return { mean: m, low: m - half, high: m + half };
}

export function shareInterval(k, n) {
  if (n === 0) return { mean: null, low: null, high: null };
  const z = 1.959963984540054;
  const p = k / n;
  const middle = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { mean: p, low: Math.max(0, middle - half), high: Math.min(1, middle + half) };
}

export function passAtK(n, c, k) {
  if (k > n) return null;
  if (n - c < k) return 1;
  let none = 1;
  for (let i = n - c + 1; i <= n; i++) none *= 1 - k / i;
  return 1 - none;
}

// ---- pairs ----

export function winsAndLosses(as, bs) {
  const count = { wins: 0, losses: 0, ties: 0 };
  as.forEach((a, i) => count[bs[i] > a ? "wins" : bs[i] < a ? "losses" : "ties"]++);
  return count;
}

export function pairedScores(as, bs) {
  const differences = as.map((a, i) => bs[i] - a);
  const { mean: difference, low, high } = meanInterval(differences);
  const n = differences.length;
  const s = n > 1 ? deviation(differences) : NaN;
  const p = n < 2 ? null : s === 0 ? (difference === 0 ? 1 : 0) : tTails(difference / (s / Math.sqrt(n)), n - 1);
  return { n, difference, low, high, p };
}

export function pairedPasses(as, bs) {
  const count = winsAndLosses(as.map(Number), bs.map(Number));
  const n = count.wins + count.losses;
  const few = Math.min(count.wins, count.losses);
  let tail = 0;
  for (let i = 0; i <= few; i++) tail += Math.exp(logGamma(n + 1) - logGamma(i + 1) - logGamma(n - i + 1) - n * Math.LN2);
  return { ...count, p: n === 0 ? 1 : Math.min(1, 2 * tail) };
}

// ---- rankings, as src/cli/ranking.c has them ----

const name = (text) => (typeof text === "string" ? text.trim().toLowerCase() : "");
const inWord = (c) => c !== undefined && /[\p{L}\p{N}_\-\u0080-\uffff]/u.test(c);

function valueAt(root, path, beginning) {
  if (path !== beginning && !path.startsWith(beginning + ".")) return undefined;
  return path
    .slice(beginning.length + 1)
    .split(".")
    .filter(Boolean)
    .reduce((value, part) => value?.[part], root);
}

function jsonOf(answer) {
  for (const text of [answer, answer.slice(answer.indexOf("{"), answer.lastIndexOf("}") + 1)]) {
    try {
      return JSON.parse(text);
    } catch {
      // the answer is more than JSON, or none
    }
  }
  return undefined;
}

function firstMention(text, what) {
  for (let at = what === "" ? -1 : text.indexOf(what); at >= 0; at = text.indexOf(what, at + 1)) if (!inWord(text[at - 1]) && !inWord(text[at + what.length])) return at;
  return Infinity;
}

export function rankPlace({ ranked, reference, among }, item, answer) {
  const right = name(valueAt(item, reference, "item"));
  if (right === "") return 0;
  if (ranked !== "text") {
    const list = valueAt(jsonOf(answer), ranked, "sample.output_json");
    const names = [...new Set((Array.isArray(list) ? list : []).map(name).filter(Boolean))];
    return names.indexOf(right) + 1;
  }
  const text = answer.toLowerCase();
  const at = firstMention(text, right);
  if (at === Infinity) return 0;
  const others = new Set((valueAt(item, among ?? "", "item") ?? []).map(name));
  return 1 + [...others].filter((other) => other !== right && firstMention(text, other) < at).length;
}
