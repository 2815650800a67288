"""grade/formula.h computes what Python computes, bit for bit, and refuses what Python refuses, at the right place.

Python's own parser reads each formula (with ** for ^) and Python's own operators compute it, as floats. What that means:

    -2 ^ 2 = -(2 ** 2)      2 ^ -1 = 2.0 ** -1.0        2 ^ 3 ^ 2 = 2 ** (3 ** 2)       a - b - c = (a - b) - c
    an error: what raises (x / 0, 0 ^ -1, log(0), sqrt(-1), exp(1000), 10.0 ** 400), what turns complex ((-8) ^ (1 / 3)),
              and each step that is infinite (1e308 * 10), where Python would go on
    min, max: the first of equals; it shows in min(0, -0.0)
    floor, ceil: float(math.floor(x)), so without -0.0

Both must use the same C library for exp, log and pow to agree to the last bit, as they do on one machine.
"""
import ast
import json
import math
import os
import random
import re
import struct
import subprocess
import unittest
import warnings

HONE = os.environ.get("HONE_BIN", "")
DRIVER = os.path.join(os.path.dirname(HONE), "tests", "grade_formula_driver")
SEED = 20260503
N_VALID = 24000
N_MUTATED = 12000

FUNCTIONS = {"min": min, "max": max, "abs": abs, "floor": lambda x: float(math.floor(x)),
             "ceil": lambda x: float(math.ceil(x)), "exp": math.exp, "sqrt": math.sqrt, "log": math.log}
OPERATORS = {ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b,
             ast.Div: lambda a, b: a / b, ast.Pow: lambda a, b: a ** b}
NAMES = ["a", "b", "e", "E1", "_x1", "exact", "min", "log", "A", "__", "x2"]
NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
BLANKS = " \t\r\n"


# ---- what Python says ----

class NotAFormula(Exception):
    """Python's parser refuses it, or it has what formulas lack."""


class NotANumber(Exception):
    """A step raises, is complex or infinite."""


def parse(text, names):
    """Python's tree, where it is a formula."""
    if re.search(r"[^0-9A-Za-z_.+*/^(), \t\r\n-]|\*\*|,[ \t\r\n]*\)", text):
        raise NotAFormula("a character, ** or a comma before a bracket")
    for run in re.finditer(r"(?<![A-Za-z_0-9])[0-9.](?:[eE][+-]|[0-9A-Za-z_.])*", text):
        if not NUMBER.fullmatch(run[0]):
            raise NotAFormula("a number spelled in another way")
    line = re.sub("[\r\n]", " ", text).strip(BLANKS).replace("^", "**")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(line, mode="eval").body
    except SyntaxError as error:
        raise NotAFormula(str(error)) from None
    check(tree, names)
    return tree


def check(node, names):
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        parts = [node.operand]
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float) and math.isfinite(float(node.value)):
        parts = []
    elif isinstance(node, ast.Name) and node.id in names:
        parts = []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS \
            and node.col_offset == node.func.col_offset and not node.keywords \
            and (len(node.args) == 1 or node.args and node.func.id in ("min", "max")):
        parts = node.args
    else:
        raise NotAFormula("formulas have no " + ast.dump(node))
    for part in parts:
        check(part, names)


def compute(node, values):
    """Step by step, each of which must be finite."""
    if isinstance(node, ast.Constant):
        return float(node.value)
    if isinstance(node, ast.Name):
        return values[node.id]
    try:
        if isinstance(node, ast.UnaryOp):
            value = -compute(node.operand, values)
        elif isinstance(node, ast.BinOp):
            value = OPERATORS[type(node.op)](compute(node.left, values), compute(node.right, values))
        elif len(node.args) == 1:  # Python's own min takes no single number
            value = compute(node.args[0], values)
            value = value if node.func.id in ("min", "max") else FUNCTIONS[node.func.id](value)
        else:
            value = FUNCTIONS[node.func.id](*(compute(part, values) for part in node.args))
    except (ArithmeticError, ValueError) as error:
        raise NotANumber(str(error)) from None
    if isinstance(value, complex) or not math.isfinite(value):
        raise NotANumber("a step is %r" % value)
    return value


