#!/usr/bin/env python3
"""make_templates.py - what jinja2, as Hugging Face sets it up, makes of our templates and expressions.

Writes tests/golden/templates/: templates.jsonl, fixtures.jsonl, cases.jsonl (every template on every fixture),
snippets.jsonl (expressions and small templates), README.md. The environment is transformers' own.

    python make_templates.py        needs jinja2, transformers
"""
import json
import os

import jinja2
from jinja2 import meta
from transformers.utils import chat_template_utils as hf

import reference as ref
from template_cases import EXPRESSIONS, FIXTURES, SNIPPETS, TEMPLATES, VARS

OUT = ref.here("templates")


class Raised(Exception):
    pass


def render(source, variables):
    """{"text", "spans"?} or {"error": kind, "message"}; spans are bytes of the text inside {% generation %}."""
    try:
        template = hf._cached_compile_jinja_template(source)
    except Exception as e: # jinja2 raises TemplateSyntaxError, and Python's own for what its compiler folds
        return {"error": "syntax", "message": str(e)}
    environment = template.environment
    raised = []

    def raise_exception(message):
        raised.append(message)
        raise jinja2.exceptions.TemplateError(message)

    template.globals["raise_exception"] = environment.globals["raise_exception"] = raise_exception
    try:
        text, spans = hf._render_with_assistant_indices(
            compiled_template=template, messages=variables.get("messages"), tools=variables.get("tools"),
            documents=variables.get("documents"), add_generation_prompt=variables.get("add_generation_prompt"),
            **{k: v for k, v in variables.items() if k not in ("messages", "tools", "documents", "add_generation_prompt")}
        ) if "generation" in source and "messages" in variables else plain(template, variables)
    except Exception as e:
        if raised:
            return {"error": "raise", "message": str(raised[-1])}
        return {"error": "runtime", "message": f"{type(e).__name__}: {e}"}
    at = [len(text[:i].encode()) for span in spans for i in span]
    out = {"text": text}
    if spans:
        out["spans"] = [at[i:i + 2] for i in range(0, len(at), 2)]
    return out


def plain(template, variables):
    """Only the given variables exist; the spans are tracked as transformers does it."""
    blocks, spans = [], []
    with template.environment.activate_tracker(blocks, spans):
        for block in template.generate(**variables):
            blocks.append(block)
    return "".join(blocks), spans


def needed(source):
    try:
        names = meta.find_undeclared_variables(hf._cached_compile_jinja_template("").environment.parse(source))
    except jinja2.TemplateError:
        return {}
    return {k: v for k, v in VARS.items() if k in names}


def expressions():
    for group, table in EXPRESSIONS.items():
        yield from ((group, "{{ " + e + " }}") for e in table.strip("\n").split("\n"))


def write_lines(name, rows):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


def main():
    os.makedirs(OUT, exist_ok=True)
    write_lines("templates.jsonl", [{"name": k, "template": v} for k, v in TEMPLATES.items()])
    write_lines("fixtures.jsonl", [{"name": k, "vars": v} for k, v in FIXTURES.items()])
    cases = [{"template": t, "fixture": f, **render(source, json.loads(json.dumps(variables)))}
             for t, source in TEMPLATES.items() for f, variables in FIXTURES.items()]
    write_lines("cases.jsonl", cases)
    snippets = [*expressions(), *(("snippets", s.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")) for s in SNIPPETS.split("\n"))]
    rows = []
    for group, source in snippets:
        row = {"group": group, "template": source, "vars": needed(source), **render(source, needed(source))}
        if " at 0x" in row.get("text", ""):
            continue # an address in memory is nothing to compare
        rows.append(row)
    write_lines("snippets.jsonl", rows)
    for what, of in (("cases", cases), ("snippets", rows)):
        kinds = {}
        for r in of:
            kinds[r.get("error", "text")] = kinds.get(r.get("error", "text"), 0) + 1
        print(what, len(of), kinds)
    write_readme(len(cases), len(rows))


def write_readme(n_cases, n_snippets):
    with open(os.path.join(OUT, "README.md"), "w", encoding="utf-8") as f:
        f.write(f"""# templates: chat templates as Hugging Face renders them

Made by `tools/golden/make_templates.py` with {ref.versions("jinja2", "transformers")}. Text must be equal byte for byte.

| file | a line is |
|---|---|
| `templates.jsonl` | `name`, `template` |
| `fixtures.jsonl` | `name`, `vars`: all the variables there are (nothing is added, no null is dropped) |
| `cases.jsonl` | `template` and `fixture` by name, and the result; {n_cases} lines |
| `snippets.jsonl` | `group`, `template`, `vars`, and the result; {n_snippets} lines |

A result is `text`, with `spans` [[from, to], ...] in bytes where `{{% generation %}}` marked something, or `error`: `raise` (the
template called raise_exception; `message` is what it said), `syntax` or `runtime` (`message` is the reference's, for the reader
only). The groups `numbers strings lists logic tests filters undefined errors` are single expressions, `snippets` statements.

Spans are only given where `generation` stands in the template's own flow: inside a set block or a macro transformers counts from
the wrong place. The environment is the one transformers compiles: ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, the
generation tag, its own tojson, raise_exception, strftime_now, dict and namespace. Templates and conversations are written for
this project, except "demo", which is the demo model's own.
""")


if __name__ == "__main__":
    main()
