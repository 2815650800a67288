"""train: a run from its job to its folder, stopped, killed, out of disk, and gone on with."""
import json
import os
import resource
import shutil
import signal
import subprocess
import unittest

from cli import CLOSE, EXACT, HF, HONE, VOWELS, HoneTest, python, rows


def told(lines, kind):
    return [line for line in lines if line["type"] == kind]


class Train(HoneTest):
    def result(self, *words, **options):
        return self.train(*words, **options)[-1]

    def test_a_job_becomes_a_run(self):
        lines = self.train(self.job(), "--out", "run")
        result = lines[-1]
        self.assertEqual((result["type"], result["steps"], result["max_dlogp"]), ("result", 4, 0))
        self.assertEqual([line["step"] for line in told(lines, "metrics")], [1, 2, 3, 4])
        self.assertRegex(result["adapter_sha256"], r"\A[0-9a-f]{64}\Z")
        for name in ("job.json", "events.jsonl", "metrics.csv", "rollouts/step-4.jsonl", "rollouts/valid-0.jsonl",
                     "evals/before.json", "evals/after.json", "checkpoints/step-4/adapter_model.safetensors"):
            self.assertTrue(os.path.exists(self.path("run", name)), name)
        self.assertIn("The job has successfully completed", self.read("run", "events.jsonl"))
        before, after = (json.loads(self.read("run", "evals", name)) for name in ("before.json", "after.json"))
        self.assertAlmostEqual(before["reward_mean"], result["base_valid_reward"])
        self.assertAlmostEqual(after["reward_mean"], result["best_valid_reward"])
        self.assertEqual((before["n"], before["step"], after["step"]), (3, 0, result["best_step"]))

    def test_people_see_events_and_what_to_do_next(self):
        text = self.works("train", self.job(), "--out", "run")
        for part in ("run", "Done: 4 steps", "differ by 0", "hone report run", "hone chat --model run"):
            self.assertIn(part, text)

    def test_paths_are_relative_to_the_job_first_and_then_to_where_we_are(self):
        self.job("jobs/job.json")
        shutil.move(self.path("train.jsonl"), self.path("jobs", "train.jsonl"))
        self.put("train.jsonl", "not the one that is meant")
        self.assertEqual(self.result("jobs/job.json", "--out", "run")["steps"], 4)

    def test_options_make_a_job_of_their_own(self):
        self.put("t.jsonl", rows())
        self.put("g.json", CLOSE)
        words = ("--model", HF, "--train", "t.jsonl", "--grader", "g.json", "--seed", "5", "--set", "max_steps=1",
                 "--set", "group_size=4", "--set", "max_tokens=3", "--set", "batch_size=2", "--set", "suffix=mine",
                 "--set", "hone.lora_rank=2")
        result = self.result(*words)
        job = json.loads(self.read("home", "runs", "mine", "job.json"))["job"]
        self.assertEqual(result["run"], self.path("home", "runs", "mine"))
        self.assertEqual(job["hone"], {"max_steps": 1, "group_size": 4, "max_tokens": 3, "lora_rank": 2})
        self.assertEqual(job["method"]["reinforcement"]["hyperparameters"], {"batch_size": 2})
        self.assertEqual((job["seed"], job["suffix"]), (5, "mine"))
        self.assertEqual(self.result(*words)["run"], self.path("home", "runs", "mine-2"))

    def test_options_stand_above_the_job_and_settings_below_it(self):
        self.put("home/hone.conf", "seed = 9\n")
        self.train(self.job(), "--out", "run", "--set", "max_steps=1", env={"HONE_MODEL": "nothing"})
        job = json.loads(self.read("run", "job.json"))["job"]
        self.assertEqual((job["seed"], job["model"], job["hone"]["max_steps"]), (3, HF, 1))

    def test_threads_do_not_change_the_adapter(self):
        job = self.job()
        self.assertEqual(self.result(job, "--out", "a", "--threads", "1")["adapter_sha256"],
                         self.result(job, "--out", "b", "--threads", "2")["adapter_sha256"])

    def test_the_run_answers_under_all_its_names(self):
        result = self.result(self.job(suffix="mine"))
        run = result["run"]
        best = os.path.join(run, "checkpoints", "step-%d" % (result["best_step"] or 4))
        line = [{"text": "abc"}]
        want = self.lines("score", "--model", HF, "--adapter", best, stdin=line)
        for name in (run, best, result["fine_tuned_model"], "%s:ckpt-step-%s" % (result["fine_tuned_model"], best.split("-")[-1])):
            self.assertEqual(self.lines("score", "--model", name, stdin=line), want, name)
        self.assertEqual(self.lines("score", "--model", HF, "--adapter", run, stdin=line), want)
        listed, = self.json("models")["data"]
        self.assertEqual((listed["id"], listed["base"]), (result["fine_tuned_model"], HF))
        self.fails("score", "--model", result["fine_tuned_model"] + ":ckpt-step-3", says="step-3")

    def test_a_run_keeps_to_its_response_format(self):
        form = {"type": "json_schema", "json_schema": {"name": "one", "schema": {"enum": ["abc", "b", "cc"]}}}
        path = self.job(hone={"max_tokens": 24})
        job = json.loads(self.read(path))
        job["method"]["reinforcement"]["response_format"] = form
        self.put(path, job)
        self.assertEqual(self.result(path, "--out", "run")["max_dlogp"], 0)

        def assert_formed(answers, among=("abc", "b", "cc")):
            whole = [a["answer"] for a in answers if not a["truncated"]]
            self.assertGreater(len(whole), len(answers) / 2)
            self.assertLessEqual({json.loads(text) for text in whole}, set(among))
        for name in ("step-1", "step-4", "valid-0", "valid-4"):
            assert_formed([json.loads(line) for line in self.read("run", "rollouts", name + ".jsonl").splitlines()])
        self.put("g.json", EXACT)
        self.put("form.json", {"type": "json_schema", "json_schema": {"name": "two", "schema": {"enum": ["x", "y"]}}})

        def measured(*words):
            self.json("eval", "--data", "train.jsonl", "--grader", "g.json", "--save-answers", "a.jsonl", *words)
            return [json.loads(line) for line in self.read("a.jsonl").splitlines()]
        assert_formed(measured("--model", "run"))
        assert_formed(measured("--model", HF, "--compare", "run"))  # all alike
        assert_formed(measured("--model", HF, "--response-format", path, "--max-tokens", "24"))
        assert_formed(measured("--model", "run", "--response-format", "form.json"), ("x", "y"))
        self.assertRaises(ValueError, lambda: [json.loads(a["answer"]) for a in measured("--model", HF, "--max-tokens", "24")])
        self.put("form.json", {"type": "json_schema", "json_schema": {"name": "two", "schema": {"not": {}}}})
        self.fails("eval", "--model", HF, "--data", "train.jsonl", "--grader", "g.json", "--response-format", "form.json",
                   says="not")
        job["method"]["reinforcement"]["response_format"] = {"type": "yaml"}
        self.put("job2.json", job)
        self.fails("check", "job2.json", says="response_format")

    def test_a_run_is_measured_with_its_own_longest_answer(self):
        self.train(self.job(), "--out", "run")
        self.put("g.json", EXACT)
        self.assertEqual(self.json("eval", "--model", "run", "--data", "valid.jsonl", "--grader", "g.json")["max_tokens"], 6)
        told = self.json("eval", "--model", HF, "--data", "valid.jsonl", "--grader", "g.json", "--compare", "run")
        self.assertEqual((told["max_tokens"], told["compare"][0]["max_tokens"]), (6, 6))

    def test_silence_after_thinking_settles_no_length(self):
        """Answers that end without a word earn nothing while the length is settled, as they will in training."""
        paid = {**EXACT, "name": "paid", "operation": "ne", "reference": "a"}
        thinks = {"open": "<t>", "close": "</t>"}
        self.train(self.job(grader=paid, steps=1, hone={"max_tokens": "auto", "reasoning": thinks}), "--out", "run")
        self.assertIn("the base model's earn nothing at any length", self.read("run", "events.jsonl"))

    def test_what_the_job_leaves_open_is_in_the_run_and_in_its_report(self):
        self.train(self.job(steps=1, hone={"max_tokens": "auto", "group_size": "auto"}), "--out", "run")
        resolved = json.loads(self.read("run", "job.json"))["resolved"]
        self.assertIn("Answers may have %d tokens" % resolved["max_tokens"], self.read("run", "events.jsonl"))
        self.assertGreaterEqual(resolved["group_size"], 8)
        self.assertGreater(resolved["memory_bytes"], 1e6)
        self.assertEqual((resolved["total_steps"], resolved["n_epochs"], resolved["eval_interval"]), (1, 1, 2))
        self.assertTrue(os.path.samefile(self.path("run", resolved["model_path"]), HF))
        self.put("g.json", EXACT)
        told = self.json("eval", "--model", "run", "--data", "valid.jsonl", "--grader", "g.json")
        self.assertEqual(told["max_tokens"], resolved["max_tokens"])
        self.works("report", "run")
        for name in ("max_tokens", "group_size", "total_steps"):
            self.assertIn('<th scope="row">%s</th><td>%d</td>' % (name, resolved[name]), self.read("run", "report.html"))

    def test_a_folder_moves_with_the_files_beside_it(self):
        shutil.copytree(HF, self.path("here", "model"))
        self.job("here/job.json", model="model")
        self.train("here/job.json", "--out", "here/run")
        os.rename(self.path("here"), self.path("there"))
        self.lines("score", "--model", "there/run", stdin=[{"text": "a"}])

    def test_a_thinking_span_can_be_given(self):
        job = self.job(hone={"reasoning": {"open": "<t>", "close": "</t>", "budget": 3}, "max_tokens": 14})
        self.train(job, "--out", "run")
        told, = self.lines("chat", "--model", "run", stdin=[
            {"messages": [{"role": "user", "content": "a"}], "max_tokens": 14}])
        self.assertGreaterEqual(told["usage"]["completion_tokens_details"]["reasoning_tokens"], 3)
        self.assertIn("reasoning_content", told["choices"][0]["message"])
        text = self.works("chat", "--model", "run", "--max-tokens", "14", "--seed", "2", stdin="a\n")
        self.assertIn("[thinking]", text)
        self.assertNotIn("</t>", text)

    def test_a_budget_alone_is_for_the_template_s_span(self):
        job = self.job(hone={"reasoning": {"budget": 3}, "max_tokens": 14})
        self.fails("train", job, "--out", "run", says=("\"reasoning\"", "the chat template has no thinking tags"))
        template = self.put("t.jinja", "{{ messages[0].content }}{# </think> #}<think>\n")
        n_close = len(self.lines("tokenize", "--model", HF, stdin=[{"text": "</think>"}])[0]["ids"])
        result = self.result(job, "--out", "run", "--template", template)
        self.assertEqual(result["max_dlogp"], 0)
        for line in map(json.loads, self.read("run", "rollouts", "step-1.jsonl").splitlines()):
            n, text = len(line["tokens"]), "".join(line["pieces"])
            self.assertEqual(line["thinking_tokens"], min(n, 3 + n_close), line)
            self.assertNotIn("</think>", line["answer"] + line["thinking"])
            if n > 3:
                self.assertIn("</think>", text)
        self.put("g.json", CLOSE)
        told = self.json("eval", "--model", "run", "--data", "valid.jsonl", "--grader", "g.json", "--max-tokens", "14")
        self.assertTrue(1 <= told["reasoning_tokens_mean"] <= 3 + n_close, told)

    def test_an_effort_is_a_budget(self):
        """The same job without and with it: the tiny model, with room for long thoughts, does not end them by itself."""
        shutil.copytree(HF, self.path("long"))
        config = json.loads(self.read("long", "config.json"))
        self.put("long/config.json", {**config, "max_position_embeddings": 2048})
        template = self.put("t.jinja", "{{ reasoning_effort }}{{ messages[0].content }}{# </think> #}<think>\n")
        n_close = len(self.lines("tokenize", "--model", HF, stdin=[{"text": "</think>"}])[0]["ids"])

        def thoughts(effort, budget=None, most=1100):
            out = "run-%s-%s-%d" % (effort, budget, most)
            job = self.job(model="long", steps=1, hone={"group_size": 2, "max_tokens": most, "temperature": 0.05, **(
                {"reasoning": {"budget": budget}} if budget else {})})
            self.works("train", job, "--out", out, "--template", template, "--set", "reasoning_effort=" + effort)
            lines = []
            for name in ("step-1", "valid-0", "valid-1"):
                lines += map(json.loads, self.read(out, "rollouts", name + ".jsonl").splitlines())
            told = "" if effort == "default" else effort
            self.assertTrue(all(line["prompt"].startswith(told + line["prompt"][len(told)]) for line in lines
                                if "prompt" in line), lines[0])
            self.assertTrue(any(line.get("prompt", "").startswith(told + "0") or
                                line.get("prompt", "").startswith(told + "1") for line in lines))
            return max(line["thinking_tokens"] for line in lines), lines

        self.assertEqual(thoughts("default")[0], 1100)
        longest, lines = thoughts("low")
        self.assertEqual(longest, 1024 + n_close)
        for line in lines:
            if len(line["tokens"]) > 1024:
                self.assertIn("</think>", "".join(line["pieces"]))
        self.assertEqual(thoughts("medium")[0], 1100)  # no more than the answer may have
        self.assertEqual(thoughts("low", most=40)[0], 40)
        self.assertEqual(thoughts("low", budget=8, most=40)[0], 8 + n_close)  # the lesser of both

    def test_the_report_of_a_run(self):
        self.train(self.job(), "--out", "run")
        self.assertEqual(self.json("report", "run"), {"report": "run/report.html"})
        self.works("report", "run", "--out", "page.html")
        self.assertEqual(self.read("page.html"), self.read("run", "report.html"))
        self.fails("report", "home", says="home")