class AsFloats(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.copy_location(ast.Constant(float(node.value)), node)

    def visit_Call(self, node):  # a variable may have the function's name
        self.generic_visit(node)
        node.func.id = "call_" + node.func.id
        return node


def eval_value(tree, values):
    """What eval() makes of it, with nothing of the above between."""
    whole = ast.fix_missing_locations(ast.Expression(AsFloats().visit(tree)))
    functions = {"call_" + name: f for name, f in FUNCTIONS.items()}
    for name, f in (("call_min", min), ("call_max", max)):
        functions[name] = lambda *x, f=f: f(x)
    return eval(compile(whole, "formula", "eval"), {"__builtins__": {}, **functions}, values)


# ---- what hone says ----

def hone(cases):
    lines = "".join(json.dumps({"text": text, "values": values}) + "\n" for text, values in cases)
    run = subprocess.run([DRIVER], input=lines, capture_output=True, text=True, timeout=120)
    if run.returncode != 0:
        raise AssertionError("%s ended with %d: %s" % (DRIVER, run.returncode, run.stderr))
    answers = run.stdout.split("\n")
    if answers.pop() != "" or len(answers) != len(cases):
        raise AssertionError("%d answers to %d formulas" % (len(answers), len(cases)))
    return answers


def bits(x):
    return struct.pack("<d", x)


# ---- formulas ----

class Writer:
    """Random formulas of the whole grammar, as lists of tokens."""

    def __init__(self, rng):
        self.rng = rng

    def number(self):
        rng = self.rng
        digits = str(rng.choice([0, 1, 2, 3, 4, 8, 10, rng.randrange(100), rng.randrange(10 ** rng.randrange(1, 30))]))
        text = rng.choice([digits, digits + ".", "." + digits, digits + "." + str(rng.randrange(1000)),
                           "00" + digits + ".5", "0." + "0" * rng.randrange(5) + digits])
        if rng.random() < 0.25:
            text += rng.choice("eE") + rng.choice(["", "+", "-"]) + str(rng.choice([0, 1, 2, 3, 7, 20, 150, 305]))
        if not math.isfinite(float(text)):
            return "1e308"
        return text

    def primary(self, depth):
        rng = self.rng
        roll = rng.random()
        if depth <= 0 or roll < 0.45:
            return [self.number()] if rng.random() < 0.55 else [rng.choice(NAMES)]
        if roll < 0.7:
            return ["(", *self.sum(depth - 1), ")"]
        name = rng.choice(list(FUNCTIONS))
        tokens = [name, "("]
        for i in range(rng.randint(1, 5) if name in ("min", "max") else 1):
            tokens += ([","] if i else []) + self.sum(depth - 2)
        return tokens + [")"]

    def unary(self, depth):
        roll = self.rng.random()
        if roll < 0.15:
            return ["-", *self.unary(depth)]
        tokens = self.primary(depth)
        return tokens + ["^", *self.unary(depth - 1)] if roll < 0.3 else tokens

    def product(self, depth):
        tokens = self.unary(depth)
        while self.rng.random() < 0.3:
            tokens += [self.rng.choice("*/"), *self.unary(depth - 1)]
        return tokens

    def sum(self, depth):
        tokens = self.product(depth)
        while self.rng.random() < 0.35:
            tokens += [self.rng.choice("+-"), *self.product(depth - 1)]
        return tokens

    def spaced(self, tokens):
        blank = self.rng.choice(["", "", " ", "mixed"])
        if blank != "mixed":
            return blank.join(tokens)
        return "".join(token + self.rng.choice(["", "", " ", "  ", "\t", "\n", "\r\n", " \t\n"]) for token in [""] + tokens)

    def values(self):
        rng = self.rng
        return {name: rng.choice([0.0, -0.0, 1.0, 0.5, 2.0, -3.0, 1 / 3, 1e-300, -1e200, 5e-324, rng.random(),
                                  rng.uniform(-10, 10), float(rng.randrange(-5, 6))]) for name in NAMES}


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
class FormulaAndPython(unittest.TestCase):
    def compare(self, text, values, answer):
        """Hone's answer is Python's; returns "value", "error" or "refused"."""
        try:
            tree = parse(text, values)
        except NotAFormula as why:
            self.assertTrue(answer.startswith("! compile "), "%r: hone says %s, but %s" % (text, answer, why))
            self.check_place(text, values, answer)
            return "refused"
        self.assertFalse(answer.startswith("! compile "), "%r: hone says %s" % (text, answer))
        try:
            value = compute(tree, values)
        except NotANumber as why:
            self.assertTrue(answer.startswith("! run "), "%r: hone says %s, but %s" % (text, answer, why))
            return "error"
        self.assertTrue(answer.startswith("= "), "%r: hone says %s, Python %r" % (text, answer, value))
        self.assertEqual(bits(float.fromhex(answer[2:])), bits(value),
                         "%r with %r: hone %s, Python %s" % (text, values, answer[2:], value.hex()))
        self.assertEqual(bits(eval_value(tree, values)), bits(value), text)
        return "value"

    def can_become_a_formula(self, prefix, names):
        closing = ")" * max(0, prefix.count("(") - prefix.count(")"))
        for rest in ("", " 1", " (1)"):
            try:
                parse(prefix + rest + closing, names)
                return True
            except NotAFormula:
                pass
        return False

    def check_place(self, text, names, answer):
        """The place is the first token that no formula can have there."""
        place = re.search(r" at character (\d+)", answer)
        if place is None:
            self.assertIn("calculate_output ends where", answer, text)
            self.assertTrue(self.can_become_a_formula(text, names), "%r does not lack an end: %s" % (text, answer))
            return
        at = int(place[1]) - 1
        self.assertLess(at, len(text), "%r: %s" % (text, answer))
        number = NUMBER.match(text, at)  # as one token: 1e999 is at fault as a whole
        word = re.compile(r"[A-Za-z_0-9.]+[ \t\r\n]*[(]" if "output calls" in answer else r"[A-Za-z_0-9.]+|.", re.S)
        token = (number or word.match(text, at))[0]
        self.assertTrue(self.can_become_a_formula(text[:at], names), "%r is at fault before: %s" % (text, answer))
        self.assertFalse(self.can_become_a_formula(text[:at] + token, names), "%r is right there: %s" % (text, answer))

    def test_values_and_errors_are_those_of_python(self):
        rng = random.Random(SEED)
        writer = Writer(rng)
        cases, tokens = [], []
        while len(cases) < N_VALID:
            tokens.append(writer.sum(rng.randrange(7)))
            cases.append((writer.spaced(tokens[-1]), writer.values()))
        counts = {"value": 0, "error": 0, "refused": 0}
        for (text, values), answer in zip(cases, hone(cases)):
            counts[self.compare(text, values, answer)] += 1
        self.assertEqual(counts["refused"], 0)
        self.assertGreater(counts["value"], N_VALID // 2, counts)  # else little was compared
        self.assertGreater(counts["error"], N_VALID // 20, counts)
        flat = {token for formula in tokens for token in formula}
        self.assertLessEqual({"+", "-", "*", "/", "^", "(", ")", ",", *FUNCTIONS, *NAMES}, flat)
        for spelling in (r"\d+", r"\d+\.", r"\.\d+", r"\d+\.\d+", r"\d+e\d+", r"[\d.]+E-\d+", r"[\d.]+e\+\d+"):
            self.assertTrue(any(re.fullmatch(spelling, token) for token in flat), spelling)

    def test_broken_formulas_are_refused_where_python_refuses_and_at_their_place(self):
        rng = random.Random(SEED + 1)
        writer = Writer(rng)
        strange = ["**", "%", "//", "<", "==", "!=", "&", "|", "~", "@", "!", ",", "(", ")", "+", "-", "*", "/", "^", "1", ".5",
                   "1e", "2a", "a b", "c", "if", "and", "not", "lambda", "min", "max(", "abs(1,2)", "min()", "(min)(1)",
                   "foo(1)", "a(1)", "a.b", "a[0]", "[1]", "{1}", "'1'", "#", "\\", ";", ":", "=", ":=", "1_0", "0x1", "0b1",
                   "1j", "007", "00", "1..2", "1.2.3", ".", "..", "...", "1e999", "é", "²", "\u00a0", "\f", "\v", "True"]
        cases = []
        for i in range(N_MUTATED):
            tokens = writer.sum(rng.randrange(4))
            for _ in range(rng.choice([1, 1, 1, 2, 3])):
                at = rng.randrange(len(tokens) + 1)
                kind = rng.randrange(4)
                if kind == 0:
                    tokens.insert(at, strange[i % len(strange)])
                elif kind == 1:
                    tokens[at:at + 1] = []
                elif kind == 2:
                    tokens[at:at + 1] = [strange[i % len(strange)]]
                else:
                    tokens.insert(at, rng.choice(tokens or ["1"]))
            cases.append((writer.spaced(tokens), writer.values()))
        counts = {"value": 0, "error": 0, "refused": 0}
        for (text, values), answer in zip(cases, hone(cases)):
            counts[self.compare(text, values, answer)] += 1
        self.assertGreater(counts["refused"], N_MUTATED // 2, counts)
        self.assertGreater(counts["value"] + counts["error"], N_MUTATED // 20, counts)

    def test_each_feature_that_formulas_lack_is_refused(self):
        rows = [("a ** b", 4), ("a % b", 3), ("a // b", 4), ("a < b", 3), ("a == b", 3), ("a, b", 2), ("(a, b)", 3),
                ("min(a b)", 7), ("min(a,)", 7), ("min(,a)", 5), ("min()", 5), ("abs(a, b)", 6), ("2a", 2), ("2(a)", 2),
                ("(a)(b)", 4), ("a b", 3), ("a 2", 3), ("+a", 1), ("a + +b", 5), ("a - +b", 5), ("a * / b", 5), ("^a", 1),
                ("a ^", None), ("(a", None), ("a)", 2), ("()", 2), ("", None), (" ", None), ("-", None), ("c", 1),
                ("a + c", 5), ("foo(a)", 1), ("a(1)", 1), ("Min(a)", 1), ("a.b", 2), ("a[0]", 2), ("a if b else a", 3),
                ("not a", 1), ("a and b", 3), ("1_000", 2), ("0x10", 2), ("1j", 2), ("1e", 2), ("1e+", 2), ("007", 1),
                (".", 1), ("1..2", 3), ("1.2.3", 4), ("1e999", 1), ("'a'", 1), ("a # b", 3), ("a; b", 2), ("é", 1),
                ("a\u00a0+ b", 2), ("a =", 3), ("max(a; b)", 6), ("min(a, (b)", None), ("a & b", 3), ("~a", 1), ("a!", 2),
                ("50%", 3), ("exact name", 7), ("$a", 1), ("{{a}}", 1), ("a × b", 3), ("a−b", 2)]
        values = {"a": 1.0, "b": 2.0, "exact": 0.5}
        for (text, place), answer in zip(rows, hone([(text, values) for text, _ in rows])):
            self.assertTrue(answer.startswith("! compile calculate_output "), (text, answer))
            if place is None:
                self.assertIn("ends where", answer, text)
            else:
                self.assertIn(" at character %d" % place, answer, text)
            self.assertEqual(self.compare(text, values, answer), "refused")

    def test_names(self):
        """None is reserved: a formula has no words of its own but functions, which need a bracket behind."""
        rows = [("min", {"min": 0.25}, 0.25), ("min + min(min, 0)", {"min": 0.25}, 0.25), ("min (min, 2)", {"min": 3.0}, 2.0),
                ("exp ^ log", {"exp": 2.0, "log": 3.0}, 8.0), ("is * not", {"is": 2.0, "not": 3.0}, 6.0),
                ("lambda + None", {"lambda": 1.0, "None": 2.0}, 3.0), ("e1 + 1e1", {"e1": 1.0}, 11.0),
                ("a-b", {"a": 3.0, "b": 1.0, "a-b": 9.0}, 2.0), ("a - b", {"a": 3.0, "b": 1.0, "a - b": 9.0}, 2.0),
                ("2 * ok", {"ok": 1.0, "1x": 5.0, "é": 5.0, "a b": 5.0, "": 5.0, "min(": 5.0}, 2.0)]
        for (text, values, want), answer in zip(rows, hone([(text, values) for text, values, _ in rows])):
            self.assertEqual(answer[:2], "= ", (text, answer))
            self.assertEqual(float.fromhex(answer[2:]), want, text)

    def test_names_that_no_formula_can_use_are_named(self):
        rows = [("a-b", "a-b"), ("0.5 * a-b", "a-b"), ("1x", "1x"), ("1 + 1x", "1x"), ("a b", "a b"), ("é", "é"), ("a.b", "a.b"),
                ("2 * größe", "größe"), ("my grader + 1", "my grader"), ("{x}", "{x}")]
        for (text, name), answer in zip(rows, hone([(text, {name: 1.0}) for text, name in rows])):
            self.assertTrue(answer.startswith("! compile "), (text, answer))
            self.assertIn(' at character ', answer)
            self.assertIn('no formula can use the name "%s"' % name, answer)


if __name__ == "__main__":
    unittest.main()
