"""What the API can do can be done in the dashboard: each operation of docs/openapi.yaml is called by a page, or stands below with its reason.

Pages call the API by the functions of web/lib/api.js and stream.js alone, and each call has its path beside it, as text or by uri`...`: what
cannot be read so fails here, for then nobody could tell what the dashboard calls. No browser and no server.
"""
import os
import re
import unittest

try:
    import yaml
except ImportError:
    yaml = None
    print("SKIPPED: PyYAML is not installed (scripts/requirements-test.txt)", flush=True)  # for CTest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEB = os.path.join(ROOT, "web")

IN_LIST = "the list tells all of it"
PARTS = "a browser sends a file of any size whole, by POST /v1/files"
PROBE = "for supervisors, which see states and not pages"
ITSELF = "the dashboard is loaded by it"
EXCEPTIONS = {
    "POST /v1/uploads": PARTS,
    "POST /v1/uploads/{}/parts": PARTS,
    "POST /v1/uploads/{}/complete": PARTS,
    "POST /v1/uploads/{}/cancel": PARTS,
    "POST /v1/responses": "the playground asks by POST /v1/chat/completions, which the same models answer",
    "POST /v1/completions": "the older form of POST /v1/chat/completions",
    "POST /v1/embeddings": "vectors are for programs: there is nothing in them for a person to look at",
    "POST /v1/moderations": "it is not offered, and says so",
    "POST /v1/evals/{}/runs/{}": "the older address of POST /v1/evals/{}/runs/{}/cancel",
    "GET /v1/evals/{}/runs/{}": IN_LIST,
    "GET /v1/evals/{}/runs/{}/output_items/{}": IN_LIST,
    "GET /v1/webhook_endpoints/{}": IN_LIST,
    "GET /v1/organization/projects/{}": IN_LIST,
    "GET /v1/organization/projects/{}/api_keys/{}": IN_LIST,
    "GET /v1/organization/admin_api_keys/{}": IN_LIST,
    "GET /v1/organization/invites/{}": IN_LIST,
    "GET /v1/feedback/{}": IN_LIST,
    "GET /healthz": PROBE,
    "GET /readyz": PROBE,
    "GET /metrics": PROBE,
    "GET /": ITSELF,
    "GET /web/{}": ITSELF,
    "GET /web/{}/{}": ITSELF,
}

METHODS = {"get": "GET", "all": "GET", "page": "GET", "text": "GET", "blob": "GET", "download": "GET", "open": "GET", "follow": "GET",
           "post": "POST", "upload": "POST", "answer": "POST", "del": "DELETE"}
OTHERS = {"key", "isRemembered", "project", "forgetKey", "setKey", "setProject", "ApiError", "uri", "save", "calls", "events"}
HIDDEN = {os.path.join("lib", "api.js"), os.path.join("lib", "stream.js")}  # what all calls go through
IMPORT = re.compile(r'^import (?:\* as (?P<all>\w+)|{(?P<names>[^}]*)}) from "[^"]*/(?:api|stream)\.js";$', re.M)
LITERAL = re.compile(r'\(\s*(?:"(?P<plain>/[^"]*)"|uri`(?P<made>[^`]*)`)\s*[,)]')


class Unreadable(Exception):
    """A call that nobody can read the path of."""


def without_comments(text):
    return re.sub(r"^\s*//.*$", "", text, flags=re.M)