class GoingOn(HoneTest):
    STEPS = 24

    def setUp(self):
        super().setUp()
        self.job(steps=self.STEPS, hone={"checkpoint_interval": 5})
        self.words = ("job.json", "--out", "run")

    def unbroken(self):
        return self.train("job.json", "--out", "unbroken")[-1]["adapter_sha256"]

    def start(self, *words):
        return subprocess.Popen([HONE, "train", *self.words, "--json", *words], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, cwd=self.folder, env=self.env, start_new_session=True)

    def until_step(self, run, step):
        for line in run.stdout:
            if json.loads(line).get("step", 0) >= step:
                return
        self.fail("it ended before step %d: %s" % (step, run.stderr.read()))

    def test_control_c_reaches_graders_too_and_loses_nothing(self):
        job = json.loads(self.read("job.json"))
        job["method"]["reinforcement"]["grader"] = python(VOWELS, "vowels")
        self.put("job.json", job)
        run = self.start()
        self.until_step(run, 3)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        run.communicate(timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(self.train(*self.words, "--resume")[-1]["adapter_sha256"], self.unbroken())
        self.assertNotIn("python_grader", self.read("run", "rollouts", "step-4.jsonl"))

    def test_control_c_stops_says_how_to_go_on_and_loses_nothing(self):
        run = self.start()
        self.until_step(run, 7)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(said, ["stopped on request", "hone train job.json --out run --resume"])
        self.assertEqual(self.train(*self.words, "--resume")[-1]["adapter_sha256"], self.unbroken())
        self.assertEqual(len(self.read("run", "metrics.csv").splitlines()), 1 + self.STEPS)

    def test_a_kill_loses_nothing_that_was_saved(self):
        for step in (3, 12):
            run = self.start(*(["--resume"] if step > 3 else []))
            self.until_step(run, step)
            run.kill()
            run.communicate()
        result = self.train("--out", "run", "--resume")[-1]  # the run knows its job
        self.assertEqual(result["adapter_sha256"], self.unbroken())
        ran, other = ([line.split(",")[:3] for line in self.read(name, "metrics.csv").splitlines()] for name in ("run", "unbroken"))
        self.assertEqual(ran, other)

    def test_a_full_disk_is_told_and_the_run_goes_on_later(self):
        def small():
            resource.setrlimit(resource.RLIMIT_FSIZE, (45000, 45000))
        said = self.hone("train", *self.words, preexec_fn=small)
        self.assertEqual(said.returncode, 1, said.stdout)
        self.assert_sentence(said.stderr, ["cannot write", "File too large", "--resume"])
        self.assertEqual(self.train(*self.words, "--resume")[-1]["adapter_sha256"], self.unbroken())

    def test_an_event_that_cannot_be_written_ends_the_run_at_once(self):
        os.mkdir(self.path("run"))
        os.symlink("/dev/full", self.path("run", "events.jsonl"))
        self.fails("train", *self.words, "--json", says=["cannot write run/events.jsonl: make room", "No space left on device", "--resume"])
        self.assertEqual(len(self.read("run", "metrics.csv").splitlines()), 1)  # its header
        os.unlink(self.path("run", "events.jsonl"))
        self.assertEqual(self.train(*self.words, "--resume")[-1]["adapter_sha256"], self.unbroken())

    def test_a_disk_without_room_is_told_and_the_run_goes_on_elsewhere(self):
        script = 'mount -t tmpfs -o size=300k none run && exec "$0" train job.json --out run/it'
        os.mkdir(self.path("run"))
        mounted = subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none run"], cwd=self.folder, capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("nothing can be mounted here: " + mounted.stderr.decode())
        said = subprocess.run(["unshare", "-m", "sh", "-c", script, HONE], cwd=self.folder, env=self.env,
                              capture_output=True, text=True)
        self.assertEqual(said.returncode, 1, said.stdout)
        self.assert_sentence(said.stderr, ["No space left on device", "--resume"])

    def test_a_run_goes_on_only_as_it_began(self):
        self.train(*self.words, "--set", "max_steps=2")
        self.fails("train", *self.words, "--resume", says=["hone.max_steps", "2", str(self.STEPS)])
        self.fails("train", *self.words, says=["holds a run already", "--resume"])
        self.fails("train", "job.json", "--out", "nowhere", "--resume", says="nowhere")
        self.fails("train", "job.json", "--resume", says="no run")

    def test_a_run_that_is_over_stays_as_it_is(self):
        first = self.train(*self.words)[-1]["adapter_sha256"]
        self.assertEqual(self.train(*self.words, "--resume")[-1]["adapter_sha256"], first)


if __name__ == "__main__":
    unittest.main()
