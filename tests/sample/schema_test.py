"""Constrained values against Python's jsonschema (draft 2020-12): every value that a schema's mask lets through is valid, and no
valid value is held up that is written as text/json_schema.h says.

The schemas come in families, as in the JSON-Schema-Test-Suite, by a seeded generator, and there are hard ones by hand. For each:
texts written from the schema (they must pass, byte by byte and by tokens), changed texts and a pool of odd values (those that
pass must be valid), and random walks through what is allowed. HONE_SCHEMAS=5000 makes as many; HONE_SEED other ones.
"""
import collections
import decimal
import json
import os
import random
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
LONG = "HONE_SCHEMAS" in os.environ
WALKS = 8 if LONG else 3

KINDS = ["object", "array", "string", "number", "integer", "boolean", "null"]
SPEAKS = {"properties": "object", "required": "object", "additionalProperties": "object", "items": "array", "minItems": "array",
          "maxItems": "array", "minLength": "string", "maxLength": "string", "minimum": "number", "maximum": "number",
          "exclusiveMinimum": "number", "exclusiveMaximum": "number"}
OFFERED = set(SPEAKS) | {"type", "enum", "const", "anyOf", "allOf", "$ref", "title", "description", "default", "examples",
                         "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "$defs", "definitions"}
CHARACTERS = ["a", "b", "Z", "0", " ", "\"", "\\", "/", "\n", "\t", "\0", "\x1f", "\x7f", "é", "ß", "€", "\u2028", "漢", "\ue000",
              "\ufffd", "\uffff", "😀", "\U0010ffff", "{", "}", "[", "]", ":", ",", "̈", "<", "'"]
SHORT = {"\"": "\\\"", "\\": "\\\\", "/": "\\/", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
NAMES = ["a", "b", "ab", "abc", "", "é", "a b", "\"", "\\", "x/y", "x~y", "$ref", "type", "$id", "enum", "0", "😀", "a\nb", "tab\t",
         "%", "properties", "name", "value"]
POOL = [None, True, False, 0, 1, -1, 2, 3, 7, 10, 42, 100, -100, 1.5, -2.5, 0.1, 1e10, 9007199254740993, "", "a", "ab", "abc", "é", "😀",
        "null", "1", "a long text of many characters", [], [1], [1, 2, 3], ["a"], [None], [[]], [True, False], {}, {"a": 1}, {"a": "x"},
        {"b": 2}, {"a": 1, "b": 2}, {"a": {}}, {"x": [1]}, {"a": None, "c": 3}]


# ---- texts that are valid by a schema, in the spellings that are offered ----

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
        if "$ref" in s:
            return self.value(self.find(s["$ref"]), depth + 0.25)
        for key in ("anyOf", "allOf"):
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
        return spelled("".join(self.r.choice(CHARACTERS) for _ in range(self.count(s, "minLength", "maxLength", 6))), self.r)

    def count(self, s, least, most, more):
        lo = int(s.get(least, 0))
        hi = min(int(s.get(most, lo + more)), lo + more * 3)
        return self.r.choice([lo, hi, self.r.randint(lo, hi)])

    def array(self, s, depth):
        n = self.count(s, "minItems", "maxItems", 3)
        if depth >= self.deepest - 1 or s.get("items") is False:
            n = int(s.get("minItems", 0))
        parts = [self.value(s.get("items", True), depth + 1) for _ in range(n)]
        return "[" + "".join(("," + self.blank() if i else "") + p for i, p in enumerate(parts)) + "]"

    def object(self, s, depth):
        parts = []
        declared = s.get("properties", {})
        for name, inner in declared.items():
            if name not in s.get("required", []) and (inner is False or depth >= self.deepest - 1 or self.r.random() < 0.5):
                continue
            parts.append(fewest(name) + ":" + self.blank() + self.value(inner, depth + 1))
        more = s.get("additionalProperties", True)
        if not declared and more is not False and depth < self.deepest - 1:
            for name in self.r.sample(NAMES, self.r.randint(0, 3)):
                parts.append(spelled(name, self.r) + ":" + self.blank() + self.value(more, depth + 1))
        return "{" + "".join(("," + self.blank() if i else "") + p for i, p in enumerate(parts)) + "}"

    def integer(self, s, depth):
        return self.numeral(s, True)

    def number(self, s, depth):
        return self.numeral(s, False)

    @staticmethod
    def within(exact, rounded, key, bound):
        """Exactly, and for who reads doubles."""
        for x, b in ((exact, decimal.Decimal(str(bound))), (rounded, bound)):
            if not {"minimum": x >= b, "maximum": x <= b, "exclusiveMinimum": x > b, "exclusiveMaximum": x < b}[key]:
                return False
        return True

    def numeral(self, s, whole):
        """Texts are tried until one lies between the bounds."""
        bounds = [decimal.Decimal(str(s[k])) for k in SPEAKS if SPEAKS[k] == "number" and k in s]
        near = bounds or [decimal.Decimal(0)]
        excluded = [decimal.Decimal(str(s[k])) for k in ("exclusiveMinimum", "exclusiveMaximum") if k in s]
        for _ in range(4000):
            d = self.r.choice(near)
            k = self.r.randint(0, 9)
            step = decimal.Decimal(self.r.randint(-10 ** self.r.randint(1, 6), 10 ** self.r.randint(1, 6)))
            d = d if k == 0 else d + step if k < 4 else d + step.scaleb(-self.r.randint(1, 6))
            if len(bounds) > 1 and k > 6:
                d = min(bounds) + (max(bounds) - min(bounds)) * decimal.Decimal(self.r.randint(0, 1000)) / 1000
            text = f"{d.to_integral_value():f}" if whole else f"{d:f}"
            if not whole and self.r.random() < 0.3:
                text = f"{d + decimal.Decimal(self.r.randint(-10 ** 19, 10 ** 19)).scaleb(-self.r.randint(18, 20)):.{self.r.randint(14, 20)}f}"
            if not whole and bounds == [] and self.r.random() < 0.3:
                text += self.r.choice("eE") + self.r.choice(["", "+", "-"]) + str(self.r.randint(0, 99))
            elif not whole and "." in text and self.r.random() < 0.3:
                text += "0"
            d = decimal.Decimal(text)
            head, _, tail = text.partition(".")
            n = len(head.lstrip("-"))
            if n > 16 or len(tail.lower().split("e")[0]) > 20 or whole and text == "-0":
                continue
            unit = decimal.Decimal(1).scaleb(-max(15 - n, 0))
            if len(tail) > max(15 - n, 0) and any(abs(d - e) < 3 * unit for e in excluded):
                continue  # beside a bound there are 15 digits
            if text.startswith("-") and float(text) == 0 and bounds:
                continue  # "-0" comes only where less than it does
            if all(self.within(d, float(text), k, s[k]) for k in s if SPEAKS.get(k) == "number"):
                return text
        raise TooDeep


# ---- schemas, by families ----

def counts(r, least, most, high):
    lo, hi = sorted((r.randint(0, high), r.randint(0, high)))
    return r.choice([{least: lo}, {most: hi}, {least: lo, most: hi}, {least: hi, most: hi}, {}])


def of_type(r):
    return r.choice([{"type": r.choice(KINDS)}, {"type": r.sample(KINDS, r.randint(1, 5))}, {"type": [r.choice(KINDS[:-1]), "null"]}, {}, True])


def of_constants(r):
    values = [0, 1, -1, 12, 123, 1.5, -0.25, 1e-7, 1e22, 10 ** 15, True, False, None, "", "a", "ab", "abc", "a\"b", "\\", "é", "😀", "\n",
              "\u2028", "\x7f", "a/b", "null", "1", " ", "\0"]
    some = r.sample(values, r.randint(1, 12))
    if r.random() < 0.3:
        return {"const": some[0]}
    s = {"enum": some}
    if r.random() < 0.4:
        names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
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


def of_string(r):
    return {"type": "string", **counts(r, "minLength", "maxLength", r.choice([2, 5, 40]))}


def of_array(r, depth):
    s = {"type": "array", **counts(r, "minItems", "maxItems", r.choice([2, 4]))}
    if r.random() < 0.9:
        s["items"] = of_any(r, depth - 1)
    return s


def of_object(r, depth):
    names = r.sample(NAMES, r.randint(1, 5))
    s = {"type": "object", "properties": {n: of_any(r, depth - 1) for n in names}}
    if r.random() < 0.8:
        s["required"] = r.sample(names, r.randint(0, len(names)))
    if r.random() < 0.6:
        s["additionalProperties"] = False
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
        return r.choice([of_type, of_constants, of_string, lambda r: of_bounds(r, True), lambda r: of_bounds(r, False)])(r)
    s = r.choice([of_array, of_object, of_object, of_map, of_union, lambda r, d: of_any(r, 0)])(r, depth)
    if isinstance(s, dict) and r.random() < 0.2:
        s = {**s, "title": "T", "description": "pattern", "default": 1, "examples": [1], "$comment": "c", "deprecated": False, "x-own": 1}
    return s


FAMILIES = {
    "type": of_type, "constants": of_constants, "integer": lambda r: of_bounds(r, True), "number": lambda r: of_bounds(r, False),
    "string": of_string, "array": lambda r: of_array(r, 1), "object": lambda r: of_object(r, 1), "map": lambda r: of_map(r, 1),
    "union": lambda r: of_union(r, 1), "tagged": lambda r: of_tagged(r, 1), "reference": lambda r: of_ref(r, 1),
    "nested": lambda r: of_any(r, 3)}

# By hand: a schema, valid texts, texts that must not pass.
HARD = [
    ({"minLength": 2.0, "maxLength": 3.0, "type": "string"}, ['"ab"', '"abc"'], ['"a"', '"abcd"']),
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
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/s", "type": "null"}, ["null"], ["1"]),
]
# Other bases for references: what "#/..." names there is not what it names in the document.
REFUSED = [
    ({"$id": "http://e.com/r", "$defs": {"x": {"type": "integer"}, "a": {"$id": "a", "$defs": {"x": {"type": "string"}}, "$ref": "#/$defs/x"}},
      "$ref": "#/$defs/a"}, '"$id"'),
    ({"type": "object", "properties": {"p": {"$id": "http://e.com/p", "type": "null"}}}, '"$id"'),
    ({"$defs": {"a": {"$id": "http://e.com/a", "$defs": {"x": {"type": "string"}}}}, "$ref": "#/$defs/a/$defs/x"}, '"$id"'),
    ({"oneOf": [{"type": "string"}]}, '"oneOf"'), ({"type": "string", "pattern": "a"}, '"pattern"'),
    ({"type": "string", "format": "date"}, '"format"'), ({"type": "integer", "multipleOf": 2}, '"multipleOf"'),
    ({"anyOf": [{"type": "string"}], "type": "string"}, '"type" beside "anyOf"'),
    ({"$ref": "#/$defs/a", "$defs": {"a": True}, "minimum": 1}, '"minimum" beside "$ref"'),
    ({"enum": ["a"], "const": "a"}, '"const" beside "enum"'),
    ({"enum": ["a"], "minLength": 1}, '"minLength" beside "enum"'),
    ({"enum": [[1]]}, "a list as a constant"), ({"const": {}}, "an object as a constant"),
    ({"allOf": [{"type": "string"}, {"minLength": 1}]}, '"allOf"'), ({"items": [{"type": "null"}]}, '"items"'),
    ({"$ref": "http://json-schema.org/draft-07/schema"}, '"$ref"'), ({"$ref": "#foo", "$defs": {}}, '"$ref"'),
    ({"type": "object", "properties": {"a": True}, "required": ["b"]}, '"required"'), (False, "no value"),
    ({"type": "string", "minLength": 1.5}, '"minLength"'), ({"type": "number", "minimum": 1e300}, '"minimum"'),
    ({"type": "number", "exclusiveMinimum": True, "minimum": 1}, '"exclusiveMinimum"'),
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
    return jsonschema.Draft202012Validator(schema).is_valid(value)


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
                if text is None:
                    fault("no end", None)
                elif not validity(schema, text):
                    fault("drawn", text)
        print(dict(n), file=sys.stderr)
        self.assertFalse(faults, f"{len(faults)} faults; the first:\n" + "\n".join(faults[:20]))
        self.assertGreaterEqual(n["schemas"], 500)

    def test_what_is_not_offered_is_refused_by_name(self):
        vocabularies = {k: v for k, v in ((r.id(), r.contents) for r in jsonschema_specifications.REGISTRY.values())
                        if k and "2020-12/meta/" in k}
        keywords = sorted({k for v in vocabularies.values() for k in v.get("properties", {})})
        self.assertGreater(len(keywords), 50)
        unknown = [k for k in keywords if k not in OFFERED]
        schemas = []
        for k in unknown + ["nullable", "discriminator", "patern", "id", "dependencies", "additionalItems", "$recursiveRef"]:
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
