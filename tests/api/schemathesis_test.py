"""Requests made up from docs/openapi.yaml by schemathesis: no 5xx, and every answer as it is written.

HONE_SCHEMATHESIS=200: as many requests an operation in each phase, and what they find is made smaller."""
import json
import os
import subprocess
import sys
import unittest

from server import EXACT, HONE, ROOT, Server, jsonl, rows

try:
    import openai
    import schemathesis
    import yaml
except ImportError:
    schemathesis = None
    print("SKIPPED: schemathesis is not installed (scripts/requirements-test.txt)", flush=True)  # for CTest

EXAMPLES = int(os.environ.get("HONE_SCHEMATHESIS", 3))
CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
          "response_schema_conformance", "missing_required_header", "unsupported_method", "use_after_free",
          "ensure_resource_availability", "ignored_auth")


def objects(client):
    """One of each kind, so that ids that are made up are not all that is asked for."""
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_completion_tokens": 2, "store": True}
    file = client.files.create(file=("train.jsonl", jsonl(rows())), purpose="fine-tune").id
    config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
    source = {"type": "jsonl", "source": {"type": "file_content", "content": [
        {"item": {"answer": "a"}, "sample": {"output_text": "a"}}]}}
    made = client.evals.create(data_source_config=config, testing_criteria=[EXACT]).id
    return {
        "eval_id": made,
        "run_id": client.evals.runs.create(made, data_source=source).id,
        "file_id": file,
        "upload_id": client.uploads.create(bytes=3, filename="a", mime_type="text/plain", purpose="fine-tune").id,
        "job_id": client.fine_tuning.jobs.create(model="tiny", training_file=file, method={
            "type": "reinforcement", "reinforcement": {"grader": EXACT}}).id,
        "completion_id": client.chat.completions.create(**ask).id,
        "response_id": client.responses.create(model="tiny", input="hi", max_output_tokens=16).id,
        "endpoint_id": client.post("/webhook_endpoints", cast_to=object, body={
            "name": "n", "url": "http://127.0.0.1:9/", "event_types": ["fine_tuning.job.failed"]})["id"],
    }


def written(server, path):
    """docs/openapi.yaml, whose examples of ids are those of objects that are there."""
    with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as f:
        doc = yaml.safe_load(f)
    for name, real in objects(server.client()).items():
        doc["components"]["parameters"][name]["example"] = real
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f)


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
@unittest.skipUnless(schemathesis, "schemathesis is not installed (scripts/requirements-test.txt)")
class MadeUp(unittest.TestCase):
    def test_made_up_requests(self):
        server = Server("--workers", "0")
        path = os.path.join(server.folder, "openapi.json")
        try:
            written(server, path)
            # a call of its command line in this interpreter: a virtual environment may have moved since it was made
            run = subprocess.run(
                [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
                 path, "--url", server.url.removesuffix("/v1"),
                 "--header", "Authorization: Bearer " + server.key, "--checks", ",".join(CHECKS),
                 "--max-examples", str(EXAMPLES), "--seed", "1", "--generation-database", "none", "--request-timeout", "30",
                 "--no-color", "--warnings", "off", *(["--no-shrink"] if EXAMPLES < 10 else ["--continue-on-failure"])],
                cwd=server.folder, capture_output=True, text=True, timeout=3000)
            calls = server.calls()
            told = [line for line in server.said().splitlines() if '"level":"error"' in line]
        finally:
            status = server.close()
        self.assertEqual(run.returncode, 0, run.stdout[-20000:] + run.stderr)
        self.assertEqual(told, [])
        self.assertEqual([c for c in calls if c["status"] >= 500], [])
        self.assertGreater(len(calls), 1000)
        self.assertEqual(status, 0)


if __name__ == "__main__":
    unittest.main()
