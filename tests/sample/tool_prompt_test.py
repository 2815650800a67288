"""sample/prompt.h gives a template the conversation that Hugging Face's users give it, and jinja2 makes the same text of it.

What stands on the wire (arguments as JSON in a text, content null, parts, roles of old) is turned here once more, in Python, and
rendered by jinja2 in the environment of transformers. HONE_TEMPLATES may name a folder of further templates (*.jinja).
"""
import ast
import copy
import datetime
import glob
import json
import os
import random
import re
import subprocess
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TINY = os.path.join(HERE, "..", "golden", "tiny", "hf")
HONE = os.environ.get("HONE_BIN", "")
DRIVER = os.path.join(os.path.dirname(HONE), "tests", "sample_tool_prompt_driver")
BOS, EOS = "<|im_start|>", "<|im_end|>"

LOOP = "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' }}"
END = "{{- '<|im_end|>\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
OFFER = "{%- if tools %}{{- '# Tools' }}{%- for t in tools %}{{- '\\n' + (t | tojson) }}{%- endfor %}{{- '\\n' }}{%- endif %}"
HERMES = OFFER + LOOP + """{{- m.content }}
{%- for c in m.tool_calls %}
    {{- '\\n<tool_call>\\n{"name": "' + c.function.name + '", "arguments": ' }}
    {{- (c.function.arguments if c.function.arguments is string else c.function.arguments | tojson) + '}\\n</tool_call>' }}
{%- endfor %}""" + END
LLAMA = OFFER + LOOP + """
{%- if 'tool_calls' in m %}
    {%- if m.tool_calls | length != 1 %}{{- raise_exception("one call at once") }}{%- endif %}
    {{- '{"name": "' + m.tool_calls[0].function.name + '", "parameters": ' + (m.tool_calls[0].function.arguments | tojson) + '}' }}
{%- else %}{{- m.content }}{%- endif %}""" + END
MISTRAL = OFFER + LOOP + """
{%- if m.tool_calls is defined and m.tool_calls is not none %}
    {{- '[TOOL_CALLS][' }}
    {%- for c in m.tool_calls %}
        {{- (c.function | tojson)[:-1] + ', "id": "' + c.id + '"}' }}{{- ', ' if not loop.last else ']' }}
    {%- endfor %}
{%- elif m.role == 'tool' %}{{- '[TOOL_RESULTS]{"content": ' + m.content + ', "call_id": "' + m.tool_call_id + '"}' }}
{%- else %}{{- m.content }}{%- endif %}""" + END
JOINED = OFFER + LOOP + """
{%- if m.role == 'assistant' and m.content is none %}
    {%- for c in m.tool_calls %}{{- '<tool_call>{"name": "' + c.function.name + '", "arguments": ' + c.function.arguments + '}</tool_call>' }}{%- endfor %}
{%- else %}{{- m.content }}{%- endif %}""" + END
THINKS = OFFER + LOOP + """
{%- if m.reasoning_content %}{{- '<think>' + m.reasoning_content + '</think>' }}{%- endif %}{{- m.content }}
{%- for c in m.tool_calls %}{{- '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{%- endfor %}""" + END
HARMONY = """{{- '<|start|>system<|message|>' }}{%- for t in tools or [] %}{{- 'type ' + t.function.name }}{%- endfor %}{{- '<|end|>' }}
{%- set last = namespace(name=none) %}
{%- for m in messages %}
    {%- if m.role == 'assistant' and 'tool_calls' in m %}
        {%- if m.content and m.thinking %}{{- raise_exception("both content and thinking") }}{%- endif %}
        {%- if m.content or m.thinking %}{{- '<|start|>assistant<|channel|>analysis<|message|>' + (m.content or m.thinking) + '<|end|>' }}{%- endif %}
        {%- set last.name = m.tool_calls[0].function.name %}
        {{- '<|start|>assistant to=functions.' + last.name + '<|channel|>commentary json<|message|>' }}
        {{- m.tool_calls[0].function.arguments | tojson }}{{- '<|call|>' }}
    {%- elif m.role == 'assistant' %}{{- '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}
    {%- elif m.role == 'tool' %}
        {{- '<|start|>functions.' + last.name + ' to=assistant<|channel|>commentary<|message|>' + (m.content | tojson) + '<|end|>' }}
    {%- else %}{{- '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{%- endif %}
{%- endfor %}{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}"""
PLAIN = LOOP + "{{- m.content }}" + END

