"""Feedback on stored answers, by API and command; what is exported is a file that its method's job takes."""
import json
import subprocess
import time
import unittest

import openai
from server import CLOSE, HONE, ApiTest

QUICK = {"max_steps": 1, "lora_rank": 2}
METHODS = {"supervised": {"type": "supervised", "supervised": {"hyperparameters": {"batch_size": 2, "n_epochs": 1}}},
           "dpo": {"type": "dpo", "dpo": {"hyperparameters": {"batch_size": 2, "n_epochs": 1}}},
           "rft": {"type": "reinforcement", "reinforcement": {
               "grader": dict(CLOSE, reference="{{item.reference}}{{item.rating}}"), "hyperparameters": {"batch_size": 2}}}}


class Feedback(ApiTest):
    workers = 1

    def chat(self, *messages, **options):
        return self.client.chat.completions.create(model="tiny", max_completion_tokens=4, store=True, seed=1, messages=[
            {"role": "user", "content": "1a"}, *messages], **options)

    def say(self, object_id, **body):
        return self.client.post("/feedback", body={"object_id": object_id, **body}, cast_to=object)

    def get(self, path):
        return self.client.get("/feedback" + path, cast_to=object)

    def export(self, format, *options):
        status, headers, text = self.server.raw("GET", "/v1/feedback/export?format=%s%s" % (format, "".join(options)))
        self.assertEqual(status, 200, text)
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual(headers["hone-rows"], str(len(lines)))
        return lines

    def command(self, *words, status=0):
        run = subprocess.run([HONE, "feedback", *words], env=self.server.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, status, run.stderr)
        return run

    def test_a_record_lives(self):
        answer = self.chat()
        made = self.say(answer.id, rating="down", correction="a", comment="no\nway", metadata={"who": "me"})
        self.assertEqual({k: made[k] for k in ("object", "object_id", "model", "rating", "correction", "comment", "metadata")},
                         {"object": "feedback", "object_id": answer.id, "model": "tiny", "rating": "down", "correction": "a",
                          "comment": "no\nway", "metadata": {"who": "me"}})
        self.assertEqual(made["prompt"], [{"role": "user", "content": "1a"}])
        self.assertEqual(made["answer"], {"role": "assistant", "content": answer.choices[0].message.content})
        self.assertEqual(self.get("/" + made["id"]), made)
        self.assertEqual(self.get("?object_id=" + answer.id)["data"], [made])
        self.assertEqual(self.get("?metadata[who]=me")["data"], [made])
        self.assertEqual(self.get("?model=other")["data"], [])
        # it outlives the answer
        self.client.chat.completions.delete(answer.id)
        self.assertEqual(self.get("/" + made["id"]), made)
        self.assertEqual(self.client.delete("/feedback/" + made["id"], cast_to=object),
                         {"id": made["id"], "object": "feedback.deleted", "deleted": True})
        self.refused(openai.NotFoundError, lambda: self.get("/" + made["id"]), "not_found", "feedback_id")

    def test_what_is_wrong_is_named(self):
        answer = self.chat()
        unstored = self.client.chat.completions.create(model="tiny", max_completion_tokens=1, messages=[
            {"role": "user", "content": "1a"}])
        for id in ("chatcmpl-nothing", unstored.id, "file-x", "../x"):
            self.refused(openai.NotFoundError, lambda: self.say(id, rating="up"), "not_found", "object_id")
        bad = openai.BadRequestError
        self.refused(bad, lambda: self.say(answer.id), "missing_required_parameter", "rating")
        self.refused(bad, lambda: self.say(answer.id, rating="so so"), None, "rating")
        self.refused(bad, lambda: self.say(answer.id, correction=7), "invalid_type", "correction")
        self.refused(bad, lambda: self.say(answer.id, correction=""), None, "correction")
        self.refused(bad, lambda: self.say(answer.id, rating="up", choice=1), None, "choice")
        self.refused(bad, lambda: self.get("/export?format=xml"), None, "format")
        self.assertEqual(self.server.raw("GET", "/v1/feedback", key=False)[0], 401)

    def test_a_response_has_its_conversation(self):
        first = self.client.responses.create(model="tiny", input="one", instructions="be brief", max_output_tokens=16)
        second = self.client.responses.create(model="tiny", input="two", previous_response_id=first.id, max_output_tokens=16)
        made = self.say(second.id, correction="deux")
        self.assertEqual([m["role"] for m in made["prompt"]], ["user", "assistant", "user"])
        self.assertEqual(made["prompt"][1]["content"], first.output_text)
        self.assertEqual(made["answer"]["content"], second.output_text)
        made = self.say(first.id, rating="up")
        self.assertEqual([m["role"] for m in made["prompt"]], ["system", "user"])
        self.client.delete("/feedback/" + made["id"], cast_to=object)

    def test_exports_are_learned(self):
        answer = self.chat({"role": "assistant", "content": "a"}, {"role": "user", "content": "2b"})
        text = answer.choices[0].message.content
        self.say(answer.id, correction="b", rating="down")
        self.say(self.chat().id, rating="up")
        self.say(self.chat().id, comment="hm")
        self.say(self.client.responses.create(model="tiny", input="3c", max_output_tokens=16).id, correction="c")
        rows = self.export("supervised", "&model=tiny")
        self.assertIn({"messages": [{"role": "user", "content": "1a"}, {"role": "assistant", "content": "a", "weight": 0},
                                    {"role": "user", "content": "2b"}, {"role": "assistant", "content": "b"}]}, rows)
        self.assertIn({"input": {"messages": [{"role": "user", "content": "1a"}, {"role": "assistant", "content": "a"},
                                              {"role": "user", "content": "2b"}]},
                       "preferred_output": [{"role": "assistant", "content": "b"}],
                       "non_preferred_output": [{"role": "assistant", "content": text}]}, self.export("dpo"))
        item = [r for r in self.export("rft") if len(r["messages"]) == 3 and r["reference"] == "b"][0]
        self.assertEqual((item["answer"], item["rating"], item["correction"], item["comment"]), (text, "down", "b", None))
        for format, method in METHODS.items():
            body = "".join(json.dumps(row) + "\n" for row in self.export(format)).encode()
            file = self.client.files.create(file=("feedback.jsonl", body), purpose="fine-tune")
            job = self.client.fine_tuning.jobs.create(model="tiny", training_file=file.id, method=method, extra_body={
                "hone": dict(QUICK, max_tokens=4) if format == "rft" else QUICK})
            end = self.wait(lambda: (j := self.client.fine_tuning.jobs.retrieve(job.id)).status in ("succeeded", "failed") and j,
                            120)
            self.assertEqual(end.status, "succeeded", (format, end.error))

    def test_commands(self):
        answer = self.chat()
        told = json.loads(self.command("add", answer.id, "--rating", "down", "--correction", "zz", "--json").stdout)
        self.assertEqual(self.get("/" + told["id"]), told)
        self.assertIn(told["id"], self.command("list").stdout)
        self.assertIn(told, [json.loads(line) for line in self.command("list", "--json").stdout.splitlines()])
        rows = [json.loads(line) for line in self.command("export", "--format", "dpo").stdout.splitlines()]
        self.assertIn("zz", [row["preferred_output"][0]["content"] for row in rows])
        self.assertIn("no stored answer", self.command("add", "chatcmpl-x", "--rating", "up", status=1).stderr)
        self.assertIn("none of these", self.command("forget", status=2).stderr)
        self.command("add", answer.id, "--rating", "so so", status=2)

    def test_another_project_does_not_see_it(self):
        made = self.say(self.chat().id, rating="up")
        other = self.client.post("/organization/projects", body={"name": "other"}, cast_to=object)["id"]
        there = self.server.client(project=other)
        for call in (lambda: there.get("/feedback/" + made["id"], cast_to=object),
                     lambda: there.delete("/feedback/" + made["id"], cast_to=object),
                     lambda: there.post("/feedback", body={"object_id": made["object_id"], "rating": "up"}, cast_to=object)):
            self.refused(openai.NotFoundError, call, "not_found")
        self.assertEqual(there.get("/feedback", cast_to=object)["data"], [])


