// table_file.js - a table of cells (.csv, .tsv) becomes rows: RFC 4180, and where that is silent as Python's csv module reads it.
//
//   kindOf(name)                 "table", "workbook" (has to be saved as CSV first), or null
//   textOf(bytes)                the text of a file; throws a sentence where it is not UTF-8
//   separatorOf(text, name)      what parts its cells: one of SEPARATORS
//   parse(text, separator)       {records: [[cell, ...]], lines, stray, open}: lines: where each record begins, 1 for the first line;
//                                stray: the records in which text follows a closing quote; open: the line of a quote that is never closed, or 0
//   readTable(text, separator)   promise of {heads, rows, lines, flaws}: rows below the heads, cells as they stand; flaws: what is wrong with
//                                the form of a row, {place in rows: sentence}. Throws a sentence where there is no table. The page stays awake
//   pause()                      lets the browser do something else for a moment
//
// Lines without a character are no rows, nor are rows without a cell that says something; empty cells beyond the last head are no cells.

export const SEPARATORS = [
  [",", "comma"],
  [";", "semicolon"],
  ["\t", "tab"],
];
export const MOST_BYTES = 100e6; // Chromium made the files of one of 150 MB, and had no room for those of one of 200
const MOST_COLUMNS = 500;
const PROBED = 200000; // characters that the separator is told from
const BATCH = 20000; // records between two pauses
const QUOTE = 34;
const LF = 10;
const CR = 13;

const SAVE_AS = "Save it as CSV (UTF-8), and choose that file: in Excel by Save As, \u201cCSV UTF-8\u201d; in LibreOffice by Save As, \u201cText CSV\u201d.";
export const WORKBOOK = `This is a workbook, whose cells are not read here. ${SAVE_AS}`;

export const pause = () => new Promise((resolve) => setTimeout(resolve));

export function kindOf(name) {
  if (/\.(csv|tsv|tab)$/i.test(name)) return "table";
  return /\.(xls[xmb]?|ods|numbers)$/i.test(name) ? "workbook" : null;
}

// ---- bytes to text ----

function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes); // without the byte order mark
  } catch {
    return null;
  }
}

function lineThatIsNotUtf8(bytes) {
  let line = 1;
  for (let from = 0; ; line++) {
    const end = bytes.indexOf(LF, from);
    if (end < 0 || decode(bytes.subarray(from, end)) === null) return line;
    from = end + 1;
  }
}

export function textOf(bytes) {
  const begins = (...codes) => codes.every((code, i) => bytes[i] === code);
  if (begins(0x50, 0x4b, 3, 4) || begins(0xd0, 0xcf, 0x11, 0xe0)) throw new Error(WORKBOOK);
  if (begins(0xff, 0xfe) || begins(0xfe, 0xff)) throw new Error(`The table is written in UTF-16. ${SAVE_AS}`);
  const text = decode(bytes);
  if (text === null) throw new Error(`Line ${lineThatIsNotUtf8(bytes)} is not UTF-8: the table may be in an older encoding, such as Windows-1252. ${SAVE_AS}`);
  const zero = text.indexOf("\0");
  if (zero >= 0) throw new Error(`Line ${breaks(text, 0, zero) + 1} holds a zero byte, which no text has: this is not a table in UTF-8. ${SAVE_AS}`);
  return text;
}

// ---- text to records ----

function breaks(text, from, to) {
  let n = 0;
  for (let i = from; i < to; i++) {
    const c = text.charCodeAt(i);
    if (c === LF || (c === CR && text.charCodeAt(i + 1) !== LF)) n++;
  }
  return n;
}

// Where the quote is that closes a cell whose text begins at from; -1 where there is none.
function closing(text, from) {
  let i = text.indexOf('"', from);
  while (i >= 0 && text.charCodeAt(i + 1) === QUOTE) i = text.indexOf('"', i + 2);
  return i;
}