OWN = {"hermes": HERMES, "llama": LLAMA, "mistral": MISTRAL, "joined": JOINED, "thinks": THINKS, "harmony": HARMONY}
FORMS = {"hermes": "hermes", "llama": "llama", "mistral": "mistral", "joined": "hermes", "thinks": "hermes", "harmony": "harmony"}

TOOL = {"type": "function", "function": {"name": "weather", "description": "Wetter für <Zürich> & 'Bern'", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city"]}}}


def call(arguments, identity="Abcdef123"):
    return {"id": identity, "type": "function", "function": {"name": "weather", "arguments": arguments}}


ASK = {"role": "user", "content": "Weather in Zürich?"}
CONVERSATIONS = [
    [ASK],
    [{"role": "system", "content": "Be brief."}, ASK],
    [ASK, {"role": "assistant", "content": None, "tool_calls": [call('{"city":"Zürich","days":2}')]},
     {"role": "tool", "tool_call_id": "Abcdef123", "content": '{"c": 21.5}'}],
    [ASK, {"role": "assistant", "tool_calls": [call('{ "city" : "Bern" }')]},
     {"role": "tool", "tool_call_id": "Abcdef123", "content": [{"type": "text", "text": '"su'}, {"type": "text", "text": 'nny"'}]},
     {"role": "assistant", "content": "Sunny."}, {"role": "user", "content": "And now?"}],
    [ASK, {"role": "assistant", "content": "", "reasoning": "hm", "tool_calls": [call("")]},
     {"role": "tool", "tool_call_id": "Abcdef123", "name": "weather", "content": "1"}],
    [ASK, {"role": "assistant", "content": "I look.", "reasoning": "hm", "tool_calls": [call("{}")]},
     {"role": "tool", "tool_call_id": "Abcdef123", "name": "weather", "content": "1 \"°C\""}],
    [ASK, {"role": "assistant", "content": "", "tool_calls": [call('{"a": [1.5, null, {"b": "\\"</x>\\u00e9"}]}'), call("{}", "Bbcdef123")]},
     {"role": "tool", "tool_call_id": "Abcdef123", "content": "1"}, {"role": "tool", "tool_call_id": "Bbcdef123", "content": "2"}],
]


# ---- what Hugging Face's users do ----

def environment():
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message):
        raise ValueError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    e = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    e.filters["tojson"] = tojson
    e.globals["raise_exception"] = raise_exception
    e.globals["strftime_now"] = lambda f: datetime.datetime.now().strftime(f)
    return e


def turned(messages, as_text=False, null=False, thinking=False):
    out = copy.deepcopy(messages)
    for m in out:
        if isinstance(m.get("content"), list):
            m["content"] = "".join(p["text"] for p in m["content"])
        if m.get("reasoning"):
            m["reasoning_content"] = m["reasoning"]
        for c in m.get("tool_calls", []):
            arguments = json.loads(c["function"]["arguments"] or "{}")
            c["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False) if as_text else arguments
        if m.get("tool_calls") and not m.get("content"):
            m["content"] = None if null else ""
        if thinking and m.get("reasoning"):
            m["thinking"] = m["reasoning"] + ("\n\n" + m["content"] if m["content"] and m.get("tool_calls") else "")
            m["content"] = "" if m.get("tool_calls") else m["content"]
    return out


def rendered(template, messages, tools):
    """The text, or None where the template refuses."""
    # marks of what is learned are transformers' own, and write nothing
    template = re.sub(r"(\{%[-+]?\s*)generation\b", r"\1if true", re.sub(r"(\{%[-+]?\s*)endgeneration\b", r"\1endif", template))
    variables = {"messages": messages, "add_generation_prompt": True, "bos_token": BOS, "eos_token": EOS}
    try:
        return environment().from_string(template).render(**variables, **({"tools": tools} if tools else {}))
    except Exception:
        return None


def value(r, depth):
    kind = r.randrange(8 if depth < 3 else 6)
    if kind < 2:
        return "".join(r.choice("ab \\\"'()[]{},=\n\t\0é€😀/x41u") for _ in range(r.randrange(8)))
    if kind < 6:
        return [r.randrange(-10 ** 12, 10 ** 12), r.uniform(-1e3, 1e3) * 10.0 ** r.randrange(-20, 20), r.random() < 0.5, None][kind - 2]
    if kind == 6:
        return [value(r, depth + 1) for _ in range(r.randrange(4))]
    return {f"{i} 'k\"": value(r, depth + 1) for i in range(r.randrange(3))}


def literal(r, v):
    """As repr writes it, as ascii does, or between three quotes."""
    if isinstance(v, str) and r.random() < 0.2:
        return '"""' + v.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\x00") + '"""'
    return r.choice([repr, ascii])(v)


class Prompts(unittest.TestCase):
    def ask(self, rows):
        done = subprocess.run([DRIVER, TINY], input="".join(json.dumps(r) + "\n" for r in rows), capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def compare(self, template, name, **how):
        rows = [{"template": template, "messages": m, "tools": t} for m in CONVERSATIONS for t in ([TOOL], [], [TOOL, TOOL])]
        n = 0
        for row, told in zip(rows, self.ask(rows)):
            want = rendered(template, turned(row["messages"], **how), row["tools"])
            self.assertEqual(told.get("text"), want, (name, row["messages"], told))
            n += want is not None
        return n

    def test_own_templates(self):
        for name, template in OWN.items():
            with self.subTest(name):
                told, = self.ask([{"template": template, "messages": [ASK], "tools": []}])
                self.assertEqual((told["format"], told["as_text"]), (FORMS[name], False))
                joined = name == "joined"
                self.assertGreater(self.compare(template, name, as_text=joined, null=joined, thinking=name == "harmony"), 8)

    def test_a_template_without_tools_gets_them_as_text(self):
        rows = [{"template": PLAIN, "messages": CONVERSATIONS[2], "tools": [TOOL]}]
        told, = self.ask(rows)
        self.assertEqual((told["format"], told["as_text"]), ("hermes", True))
        listed = json.dumps(TOOL, ensure_ascii=False)
        self.assertEqual(told["text"], f"""<|im_start|>system
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{listed}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call><|im_end|>
<|im_start|>user
Weather in Zürich?<|im_end|>
<|im_start|>assistant
<tool_call>
{{"name": "weather", "arguments": {{"city": "Zürich", "days": 2}}}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
{{"c": 21.5}}
</tool_response><|im_end|>
<|im_start|>assistant
""")

    def test_calls_are_what_python_reads(self):
        r = random.Random(7)
        rows, want = [], []
        for _ in range(600):
            calls = [(r.choice(["f", "now"]), {f"k{i}": value(r, 0) for i in range(r.randrange(4))}) for _ in range(r.randrange(1, 4))]
            text = "[" + ", ".join(f"{n}({', '.join(f'{k}={literal(r, v)}' for k, v in a.items())})" for n, a in calls) + "]"
            ast.parse(text)  # or the test is none
            rows.append({"format": "python", "answer": text, "tools": [{"function": {"name": n}} for n in ("f", "now")]})
            want.append(calls)
        for row, told, calls in zip(rows, self.ask(rows), want):
            self.assertEqual([(c["name"], json.loads(c["arguments"])) for c in told["calls"]], calls, row["answer"])
            self.assertEqual(told["text"], "")

    def test_templates_of_a_folder(self):
        paths = sorted(glob.glob(os.path.join(os.environ.get("HONE_TEMPLATES", "/nowhere"), "*.jinja")))
        if not paths:
            self.skipTest("HONE_TEMPLATES names no folder of templates")
        n, seen = 0, {}
        for path in paths:
            with open(path, encoding="utf-8") as f:
                template = f.read()
            told, = self.ask([{"template": template, "messages": [ASK], "tools": []}])
            if told.get("as_text", True):
                continue
            seen[os.path.basename(path)] = told["format"]
            with self.subTest(os.path.basename(path)):
                n += self.compare(template, os.path.basename(path), thinking=told["format"] == "harmony")
        print(f"{n} texts of {len(seen)} templates: {seen}")
        self.assertGreater(n, 0)


if __name__ == "__main__":
    unittest.main()