class Kept(ApiTest):
    options = ("--keep-responses", "2")

    def stored(self, what):
        """Whether it is there."""
        try:
            what()
            return True
        except openai.NotFoundError:
            return False

    def test_answers_go_after_their_time_unless_somebody_judged_them(self):
        def chat():
            return self.client.chat.completions.create(model="tiny", max_completion_tokens=4, store=True, messages=[
                {"role": "user", "content": "1a"}])
        response, background = (self.client.responses.create(model="tiny", input="1a", max_output_tokens=16, background=b)
                                for b in (False, True))
        plain, judged = chat(), chat()
        self.client.post("/feedback", body={"object_id": judged.id, "rating": "up"}, cast_to=object)
        left = dict(self.server.sql("SELECT id, CASE expires_at WHEN 0 THEN 0 ELSE expires_at - created_at END FROM documents "
                                    "WHERE kind IN ('response', 'chat.completion')"))
        self.assertEqual(left, {response.id: 172800, background.id: 172800, plain.id: 172800, judged.id: 0})
        self.server.stop()
        self.server.log.close()
        self.server.sql("UPDATE documents SET expires_at = 1 WHERE expires_at > 0 AND id <> ?", background.id)
        self.server.start()  # it sweeps at once
        client = self.server.client()
        end = time.monotonic() + 30
        while self.stored(lambda: client.responses.retrieve(response.id)) or \
                self.stored(lambda: client.chat.completions.retrieve(plain.id)):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)
        self.assertTrue(self.stored(lambda: client.chat.completions.retrieve(judged.id)))
        self.assertTrue(self.stored(lambda: client.responses.retrieve(background.id)))


class KeptConversation(ApiTest):
    options = ("--keep-responses", "2")

    def test_a_conversation_goes_as_a_whole(self):
        def say(previous=None, **options):
            return self.client.responses.create(model="tiny", input="1a", max_output_tokens=16, previous_response_id=previous,
                                                **options).id
        first = say()
        second, alone = say(first), say()
        self.server.sql("UPDATE documents SET expires_at = created_at + 9000 WHERE id IN (?, ?, ?)", first, second, alone)
        third = say(second, background=True)
        say(alone, store=False)  # nobody can go on from it
        left = dict(self.server.sql("SELECT id, expires_at - created_at > 100000 FROM documents WHERE id IN (?, ?, ?, ?)", first,
                                    second, third, alone))
        self.assertEqual(left, {first: 1, second: 1, third: 1, alone: 0})


if __name__ == "__main__":
    unittest.main()
