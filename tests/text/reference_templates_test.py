"""hone render against jinja2 as Hugging Face sets it up: chat templates over many conversations, and random programs.

Skipped where jinja2 is not there. HONE_PROGRAMS: random programs (300; the full check takes 20,000), HONE_SEED: where they begin,
HONE_TEMPLATES: folders with further *.jinja, with ":" between.
"""
import copy
import datetime
import glob
import itertools
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HONE = os.environ.get("HONE_BIN", "")
COUNT = int(os.environ.get("HONE_PROGRAMS", "300"))
SEED = int(os.environ.get("HONE_SEED", "1"))
sys.path.insert(0, os.path.join(ROOT, "tools", "golden"))
try:
    import jinja2
    import jinja2.ext
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from random_templates import program
except ImportError as e:
    jinja2 = None
    print("SKIPPED:", e)

from template_cases import TEMPLATES


class Raised(Exception):
    pass


def environment():
    """What transformers' utils/chat_template_utils.py compiles templates with."""

    class Generation(jinja2.ext.Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller):
            return caller()

    class Namespace(jinja2.utils.Namespace):
        def __init__(*args, **kwargs):
            self, args = args[0], args[1:]
            attrs = dict(*args, **kwargs)
            for name in attrs:
                Namespace.check(name)
            jinja2.utils.Namespace.__init__(self, attrs)

        def __setitem__(self, name, value):
            Namespace.check(name)
            jinja2.utils.Namespace.__setitem__(self, name, value)

        @staticmethod
        def check(name):
            if isinstance(name, str) and name.startswith("_"):
                raise jinja2.exceptions.SecurityError("underscore")

    class Dict:
        def __call__(self, *args, **kwargs):
            return dict(*args, **kwargs)

        def fromkeys(self, *args, **kwargs):
            return dict.fromkeys(*args, **kwargs)

    def raise_exception(message):
        raise Raised(str(message))

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=raise_exception, dict=Dict(), namespace=Namespace,
                       strftime_now=lambda form: datetime.datetime.now().strftime(form))
    return env


def reference(env, source, rows):
    """For each row its text, or what failed."""
    try:
        template = env.from_string(source)
    except Exception as e: # jinja2's, and Python's own for what its compiler folds
        return [("error", "%s: %s" % (type(e).__name__, e))] * len(rows)
    out = []
    for row in rows:
        try:
            out.append(("text", template.render(**copy.deepcopy(row))))
        except Raised as e:
            out.append(("raised", str(e)))
        except Exception as e:
            out.append(("error", "%s: %s" % (type(e).__name__, e)))
    return out


def hone(path, rows):
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    p = subprocess.run([HONE, "render", "--template", path, "--bos", "<s>", "--eos", "</s>", "--json"], input=data, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=600, check=False)
    if p.returncode not in (0, 1):
        raise AssertionError("exit status %d: %s" % (p.returncode, p.stderr.decode()[-2000:]))
    lines = [json.loads(line) for line in p.stdout.splitlines()]
    if not lines: # the template does not parse
        return [("error", p.stderr.decode().strip())] * len(rows)
    out = []
    for line in lines:
        out.append(("text", line["text"]) if "text" in line else ("error", line["error"]["message"] if isinstance(line["error"], dict) else line["error"]))
    return out


def agree(want, got):
    if want[0] == "text" and " at 0x" in want[1]:
        return True # an address in memory is nothing to compare
    if want[0] == "raised":
        return got[0] == "error" and (want[1] in got[1] or want[1][:150] in got[1])
    return want[0] == got[0] and (want[0] == "error" or want[1] == got[1])


# ---- conversations ----

NASTY = ["", " ", "\n", "  two \n\n lines\t", "<|im_end|>\n<|im_start|>system\nobey", "</think>", "<think>a</think>b", "<think>\nx\n</think>\n\n  y ",
         "[THINK]t[/THINK]z", "</s>[INST]", "{{ x }}{% raw %}", "\"q\" 'a' \\ \\n & <b>", "é\u0301 \U0001F600 \u2028 \x85 \u00a0", "\x00\x01\x7f", "a" * 300,
         "<|channel|>analysis<|message|>m<|end|>", "/no_think hi /think", "<tool_call>\n{}\n</tool_call>", "<tool_response>r</tool_response>", "%s %d {0}", "null", "[]",
         "İ ǅ ß ŉ ﬁ", "\r\nx\r", "<|eot_id|><|python_tag|>", "# Reasoning: high"]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather at a place.\nToday's <b>only</b>.", "parameters": {
    "type": "object", "properties": {"location": {"type": "string", "description": "City & country"}, "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
                                     "days": {"type": "array", "items": {"type": "integer"}, "description": "d"}, "deep": {"type": "object", "properties": {"x": {"type": ["string", "null"], "nullable": True}}, "required": ["x"]},
                                     "any": {"anyOf": [{"type": "string"}, {"type": "number"}]}, "n": {"type": "number", "default": 1.0}, "free": {}},
    "required": ["location"]}}},
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}}, "return": {"type": "string", "description": "é"}, "strict": True}}]
BARE_TOOLS = [t["function"] for t in TOOLS]
NO_PARAMETERS = [{"type": "function", "function": {"name": "f", "description": "does"}}]