// Fills out, and yields now and then; ends after `most` records.
function* parsing(text, separator, out, most = Infinity) {
  const sep = separator.charCodeAt(0);
  const n = text.length;
  const afterBreak = (at) => at + (text.charCodeAt(at) === CR && text.charCodeAt(at + 1) === LF ? 2 : 1);
  let line = 1;
  for (let at = 0; at < n && out.records.length < most; line++, at = afterBreak(at)) {
    if (text.charCodeAt(at) === LF || text.charCodeAt(at) === CR) continue;
    const cells = [];
    out.lines.push(line);
    for (;;) {
      const quoted = text.charCodeAt(at) === QUOTE;
      let cell = "";
      if (quoted) {
        const close = closing(text, at + 1);
        if (close < 0) {
          out.open = line;
          out.lines.pop();
          return;
        }
        cell = text.slice(at + 1, close).replaceAll('""', '"');
        line += breaks(text, at + 1, close);
        at = close + 1;
      }
      const from = at;
      for (let c; at < n && (c = text.charCodeAt(at)) !== sep && c !== LF && c !== CR; ) at++;
      if (quoted && at > from && out.stray.at(-1) !== out.records.length) out.stray.push(out.records.length);
      cells.push(quoted ? cell + text.slice(from, at) : text.slice(from, at));
      if (text.charCodeAt(at) !== sep) break;
      at++;
    }
    if (out.records.push(cells) % BATCH === 0) yield;
  }
}

const nothing = () => ({ records: [], lines: [], stray: [], open: 0 });

export function parse(text, separator, most) {
  const out = nothing();
  for (const _ of parsing(text, separator, out, most));
  return out;
}

const TOLD = /^sep=([,;\t])\r?\n/i; // Excel's own line

export function separatorOf(text, name = "") {
  const told = TOLD.exec(text);
  if (told) return told[1];
  if (/\.(tsv|tab)$/i.test(name)) return "\t";
  const beginning = text.slice(0, PROBED);
  let best = { separator: ",", alike: 0, width: 1 };
  for (const [separator] of SEPARATORS) {
    const { records } = parse(beginning, separator, 200);
    if (beginning.length < text.length && records.length > 1) records.pop(); // it may be cut
    const width = records[0]?.length ?? 0;
    if (width < 2) continue;
    const alike = records.filter((r) => r.length === width).length / records.length;
    if (alike > best.alike || (alike === best.alike && width > best.width)) best = { separator, alike, width };
  }
  return best.separator;
}

// ---- records to a table ----

const isBlank = (cells) => cells.every((c) => c.trim() === "");

export async function readTable(whole, separator) {
  const told = TOLD.exec(whole);
  const text = told ? whole.slice(told[0].length) : whole;
  const out = nothing();
  for (const _ of parsing(text, separator, out)) await pause();
  const lineOf = (i) => out.lines[i] + (told ? 1 : 0);
  if (out.open) throw new Error(`Line ${out.open + (told ? 1 : 0)}: a quote is opened there and never closed, so all that follows would be one cell. Close it; quotes that belong to the text are doubled ("").`);
  const first = out.records.findIndex((cells) => !isBlank(cells));
  if (first < 0) throw new Error("The table is empty: a line with the names of the columns was expected, and below it one row a case.");
  const heads = out.records[first].map((head) => head.trim());
  while (heads.at(-1) === "" && out.records.every((cells) => (cells[heads.length - 1] ?? "").trim() === "")) heads.pop();
  if (heads.length > MOST_COLUMNS) throw new Error(`The table has ${heads.length} columns; ${MOST_COLUMNS} at most are read.`);
  const strays = new Set(out.stray);
  const table = { heads, rows: [], lines: [], flaws: {} };
  for (let i = first + 1; i < out.records.length; i++) {
    const cells = out.records[i];
    if (isBlank(cells)) continue;
    while (cells.length > heads.length && cells.at(-1).trim() === "") cells.pop();
    if (cells.length !== heads.length) table.flaws[table.rows.length] = `${cells.length === 1 ? "1 cell" : `${cells.length} cells`}, ${heads.length} were expected`;
    else if (strays.has(i)) table.flaws[table.rows.length] = 'text follows a closing quote; quotes inside a cell are doubled ("")';
    table.rows.push(cells);
    table.lines.push(lineOf(i));
  }
  if (table.rows.length === 0) throw new Error(`Line ${lineOf(first)} has the names of the columns, and no row is below it.`);
  return table;
}