def calls_of(text):
    """{"GET /v1/files/{}"} of the source of a page."""
    text, found = without_comments(text), set()
    for word in ("fetch(", "XMLHttpRequest", "EventSource", "sendBeacon", "WebSocket"):
        if word in text:
            raise Unreadable(word)
    body = IMPORT.sub("", text)
    if re.search(r"\b(const|let|var|function) uri\b", body):
        raise Unreadable("uri is something else here")
    for imported in IMPORT.finditer(text):
        if imported["names"]:
            wrong = set(imported["names"].replace(" ", "").split(",")) - OTHERS
            if wrong:
                raise Unreadable("import * as, for %s" % ", ".join(sorted(wrong)))
            continue
        for use in re.finditer(r"(?<![\w\"'-])%s(?![\w-])(?:\.(\w+))?" % imported["all"], body):
            literal = LITERAL.match(body, use.end())
            if use[1] in OTHERS:
                continue
            if use[1] not in METHODS or not literal:
                raise Unreadable(body[use.start():use.start() + 80].split("\n")[0])
            path = re.sub(r"\${[^}]*}", "{}", literal["plain"] or literal["made"])
            found.add("%s %s" % (METHODS[use[1]], path))
    return found


def sources():
    for folder, _, names in os.walk(WEB):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".js") and os.path.relpath(path, WEB) not in HIDDEN:
                with open(path, encoding="utf-8") as f:
                    yield os.path.relpath(path, WEB), f.read()


def operations():
    with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as f:
        paths = yaml.safe_load(f)["paths"]
    return {"%s %s" % (method.upper(), re.sub(r"{\w+}", "{}", path)) for path, item in paths.items()
            for method in ("get", "post", "delete", "put", "patch") if method in item}


@unittest.skipUnless(yaml, "PyYAML is not installed (scripts/requirements-test.txt)")
class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.operations = operations()
        cls.called = {}
        for path, text in sources():
            try:
                for call in calls_of(text):
                    cls.called.setdefault(call, []).append(path)
            except Unreadable as e:
                raise AssertionError("web/%s: this call's path does not stand beside it: %s" % (path, e)) from None

    def test_each_operation_is_called_by_a_page(self):
        self.assertGreater(len(self.operations), 80)
        self.assertEqual(sorted(self.operations - set(self.called) - set(EXCEPTIONS)), [])

    def test_pages_call_nothing_else(self):
        self.assertEqual({call: at for call, at in self.called.items() if call not in self.operations}, {})

    def test_exceptions_are_operations_that_no_page_calls(self):
        self.assertEqual(sorted(set(EXCEPTIONS) - self.operations), [])
        self.assertEqual(sorted(set(EXCEPTIONS) & set(self.called)), [])


class Reading(unittest.TestCase):
    HEAD = 'import * as api from "../lib/api.js";\nimport { uri } from "../lib/api.js";\nimport * as streams from "../lib/stream.js";\n'

    def test_calls_are_found(self):
        for text, want in (('api.get("/v1/files", { x })', "GET /v1/files"), ("await api.del(uri`/v1/files/${f.id}`);", "DELETE /v1/files/{}"),
                           ("api.post(\n  uri`/v1/a/${b(1)}/c`)", "POST /v1/a/{}/c"), ('streams.follow("/v1/x", y)', "GET /v1/x")):
            self.assertEqual(calls_of(self.HEAD + text), {want})
        for text in ("", '// api.get("/v1/files")', 'callButton(() => ({ path: "/v1/files" }))', 'check.follow(id)', 'map.get("/v1/x")'):
            self.assertEqual(calls_of(self.HEAD + text), set(), text)

    def test_what_cannot_be_read_fails(self):
        for text in ("api.get(path)", "api.get(`/v1/files/${id}`)", "api.get(uri`/v1/a` + b)", "const g = api.get;", 'api.request("/v1/x")', "fetch(x)",
                     "streams.follow(path, {})", 'new EventSource("/v1/x")', 'api.get("/v1/a/" + id)', 'api["get"]("/v1/x")', "let uri = 1;"):
            with self.assertRaises(Unreadable, msg=text):
                calls_of(self.HEAD + text)
        for name in ("request", "get", "uri, get"):
            with self.assertRaises(Unreadable, msg=name):
                calls_of('import { %s } from "../lib/api.js";' % name)


if __name__ == "__main__":
    unittest.main()