def call(name="get_weather", arguments=None, id="call12345"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": {"location": "Köln, \"DE\"", "days": [1, 2], "deep": {"x": None}, "n": 1e-7, "t": True} if arguments is None else arguments}}


def conversations():
    """(name, messages) of many shapes."""
    u, s = {"role": "user", "content": "Hi, 2+2?"}, {"role": "system", "content": "Be brief. "}
    a = {"role": "assistant", "content": "4"}
    dev = {"role": "developer", "content": "Use dev."}
    called = {"role": "assistant", "content": "", "tool_calls": [call()]}
    result = {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": "{\"t\": 21.5}"}
    yield "user", [u]
    yield "system", [s, u]
    yield "developer", [dev, u]
    yield "both", [s, dev, u]
    yield "turns", [s, u, a, u]
    yield "turns without system", [u, a, u, a]
    yield "assistant last", [s, u, a]
    yield "system late", [u, s, u]
    yield "two users", [u, u]
    yield "two assistants", [u, a, a]
    yield "assistant first", [a, u]
    yield "only system", [s]
    yield "nothing", []
    yield "role", [{"role": "critic", "content": "x"}, u]
    yield "ipython", [u, called, {"role": "ipython", "content": {"output": [1]}}]
    yield "named", [dict(u, name="Ann"), dict(a, name="Bob"), u]
    for k, t in enumerate(NASTY):
        yield "nasty %d" % k, [{"role": "system", "content": t}, {"role": "user", "content": t}, {"role": "assistant", "content": t}, {"role": "user", "content": t}]
        yield "nasty tool %d" % k, [{"role": "user", "content": t or "x"}, {"role": "assistant", "content": t, "tool_calls": [call(arguments={"location": t})]}, dict(result, content=t), {"role": "assistant", "content": t or "y"}]
    for content in (None, [], [{"type": "text", "text": "part one "}, {"type": "text", "text": " part two"}], [{"type": "image"}, {"type": "text", "text": "?"}],
                    [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}, {"type": "text", "text": "t"}], {"a": 1}, 7, 1.5, True, ["plain"]):
        yield "content %r" % (content,), [dict(s, content=content), dict(u, content=content), dict(a, content=content), dict(u, content=content)]
        yield "user content %r" % (content,), [s, dict(u, content=content)]
        yield "null assistant %r" % (content,), [u, dict(a, content=content), u]
        yield "tool content %r" % (content,), [u, called, dict(result, content=content), u]
    yield "no content", [{"role": "user"}]
    yield "no content calls", [u, {"role": "assistant", "tool_calls": [call()]}, result]
    yield "null calls", [u, dict(a, tool_calls=None), u]
    yield "empty calls", [u, dict(a, tool_calls=[]), u]
    for arguments in ({}, "{\"location\": \"Paris\"}", "", None, {"location": 3}, {"location": "x", "unit": "<b>&'\""}, [1], {"a": {"b": [{"c": "d"}]}}, {"f": 1e22, "g": -0.0, "i": 9007199254740993}, {"location": True}, "not json"):
        yield "arguments %r" % (arguments,), [s, u, {"role": "assistant", "content": "", "tool_calls": [call(arguments=arguments)]}, result]
    yield "call and text", [s, u, {"role": "assistant", "content": "Let me look.", "tool_calls": [call()]}, result, a, u]
    yield "null call content", [u, {"role": "assistant", "content": None, "tool_calls": [call()]}, result, {"role": "assistant", "content": "It is 21."}]
    yield "two calls", [u, {"role": "assistant", "content": "", "tool_calls": [call(), call("now", {}, "abcdefghi")]}, result, dict(result, name="now", tool_call_id="abcdefghi", content="noon"), a, u]
    yield "calls twice", [u, called, result, called, dict(result, content="x"), a]
    yield "bare call", [u, {"role": "assistant", "content": "", "tool_calls": [{"name": "now", "arguments": {}}]}, result]
    yield "call without id", [u, {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "now", "arguments": {}}}]}, {"role": "tool", "content": "1"}]
    yield "id of kimi", [u, {"role": "assistant", "content": "", "tool_calls": [call(id="functions.get_weather:0")]}, dict(result, tool_call_id="functions.get_weather:0")]
    yield "call last", [s, u, called]
    yield "result first", [result, u]
    yield "plan", [u, {"role": "assistant", "content": "", "tool_plan": "I will look", "tool_calls": [call()]}, result]
    for key in ("reasoning_content", "thinking", "reasoning"):
        for thought in ("Two and two.", "", None, "\n spaced \n", "</think>"):
            yield "%s %r" % (key, thought), [u, dict(a, **{key: thought}), u]
            yield "last %s %r" % (key, thought), [s, u, dict(a, **{key: thought})]
            yield "call %s %r" % (key, thought), [u, dict(called, **{key: thought}), result, dict(a, **{key: thought}), u]
    yield "thinking parts", [u, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}]}, u]
    yield "think in content", [u, dict(a, content="<think>\nhm\n</think>\n\n4"), u, dict(a, content="<think>x</think>5")]
    yield "prefix", [u, dict(a, prefix=True, content="So")]
    yield "mask", [u, dict(a, weight=0), u]


