"""Constrained values against Python's jsonschema (draft 2020-12): every value that a schema's mask lets through is valid, and no
valid value is held up that is written as text/json_schema.h says.

The schemas come in families, as in the JSON-Schema-Test-Suite, by a seeded generator, and there are hard ones by hand. For each:
texts written from the schema (they must pass, byte by byte and by tokens), changed texts and a pool of odd values (those that
pass must be valid), and random walks through what is allowed. HONE_SCHEMAS=5000 makes as many; HONE_SEED other ones.
"""
import collections
import datetime
import decimal
import fractions
import json
import os
import random
import re
import subprocess
import sys
import unittest
import urllib.parse

try:
    import jsonschema
    import jsonschema_specifications
except ImportError:
    jsonschema = None
    print("SKIPPED: Python's jsonschema is not installed (scripts/requirements-test.txt)", flush=True)  # for CTest

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "..", "golden", "tiny", "hf")
DEMO = os.path.join(HERE, "..", "..", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
HONE = os.environ.get("HONE_BIN", "")
DRIVER = os.path.join(os.path.dirname(HONE), "tests", "sample_schema_driver")
COUNT = int(os.environ.get("HONE_SCHEMAS", "600"))
SEED = int(os.environ.get("HONE_SEED", "1"))
LONG = COUNT > 600
WALKS = 8 if LONG else 3

KINDS = ["object", "array", "string", "number", "integer", "boolean", "null"]
SPEAKS = {"properties": "object", "required": "object", "additionalProperties": "object", "patternProperties": "object", "propertyNames": "object",
          "minProperties": "object", "maxProperties": "object", "items": "array", "prefixItems": "array", "uniqueItems": "array", "minItems": "array",
          "maxItems": "array", "minLength": "string", "maxLength": "string", "pattern": "string", "format": "string", "minimum": "number", "maximum": "number",
          "exclusiveMinimum": "number", "exclusiveMaximum": "number", "multipleOf": "number"}
OFFERED = set(SPEAKS) | {"type", "enum", "const", "anyOf", "allOf", "oneOf", "$ref", "title", "description", "default", "examples",
                         "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "$defs", "definitions", "$anchor", "$dynamicAnchor",
                         "$vocabulary", "contentEncoding", "contentMediaType", "contentSchema"}
CHARACTERS = ["a", "b", "Z", "0", " ", "\"", "\\", "/", "\n", "\t", "\0", "\x1f", "\x7f", "é", "ß", "€", "\u2028", "漢", "\ue000",
              "\ufffd", "\uffff", "😀", "\U0010ffff", "{", "}", "[", "]", ":", ",", "̈", "<", "'"]
SHORT = {"\"": "\\\"", "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NAMES = ["a", "b", "ab", "abc", "", "é", "a b", "\"", "\\", "x/y", "x~y", "$ref", "type", "$id", "enum", "0", "😀", "a\nb", "tab\t",
         "%", "properties", "name", "value"]
POOL = [None, True, False, 0, 1, -1, 2, 3, 7, 10, 42, 100, -100, 1.5, -2.5, 0.1, 1e10, 9007199254740993, "", "a", "ab", "abc", "é", "😀",
        "null", "1", "a long text of many characters", [], [1], [1, 2, 3], ["a"], [None], [[]], [True, False], {}, {"a": 1}, {"a": "x"},
        {"b": 2}, {"a": 1, "b": 2}, {"a": {}}, {"x": [1]}, {"a": None, "c": 3}]


# ---- texts that are valid by a schema, in the spellings that are offered ----

def may_be_named(name, rule):
    """By Python and by ECMA-262, for which \\w has no letter but A to z: what they read apart is not offered."""
    pattern = rule.get("pattern", "") if isinstance(rule, dict) else ""
    return fits({"propertyNames": rule}, {name: 1}) and re.search(pattern, name, re.ASCII) is not None


class TooDeep(Exception):
    pass


def fewest(text):
    return json.dumps(text, ensure_ascii=False)


def spelled(text, r):
    """A JSON string in one of its spellings."""
    out = []
    for ch in text:
        units = ch.encode("utf-16-be")
        long = "".join("\\u" + units[i:i + 2].hex() for i in range(0, len(units), 2))
        ways = [long, "".join("\\u" + w.upper() for w in long.split("\\u")[1:])]
        ways += [SHORT[ch]] * 2 if ch in SHORT else []
        if ch >= " " and ch not in "\"\\":
            ways += [ch] * 4
        out.append(r.choice(ways))
    return '"' + "".join(out) + '"'


class Writer:
    """Valid values of a schema, as texts. bold: how likely what may be left out comes."""

    def __init__(self, root, r, deepest=6):
        self.root, self.r, self.deepest = root, r, deepest

    def text(self):
        for deepest in [self.deepest] * 30 + [40] * 10:
            self.deepest = deepest
            try:
                return self.value(self.root, 0)
            except TooDeep:
                continue
        raise AssertionError(f"nothing could be written by {self.root}")

    def blank(self):
        return self.r.choice(["", "", " "])

    def find(self, pointer):
        at = self.root
        for name in pointer[1:].split("/")[1:]:
            name = urllib.parse.unquote(name).replace("~1", "/").replace("~0", "~")
            at = at[int(name)] if isinstance(at, list) else at[name]
        return at

    def value(self, s, depth):
        if depth > self.deepest or s is False:
            raise TooDeep
        if s is True:
            s = {"enum": POOL[:20]}
        s = SAME.get(json.dumps(s), s)
        if "$ref" in s:
            return self.value(self.find(s["$ref"]), depth + 0.25)
        for key in ("anyOf", "oneOf", "allOf"):
            if key in s:
                return self.value(self.r.choice(s[key]), depth + 0.25)
        if "enum" in s or "const" in s:
            fit = [v for v in s.get("enum", [s.get("const")]) if jsonschema.Draft202012Validator(s).is_valid(v)]
            return json.dumps(self.r.choice(fit), ensure_ascii=False)
        kinds = s.get("type") or sorted({SPEAKS[k] for k in s if k in SPEAKS}) or KINDS
        kind = self.r.choice(kinds if isinstance(kinds, list) else [kinds])
        return getattr(self, kind)(s, depth)

    def null(self, s, depth):
        return "null"

    def boolean(self, s, depth):
        return self.r.choice(["true", "false"])

    def string(self, s, depth):
        if "pattern" in s or "format" in s:
            make = PATTERNS[s["pattern"]] if "pattern" in s else FORMATS[s["format"]]
            for _ in range(300):
                text = make(self.r)
                if fits(s, text):
                    return spelled(text, self.r)
            raise TooDeep
        return spelled("".join(self.r.choice(CHARACTERS) for _ in range(self.count(s, "minLength", "maxLength", 6))), self.r)

    def count(self, s, least, most, more):
        lo = int(s.get(least, 0))
        hi = min(int(s.get(most, lo + more)), lo + more * 3)
        return self.r.choice([lo, hi, self.r.randint(lo, hi)])

    def array(self, s, depth):
        if s.get("uniqueItems") and s.get("maxItems", 9) > 1:
            among = [v for v in self.find(s["items"]["$ref"])["enum"]] if "$ref" in s["items"] else list(s["items"]["enum"])
            self.r.shuffle(among)
            among = list({(isinstance(v, bool), v): v for v in among}.values())
            n = self.r.randint(min(int(s.get("minItems", 0)), len(among)), min(int(s.get("maxItems", 99)), len(among)))
            return "[" + "".join(("," + self.blank() if i else "") + json.dumps(v, ensure_ascii=False) for i, v in enumerate(among[:n])) + "]"
        prefix = s.get("prefixItems", [])
        n = self.count(s, "minItems", "maxItems", 3)
        if depth >= self.deepest - 1 or s.get("items") is False:
            n = int(s.get("minItems", 0))
        if prefix and s.get("items") is False:
            n = min(max(n, self.r.randint(0, len(prefix))), len(prefix), int(s.get("maxItems", 99)))
            if n < s.get("minItems", 0):
                raise TooDeep
        parts = [self.value(prefix[i] if i < len(prefix) else s.get("items", True), depth + 1) for i in range(n)]
        return "[" + "".join(("," + self.blank() if i else "") + p for i, p in enumerate(parts)) + "]"

    def object(self, s, depth):
        parts = []
        declared = s.get("properties", {})
        for name, inner in declared.items():
            if not may_be_named(name, s.get("propertyNames", True)):
                if name in s.get("required", []):
                    raise TooDeep
                continue
            if name not in s.get("required", []) and (inner is False or depth >= self.deepest - 1 or self.r.random() < 0.5):
                continue
            parts.append(fewest(name) + ":" + self.blank() + self.value(inner, depth + 1))
        more = s.get("additionalProperties", True)
        if not declared and depth < self.deepest - 1 or s.get("minProperties"):
            patterns = s.get("patternProperties", {})
            names = NAMES + [PATTERNS[p](self.r) for p in patterns for _ in range(4)]
            for name in [] if declared else self.r.sample(sorted(set(names)), min(self.r.randint(0, 3) or int(s.get("minProperties", 0)), int(s.get("maxProperties", 9)))):
                of = [patterns[p] for p in patterns if re.search(p, name)] or [more]
                if len(of) > 1 or of[0] is False or name.endswith("\n") or not may_be_named(name, s.get("propertyNames", True)):
                    continue
                parts.append(spelled(name, self.r) + ":" + self.blank() + self.value(of[0], depth + 1))
        if not int(s.get("minProperties", 0)) <= len(parts) <= int(s.get("maxProperties", 99)):
            raise TooDeep
        return "{" + "".join(("," + self.blank() if i else "") + p for i, p in enumerate(parts)) + "}"

    def integer(self, s, depth):
        return self.numeral(s, True)

    def number(self, s, depth):
        return self.numeral(s, False)

    @staticmethod
    def within(exact, rounded, key, bound):
        """Exactly, and for who reads doubles."""
        if key == "multipleOf":
            return exact % decimal.Decimal(str(bound)) == 0
        for x, b in ((exact, decimal.Decimal(str(bound))), (rounded, bound)):
            if not {"minimum": x >= b, "maximum": x <= b, "exclusiveMinimum": x > b, "exclusiveMaximum": x < b}[key]:
                return False
        return True

    def numeral(self, s, whole):
        """Texts are tried until one lies between the bounds."""
        bounds = [decimal.Decimal(str(s[k])) for k in SPEAKS if SPEAKS[k] == "number" and k in s and k != "multipleOf"]
        unit = decimal.Decimal(str(s["multipleOf"])) if "multipleOf" in s else None
        near = bounds or [decimal.Decimal(0)]
        excluded = [decimal.Decimal(str(s[k])) for k in ("exclusiveMinimum", "exclusiveMaximum") if k in s]
        for _ in range(4000):
            d = self.r.choice(near)
            k = self.r.randint(0, 9)
            step = decimal.Decimal(self.r.randint(-10 ** self.r.randint(1, 6), 10 ** self.r.randint(1, 6)))
            d = d if k == 0 else d + step if k < 4 else d + step.scaleb(-self.r.randint(1, 6))
            if len(bounds) > 1 and k > 6:
                d = min(bounds) + (max(bounds) - min(bounds)) * decimal.Decimal(self.r.randint(0, 1000)) / 1000
            if unit:
                d = (d / unit).to_integral_value() * unit
            text = f"{d.to_integral_value():f}" if whole else f"{d:f}"
            if not whole and not unit and self.r.random() < 0.3:
                text = f"{d + decimal.Decimal(self.r.randint(-10 ** 19, 10 ** 19)).scaleb(-self.r.randint(18, 20)):.{self.r.randint(14, 20)}f}"
            if not whole and bounds == [] and not unit and self.r.random() < 0.3:
                text += self.r.choice("eE") + self.r.choice(["", "+", "-"]) + str(self.r.randint(0, 99))
            elif not whole and "." in text and self.r.random() < 0.3:
                text += "0"
            d = decimal.Decimal(text)
            head, _, tail = text.partition(".")
            n = len(head.lstrip("-"))
            if n > 16 or len(tail.lower().split("e")[0]) > 20 or whole and text == "-0":
                continue
            if unit and not whole and n > 15 - max(0, -unit.as_tuple().exponent):
                continue
            last = decimal.Decimal(1).scaleb(-max(15 - n, 0))
            if len(tail) > max(15 - n, 0) and any(abs(d - e) < 3 * last for e in excluded):
                continue  # beside a bound there are 15 digits
            if text.startswith("-") and float(text) == 0 and (bounds or unit):
                continue  # "-0" comes only where less than it does
            if all(self.within(d, float(text), k, s[k]) for k in s if SPEAKS.get(k) == "number"):
                return text
        raise TooDeep


# ---- patterns with a way to write what they match, and formats ----

PATTERNS = {}  # of those that were made: a function of a random generator
ATOMS = [("a", "a"), ("b", "b"), ("0", "0"), ("é", "é"), ("😀", "😀"), ("\\.", "."), ("\\/", "/"), ("\\\\", "\\"), ("\"", "\""), ("\\n", "\n"),
         ("\\t", "\t"), ("\\x41", "A"), ("\\u00df", "ß"), ("\\u{1F600}", None), ("\\ud83d\\ude00", None), (" ", " "), ("-", "-"), ("@", "@"), ("}", "}"),
         ("]", "]"), ("\\-", "-"), (".", "aZ0 é漢😀\"\\"), ("\\d", "0123456789"), ("\\w", "abZ_09"), ("\\s", " \t\n\u00a0\u2003"), ("\\D", "aZ é漢😀-\n"),
         ("\\W", " -.\"\\/€😀\t"), ("\\S", "a0é漢😀\"-"), ("[a-z]", "abcxyz"), ("[^a-z]", "A0 é😀\"\\\n"), ("[0-9a-fA-F]", "09afAF"), ("[\\w.-]", "aZ0_.-"),
         ("[^\\s\\d]", "aéZ-\"😀"), ("[é-ÿ]", "éêÿ"), ("[\\\\\\]\\[]", "\\]["), ("[😀-😂]", "😀😁😂"), ("[^\"]", "a\\ 0é"), ("[\\W_]", "_ -"), ("[-a]", "-a"),
         ("[a-]", "a-"), ("[\\b]", "\b"), ("[\\u0000-\\u001f]", "\0\x01\x1f\n"), ("[一-龥]", "一漢字")]
ATOMS = [(p, w) for p, w in ATOMS if w is not None]  # Python's re knows neither \\u{...} nor pairs


def of_regex(r, depth=2):
    """A pattern without anchors, and what writes a text that it matches whole."""
    k = r.randint(0, 9) if depth > 0 else 0
    if k < 4:
        p, among = r.choice(ATOMS)
        return p, lambda q: q.choice(among)
    if k < 6:
        parts = [of_regex(r, depth - 1) for _ in range(r.randint(2, 4))]
        return "".join(p for p, _ in parts), lambda q: "".join(w(q) for _, w in parts)
    if k < 8:
        parts = [of_regex(r, depth - 1) for _ in range(r.randint(2, 3))]
        return r.choice(["(%s)", "(?:%s)"]) % "|".join(p for p, _ in parts), lambda q: q.choice(parts)[1](q)
    p, write = of_regex(r, depth - 1)
    lo = r.randint(0, 3)
    hi = lo + r.randint(0, 4)
    mark, lo, hi = r.choice([("*", 0, 4), ("+", 1, 4), ("?", 0, 1), ("{%d}" % lo, lo, lo), ("{%d,%d}" % (lo, hi), lo, hi), ("{%d,}" % lo, lo, lo + 4)])
    return "(?:%s)%s%s" % (p, mark, r.choice(["", "", "?"])), lambda q: "".join(write(q) for _ in range(q.randint(lo, hi)))


def of_pattern(r):
    p, write = of_regex(r)

    def around(q):
        return "".join(q.choice(CHARACTERS) for _ in range(q.randint(0, 3)))
    k = r.randint(0, 5)
    if k < 3:
        p, made = "^(?:%s)$" % p, write
    elif k == 3:
        p, made = "^(?:%s)" % p, lambda q: write(q) + around(q)
    elif k == 4:
        p, made = "(?:%s)$" % p, lambda q: around(q) + write(q)
    else:
        made = lambda q: around(q) + write(q) + around(q)
    PATTERNS[p] = made
    return {"type": "string", "pattern": p, **(counts(r, "minLength", "maxLength", 9) if r.random() < 0.4 else {})}


def digits(q, n):
    return "".join(q.choice("0123456789") for _ in range(n))


def a_date(q):
    return (datetime.date(q.choice([1, 4, 1900, 1999, 2000, 2024, 9996, 9999]), 1, 1) + datetime.timedelta(q.choice([0, 58, 59, 60, 364]))).isoformat()


def a_time(q):
    return "%02d:%02d:%02d%s%s" % (q.choice([0, 9, 19, 23]), q.choice([0, 59]), q.choice([0, 30, 59]), q.choice(["", ".5", "." + digits(q, 9)]),
                                   q.choice(["Z", "z", "+00:00", "-23:59", "+05:30"]))


def a_duration(q):
    return q.choice(["P1Y", "P1Y2M", "P1Y2M3D", "P2M3D", "P3D", "P10W", "PT1H", "PT1H2M", "PT1H2M3S", "PT2M", "PT3S", "P1YT1H", "P3DT2M3S", "P0D"])


def a_host(q):
    label = lambda: q.choice(["a", "A9", "x-y", "0", "a" * 63, "b-" + digits(q, 3), "a--b"])
    return ".".join(label() for _ in range(q.randint(1, 4)))[:253].rstrip(".-")


FORMATS = {
    "date-time": lambda q: a_date(q) + q.choice("Tt") + a_time(q), "date": a_date, "time": a_time, "duration": a_duration, "hostname": a_host,
    "email": lambda q: q.choice(["a", "a.b", "x+y", "o'neil", "a" * 64, "!#$%&'*+/=?^_`{|}~-"]) + "@" + a_host(q),
    "ipv4": lambda q: ".".join(q.choice(["0", "9", "10", "99", "100", "199", "200", "249", "250", "255"]) for _ in range(4)),
    "ipv6": lambda q: q.choice(["::", "::1", "1::", "a:b:c:d:e:f:0:1", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::8", "ABCD:ef01::1.2.3.4", "::ffff:255.0.0.9",
                                "1:2:3:4:5:6:1.2.3.4", "1:2:3::5:6:7:8", "2001:db8::%x" % q.randint(0, 65535)]),
    "uri": lambda q: q.choice(["http://a.b/c?d=e&f#g/?h", "urn:ietf:rfc:3986", "ftp://u:p@127.0.0.1:21/a//b;c=d", "HTTPS://[2001:db8::7]:/%41b%c3%A9", "mailto:x@y.z", "a:", "a+b.c-d:/",
                               "file:///etc/hosts", "x://", "x:a:b@c", "http://[v1.a:b]/", "z:?", "tel:+1-816-555-1212#"]),
    "uri-reference": lambda q: q.choice(["", "#", "?", "a/b:c", "//h", "//", "/", "/a//b", "../x", "@", ".", "a%20b?c", FORMATS["uri"](q)]),
    "json-pointer": lambda q: q.choice(["", "/", "//", "/a~0b~1c", "/\u00e9/\"/\\", "/0/1/-", "/a b"]),
    "relative-json-pointer": lambda q: q.choice(["0", "0#", "10#", "1/a/b", "7/", "23/~1~0"]),
    "uuid": lambda q: "-".join("".join(q.choice("0123456789abcdefABCDEF") for _ in range(n)) for n in (8, 4, 4, 4, 12))}
# jsonschema leaves some formats to packages that are seldom installed.
CHECKER = jsonschema.FormatChecker(["date", "email", "ipv4", "ipv6", "uuid"]) if jsonschema else None


def is_time(text):
    m = re.fullmatch(r"(\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|[+-](\d\d):(\d\d))", text, re.ASCII)
    if m is None or int(m[6] or 0) > 23 or int(m[7] or 0) > 59:
        return False
    if int(m[3]) == 60:
        return int(m[1]) == 23 and int(m[2]) == 59 and int(m[6] or 0) == int(m[7] or 0) == 0
    return int(m[1]) < 24 and int(m[2]) < 60 and int(m[3]) < 60


def is_date_time(text):
    return text[10:11] in ("T", "t") and CHECKER.conforms(text[:10], "date") and is_time(text[11:])


def is_duration(text):
    m = re.fullmatch(r"P(?:(\d+)W|(\d+Y)?(\d+M)?(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?)", text, re.ASCII)
    if m is None or not any(m.groups()) or m[5] == "T":
        return False
    return not (m[2] and m[4] and not m[3]) and not (m[6] and m[8] and not m[7])


def is_host(text):
    return len(text) <= 253 and all(re.fullmatch(r"(?!..--)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?", x, re.ASCII) for x in text.split("."))


def is_email(text):
    local, _, host = text.rpartition("@")
    return is_host(host) and 0 < len(local) <= 64 and all(re.fullmatch(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", x) for x in local.split("."))


def is_uri_reference(text):
    """RFC 3986: its appendix B takes the parts from each other, then each has its characters."""
    scheme, authority, path, query, fragment = re.fullmatch(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", text, re.DOTALL).groups()
    def holds(part, more):
        return part is None or re.fullmatch(r"(?:[A-Za-z0-9._~!$&'()*+,;=%s-]|%%[0-9A-Fa-f]{2})*" % more, part) is not None
    if authority is not None:
        user, at, host = authority.rpartition("@")
        m = re.fullmatch(r"(\[.*\]|[^:]*)(?::[0-9]*)?", host, re.DOTALL)
        if m is None or not holds(user, ":"):
            return False
        inner = m[1][1:-1]
        if m[1].startswith("[") and not (CHECKER.conforms(inner, "ipv6") and "%" not in inner or re.fullmatch(r"[Vv][0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+", inner)):
            return False
        if not m[1].startswith("[") and not holds(m[1], ""):
            return False
    if scheme is None and authority is None and ":" in path.split("/")[0]:
        return False
    return (scheme is None or re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) is not None) and holds(path, ":@/") and holds(query, ":@/?") and holds(fragment, ":@/?")


def is_uri(text):
    return is_uri_reference(text) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) is not None


def is_pointer(text):
    return text == "" or text[0] == "/" and all(x[:1] in ("0", "1") for x in text.split("~")[1:])


def is_relative_pointer(text):
    digits = text[:len(text) - len(text.lstrip("0123456789"))]
    return digits != "" and (digits == "0" or digits[0] != "0") and (text[len(digits):] == "#" or is_pointer(text[len(digits):]))


if jsonschema:
    for name, check in (("uri", is_uri), ("uri-reference", is_uri_reference), ("json-pointer", is_pointer), ("relative-json-pointer", is_relative_pointer), ("date-time", is_date_time), ("time", is_time), ("duration", is_duration), ("hostname", is_host), ("email", is_email)):
        CHECKER.checkers[name] = (lambda v, check=check: not isinstance(v, str) or check(v), ())


def in_units(validator, unit, value, schema):
    """As the decimal numbers say: jsonschema divides doubles, and by it 0.07 is no multiple of 0.01."""
    if validator.is_type(value, "number") and abs(value) < 1e300 and fractions.Fraction(str(value)) % fractions.Fraction(str(unit)) != 0:
        yield jsonschema.ValidationError(f"{value} is no multiple of {unit}")


if jsonschema:
    Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": in_units})


def fits(schema, value):
    return Validator(schema, format_checker=CHECKER).is_valid(value)


def of_format(r):
    s = {"type": "string", "format": r.choice(sorted(FORMATS))}
    if r.random() < 0.3:
        s["maxLength"] = r.choice([8, 20, 40])
    if r.random() < 0.3:
        s["minLength"] = r.choice([2, 8])
    return s


# ---- schemas, by families ----

def counts(r, least, most, high):
    lo, hi = sorted((r.randint(0, high), r.randint(0, high)))
    return r.choice([{least: lo}, {most: hi}, {least: lo, most: hi}, {least: hi, most: hi}, {}])


def of_type(r):
    return r.choice([{"type": r.choice(KINDS)}, {"type": r.sample(KINDS, r.randint(1, 5))}, {"type": [r.choice(KINDS[:-1]), "null"]}, {}, True])


def of_constants(r):
    values = [0, 1, -1, 12, 123, 1.5, -0.25, 1e-7, 1e22, 10 ** 15, True, False, None, "", "a", "ab", "abc", "a\"b", "\\", "é", "😀", "\n",
              "\u2028", "\x7f", "a/b", "null", "1", " ", "\0"]
    parts = [[], {}, [1], [1, 2], ["a", None], [[], {"a": 1}], {"a": 1}, {"a": [True], "b": {"é\"": -0.5}}, {"b": 2, "a": 1}, [[[1]]], [0], [False]]
    some = r.sample(values, r.randint(1, 12)) + r.sample(parts, r.choice([0, 0, 1, 3]))
    r.shuffle(some)
    if r.random() < 0.3:
        return {"const": some[0]}
    s = {"enum": some}
    if r.random() < 0.4:
        names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array", dict: "object"}
        s["type"] = r.choice([names[type(some[0])], sorted({names[type(v)] for v in some})])
    return s


def of_bounds(r, whole):
    scale = r.choice([1, 10, 100, 10 ** 4, 10 ** 9, 10 ** 14])

    def bound():
        x = r.randint(-scale, scale)
        return x if whole or r.random() < 0.4 else round(x + r.random(), r.randint(1, 4))
    lo, hi = sorted((bound(), bound()))
    s = {"type": "integer" if whole else "number"}
    for key, v in ((r.choice(["minimum", "exclusiveMinimum"]), lo), (r.choice(["maximum", "exclusiveMaximum"]), hi + 2)):
        if r.random() < 0.75:
            s[key] = v
    if r.random() < 0.1:
        s["minimum"] = s["exclusiveMinimum"] = lo
    return s


def of_multiples(r):
    whole = r.random() < 0.5
    s = of_bounds(r, whole)
    if "minimum" in s and "maximum" in s:
        s["maximum"] += 1000
    far = max([abs(s[k]) for k in s if k != "type"], default=0) > 10 ** 6  # beside such bounds 1000 takes more states than are offered
    return {**s, "multipleOf": r.choice([1, 2, 3, 5, 7, 10, 12, 60, 97, 100, 100 if far else 1000, 2.0] if whole else [1, 3, 10, 0.5, 0.25, 0.1, 0.01, 0.05, 0.125, 2.5, 1.5, 0.0001])}


def of_string(r):
    return {"type": "string", **counts(r, "minLength", "maxLength", r.choice([2, 5, 40]))}


def of_array(r, depth):
    s = {"type": "array", **counts(r, "minItems", "maxItems", r.choice([2, 4]))}
    if r.random() < 0.9:
        s["items"] = of_any(r, depth - 1)
    return s


def of_tuple(r, depth):
    s = {**of_array(r, depth), "prefixItems": [of_any(r, depth - 1) for _ in range(r.randint(1, 4))]}
    if r.random() < 0.4:
        s["items"] = False
    return s


def of_set(r):
    values = r.sample(["a", "ab", "b", "é", "a\"b", "abc", 1, 12, 3, 1.5, None, True, "BRCA1", "BRCA2", "TP53"], r.randint(1, 12))
    s = {"type": "array", "items": {"enum": values}, "uniqueItems": True}
    k = r.randint(0, 3)
    if k & 1:
        s["minItems"] = r.randint(0, len(values))
    if k & 2:
        s["maxItems"] = r.randint(s.get("minItems", 0), len(values) + 1)
    return s


def of_beside(r, depth):
    """Arrays of several kinds in one place."""
    kinds = [of_set, of_set, lambda r: of_array(r, depth), lambda r: of_tuple(r, depth), lambda r: {"type": "array", "items": {"type": r.choice(["string", "number"])}}]
    arrays = [r.choice(kinds)(r) for _ in range(r.randint(2, 3))]
    return r.choice([{"anyOf": arrays}, {"type": "array", "items": {"anyOf": arrays}},
                     {"anyOf": [{"type": "object", "properties": {"k": a, "n": of_type(r)}, "required": ["k"]} for a in arrays]}])


def of_object(r, depth):
    names = r.sample(NAMES, r.randint(1, 5))
    s = {"type": "object", "properties": {n: of_any(r, depth - 1) for n in names}}
    if r.random() < 0.8:
        s["required"] = r.sample(names, r.randint(0, len(names)))
    if r.random() < 0.6:
        s["additionalProperties"] = False
    return s


def of_patterned(r, depth):
    s = {"type": "object", "patternProperties": {}}
    for _ in range(r.randint(1, 3)):
        k = r.choice(["a", "b", "x-", "n_"])
        p, make = r.choice([("^%s" % k, lambda q, k=k: k + q.choice(["", "1", "é"])), ("%s$" % k, lambda q, k=k: q.choice(["", "z"]) + k),
                            ("^%s[0-9]{1,3}$" % k, lambda q, k=k: k + digits(q, q.randint(1, 3))), (k, lambda q, k=k: "q" + k + "q")])
        PATTERNS[p] = make
        s["patternProperties"][p] = r.choice([of_string, of_type, lambda r: of_bounds(r, True), lambda r: of_bounds(r, False)])(r)
    if r.random() < 0.7:
        s["additionalProperties"] = r.choice([False, False, of_any(r, depth - 1)])
    if r.random() < 0.3:
        s[r.choice(["minProperties", "maxProperties"])] = 1
    if r.random() < 0.2:
        s["properties"] = {n: of_type(r) for n in r.sample(["c", "zz", "0"], 2)}
    return s


def of_counted(r, depth):
    s = of_object(r, depth)
    n = len(s["properties"])
    return {**s, **r.choice([{"minProperties": r.randint(0, n)}, {"maxProperties": r.randint(len(s.get("required", [])), n + 1)}])}


SAME = {}  # the text of a schema: a plain one that allows the same, to write values from


def parted(r, s, n):
    """s in n parts that hold together; properties stay in their order."""
    parts = [{} for _ in range(n)]
    for key, v in s.items():
        if key == "properties":
            names = list(v)
            cut = r.randint(0, len(names))
            parts[0][key] = {k: v[k] for k in names[:cut]}
            parts[-1][key] = {**parts[-1].get(key, {}), **{k: v[k] for k in names[cut:]}}
        elif key == "required":
            parts[0][key], parts[-1][key] = v, list(v[:1])
        elif key != "additionalProperties":
            r.choice(parts)[key] = v
            if key == "type" and r.random() < 0.3:
                parts[0][key] = parts[-1][key] = v
    return parts


def of_together(r, depth):
    s = r.choice([of_string, of_pattern, lambda r: of_bounds(r, True), of_multiples, lambda r: of_object(r, depth), lambda r: of_object(r, depth)])(r)
    s.pop("additionalProperties", None)
    k = r.randint(0, 3)
    if k == 0:
        out = {"allOf": parted(r, s, r.randint(2, 3))}
    elif k == 1:
        first, *rest = parted(r, s, 2)
        out = {**first, "allOf": rest}
    elif k == 2:
        first, rest = parted(r, s, 2)
        out = {**first, "$ref": "#/$defs/more", "$defs": {"more": rest}}
    else:
        names = list(s.get("properties", {}))
        if not names:
            out = {**s, "anyOf": [{}, {"type": s["type"]}]}
        else:
            some = [{"required": [n]} for n in r.sample(names, min(2, len(names)))]
            out, s = {**s, "anyOf": some}, {"anyOf": [{**s, "required": sorted({*s.get("required", []), *p["required"]})} for p in some]}
    SAME[json.dumps(out)] = s
    return out


def of_one_required(r, depth):
    """Exactly one of some lists of names; the writer is told objects that have one and lack a name of each other."""
    s, parts = of_object(r, depth), [r.sample(NAMES[:6], r.randint(1, 3)) for _ in range(r.randint(2, 3))]
    s = {**s, "oneOf": [{"required": p} for p in parts]} if r.random() < 0.7 else {"oneOf": [{"required": p} for p in parts], "type": r.choice(["object", ["object", "null"]])}
    ways = []
    for i, own in enumerate(parts):
        lacks = [next((n for n in p if n not in own), None) for j, p in enumerate(parts) if j != i]
        need = list(dict.fromkeys(s.get("required", []) + own))
        if None not in lacks and not set(lacks) & set(need):
            declared = {n: x for n, x in s.get("properties", {}).items() if n not in lacks}
            ways.append({**{k: v for k, v in s.items() if k != "oneOf"}, "type": "object", "properties": {**declared, **{n: s.get("additionalProperties", True) for n in need if n not in declared}}, "required": need})
    SAME[json.dumps(s)] = {"anyOf": ways or [False]}
    return s


def of_one(r, depth):
    if r.random() < 0.25:
        return of_one_required(r, depth)
    if r.random() < 0.6:
        return {"oneOf": of_tagged(r, depth)["anyOf"]}
    parts = [{"type": "null"}, {"type": "boolean"}, of_string(r), of_array(r, depth), {**of_object(r, depth)}, of_bounds(r, r.random() < 0.5)]
    return {"oneOf": r.sample(parts, r.randint(2, 4))}


def of_names(r, depth):
    k = r.randint(0, 3)
    s = {"type": "object", "propertyNames": {}}
    if k == 0:
        some = r.sample(NAMES, r.randint(1, 5))
        s["propertyNames"] = r.choice([{"enum": some}, {"type": "string", "enum": some + [1]}, {"const": some[0]}])
        out = {"type": "object", "properties": {n: s.setdefault("additionalProperties", of_any(r, depth - 1)) for n in (some if "enum" in s["propertyNames"] else some[:1])}}
        if r.random() < 0.4:
            s["required"] = out["required"] = list(out["properties"])[:2]
        SAME[json.dumps(s)] = out
        return s
    if k == 1:
        s["propertyNames"] = r.choice([of_pattern(r), {"maxLength": r.randint(0, 3)}, {"minLength": r.randint(1, 2)}])
    elif k == 2:
        s = {**of_object(r, depth), "propertyNames": {"maxLength": r.randint(0, 2)}}
    else:
        s["propertyNames"] = r.choice([False, True, {"type": "null"}, {"format": "date"}])
    if r.random() < 0.7:
        s["additionalProperties"] = of_any(r, depth - 1)
    return s


def of_map(r, depth):
    return r.choice([{"type": "object", "additionalProperties": of_any(r, depth - 1)}, {"type": "object"},
                     {"type": "object", "properties": {}}, {"type": "object", "additionalProperties": False}])


def of_union(r, depth):
    return {"anyOf": [of_any(r, depth - 1) for _ in range(r.randint(1, 4))]}


def of_tagged(r, depth):
    """Objects that begin alike and are told apart late."""
    parts = []
    for tag in r.sample(["a", "ab", "b", 1, 2, True, None], r.randint(2, 4)):
        part = {"type": "object", "properties": {"k": {"const": tag}, **of_object(r, depth)["properties"]}}
        if r.random() < 0.5:
            part["properties"] = dict(reversed(part["properties"].items()))
        part["required"] = sorted({"k", r.choice(sorted(part["properties"]))})
        parts.append(part)
    return {"anyOf": parts}


def of_ref(r, depth):
    names = r.sample(["n", "a/b", "a~b", "x y", "p%q", "é", "0"], 2)
    to = ["#/$defs/" + n.replace("~", "~0").replace("/", "~1") for n in names]
    to = [t.replace("%", "%25").replace(" ", "%20") if r.random() < 0.5 or "%" in t else t for t in to]
    leaf, inner = of_any(r, 0), {"$ref": to[1]}
    tree = r.choice([
        {"type": "object", "properties": {"v": inner, "next": {"anyOf": [{"$ref": to[0]}, {"type": "null"}]}}, "required": ["v", "next"]},
        {"type": "object", "properties": {"v": inner, "of": {"type": "array", "items": {"$ref": to[0]}}}, "required": ["v"]},
        {"type": "object", "properties": {"left": {"$ref": to[0]}, "v": inner, "right": {"$ref": to[0]}}, "required": ["v"]},
        {"anyOf": [inner, {"type": "array", "items": {"$ref": to[0]}, "maxItems": 2}]},
        {"type": "array", "items": {"allOf": [inner]}},
        {"type": "object", "additionalProperties": {"$ref": to[0]}}])
    return {"$ref": to[0], "$defs": {names[0]: tree, names[1]: leaf}, "title": "a tree"}


def of_any(r, depth):
    if depth <= 0:
        return r.choice([of_type, of_constants, of_string, of_pattern, of_format, of_multiples, lambda r: of_bounds(r, True), lambda r: of_bounds(r, False)])(r)
    s = r.choice([of_array, of_tuple, lambda r, d: of_set(r), of_one, of_patterned, of_counted, of_object, of_object, of_map, of_union, lambda r, d: of_any(r, 0)])(r, depth)
    if isinstance(s, dict) and r.random() < 0.2:
        said = {**s, "title": "T", "description": "pattern", "default": 1, "examples": [1], "$comment": "c", "deprecated": False, "x-own": 1}
        if json.dumps(s) in SAME:
            SAME[json.dumps(said)] = SAME[json.dumps(s)]
        s = said
    return s


FAMILIES = {
    "type": of_type, "constants": of_constants, "integer": lambda r: of_bounds(r, True), "number": lambda r: of_bounds(r, False), "multiples": of_multiples,
    "string": of_string, "pattern": of_pattern, "format": of_format, "array": lambda r: of_array(r, 1), "tuple": lambda r: of_tuple(r, 1), "set": of_set, "beside": lambda r: of_beside(r, 1), "object": lambda r: of_object(r, 1), "map": lambda r: of_map(r, 1), "names": lambda r: of_names(r, 1),
    "patterned": lambda r: of_patterned(r, 1), "counted": lambda r: of_counted(r, 1), "together": lambda r: of_together(r, 1), "one": lambda r: of_one(r, 1),
    "union": lambda r: of_union(r, 1), "tagged": lambda r: of_tagged(r, 1), "reference": lambda r: of_ref(r, 1),
    "nested": lambda r: of_any(r, 3)}

# By hand: a schema, valid texts, texts that must not pass.
HARD = [
    ({"minLength": 2.0, "maxLength": 3.0, "type": "string"}, ['"ab"', '"abc"'], ['"a"', '"abcd"']),
    # no text has so many characters, for the next longer one has too many: the key may not come
    ({"type": "object", "properties": {"x": {"type": "string", "pattern": "^(?:abc)*$", "minLength": 1, "maxLength": 2}}}, ["{}"],
     ['{"x":""}', '{"x":"abc"}', '{"x":"a"}']),
    ({"type": "object", "properties": {"x": {"type": "string", "pattern": "^(?:a|bcdef)$", "minLength": 2, "maxLength": 4}}}, ["{}"],
     ['{"x":"a"}', '{"x":"bcdef"}']),
    ({"type": "string", "pattern": "^(?:a|bcdef|ghi)$", "minLength": 2, "maxLength": 4}, ['"ghi"'], ['"a"', '"bcdef"']),
    ({"type": "array", "minItems": 1.0, "maxItems": 2.0}, ["[1]", "[1, 2]"], ["[]", "[1,2,3]"]),
    ({"type": "integer", "enum": [1.0, 2, 3.5]}, ["1.0", "2"], ["3.5", "3"]),
    ({"const": -2.0}, ["-2.0"], ["2", '"-2.0"']),
    ({"enum": [[]], "type": "string"}, None, None),
    ({"enum": [False]}, ["false"], ["0", "null", "true"]),
    ({"enum": [0]}, ["0"], ["false", "00"]),
    ({"const": 9007199254740992}, ["9007199254740992"], ["9007199254740991", "9007199254740993"]),
    ({"type": "number", "minimum": 9007199254740993}, ["9007199254740993", "9007199254740994"],
     ["9007199254740992", "9007199254740993.0"]),
    ({"type": "number", "maximum": 9007199254740995}, ["9007199254740995", "1.5"], ["9007199254740996", "9007199254740995.0"]),
    ({"type": "number", "maximum": -9007199254740993}, ["-9007199254740993"], ["-9007199254740993.0", "-9007199254740992"]),
    ({"type": "number", "minimum": 0.1, "maximum": 0.3}, ["0.1", "0.3", "0.10000000000000000001", "0.2"], ["0.09", "0.30000000000000000001"]),
    ({"type": "number", "exclusiveMinimum": 0.1}, ["0.11", "1"], ["0.1", "0.10000000000000000001", "0.10"]),
    ({"type": "integer", "minimum": -0.5, "maximum": 0.5}, ["0"], ["1", "-1"]),
    ({"type": "integer", "exclusiveMinimum": -3.5, "exclusiveMaximum": -1}, ["-3", "-2"], ["-4", "-1"]),
    ({"properties": {"foo\nbar": {"type": "number"}, "foo\"bar": {"type": "number"}, "foo\\bar": {"type": "number"},
                     "foo\tbar": {"type": "number"}, "foo\fbar": {"type": "number"}}, "type": "object"},
     ['{"foo\\nbar":1,"foo\\"bar":1,"foo\\\\bar":1,"foo\\tbar":1,"foo\\fbar":1}', "{}"], ['{"foo\\nbar":"1"}']),
    ({"type": "object", "properties": {"foo": False, "bar": {"type": "integer"}}}, ["{}", '{"bar":1}'], ['{"foo":1}', '{"bar":1.5}']),
    ({"type": "object", "properties": {"$ref": {"type": "string"}, "$id": {"type": "null"}}}, ['{"$ref":"a"}', '{"$id":null}'],
     ['{"$ref":2}']),
    ({"type": "object", "properties": {"__proto__": {"type": "number"}, "constructor": {"type": "null"}}, "required": ["__proto__"]},
     ['{"__proto__":1}'], ["{}", '{"__proto__":"x"}']),
    ({"$ref": "#/$defs/c", "$defs": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/a"}, "c": {"$ref": "#/$defs/b"}}}, ["5"], ['"a"']),
    ({"type": "object", "properties": {"a": {"$ref": "#/$defs/p%25q"}, "b": {"$ref": "#/$defs/t~0f"}, "c": {"$ref": "#/$defs/s~1f"},
                                       "d": {"$ref": "#/$defs/%22q%22"}, "e": {"$ref": "#/$defs/%C3%A9"}},
      "$defs": {"p%q": {"type": "integer"}, "t~f": {"type": "integer"}, "s/f": {"type": "integer"}, '"q"': {"type": "integer"},
                "é": {"type": "integer"}}},
     ['{"a":1,"b":2,"c":3,"d":4,"e":5}'], ['{"a":"x"}', '{"b":"x"}', '{"c":"x"}', '{"d":"x"}', '{"e":"x"}']),
    ({"type": "object", "properties": {"foo": {"$ref": "#"}}, "additionalProperties": False}, ['{"foo":{"foo":{}}}', "{}"],
     ['{"bar":1}', '{"foo":{"bar":{}}}']),
    ({"anyOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, ["1", "2.5", "3"], ["1.5", '"a"']),
    ({"anyOf": [True, False]}, ["1", '"a"', "[{}]"], []),
    ({"anyOf": [{"anyOf": [{"type": "null"}]}]}, ["null"], ["1"]),
    ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "string"}, "minItems": 2}]},
     ["[]", "[1]", '["a","b"]'], ['["a"]', '[1,"a"]']),
    ({"type": "array", "items": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}}, ["[[[1]],[[2],[3]]]"],
     ['[[["1"]]]', "[[1]]"]),
    ({"type": "array", "items": False}, ["[]"], ["[1]"]),
    ({"type": "string", "maxLength": 2}, ['"💩💩"', '"\\ud83d\\uDCA9\\ud83d\\udca9"'], ['"💩💩💩"']),
    ({"type": "string", "enum": ["a\u2028b", "\x7f", "é"]}, ['"a\u2028b"', '"\x7f"', '"é"'], ['"ab"']),
    ({"type": ["object", "null"], "properties": {"a": {"type": ["integer", "null"]}}, "required": ["a"]}, ["null", '{"a":null}', '{"a":-3}'],
     ["{}", '{"a":"x"}', "[]"]),
    ({"pattern": "^(?:aa|bbb)*$", "minLength": 4, "maxLength": 5}, ['"aaaa"', '"aabbb"', '"bb\\u0062aa"'], ['"aaa"', '"bbb"', '"aaaaaa"']),
    ({"pattern": "^[a-z]+$", "minLength": 3, "maxLength": 100000}, ['"abc"', '"' + "a" * 500 + '"'], ['"ab"', '"abC"', '"ab\\n"']),
    ({"pattern": "^\\S+@\\S+\\.\\S+$"}, ['"a@b.c"', '"\\u0061\\u0040b\\u002ec"'], ['"a@b"', '"a b@c.d"', '"a\\u0020b@c.d"']),
    ({"pattern": "^\\u{1F600}$"}, None, None), ({"pattern": "^\\ud83d\\ude00$"}, None, None),
    ({"pattern": "a$"}, ['"a"', '"ba"'], ['"a\\n"', '"ab"']), ({"pattern": "^a|b$"}, ['"ax"', '"xb"'], ['"xa"', '"bx"']),
    ({"pattern": "(^a|b)c"}, ['"ac"', '"xbc"'], ['"xac"']), ({"pattern": "$^"}, ['""'], ['"a"']), ({"pattern": ""}, ['""', '"a"'], ["1"]),
    ({"pattern": "^a{2"}, ['"a{2"'], ['"aa"']), ({"pattern": "^(?:)*$"}, ['""'], ['"a"']), ({"pattern": "^.$"}, ['"a"', '"😀"'], ['"\\n"', '"ab"', '"\u2028"']),
    ({"pattern": "^\\d$"}, ['"7"'], ['"٣"']), ({"pattern": "^\\D$"}, ['"é"'], ['"٣"', '"3"']), ({"pattern": "^[^\\W\\d_]+$"}, ['"abZ"'], ['"é"', '"_"', '"a1"']),
    ({"type": "array", "items": {"enum": [1, 1.0, 12, True, "1"]}, "uniqueItems": True, "minItems": 3}, ["[1,12,true]", '["1",1.0, 12]', '[12,1,true,"1"]'],
     ["[1,1.0,12]", "[1,12]", "[1,1,12]", "[12,12,1]", '["1","1",1]', '[12,1,true,"1",1.0]']),
    ({"type": "array", "items": {"enum": ["TP53", "BRCA1", "BRCA2"]}, "uniqueItems": True, "maxItems": 2}, ["[]", '["BRCA2", "BRCA1"]'],
     ['["TP53","TP53"]', '["BRCA1","BRCA2","TP53"]']),
    ({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True}]},
     ['["abcdefghijk"]', '["a","a"]', '["b", 1,"a"]'], ["[1,1]", '["a",1,"a"]', '[1,"ab"]']),
    ({"items": {"$ref": "#/$defs/g"}, "uniqueItems": True, "$defs": {"g": {"enum": ["a", "b"]}}, "type": "array"}, ['["b","a"]', "[]"], ['["a","a"]']),
    ({"type": "array", "uniqueItems": True, "maxItems": 1}, ["[]", "[{}]"], ["[1,2]"]), ({"type": "array", "uniqueItems": False}, ["[1,1]"], ["1"]),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, ["[]", "[1]", '[1, "a"]'], ['["a"]', '[1,"a",2]']),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}, "minItems": 3, "maxItems": 4},
     ['[1,"a",null]', '[1,"a",null,null]'], ['[1,"a"]', '[1,"a",1]', '[1,"a",null,null,null]']),
    ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "maxItems": 1}, ["[]", "[1]"], ['[1,"a"]']),
    ({"type": "array", "prefixItems": [{"type": "integer"}, False]}, ["[]", "[1]"], ["[1,1]"]),
    ({"enum": ["a", "bc", "bcd", 7], "minLength": 2, "pattern": "^b"}, ['"bc"', '"bcd"', "7"], ['"a"', "8"]), ({"enum": ["a", "b"], "const": "b"}, ['"b"'], ['"a"']),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer", "maximum": 9}}, "minimum": 5}, ["5", "9"], ["4", "10"]),
    ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"], "properties": {"b": False}},
      {"required": ["b"]}]}, ['{"a":1}', '{"b":"x"}', '{"a":1,"b":"x"}'], ["{}", '{"a":"x"}']),
    ({"type": "object", "properties": {"k": {"const": "a"}, "b": True}, "required": ["k"], "allOf": [{"properties": {"b": {"type": "null"}}, "required": ["b"]}]},
     ['{"k":"a","b":null}'], ['{"k":"a"}', '{"k":"a","b":1}']),
    ({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "number", "exclusiveMinimum": 3}, {"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}]},
     ["3", "3.5", '"a"', '"bc"'], ['"c"', "2.5"]),
    ({"allOf": [{"pattern": "^a"}, {"pattern": "b$"}, {"maxLength": 3}], "type": "string"}, ['"ab"', '"axb"'], ['"a"', '"axxb"']),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"v": {"type": "integer"}, "of": {"allOf": [{"$ref": "#/$defs/n"}, {"required": ["v"]}]}}}}},
     ["{}", '{"of":{"v":1}}', '{"v":2,"of":{"v":1,"of":{"v":3}}}'], ['{"of":{}}']),
    ({"patternProperties": {"^\\w+$": {"type": "integer"}}, "additionalProperties": {"type": "string"}}, ['{"a_1":1,"-":"x"}', "{}"],
     ['{"a":"x"}', '{"é":1}', '{"é":"x"}', '{"a\\n":"x"}', '{"-":1}']),
    ({"patternProperties": {"^a": {"minimum": 3}, "b$": {"maximum": 5}}, "additionalProperties": False}, ['{"a":3.5,"b":-1,"ab":4}'], ['{"ab":2}', '{"ab":6}', '{"c":1}', '{"a":2}']),
    ({"properties": {"ab": {"type": "integer"}, "c": True}, "patternProperties": {"^a": {"minimum": 3}}}, ['{"ab":3,"c":1}'], ['{"ab":2}', '{"ab":3.5}']),
    ({"properties": {"a": True, "b": True, "c": True}, "required": ["b"], "minProperties": 2, "maxProperties": 2}, ['{"a":1,"b":2}', '{"b":1,"c":2}'],
     ['{"b":1}', '{"a":1,"b":2,"c":3}', '{"a":1,"c":3}']),
    ({"enum": [{"a": [1, {"b": None}]}, [[], "x"], "x"]}, ['{"a":[1,{"b":null}]}', '[[], "x"]', '"x"'], ['{"a":[1]}', "[[]]", '[[],"x",1]', "{}"]),
    ({"enum": [[1], [1, 2], {"k": 1}, [3]], "maxItems": 1, "items": {"maximum": 2}}, ["[1]", '{"k":1}'], ["[1,2]", "[3]", "[]"]),
    ({"type": "object", "required": ["a"]}, ['{"a":[]}'], ["{}", '{"b":1}']),
    ({"type": "integer", "multipleOf": 0.5}, ["1", "-2"], ["1.5"]), ({"type": "number", "multipleOf": 0.01}, ["0.07", "1.10", "-3.5", "7.000000"], ["0.001", "1e1"]),
    ({"type": "integer", "multipleOf": 10000, "minimum": 0, "maximum": 1000000}, ["0", "10000", "990000"], ["5000", "-10000", "1010000"]),
    ({"type": "number", "multipleOf": 0.25, "exclusiveMinimum": 0, "maximum": 1}, ["0.25", "1.0", "0.50"], ["0", "0.3", "1.25"]),
    ({"multipleOf": 3}, ["9", "3.0", "-6"], ["10", "3.3"]),
    ({"format": "date"}, ['"2024-02-29"', '"2000-02-29"', '"0001-01-01"'], ['"2023-02-29"', '"1900-02-29"', '"2024-04-31"', '"0000-01-01"', '"2024-2-01"']),
    ({"format": "date-time"}, ['"2024-02-29T23:59:60Z"', '"1990-12-31t15:59:59.123-08:00"'], ['"2024-02-29 10:00:00Z"', '"2024-02-29T24:00:00Z"',
                                                                                             '"2024-02-29T10:00:00"', '"2024-02-29T10:00:60Z"']),
    ({"format": "hostname", "minLength": 1}, ['"a.b"', '"' + ".".join(["a" * 63] * 3) + "." + "b" * 61 + '"'],
     ['"' + ".".join(["a" * 63] * 3) + "." + "b" * 62 + '"', '"-a"', '"a-"', '"a..b"', '"ab--c"', '"a_b"', '""', '"' + "a" * 64 + '"']),
    ({"format": "ipv6"}, ['"::ffff:1.2.3.4"', '"1::"'], ['":::"', '"1::2::3"', '"1:2:3:4:5:6:7"', '"::1.2.3"', '"12345::"', '"::1%eth0"']),
    ({"format": "duration"}, ['"P1Y2M3DT4H5M6S"', '"P4W"'], ['"P"', '"PT"', '"P1YT"', '"P1Y1D"', '"P1W1D"', '"PT1H1S"']),
    ({"format": "uuid", "pattern": "^a"}, ['"a0000000-0000-0000-0000-000000000000"'], ['"b0000000-0000-0000-0000-000000000000"']),
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/s", "type": "null"}, ["null"], ["1"]),
    ({"oneOf": [{"required": ["a"]}, {"required": ["b"], "title": "x"}]}, ['{"a":1}', '{"b":[]}'], ['{"a":1,"b":2}', '{"b":1,"a":2}', "{}", "1", "null"]),
    ({"type": ["object", "null"], "properties": {"a": {"type": "null"}, "b": True, "c": {"const": 1}}, "required": ["c"], "oneOf": [{"required": ["a"]}, {"required": ["a", "b"]}, {"required": ["b"]}]},
     ['{"a":null,"c":1}', '{"b":2,"c":1}'], ["null", '{"c":1}', '{"a":null,"b":2,"c":1}', '{"a":null}']),
    ({"properties": {"x": {"type": "null"}}, "oneOf": [{"required": ["x", "y"]}, {"required": ["x", "z"]}]}, ['{"x":null,"y":1}', '{"x":null,"z":1}'], ['{"x":null}', '{"x":null,"y":1,"z":1}', '{"y":1}']),
    # what is no keyword, and a format that is none of JSON Schema's, says nothing
    ({"type": "integer", "example": 1, "self": {"vendor": "x"}, "id": "y", "_format": "uri", "readonly": True, "note": "z", "format": "int32"}, ["1"], ['"a"', "null"]),
    ({"type": "string", "format": "color", "maxLength": 2}, ['"x"', '""'], ["1", '"abc"']), ({"properties": {"when": {"const": 1, "when": 2}}, "discriminator": {"propertyName": "when"}}, ['{"when":1}', "{}"], ['{"when":2}']),
    ({"allOf": [{"type": "string", "javaType": "a"}, {"maxLength": 1, "javaType": "b"}], "links": []}, ['"x"'], ["1", '"ab"']),
    ({"items": {"type": "null"}, "additionalItems": False}, ["[null,null]", "[]"], ["[1]"]), ({"enum": [1, "a"], "enumNames": ["b"], "contentEncoding": "base64"}, ["1", '"a"'], ['"b"']),
    ({"format": "uri"}, ['"http://a.b/c?d#e"', '"urn:x:y"', '"http://[::1]:80/"', '"\\u0061:"'], ['"//foo"', '"abc"', '"http:// a"', '"a:%4g"', '"http://[::1"', '"1a:b"', '"\u00e9:"', '"http://a:8a"', '""']),
    ({"format": "uri-reference"}, ['""', '"//foo"', '"a/b:c"'], ['"a\\\\b"', '"1:a"', '"//a b"', '"//[x]"', '"#a#"']),
    ({"format": "json-pointer"}, ['""', '"/a~1b"'], ['"a"', '"/~"', '"/a~2"']), ({"format": "relative-json-pointer"}, ['"0#"', '"1/a"'], ['"01"', '"-1"', '"1#/a"', '""']),
]
# Other bases for references: what "#/..." names there is not what it names in the document.
REFUSED = [
    ({"$id": "http://e.com/r", "$defs": {"x": {"type": "integer"}, "a": {"$id": "a", "$defs": {"x": {"type": "string"}}, "$ref": "#/$defs/x"}},
      "$ref": "#/$defs/a"}, '"$id"'),
    ({"type": "object", "properties": {"p": {"$id": "http://e.com/p", "type": "null"}}}, '"$id"'),
    ({"$defs": {"a": {"$id": "http://e.com/a", "$defs": {"x": {"type": "string"}}}}, "$ref": "#/$defs/a/$defs/x"}, '"$id"'),
    ({"oneOf": [{"type": "string"}, {"minLength": 1}]}, "0 and 1 are not seen to differ"), ({"oneOf": []}, '"oneOf" is no list'),
    ({"oneOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"a": {"const": 2}}}]}, "are not seen to differ"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "are not seen to differ"), ({"oneOf": [{"pattern": "^a"}, {"pattern": "b$"}]}, "are not seen to differ"),
    ({"pattern": "(a)\\1"}, '"pattern": at byte 3 of "(a)\\1": a backreference'), ({"pattern": "a(?!b)"}, "at byte 1"), ({"pattern": "\\bfoo"}, "word boundary"),
    ({"pattern": "(?<=a)b"}, "lookaround"), ({"pattern": "\\p{L}"}, "\\p{...}"), ({"pattern": "(?i)a"}, "flags"), ({"pattern": "a++"}, "possessive"),
    ({"pattern": "(a"}, "no )"), ({"pattern": "a)"}, "no ("), ({"pattern": "[a"}, "no ]"), ({"pattern": "*a"}, "nothing here to repeat"),
    ({"pattern": "a**"}, "nothing here to repeat"), ({"pattern": "[z-a]"}, "backwards"), ({"pattern": "a{3,2}"}, "backwards"), ({"pattern": "a\\"}, "backslash"),
    ({"pattern": 1}, '"pattern" is'), ({"pattern": "a{1001}"}, "more than 1000 repeats"), ({"pattern": "((a{100}){100}){100}"}, "more than 20000 places"),
    ({"pattern": "(a|b)*a(a|b){15}$"}, "more than 8192 states"), ({"pattern": "a" * 9000}, "more than 8192 bytes"), ({"pattern": "[]a]"}, "[]"),
    ({"pattern": "^abc$", "maxLength": 2}, "no value"), ({"pattern": "^(aa)*$", "minLength": 3, "maxLength": 3}, "no value"),
    ({"pattern": "\\z"}, "this escape"), ({"pattern": "\\ud83d"}, "surrogates"), ({"pattern": "a{,3}"}, "{,m}"),
    ({"format": 1}, '"format" is'),
    ({"type": "integer", "multipleOf": 0}, '"multipleOf" must be'), ({"multipleOf": "1"}, '"multipleOf" must be'),
    ({"multipleOf": 100003}, '"multipleOf" has more digits'), ({"multipleOf": 1e-20}, '"multipleOf" has more digits'),
    ({"type": "integer", "multipleOf": 9999}, '"multipleOf" takes more states'), ({"minimum": 1, "maximum": 6, "multipleOf": 7}, "no value"),
    ({"items": {"enum": [[1]]}, "uniqueItems": True}, "holds an array or an object"), ({"propertyNames": []}, '"propertyNames" is no schema'),
    ({"propertyNames": {"anyOf": [{"minLength": 2}, {"pattern": "x"}]}}, '"propertyNames" with alternatives'),
    ({"propertyNames": {"enum": ["a"]}, "patternProperties": {"a": True}}, '"patternProperties" beside an enum'),
    ({"allOf": [{"type": "string"}, {"type": "null"}]}, "no value"), ({"enum": [1], "multipleOf": 1}, '"multipleOf" beside "enum"'),
    ({"allOf": [{"format": "date"}, {"format": "time"}]}, 'differ in "format"'), ({"type": "object", "minProperties": 2}, '"minProperties" of more than 1'),
    ({"patternProperties": {"(": True}}, '"patternProperties": at byte 0'), ({"patternProperties": {str(i): True for i in range(7)}}, "more than 6"), ({"items": [{"type": "null"}]}, '"items"'), ({"prefixItems": []}, '"prefixItems"'),
    ({"type": "array", "uniqueItems": True}, '"uniqueItems" is offered where'), ({"uniqueItems": 1}, '"uniqueItems" is neither'),
    ({"items": {"enum": list(range(33))}, "uniqueItems": True}, "up to 32 values"), ({"items": {"enum": [1, 1.0]}, "uniqueItems": True, "minItems": 2}, '"minItems" is more'),
    ({"items": {"enum": ["a"], "minLength": 1}, "uniqueItems": True}, '"uniqueItems" is offered'),
    ({"prefixItems": [True], "items": False, "minItems": 2}, "no value"),
    ({"$ref": "http://json-schema.org/draft-07/schema"}, '"$ref"'), ({"$ref": "#foo", "$defs": {}}, '"$ref"'),
    ({"type": "object", "patternProperties": {"a": True}, "required": ["b"]}, '"required"'), (False, "no value"),
    ({"type": "string", "minLength": 1.5}, '"minLength"'), ({"type": "number", "minimum": 1e300}, '"minimum"'),
    ({"type": "number", "exclusiveMinimum": True, "minimum": 1}, '"exclusiveMinimum"'),
    ({"oneOf": [{"required": [str(i) for i in range(17)]}, {"required": ["z"]}]}, "are not seen to differ"),
    ({"patern": "a"}, '"patern" is no keyword of JSON Schema; is "pattern" meant?'), ({"minLenght": 1}, 'is "minLength" meant?'), ({"additonalProperties": False}, 'is "additionalProperties" meant?'),
    ({"type": "object", "properties": {"a": {"anyof": [True]}}}, 'is "anyOf" meant?'), ({"allOf": [{"Type": "string"}]}, 'is "type" meant?'), ({"item": True}, 'is "items" meant?'),
    ({"type": "string", "format": "datetime"}, '"format": "datetime" is not offered'), ({"type": "string", "format": "URI"}, '"format": "URI" is not offered'), ({"format": "regex"}, '"regex" is not offered'),
    ({"items": [True], "additionalItems": False}, '"items"'), ({"type": "string", "format": "iri"}, '"format": "iri" is not offered'),
]


# ---- what is asked of the driver ----

def changed(text, r):
    """The text of a value near that of text."""
    def change(v, left):
        if isinstance(v, dict) and v and (r.random() < 0.6 or not left):
            k = r.choice(list(v))
            return {**v, k: change(v[k], left - 1)} if left else {n: x for n, x in v.items() if n != k}
        if isinstance(v, list) and v and r.random() < 0.6:
            i = r.randrange(len(v))
            return v[:i] + [change(v[i], left - 1)] + v[i + 1:]
        if isinstance(v, dict):
            return r.choice([{**v, "more": 1}, {}, dict(reversed(v.items())), None])
        if isinstance(v, list):
            return r.choice([v + v, v + [None], v[1:], [], {}])
        if isinstance(v, str):
            return r.choice([v + "x", v[:-1], v.upper(), v * 10, "", 0, None])
        if isinstance(v, (int, float)) and not isinstance(v, bool):
            return r.choice([v + 1, v - 1, -v, v * 10, v + 0.5, v / 3, str(v), True, 0])
        return r.choice([None, True, False, 0, "", [], {}])
    if r.random() < 0.3:  # no value any more, most times
        i = r.randrange(len(text))
        return text[:i] + r.choice(["", "0", ",", "\"", " ", "\\", "}", "]", "e", "."]) + text[i + r.randint(0, 1):]
    return json.dumps(change(json.loads(text), r.randint(0, 3)), ensure_ascii=False, separators=r.choice([(",", ":"), (", ", ": ")]))


def beside(schema, r):
    """Numbers that a reader of doubles may take for a bound, or that lie just inside or outside."""
    bounds = [decimal.Decimal(str(schema[k])) for k in sorted(schema) if SPEAKS.get(k) == "number"]
    with decimal.localcontext() as c:
        c.prec = 60
        return [f"{b + r.choice([-2, -1, 1, 2]) * decimal.Decimal(1).scaleb(-k):f}" for b in bounds for k in range(21)]


def cases():
    r = random.Random(SEED)
    for schema, valid, wrong in HARD:
        if valid is not None:
            yield "by hand", schema, valid, wrong
    n, tries = 0, 0
    while n < COUNT:
        family = list(FAMILIES)[tries % len(FAMILIES)]
        tries += 1
        schema = FAMILIES[family](r)
        writer = Writer(schema, r)
        try:
            valid = sorted({writer.text() for _ in range(8)})
        except AssertionError:
            continue  # it allows nothing, or next to nothing
        n += 1
        near = beside(schema, r) if family in ("number", "integer") else []
        yield family, schema, valid, near + [changed(r.choice(valid), r) for _ in range(16)] + [json.dumps(v) for v in POOL]


def drive(models, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    p = subprocess.run([DRIVER] + models, input=text, capture_output=True, encoding="utf-8")
    assert p.returncode == 0, p.stderr
    return [json.loads(line) for line in p.stdout.split("\n")[:-1]]


def validity(schema, text):
    """None: no JSON. Otherwise whether it is valid."""
    def never(name):
        raise ValueError(name)
    try:
        value = json.loads(text, parse_constant=never)
    except ValueError:
        return None
    return fits(schema, value)


@unittest.skipIf(jsonschema is None, "Python's jsonschema is not installed (scripts/requirements-test.txt)")
@unittest.skipUnless(os.path.exists(DRIVER), "the driver is not built")
class Schemas(unittest.TestCase):
    def test_what_passes_is_valid_and_what_is_valid_passes(self):
        models = [TINY] + ([DEMO] if os.path.exists(DEMO) else [])
        all_cases = list(cases())
        lines = [{"schema": s, "texts": valid + wrong, "walks": WALKS, "seed": SEED * 1000003 + i}
                 for i, (_, s, valid, wrong) in enumerate(all_cases)]
        n = collections.Counter()
        faults = []
        for (family, schema, valid, wrong), line, got in zip(all_cases, lines, drive(models, lines), strict=True):
            def fault(what, text):
                faults.append(f"{family}: {what}: {text!r} by {json.dumps(schema)}")
            n["schemas"] += 1
            n["of " + family] += 1
            jsonschema.Draft202012Validator.check_schema(schema)
            if "error" in got:
                fault("refused", got["error"])
                continue
            for i, (text, g) in enumerate(zip(line["texts"], got["texts"], strict=True)):
                passes = g["bytes"] == len(text.encode()) and g["ends"]
                is_valid = validity(schema, text)
                if i < len(valid):
                    n["valid"] += 1
                    self.assertTrue(is_valid, f"{text} by {schema}")  # or this test is wrong
                    if not passes or g["tokens"] != [True] * (2 * len(models)):
                        fault("held up", (text, g))
                else:
                    n["others"] += 1
                    n["others that are not valid"] += not is_valid
                    if passes and not is_valid:
                        fault("passes", text)
            self.assertEqual(len(got["walks"]), WALKS * (1 + len(models)), schema)
            for text in got["walks"]:
                n["walks"] += 1
                if not text:
                    fault("no end was found" if text is None else "a dead end", text)
                elif not validity(schema, text):
                    fault("drawn", text)
        print(dict(n), file=sys.stderr)
        self.assertFalse(faults, f"{len(faults)} faults; the first:\n" + "\n".join(faults[:20]))
        self.assertGreaterEqual(n["schemas"], min(500, COUNT))

    def test_what_is_not_offered_is_refused_by_name(self):
        vocabularies = {k: v for k, v in ((r.id(), r.contents) for r in jsonschema_specifications.REGISTRY.values())
                        if k and "2020-12/meta/" in k}
        keywords = sorted({k for v in vocabularies.values() for k in v.get("properties", {})})
        self.assertGreater(len(keywords), 50)
        unknown = [k for k in keywords if k not in OFFERED]
        schemas = []
        for k in unknown + ["nullable", "dependencies", "divisibleBy", "$recursiveRef"]:
            for s in ({k: {}}, {"type": "string", k: 1}, {"type": "array", "items": {"anyOf": [{"type": "null"}, {k: {}}]}},
                      {"$ref": "#/$defs/a", "$defs": {"a": {"type": "object", "properties": {"p": {k: True}}}}}):
                schemas.append((s, f'"{k}" is not offered'))
        schemas += REFUSED
        answers = drive([], [{"schema": s, "texts": [], "walks": 0} for s, _ in schemas])
        for (schema, says), got in zip(schemas, answers, strict=True):
            with self.subTest(schema=schema):
                self.assertIn(says, got.get("error", "was taken"))


if __name__ == "__main__":
    unittest.main()
