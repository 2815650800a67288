"""Random Jinja programs over what chat templates use, made to succeed mostly, and variables for them."""
import random

WORDS = ["a", "b", "user", "<|im_start|>", " x ", "\n", "é", "\U0001F600", "a,b,,c", "  p\n q ", "", "'q\"", "</think>", "A b", "12", "-3", "1.5", "ß", "&<b>", "%s", "{0}", "Tab\t", "a\r\nb", "none"]
NAMES = ["s", "t", "n", "k", "l", "m", "d", "e", "u", "messages2", "none_value", "f", "flag", "off"]
FIELDS = ["role", "content", "a", "b", "items", "name", "missing", "tool_calls"]
SPACE = ["", "", "", " ", "\n", "  \n ", "\n\n", "\t", "x", " y ", "z\n"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)
        self.names = list(NAMES)
        self.namespaces = []
        self.macros = []
        self.loops = 0
        self.depth = 0

    def one(self, *of):
        return self.r.choice(of)()

    def word(self):
        w = self.r.choice(WORDS)
        quote = self.r.choice("'\"")
        escaped = w.replace("\\", "\\\\").replace(quote, "\\" + quote)
        if self.r.random() < 0.7:
            escaped = escaped.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
        return quote + escaped + quote

    def integer(self):
        return str(self.r.choice([0, 1, 2, 3, 5, 7, 10, -1, -2, 100]))

    def index(self):
        return str(self.r.choice([0, 1, -1, 2, -2, 5]))

    def slice(self):
        part = lambda: self.r.choice(["", "", self.index()])
        return "[" + part() + ":" + part() + (":" + self.r.choice(["", "-1", "2", "1", "-2", "n"]) if self.r.random() < 0.4 else "") + "]"

    def deeper(self, make, leaf):
        if self.depth > 5:
            return leaf()
        self.depth += 1
        out = make()
        self.depth -= 1
        return out

    # ---- expressions by what they should give ----

    def text(self):
        def make():
            k = self.r.randrange(26)
            s = self.text if self.r.random() < 0.8 else self.any
            if k < 6:
                return self.word()
            if k < 8:
                return self.r.choice(["s", "t", "d.a", "messages2[0].content", "messages2[-1]['role']", "u.name"])
            if k == 8:
                return s() + " + " + s()
            if k == 9:
                return self.any() + " ~ " + self.any()
            if k == 10:
                return "(" + self.word() + " + s)" + self.slice()
            if k == 11:
                return "(" + s() + ")." + self.r.choice(["strip()", "lstrip()", "rstrip()", "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip('\\n')", "rstrip('x \\n')", "lstrip(s)"])
            if k == 12:
                return "(" + s() + ").replace(" + self.word() + ", " + self.word() + self.r.choice(["", ", 1", ", 0", ", -1"]) + ")"
            if k == 13:
                return "(" + self.any() + ") | " + self.r.choice(["trim", "string", "upper", "lower", "title", "capitalize", "e", "safe", "tojson", "tojson(indent=2)", "tojson(ensure_ascii=True)", "string | trim", "default('D')", "default('D', true)", "forceescape", "indent", "indent(2)", "indent(2, true)", "indent(width=1, blank=true)", "indent('> ')", "pprint", "striptags", "truncate(5)", "truncate(6, true, '..')", "center(9)", "wordwrap(4)", "urlencode", "tojson(separators=(',', ':'))", "tojson(sort_keys=true)", "trim('\\n')", "replace('a', 'b')", "format(1)", "escape", "xmlattr"])
            if k == 14:
                return "(" + self.list() + ") | join(" + self.r.choice(["", "', '", self.word(), "', ', attribute='name'"]) + ")"
            if k == 15:
                return self.word() + ".join(" + self.list() + ")"
            if k == 16:
                return "(" + s() + ").split(" + self.r.choice(["", self.word(), "','", "none, 1", "',', 1", "'</think>'"]) + ")[" + self.index() + "]"
            if k == 17:
                return "(" + self.text() + " if " + self.test() + " else " + self.text() + ")"
            if k == 18:
                return "(" + self.any() + ") | string"
            if k == 19:
                return "'%s-%d' % (" + s() + ", " + self.number() + ")"
            if k == 20:
                return "'{}:{:>4}:{x!r}'.format(" + self.any() + ", " + s() + ", x=" + self.any() + ")"
            if k == 21:
                return "(" + s() + ") * " + self.r.choice(["0", "1", "2", "3", "-1"])
            if k == 22 and self.macros:
                name, n = self.r.choice(self.macros)
                return name + "(" + ", ".join([self.any() for _ in range(self.r.randrange(n + 1))] + (["p1=" + self.any()] if self.r.random() < 0.1 else [])) + ")"
            if k == 23:
                return "(" + s() + ")." + self.r.choice(["removeprefix('a')", "removesuffix('b')", "zfill(4)", "ljust(5, '.')", "rjust(5)", "center(5)", "expandtabs(4)", "casefold()", "partition(',')[0]", "rpartition(',')[2]", "splitlines()[0]", "rsplit(',', 1)[-1]", "format()"])
            if k == 24:
                return "(" + self.any() + ") | " + self.r.choice(["first", "last", "list | last", "min", "max"])
            return s()
        return self.deeper(make, self.word)

    def number(self):
        def make():
            k = self.r.randrange(14)
            if k < 4:
                return self.integer()
            if k < 6:
                return self.r.choice(["n", "k", "f", "2.5", "1e3", "0.1"])
            if k == 6:
                return "(" + self.number() + " " + self.r.choice(["+", "-", "*", "/", "//", "%"]) + " " + self.number() + ")"
            if k == 7:
                return "(" + self.any() + ") | length"
            if k == 8:
                return "(" + self.text() + ") | " + self.r.choice(["int", "int(3)", "float", "length", "count", "wordcount", "int(base=16)", "int(default=-1)"])
            if k == 9:
                return "(" + self.number() + ") | " + self.r.choice(["abs", "round", "round(1)", "round(0, 'floor')", "round(1, 'ceil')", "int", "float"])
            if k == 10:
                return "(" + self.text() + ")." + self.r.choice(["find('a')", "rfind('a')", "count('a')", "index('a')", "count('')"])
            if k == 11:
                return "(" + self.list() + ") | " + self.r.choice(["sum", "length", "max", "min", "sum(start=1)"])
            if k == 12 and self.loops:
                return "loop." + self.r.choice(["index", "index0", "revindex", "revindex0", "length", "depth", "depth0"])
            return "-" + self.number() if self.r.random() < 0.3 else self.integer()
        return self.deeper(make, self.integer)

    def list(self):
        def make():
            k = self.r.randrange(20)
            if k < 3:
                return "[" + ", ".join(self.any() for _ in range(self.r.randrange(4))) + "]"
            if k < 6:
                return self.r.choice(["l", "m", "messages2", "e"])
            if k == 6:
                return "(" + self.any() + ", " + self.any() + ")"
            if k == 7:
                return "range(" + ", ".join(self.r.choice(["0", "2", "5", "n"]) for _ in range(self.r.randrange(1, 3))) + ")"
            if k == 8:
                return "(" + self.list() + ")" + self.slice()
            if k == 9:
                return self.list() + " + " + self.list()
            if k == 10:
                return "(" + self.text() + ")." + self.r.choice(["split()", "split(',')", "split('\\n')", "splitlines()", "rsplit(',', 1)", "splitlines(true)", "partition(',')", "split(',', 2)", "split(maxsplit=1)", "rpartition('b')"])
            if k == 11:
                return "(" + self.list() + ") | " + self.r.choice(["list", "sort", "reverse | list", "unique | list", "sort(reverse=true)", "map('upper') | list", "map('string') | list", "map(attribute='role') | list", "map(attribute='a', default='z') | list", "select('string') | list", "reject('none') | list", "select | list", "selectattr('role', 'equalto', 'user') | list", "selectattr('role', 'defined') | list", "rejectattr('content') | list", "batch(2) | list", "batch(2, 'f') | list", "slice(2) | list", "map('length') | list", "select('in', ['a', 'b']) | list", "select('mapping') | list", "groupby('role') | list", "sort(attribute='role')", "map('trim') | join('|') | list", "map('tojson') | list", "map('default', 'q') | list", "selectattr('role', '==', 'user') | map(attribute='content') | list", "unique(attribute='role') | list", "sort(case_sensitive=true)", "unique(case_sensitive=true) | list"])
            if k == 12:
                return self.dict() + "." + self.r.choice(["items()", "keys()", "values()"]) + self.r.choice(["", " | list"])
            if k == 13:
                return "(" + self.dict() + ") | " + self.r.choice(["items | list", "dictsort", "list", "dictsort(reverse=true)", "dictsort(by='value')", "dictsort(false, 'key')", "dictsort(case_sensitive=true)"])
            if k == 14:
                return "(" + self.text() + ") | list"
            if k == 15 and self.namespaces:
                return self.r.choice(self.namespaces) + ".l"
            if k == 16:
                return "(" + self.list() + ") * 2"
            if k == 17:
                return self.r.choice(["[[1, 'a'], [2, 'b']]", "[{'role': 'user', 'content': s}, {'role': 'tool'}]", "[none, true, 1.0, 'x']"])
            return self.r.choice(["l", "messages2", "['x', 'y']"])
        return self.deeper(make, lambda: self.r.choice(["l", "[]", "[1, 'b']"]))

    def dict(self):
        def make():
            k = self.r.randrange(8)
            if k < 3:
                return "{" + ", ".join(self.r.choice(["'a'", "'b'", "'role'", "1", "s", "'items'", "true", "none", "2.5"]) + ": " + self.any() for _ in range(self.r.randrange(4))) + "}"
            if k == 3:
                return "dict(" + ", ".join("%s=%s" % (x, self.any()) for x in self.r.sample(["a", "b", "c"], self.r.randrange(3))) + ")"
            if k == 4:
                return "dict([('a', " + self.any() + ")], b=1)"
            return self.r.choice(["d", "u", "messages2[0]", "messages2[1]"])
        return self.deeper(make, lambda: self.r.choice(["d", "u", "{}"]))

    def any(self):
        def make():
            k = self.r.randrange(16)
            if k < 4:
                return self.text()
            if k < 6:
                return self.number()
            if k < 8:
                return self.list()
            if k == 8:
                return self.dict()
            if k == 9:
                return "(" + self.test() + ")"
            if k == 10:
                return self.r.choice(self.names)
            if k == 11:
                return "(" + self.r.choice([self.dict, self.list, self.any])() + ")" + self.r.choice(["." + self.r.choice(FIELDS), "['" + self.r.choice(FIELDS) + "']", "[" + self.index() + "]", ".get('a')", ".get('zz', 3)", ".get('role', 'q')", "[s]", ".0"])
            if k == 12:
                return self.r.choice(["none", "true", "false", "None", "True", "undefined_name", "undefined_name.x" if self.r.random() < 0.1 else "none"])
            if k == 13:
                return "(" + self.any() + self.r.choice([" or ", " and "]) + self.any() + ")"
            if k == 14:
                return "(" + self.any() + " if " + self.test() + (" else " + self.any() if self.r.random() < 0.7 else "") + ")"
            if k == 15 and self.loops:
                return "loop." + self.r.choice(["first", "last", "previtem", "nextitem", "index", "length", "changed(%s)" % self.any(), "cycle('a', 'b')"])
            if self.namespaces:
                return self.r.choice(self.namespaces) + "." + self.r.choice(["x", "y", "l", "zz"])
            return self.text()
        return self.deeper(make, lambda: self.r.choice(self.names))

    def test(self):
        def make():
            k = self.r.randrange(13)
            if k == 0:
                return self.any() + self.r.choice([" == ", " != "]) + self.any()
            if k == 1:
                return self.number() + self.r.choice([" < ", " > ", " <= ", " >= ", " < 3 <= "]) + self.number()
            if k == 2:
                return "(" + self.any() + ") is " + self.r.choice(["", "", "not "]) + self.r.choice(["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "boolean", "true", "false", "integer", "float", "callable", "sameas none", "eq 1", "ne 'a'", "in ['a', 1]", "lower", "upper", "odd", "even", "divisibleby 2", "equalto('a')", "gt 1", "lt(2)", "ge 0", "escaped", "filter", "test"])
            if k == 3:
                return self.text() + self.r.choice([" in ", " not in "]) + self.r.choice([self.text, self.list, self.dict])()
            if k == 4:
                return "not " + self.test()
            if k == 5:
                return self.test() + self.r.choice([" and ", " or "]) + self.test()
            if k == 6:
                return "(" + self.text() + ")." + self.r.choice(["startswith('a')", "endswith('b')", "startswith(('a', '<'))", "isdigit()", "isalpha()", "isspace()", "isupper()", "islower()", "isalnum()", "istitle()", "isnumeric()", "isdecimal()", "isidentifier()", "isascii()", "isprintable()", "startswith('a', 1)", "endswith(s, 0, 2)"])
            if k == 7 and self.loops:
                return self.r.choice(["loop.first", "loop.last", "not loop.last", "loop.index0 % 2 == 0", "loop.index > 1", "loop.previtem is defined", "loop.nextitem is defined"])
            if k == 8:
                return "'" + self.r.choice(FIELDS) + "' in " + self.dict()
            return self.r.choice(["flag", "off", "s", "l", "e", "n == 7", "d.a", "messages2[0].role == 'user'", "messages2[0]['content'] is string"])
        return self.deeper(make, lambda: "flag")

    # ---- statements ----

    def open(self):
        return "{%" + self.r.choice(["", "", "-", "-", "+"]) + " "

    def close(self):
        return " " + self.r.choice(["", "", "-", "-", "+"]) + "%}"

    def tag(self, inner):
        return self.open() + inner + self.close()

    def space(self):
        return self.r.choice(SPACE)

    def output(self):
        return self.r.choice(["{{", "{{", "{{-"]) + " " + self.any() + " " + self.r.choice(["}}", "}}", "-}}"])

    def scoped(self, n=2):
        names, namespaces, macros = list(self.names), list(self.namespaces), list(self.macros)
        out = self.body(n)
        self.names, self.namespaces, self.macros = names, namespaces, macros
        return out

    def loop(self):
        kind = self.r.randrange(8)
        test = " if " + self.test() if self.r.random() < 0.25 else ""
        if kind < 5:
            head = "for x in " + self.list() + test
            new = ["x"]
        elif kind == 5:
            head = "for a, b in " + self.r.choice(["d.items()", "d | dictsort", "u | items", "[(1, 2), ('a', 'b')]", "[[1, [2]]]", self.dict() + ".items()"]) + test
            new = ["a", "b"]
        elif kind == 6:
            return self.tag("for x in [[1, [2, 'c']], [3], [], 'ab'] recursive") + "{{ loop.depth }}" + "{% if x is string or x is number %}{{ x }}{% else %}({{ loop(x) }}){% endif %}" + self.space() + self.tag("endfor")
        else:
            head = "for message in messages2" + test
            new = ["message"]
        self.names += new
        self.loops += 1
        inside = self.scoped()
        if self.r.random() < 0.2:
            inside += self.tag("if " + self.test()) + self.tag(self.r.choice(["break", "continue"])) + self.tag("endif") + self.space()
        self.loops -= 1
        del self.names[len(self.names) - len(new):]
        other = self.tag("else") + self.scoped(1) if self.r.random() < 0.2 else ""
        return self.tag(head) + inside + other + self.tag("endfor")

    def statement(self):
        self.depth += 1
        k = self.r.randrange(21)
        try:
            if k < 5 or self.depth > 4:
                return self.output()
            if k < 8:
                return self.tag("if " + self.test()) + self.scoped() + (self.tag("elif " + self.test()) + self.scoped(1) if self.r.random() < 0.4 else "") + (self.tag("else") + self.scoped(1) if self.r.random() < 0.4 else "") + self.tag("endif")
            if k < 11:
                return self.loop()
            if k < 13:
                name = self.r.choice(["v", "w", "s", "n", "x"])
                out = self.tag("set " + name + " = " + self.any())
                self.names.append(name)
                return out
            if k == 13:
                name = self.r.choice(["v", "w"])
                out = self.tag("set " + name + self.r.choice(["", "", " | upper", " | trim", " | replace('a', 'b') | trim"])) + self.scoped() + self.tag("endset")
                self.names.append(name)
                return out
            if k == 14:
                name = self.r.choice(["ns", "ns2"])
                out = self.tag("set " + name + " = namespace(x=" + self.any() + ", l=[])")
                self.namespaces.append(name)
                return out
            if k == 15 and self.namespaces:
                ns = self.r.choice(self.namespaces)
                return self.tag("set " + ns + "." + self.r.choice(["x = " + self.any(), "y = " + self.text(), "l = " + ns + ".l + [" + self.any() + "]", "x = not " + ns + ".x"]))
            if k == 16:
                name, n = self.r.choice(["f1", "f2"]), self.r.randrange(3)
                names, loops, namespaces, self.loops = list(self.names), self.loops, list(self.namespaces), 0
                params = ["p%d" % i + ("=" + self.any() if i == n - 1 and self.r.random() < 0.5 else "") for i in range(n)]
                self.names += ["p%d" % i for i in range(n)]
                inside = self.scoped() + (self.output() if self.r.random() < 0.5 else "") + ("{{ caller() }}" if self.r.random() < 0.05 else "") + ("{{ varargs }}{{ kwargs }}" if self.r.random() < 0.1 else "")
                self.names, self.loops, self.namespaces = names, loops, namespaces
                out = self.tag("macro %s(%s)" % (name, ", ".join(params))) + inside + self.tag("endmacro")
                self.macros.append((name, n))
                return out
            if k == 17:
                if self.r.random() < 0.5:
                    return self.tag("macro g(q)") + "<{{ q }}{{ caller(q) }}>" + self.tag("endmacro") + self.tag("call(z) g(" + self.any() + ")") + "{{ z }}" + self.scoped(1) + self.tag("endcall")
                return self.tag("macro h()") + "<{{ caller() }}>" + self.tag("endmacro") + self.tag("call h()") + self.scoped(1) + self.tag("endcall")
            if k == 18:
                return self.tag("filter " + self.r.choice(["upper", "trim", "replace('a', 'b')", "indent(2)", "trim | upper", "tojson", "length", "e"])) + self.scoped() + self.tag("endfilter")
            if k == 19:
                return self.r.choice(["{# c #}", "{#- c -#}", "{# {{ x }} #}\n", "  {#- c #}\n\n", "{% raw %} {{ x }} {% endraw %}", "{%- raw -%} {% if %} {%- endraw -%}"])
            if self.r.random() < 0.5:
                return self.tag("with v = " + self.any() + ", w = " + self.any()) + self.scoped(1) + self.tag("endwith")
            return self.tag("generation") + self.scoped(1) + self.tag("endgeneration")
        finally:
            self.depth -= 1

    def body(self, n=4):
        return self.space() + "".join(self.statement() + self.space() for _ in range(self.r.randrange(1, n + 1)))


def value(r, depth=0):
    k = r.randrange(9 if depth < 2 else 6)
    if k < 3:
        return r.choice(WORDS)
    if k == 3:
        return r.choice([0, 1, 7, -3, 2.5, 1e21, 0.1, 100])
    if k == 4:
        return r.choice([True, False, None])
    if k == 5:
        return r.choice(WORDS) + r.choice(WORDS)
    if k == 6:
        return {r.choice(FIELDS): value(r, depth + 1) for _ in range(r.randrange(4))}
    return [value(r, depth + 1) for _ in range(r.randrange(4))]


def variables(r):
    message = lambda: {"role": r.choice(["user", "assistant", "system", "tool"]), "content": value(r) if r.random() < 0.3 else r.choice(WORDS)}
    return {"s": r.choice(WORDS), "t": r.choice(WORDS) + r.choice(WORDS), "n": r.choice([7, 0, 3]), "k": r.choice([-2, 1, 12]), "f": r.choice([0.5, -1.25, 1e16, 3.0]),
            "l": [value(r) for _ in range(r.randrange(5))], "m": [r.choice(WORDS) for _ in range(r.randrange(5))], "e": [], "d": dict({"a": value(r), "b": 2}, items=r.choice(WORDS)), "u": {"name": r.choice(WORDS), "age": 3},
            "messages2": [message() for _ in range(r.randrange(2, 5))], "none_value": None, "flag": True, "off": False}


def program(seed):
    """A program, and three sets of variables for it."""
    made = Maker(seed).body(5)
    r = random.Random(seed)
    return made, [variables(r) for _ in range(3)]