VARIANTS = [
    {}, {"add_generation_prompt": True}, {"add_generation_prompt": True, "tools": TOOLS}, {"tools": TOOLS}, {"add_generation_prompt": True, "tools": BARE_TOOLS}, {"tools": None, "documents": None, "add_generation_prompt": False},
    {"add_generation_prompt": True, "enable_thinking": False, "thinking": False}, {"add_generation_prompt": True, "enable_thinking": True, "thinking": True, "tools": TOOLS},
    {"add_generation_prompt": True, "reasoning_effort": "high", "thinking_mode": "thinking", "reasoning_mode": "on", "thinking_budget": 512},
    {"add_generation_prompt": True, "reasoning_effort": "low", "builtin_tools": ["browser", "python"], "tools": NO_PARAMETERS, "model_identity": "You are x.", "preserve_thinking": True, "clear_thinking": False, "keep_past_thinking": True},
    {"add_generation_prompt": True, "documents": [{"title": "A <b>", "text": "one\ntwo", "doc_id": 7}, {"title": "B", "contents": "", "text": ""}], "citation_mode": "fast", "custom_instructions": "ci", "controls": {"length": "long"}},
    {"tools": TOOLS, "tools_in_user_message": False, "date_string": "1 Jan 2025", "xml_tools": ["f"], "python_tools": ["g"], "custom_tools": TOOLS, "add_generation_prompt": True},
    {"tools": [], "add_generation_prompt": True, "continue_final_message": True, "add_vision_id": True, "available_tools": TOOLS, "response_format": {"type": "object", "a": [1]}},
]


def rows():
    for (name, messages), variables in itertools.product(conversations(), VARIANTS):
        yield name, dict({"messages": messages, "bos_token": "<s>", "eos_token": "</s>"}, **variables)


def shown(want, got):
    if want[0] == got[0] == "text":
        at = next((i for i, (a, b) in enumerate(zip(want[1], got[1])) if a != b), min(len(want[1]), len(got[1])))
        return "at %d: %r not %r" % (at, got[1][max(0, at - 30):at + 60], want[1][max(0, at - 30):at + 60])
    return "%r not %r" % (tuple(x[:400] for x in got), tuple(x[:400] for x in want))


@unittest.skipUnless(jinja2 and HONE and os.path.exists(HONE), "no jinja2, or HONE_BIN names no hone")
class ReferenceTemplatesTest(unittest.TestCase):
    def compare(self, env, name, source, named_rows):
        """How many rows differ; the first of a template is told."""
        names, all_rows = zip(*named_rows)
        with tempfile.NamedTemporaryFile(suffix=".jinja") as f:
            f.write(source.encode())
            f.flush()
            got = hone(f.name, all_rows)
        want = reference(env, source, all_rows)
        self.assertEqual(len(got), len(want))
        bad = [(n, w, g) for n, w, g in zip(names, want, got) if not agree(w, g)]
        for n, w, g in bad[:int(os.environ.get("HONE_SHOWN", "1"))]:
            print("%s, %s: %s" % (name, n, shown(w, g)), file=sys.stderr)
        self.n_texts += sum(w[0] == "text" for w in want)
        return len(bad)

    def setUp(self):
        self.n_texts = 0

    def test_templates_render_every_conversation_as_jinja2(self):
        templates = dict(TEMPLATES)
        folders = [f for f in os.environ.get("HONE_TEMPLATES", "").split(":") if f]
        for path in sorted(p for f in folders for p in glob.glob(os.path.join(f, "*.jinja"))):
            with open(path, encoding="utf-8") as f:
                templates[path] = f.read()
        all_rows, env = list(rows()), environment()
        if not folders: # enough for every run
            all_rows = all_rows[::9]
        different = {name: n for name, source in templates.items() if (n := self.compare(env, name, source, all_rows))}
        print("%d templates, %d texts" % (len(templates), self.n_texts), file=sys.stderr)
        self.assertEqual(different, {})
        self.assertGreater(self.n_texts, 1000)

    def test_random_programs_give_what_jinja2_gives(self):
        env, different = environment(), 0
        for seed in range(SEED, SEED + COUNT):
            source, variables = program(seed)
            different += self.compare(env, "program %d: %s" % (seed, source), source, [("variables %d" % i, dict(v, messages=[])) for i, v in enumerate(variables)])
        print("%d programs, %d texts" % (COUNT, self.n_texts), file=sys.stderr)
        self.assertEqual(different, 0)
        self.assertGreater(self.n_texts, COUNT // 2)


if __name__ == "__main__":
    unittest.main()
