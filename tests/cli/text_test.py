"""tokenize, render, score: what the model really sees, and what it thinks of it."""
import json
import os
import subprocess
import unittest

from cli import GGUF, HF, HONE, TINY, HoneTest

TEXTS = ["Hello", "", "h\u00e9llo \U0001F600", "<|im_end|>", "a\nb\t", "12345 don't"]


class Tokenize(HoneTest):
    def test_lines_become_ids_and_back_to_the_same_text(self):
        told = self.lines("tokenize", "--model", HF, stdin=[{"text": text} for text in TEXTS])
        for text, line in zip(TEXTS, told):
            self.assertEqual(len(line["ids"]), len(line["tokens"]))
            self.assertEqual("".join(line["tokens"]), text)
        back = self.lines("tokenize", "--model", HF, "--detokenize", stdin=[{"ids": line["ids"]} for line in told])
        self.assertEqual([line["text"] for line in back], TEXTS)
        self.assertEqual(told, self.lines("tokenize", "--model", GGUF, stdin=[{"text": text} for text in TEXTS]))

    def test_special_tokens_can_be_plain_text(self):
        special, = self.lines("tokenize", "--model", HF, stdin=[{"text": "<|im_end|>"}])
        plain, = self.lines("tokenize", "--model", HF, "--no-special", stdin=[{"text": "<|im_end|>"}])
        self.assertEqual(special["ids"], [2])
        self.assertGreater(len(plain["ids"]), 1)

    def test_a_bad_line_gives_an_error_in_its_place(self):
        told = self.lines("tokenize", "--model", HF, stdin=[
            {"text": "a"}, "{", {"text": 1}, {}, [], "", '"a"', {"text": "a"}])
        self.assertEqual(told[0], told[7])
        self.assert_error(told[1], says="standard input, line 2: not valid JSON")
        self.assert_error(told[2], param="text", code="invalid_type", says='line 3: "text" is a number, a string was expected')
        self.assert_error(told[3], param="text", code="missing_required_parameter", says='"text" is missing')
        self.assert_error(told[4], says="line 5 is a list")
        self.assert_error(told[5], says="line 6: not valid JSON")
        self.assert_error(told[6], says="line 7 is a string")

    def test_ids_that_are_none_are_refused(self):
        told = self.lines("tokenize", "--model", HF, "--detokenize", stdin=[
            {"ids": [1, 320]}, {"ids": [-1]}, {"ids": ["a"]}, {"ids": 5}, {"text": "a"}, {"ids": []}])
        for line in told[:5]:
            self.assert_error(line, param="ids")
        self.assertIn('"ids"[1] is 320, this model has ids from 0 to 319', told[0]["error"]["message"])
        self.assertEqual(told[5], {"text": ""})

    def test_a_last_line_without_a_line_break_counts(self):
        out = self.works("tokenize", "--model", HF, "--json", stdin='{"text": "a"}\n{"text": "a"}')
        self.assertEqual(len(out.splitlines()), 2)

    def test_bytes_that_are_no_text_are_an_error_of_their_line(self):
        run = subprocess.run([HONE, "tokenize", "--model", HF, "--json"], input=b'{"text": "\xff"}\n{"text": "a"}\n',
                             capture_output=True, env=self.env)
        first, second = map(json.loads, run.stdout.decode().splitlines())
        self.assert_error(first, says="line 1")
        self.assertIn("ids", second)

    def test_each_answer_comes_before_the_next_question(self):
        run = subprocess.Popen([HONE, "tokenize", "--model", HF, "--json"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env=self.env)
        for text in ("one", "two"):
            run.stdin.write(json.dumps({"text": text}) + "\n")
            run.stdin.flush()
            self.assertEqual("".join(json.loads(run.stdout.readline())["tokens"]), text)
        run.communicate()
        self.assertEqual(run.returncode, 0)

    def test_lines_may_come_from_a_file(self):
        self.put("in.jsonl", [{"text": "a"}, 1])
        told = [json.loads(line) for line in self.works("tokenize", "--model", HF, "--json", "--in", "in.jsonl").splitlines()]
        self.assertIn("ids", told[0])
        self.assert_error(told[1], says="in.jsonl, line 2")
        self.fails("tokenize", "--model", HF, "--in", "nothing.jsonl", says="nothing.jsonl")

    def test_people_see_a_token_a_line(self):
        self.assertEqual(self.works("tokenize", "--model", HF, "a\n<|im_end|>").splitlines(),
                         ["     67  a", "    201  \\n", "      2  <|im_end|>   (special)", "3 tokens"])
        self.assertEqual(self.works("tokenize", "--model", HF, "--detokenize", "67, 2"), "a<|im_end|>\n")
        self.fails("tokenize", "--model", HF, "--detokenize", "67 x", says='"x" is no token id')


class Render(HoneTest):
    def test_lines_become_the_template_s_text(self):
        talk = {"messages": [{"role": "user", "content": "Hi"}]}
        told = self.lines("render", "--model", HF, stdin=[talk, {**talk, "add_generation_prompt": True}, {}, {"messages": 1}])
        self.assertEqual(told[0], {"text": "<|im_start|>user\nHi<|im_end|>\n"})
        self.assertEqual(told[1], {"text": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"})
        self.assert_error(told[2], param="messages", says='"messages" is missing')
        self.assert_error(told[3], param="messages", says="a list was expected")

    def test_a_template_of_one_s_own_sees_every_key(self):
        self.put("t.jinja", "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ extra }}{{ eos_token }}")
        told = self.lines("render", "--template", "t.jinja", "--bos", "<s>", "--eos", "</s>", stdin=[
            {"messages": [{"role": "user", "content": "a"}], "extra": 5},
            {"messages": [], "bos_token": "B"}])
        self.assertEqual([line["text"] for line in told], ["<s>a5</s>", "B</s>"])

    def test_a_template_that_raises_is_an_error_of_its_line(self):
        self.put("t.jinja", "{% if not messages %}{{ raise_exception('no messages') }}{% endif %}fine")
        told = self.lines("render", "--template", "t.jinja", stdin=[{"messages": []}, {"messages": [1]}])
        self.assert_error(told[0], says="no messages")
        self.assertEqual(told[1], {"text": "fine"})

    def test_a_template_that_cannot_be_read_is_a_failure(self):
        self.put("t.jinja", "{% for m in messages %}")
        self.fails("render", "--template", "t.jinja", "--json", says="line 1")
        self.fails("render", "--template", "nothing.jinja", says="nothing.jinja")

    def test_people_see_where_tokens_part(self):
        text = self.works("render", "--model", HF, "Hi")
        self.assertIn("<|im_end|>\u2502", text)
        self.assertRegex(text, r"assistant?|ist\u2502ant\u2502")
        self.assertRegex(text, r"\n\d+ tokens\n\Z")

    def test_people_see_the_rows_of_a_dataset(self):
        self.put("d.jsonl", [{"messages": [{"role": "user", "content": "a"}], "answer": "b"}] * 2)
        self.assertEqual(self.works("render", "--model", HF, "--in", "d.jsonl").count("tokens\n"), 2)

    def test_people_see_what_is_trained_on(self):
        self.put("d.jsonl", [{"messages": [{"role": "user", "content": "a<|im_end|>"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}])
        text = self.works("render", "--model", HF, "--in", "d.jsonl")
        self.assertEqual(text.count("of them trained on\n"), 2)
        first, second = (t for t in text.split(" of them trained on\n") if t)
        self.assertIn("\n\u2502b\u2503<|im_end|>\u2503\n", first)
        self.assertTrue(first.endswith(" 2"))
        self.assertIn("\n\u2502d\u2503<|im_end|>\u2503\n", second)
        self.assertIn("b\u2502<|im_end|>\u2502", second) # it is given
        self.assertNotIn("a\u2502<|im_end|>\u2502<|im_end|>", text) # nobody can forge the end of a turn
        self.put("t.jinja", "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>x{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>{% else %}{{ m.content }}{% endif %}{% endfor %}")
        self.assertIn("\u2502x\u2502b\u2503<|im_end|>\u2503", self.works("render", "--model", HF, "--template", "t.jinja", "--in", "d.jsonl"))


class Score(HoneTest):
    def test_log_probabilities_are_the_reference_s(self):
        with open(os.path.join(TINY, "logits.json")) as stream:
            cases = json.load(stream)["cases"]
        for model, kind in (("hf", "F32"), ("tiny-q4_1.gguf", "Q4_1"), ("hf-bf16-sharded", "BF16")):
            told = self.lines("score", "--model", os.path.join(TINY, model), "--precision", "f32", stdin=[{"ids": c["ids"]} for c in cases])
            for case, line in zip(cases, told):
                self.assertEqual(line["ids"], case["ids"])
                self.assertIsNone(line["logprobs"][0])
                for mine, theirs in zip(line["logprobs"][1:], case["logprobs"].get(kind, [])[1:]):
                    self.assertAlmostEqual(mine, theirs, delta=5e-5)

    def test_neither_threads_nor_kernels_change_a_digit(self):
        text = json.dumps({"text": "The quick brown fox"}) + "\n"
        told = {self.works("score", "--model", GGUF, "--json", *words, stdin=text)
                for words in [("--threads", "1"), ("--threads", "3"), ("--kernels", "plain")]}
        self.assertEqual(len(told), 1)

    def test_an_adapter_changes_them(self):
        line = [{"text": "abc"}]
        self.assertNotEqual(self.lines("score", "--model", HF, stdin=line),
                            self.lines("score", "--model", HF, "--adapter", os.path.join(TINY, "adapter"), stdin=line))

    def test_a_text_longer_than_the_context_is_an_error_of_its_line(self):
        told = self.lines("score", "--model", HF, stdin=[{"text": "0" * 600}, {"text": "a"}, {"ids": [320]}, {"ids": []}])
        self.assert_error(told[0], param="text", code="context_length_exceeded", says="600 tokens, more than the 512")
        self.assertEqual(told[1], {"ids": [67], "logprobs": [None]})
        self.assert_error(told[2], param="ids")
        self.assertEqual(told[3], {"ids": [], "logprobs": []})
        self.fails("score", "--model", HF, stdin="0" * 600, says="600 tokens")

    def test_people_see_a_sum(self):
        self.assertRegex(self.works("score", "--model", HF, stdin="ab"), r"2 tokens, ln p = -\d+\.\d+, perplexity \d")


if __name__ == "__main__":
    unittest.main()
