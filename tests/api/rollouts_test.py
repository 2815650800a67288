"""What a run did, as the API tells it: its curves, its answers, what they would be worth to other models, what it warned of."""
import glob
import json
import os
import struct
import time
import unittest

from server import CLOSE, ApiTest, jsonl, openai, rows

STEPS = 4
SHADOW = {"type": "string_check", "name": "shade", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
          "operation": "eq"}
JOB = dict(model="tiny", suffix="seen", seed=7, method={"type": "reinforcement", "reinforcement": {
    "grader": CLOSE, "hyperparameters": {"n_epochs": 8, "batch_size": 2, "eval_interval": 2, "eval_samples": 2}}})
HONE = {"max_steps": STEPS, "group_size": 4, "max_tokens": 8, "checkpoint_interval": 1, "lora_rank": 4,
        "temperature": 0.9, "shadow_graders": {"shade": SHADOW}}


def single(x):
    """The 32-bit number that x is nearest to, as bytes."""
    return struct.pack("<f", x)


class Rollouts(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        up = lambda lines, name: cls.client.files.create(file=(name, jsonl(lines)), purpose="fine-tune").id
        job = cls.client.fine_tuning.jobs.create(training_file=up(rows(), "t.jsonl"),
                                                 validation_file=up(rows(3), "v.jsonl"), **JOB,
                                                 extra_body={"hone": HONE})
        cls.waiting = cls.client.fine_tuning.jobs.create(training_file=up(rows(), "t.jsonl"), **JOB)
        cls.client.fine_tuning.jobs.pause(cls.waiting.id)
        cls.server.worker("--threads=1")
        cls.job = cls.client.fine_tuning.jobs.retrieve(job.id)
        assert cls.job.status == "succeeded", cls.job.error
        cls.dir = os.path.join(cls.server.home, "runs", cls.job.id)

    def get(self, path, status=200, job=None, **query):
        from urllib.parse import urlencode
        said, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/%s?%s" % (job or self.job.id, path,
                                                                                 urlencode(query)))
        self.assertEqual(said, status, body)
        return json.loads(body)

    def all(self, path="rollouts", **query):
        out, after = [], {}
        while True:
            page = self.get(path, **query, **after)
            self.assertTrue(page["complete"])
            out += page["data"]
            if not page["has_more"]:
                self.assertLessEqual(len(out), page["n_matching"])
                return out
            after = {"after": page["last_id"]}

    def lines(self):
        out = {}
        for path in glob.glob(os.path.join(self.dir, "rollouts", "*.jsonl")):
            with open(path, encoding="utf-8") as f:
                for i, line in enumerate(f):
                    out["%s-%d" % (os.path.basename(path)[:-6], i)] = json.loads(line)
        return out

    # ---- the list ----

    def test_every_line_of_the_run_is_listed_once(self):
        lines, told = self.lines(), self.all(limit=3)
        self.assertEqual(len(told), len({x["id"] for x in told}))
        self.assertEqual({x["id"] for x in told}, set(lines))
        for x in told:
            line = lines[x["id"]]
            for key in ("step", "item", "sample", "thinking", "answer", "truncated", "reward", "scores", "shadow_scores",
                        "errors", "advantage", "trained"):
                self.assertEqual(x[key], line[key], key)
            self.assertEqual(x["n_tokens"], len(line["tokens"]))
            self.assertEqual(x["split"], "valid" if x["id"].startswith("valid") else "train")
            self.assertIn("answer", x["reference"])
            self.assertIn("<", x["prompt"] + "<")  # there is one, also where the line has none
            self.assertTrue(x["prompt"])
            self.assertNotIn("tokens", x)
        self.assertEqual([x["step"] for x in told], sorted((x["step"] for x in told), reverse=True))

    def test_orders_and_filters(self):
        every = self.all()
        for order, key in (("best", lambda x: -x["reward"]), ("worst", lambda x: x["reward"]),
                           ("strengthened", lambda x: -x["advantage"]), ("weakened", lambda x: x["advantage"]),
                           ("longest", lambda x: -x["n_tokens"]), ("oldest", lambda x: x["step"])):
            with self.subTest(order=order):
                told = self.all(order=order, limit=7)
                self.assertEqual(len(told), len(every))
                self.assertEqual([key(x) for x in told], sorted(key(x) for x in told))
        for query, holds in (({"step": 2}, lambda x: x["step"] == 2), ({"item": 1}, lambda x: x["item"] == 1),
                             ({"split": "valid"}, lambda x: x["split"] == "valid"),
                             ({"filter": "truncated"}, lambda x: x["truncated"]),
                             ({"filter": "trained"}, lambda x: x["trained"]),
                             ({"min_reward": 0.17}, lambda x: x["reward"] >= 0.17),
                             ({"max_reward": 0.17}, lambda x: x["reward"] <= 0.17)):
            with self.subTest(query=query):
                told = self.all(**query)
                self.assertEqual({x["id"] for x in told}, {x["id"] for x in every if holds(x)})

    def test_a_flat_group_got_the_same_for_all(self):
        told, groups = {x["id"] for x in self.all(filter="flat")}, {}
        for x in self.all(split="train"):
            groups.setdefault((x["step"], x["item"]), []).append(x)
        for group in groups.values():
            flat = len({x["reward"] for x in group}) == 1
            for x in group:
                self.assertEqual(x["id"] in told, flat)

    def test_a_text_is_found_wherever_it_stands(self):
        every = self.all()
        needle = next(x["answer"].strip()[1:4] for x in every if len(x["answer"].strip()) > 4)
        want = {x["id"] for x in every if needle.lower() in (x["answer"] + "\0" + x["thinking"]).lower()}
        found, after = set(), {}
        while True:  # with no time at all: each page goes on where the last one ended
            page = self.get("rollouts", q=needle.upper(), wait_ms=0, limit=2, **after)
            found |= {x["id"] for x in page["data"]}
            if not page["has_more"]:
                break
            after = {"after": page["last_id"]}
        self.assertEqual(found, want)
        self.assertEqual(self.get("rollouts", q="no answer says this")["data"], [])

    def test_what_cannot_be_asked_is_told(self):
        for param, query in (("order", {"order": "nicest"}), ("filter", {"filter": "nice"}), ("split", {"split": "x"}),
                             ("step", {"step": "-1"}), ("min_reward", {"min_reward": "much"}),
                             ("limit", {"limit": 0}), ("wait_ms", {"wait_ms": 10 ** 9})):
            self.assertEqual(self.get("rollouts", 400, **query)["error"]["param"], param)
        self.assertEqual(self.get("rollouts", 404, after="step-1-999")["error"]["param"], "after")
        self.get("rollouts/step-1-999", 404)
        self.get("rollouts/..%2f..%2fjob.json", 404)
        self.get("rollouts", 404, job="ftjob-none")

    def test_another_project_has_none_of_it(self):
        other = self.client.with_options(api_key=self.key_of_another_project())
        for path in ("metrics", "rollouts", "items", "warnings", "report", "rollouts/step-1-0", "rollouts/step-1-0/logprobs"):
            with self.assertRaises(openai.NotFoundError):
                other.get("/fine_tuning/jobs/%s/%s" % (self.job.id, path), cast_to=object)

    def key_of_another_project(self):
        import subprocess
        from server import HONE as BIN
        run = lambda *args: subprocess.run([BIN, *args], env=self.server.env, capture_output=True, text=True, check=True).stdout
        run("project", "create", "other")
        return "sk-" + run("key", "create", "k", "--project=other").split("sk-")[1].split()[0]

    # ---- one ----

    def test_one_has_its_tokens(self):
        lines = self.lines()
        for name in ("step-1-0", "valid-2-1", "step-3-1"):
            x = self.get("rollouts/" + name)
            for key in ("tokens", "logprobs", "pieces", "answer"):
                self.assertEqual(x[key], lines[name][key])
            self.assertEqual("".join(x["pieces"]).replace("<|im_end|>", ""), x["thinking"] + x["answer"])
        self.assertEqual(self.get("rollouts/step-1-0")["drawn_from"], {"step": 0, "model": "base"})
        self.assertEqual(self.get("rollouts/step-3-1")["drawn_from"]["step"], 2)

    def test_log_probabilities_of_the_model_that_drew_it_are_the_same_to_the_bit(self):
        seen = 0
        for x in self.all():
            drawn = self.get("rollouts/" + x["id"])
            if drawn["drawn_from"]["model"] is None:
                continue
            told = self.get("rollouts/%s/logprobs" % x["id"], model=drawn["drawn_from"]["model"])
            self.assertEqual(told["temperature"], 0.9)
            self.assertEqual([single(p) for p in told["logprobs"]], [single(p) for p in drawn["logprobs"]], x["id"])
            seen += drawn["drawn_from"]["step"] > 0
        self.assertGreater(seen, 5)

    def test_log_probabilities_of_another_model_differ(self):
        x = self.all(step=3, split="train")[0]
        drawn = self.get("rollouts/" + x["id"])
        base = self.get("rollouts/%s/logprobs" % x["id"])
        self.assertEqual(base["model"], "base")
        self.assertEqual(len(base["logprobs"]), len(drawn["tokens"]))
        self.assertNotEqual([single(p) for p in base["logprobs"]], [single(p) for p in drawn["logprobs"]])
        tuned = self.get("rollouts/%s/logprobs" % x["id"], model=self.job.fine_tuned_model)
        self.assertNotEqual(tuned["logprobs"], base["logprobs"])
        self.assertEqual(self.get("rollouts/%s/logprobs" % x["id"], model="step-%d" % STEPS)["logprobs"], tuned["logprobs"])
        self.get("rollouts/%s/logprobs" % x["id"], 404, model="step-99")
        self.get("rollouts/%s/logprobs" % x["id"], 404, model="step-../../x")

    # ---- the rest ----

    def test_metrics_are_those_of_the_result_file(self):
        every = self.get("metrics")
        self.assertEqual(every["steps"], list(range(1, STEPS + 1)))
        self.assertEqual(set(every["columns"]), set(every["names"]))
        few = self.get("metrics", columns="train_mean_reward,kl,none", after_step=2)
        self.assertEqual(few["steps"], [3, 4])
        self.assertEqual(set(few["columns"]), {"train_mean_reward", "kl"})
        self.assertEqual(few["columns"]["kl"], every["columns"]["kl"][2:])
        self.assertEqual(few["names"], every["names"])
        short = self.get("metrics", columns="kl", limit=1)
        self.assertEqual((short["steps"], short["has_more"]), ([1], True))
        self.assertIsNone(every["columns"]["full_valid_mean_reward"][0])
        self.assertIsNotNone(every["columns"]["full_valid_mean_reward"][1])

    def test_items_say_what_became_of_a_row(self):
        lines = self.lines()
        for split, files in (("train", "step"), ("valid", "valid")):
            items = self.all("items", split=split, limit=2)
            want = sorted({line["item"] for name, line in lines.items() if name.startswith(files)})
            self.assertEqual([x["item"] for x in items], want)
            self.assertEqual(self.get("items", split=split, item=want[-1])["data"], items[-1:])
            self.assertEqual(self.get("items", split=split, item=want[-1] + 1)["data"], [])
            for x in items:
                mine = [l for n, l in lines.items() if n.startswith(files) and l["item"] == x["item"]]
                self.assertEqual(x["n_answers"], sum(l.get("count", 1) for l in mine))
                self.assertEqual([s["step"] for s in x["steps"]], sorted({l["step"] for l in mine}))
                first = [l for l in mine if l["step"] == x["steps"][0]["step"]]
                mean = sum(l["reward"] * l.get("count", 1) for l in first) / sum(l.get("count", 1) for l in first)
                self.assertAlmostEqual(x["first_mean_reward"], mean, 5)
                self.assertTrue(x["prompt"])
                self.assertIn("answer", x["reference"])
        gains = [x["last_mean_reward"] - x["first_mean_reward"] for x in self.all("items", order="gain")]
        self.assertEqual(gains, sorted(gains, reverse=True))

    def test_warnings_lead_to_their_answers(self):
        x = self.all(split="train", step=2)[0]
        with open(os.path.join(self.dir, "events.jsonl"), "r+", encoding="utf-8") as f:
            before = f.read()
            try:
                f.write(json.dumps({"object": "fine_tuning.job.event", "id": "ftevent-t", "created_at": 5, "level": "warn",
                                    "type": "message", "data": {"step": 2},
                                    "message": "answers turn alike. What shows it: (1) step %d, item %d, sample %d, reward "
                                               "0.50, shade 0.00: \"so\\\\n \\\"it\\\" is\"" % (x["step"], x["item"], x["sample"])})
                        + "\n")
                f.flush()
                told = [w for w in self.get("warnings")["data"] if w["id"] == "ftevent-t"]
            finally:
                f.seek(0)
                f.truncate(len(before.encode()))
        self.assertEqual(len(told), 1)
        self.assertEqual(told[0]["message"], "answers turn alike. What shows it:")
        self.assertEqual(told[0]["examples"], [{"step": x["step"], "item": x["item"], "sample": x["sample"],
                                               "rollout_id": x["id"], "told": "reward 0.50, shade 0.00",
                                               "text": "so\\\\n \\\"it\\\" is"}])

    def test_a_stream_of_events_begins_behind_one(self):
        events = list(self.client.fine_tuning.jobs.list_events(self.job.id, limit=100))[::-1]
        status, _, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/events?stream=true&after=%s" % (self.job.id, events[4].id))
        self.assertEqual(status, 200)
        told = [json.loads(line[6:])["id"] for line in body.decode().splitlines() if line.startswith("data: {")]
        self.assertEqual(told, [e.id for e in events[5:]])
        self.get("events", 404, stream="true", after="ftevent-none")

    def test_the_report_is_a_page_that_may_do_nothing_here(self):
        status, headers, body = self.server.raw("GET", "/v1/fine_tuning/jobs/%s/report" % self.job.id)
        self.assertEqual(status, 200)
        self.assertIn("text/html", headers["content-type"])
        self.assertIn("sandbox", headers["content-security-policy"])
        self.assertIn("attachment", headers["content-disposition"])
        self.assertIn(b"<!doctype html>", body[:200].lower())

    def test_a_job_that_has_not_run_has_nothing_yet(self):
        job = self.waiting.id
        self.assertEqual(self.get("metrics", job=job)["steps"], [])
        self.assertEqual(self.get("rollouts", job=job)["data"], [])
        self.assertEqual(self.get("items", job=job)["data"], [])
        self.assertEqual(self.get("warnings", job=job)["data"], [])
        self.get("report", 404, job=job)


if __name__ == "__main__":
    unittest.main(verbosity=2)
