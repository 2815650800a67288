"""chat: a talk, and chat completions line by line."""
import json
import os
import shutil
import unittest

from cli import GGUF, HF, TINY, HoneTest

HI = {"messages": [{"role": "user", "content": "Hi"}]}


def schema(told, **more):
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": told, "strict": True, **more}}



class Completions(HoneTest):
    def ask(self, *requests, options=()):
        return self.lines("chat", "--model", HF, *options, stdin=[
            r if isinstance(r, str) else {"max_tokens": 8, **HI, **r} for r in requests])

    def test_a_request_gives_a_completion(self):
        told, = self.ask({"n": 2, "model": "tiny"})
        self.assertTrue(told["id"].startswith("chatcmpl-"))
        self.assertEqual((told["object"], told["model"]), ("chat.completion", "tiny"))
        self.assertIsInstance(told["created"], int)
        self.assertEqual([c["index"] for c in told["choices"]], [0, 1])
        for choice in told["choices"]:
            self.assertEqual(choice["message"]["role"], "assistant")
            self.assertIsInstance(choice["message"]["content"], str)
            self.assertIn(choice["finish_reason"], ("stop", "length"))
            self.assertIsNone(choice["logprobs"])
        usage = told["usage"]
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.assertLessEqual(usage["completion_tokens"], 16)
        self.assertEqual(usage["completion_tokens_details"]["reasoning_tokens"], 0)

    def test_the_official_client_s_types_accept_it(self):
        try:
            from openai.types.chat import ChatCompletion
        except ImportError:
            self.skipTest("the openai package is not installed")
        told = ChatCompletion.model_validate(self.ask({"logprobs": True, "n": 2})[0])
        self.assertEqual(len(told.choices), 2)

    def test_a_seed_settles_the_answer_wherever_the_request_stands(self):
        def contents(line):
            return [c["message"]["content"] for c in line["choices"]]
        first, other, again = self.ask({"seed": 7, "n": 3}, {"seed": 8, "n": 3}, {"seed": 7, "n": 3})
        self.assertEqual(contents(first), contents(again))
        self.assertNotEqual(contents(first), contents(other))
        self.assertEqual(len(set(contents(first))), 3)

    def test_without_a_seed_two_lines_differ_and_two_runs_do_not(self):
        one, two = ([line["choices"] for line in self.ask({}, {})] for _ in range(2))
        self.assertEqual(one, two)
        self.assertNotEqual(one[0], one[1])
        self.assertNotEqual(one, [line["choices"] for line in self.ask({}, {}, options=("--seed", "5"))])

    def test_temperature_zero_is_the_likeliest_answer(self):
        told = self.ask({"temperature": 0}, {"temperature": 0, "seed": 3}, {"top_k": 1}, {"top_p": 0})
        self.assertEqual(len({line["choices"][0]["message"]["content"] for line in told}), 1)

    def test_a_biased_token_comes_or_stays_away(self):
        plain = self.ask({"temperature": 0})[0]["choices"][0]["message"]["content"]
        first = self.lines("tokenize", "--model", HF, stdin=[{"text": plain[:2]}])[0]["ids"][0]
        banned, only = self.ask({"temperature": 0, "logit_bias": {str(first): -100}},
                                {"n": 2, "logit_bias": {str(first): 100}})
        self.assertNotEqual(banned["choices"][0]["message"]["content"][:1], plain[:1])
        self.assertEqual(len({c["message"]["content"] for c in only["choices"]}), 1)

    def test_log_probabilities_are_those_of_score(self):
        told, = self.ask({"logprobs": True, "temperature": 0})
        content = told["choices"][0]["logprobs"]["content"]
        self.assertEqual(len(content), told["usage"]["completion_tokens"])
        for token in content:
            self.assertEqual(set(token), {"token", "logprob", "bytes", "top_logprobs"})
        text = self.lines("render", "--model", HF, stdin=[{**HI, "add_generation_prompt": True}])[0]["text"]
        ids = self.lines("tokenize", "--model", HF, stdin=[{"text": text}])[0]["ids"]
        raw = b"".join(bytes(token["bytes"]) for token in content)
        back = self.lines("tokenize", "--model", HF, stdin=[{"text": text + raw.decode(errors="replace")}])[0]["ids"]
        if back[:len(ids)] == ids and len(back) == len(ids) + len(content):
            scored = self.lines("score", "--model", HF, stdin=[{"ids": back}])[0]["logprobs"][len(ids):]
            self.assertEqual([token["logprob"] for token in content], scored)

    def test_the_longest_answer_can_be_said_in_three_ways(self):
        told = self.ask({"max_tokens": None, "max_completion_tokens": 3}, {"max_tokens": 2},
                        {"max_tokens": None}, options=("--max-tokens", "4"))
        for line, most in zip(told, (3, 2, 4)):
            self.assertLessEqual(line["usage"]["completion_tokens"], most)
        self.assertEqual(told[0]["choices"][0]["finish_reason"], "length")

    def test_a_stop_text_ends_an_answer_and_is_not_in_it(self):
        whole = self.ask({"temperature": 0, "max_tokens": 20})[0]["choices"][0]["message"]["content"]
        stop = next(whole[i:i + 2] for i in range(1, len(whole)) if whole[i:i + 2].isascii())
        told, same = self.ask(*[{"temperature": 0, "max_tokens": 20, "stop": s} for s in (stop, [stop, "zzz"])])
        self.assertEqual(told["choices"], same["choices"])
        self.assertEqual(told["choices"][0]["finish_reason"], "stop")
        self.assertEqual(told["choices"][0]["message"]["content"], whole[:whole.index(stop)])

    def test_content_in_parts_is_one_text(self):
        parts = [{"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]}]
        whole, cut = self.ask({"seed": 1}, {"seed": 1, "messages": parts})
        self.assertEqual(whole["choices"], cut["choices"])

    def test_what_is_wrong_is_an_error_of_its_line(self):
        wrong = [
            ({"messages": []}, "messages", "invalid_value", "at least one message"),
            ({"messages": "Hi"}, "messages", "invalid_value", "a string"),
            ({"messages": [{"role": "robot", "content": "a"}]}, "messages", "invalid_value", '"role"'),
            ({"messages": [{"role": "user"}]}, "messages", "invalid_value", '"content" is missing'),
            ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "unsupported_value", "image_url"),
            ({"messages": [{"role": "user", "content": "0" * 600}]}, "messages", "context_length_exceeded", "512"),
            ({"temperature": 3}, "temperature", "invalid_value", "expected 0 to 2"),
            ({"temperature": "hot"}, "temperature", "invalid_type", "a string"),
            ({"n": 0}, "n", "invalid_value", "1 to 128"),
            ({"n": 1.5}, "n", "invalid_type", "whole number"),
            ({"top_p": -1}, "top_p", "invalid_value", "0 to 1"),
            ({"stop": ["a"] * 5}, "stop", "invalid_value", "at most 4"),
            ({"stop": [""]}, "stop", "invalid_value", "empty"),
            ({"max_tokens": 0}, "max_tokens", "invalid_value", "1 to"),
            ({"logprobs": 1}, "logprobs", "invalid_type", "true or false"),
            ({"tempature": 1}, "tempature", "invalid_value", "tempature"),
            ({"top_logprobs": 3}, "top_logprobs", "unsupported_value", "not offered"),
            ({"stream": True}, "stream", "unsupported_value", "not offered"),
            ({"logit_bias": {"x": 1}}, "logit_bias", "invalid_value", "a token's number"),
            ({"logit_bias": {"5": 101}}, "logit_bias", "invalid_value", "-100 to 100"),
            ({"response_format": {"type": "grammar"}}, "response_format", "unsupported_value", "json_schema"),
            ({"response_format": "json"}, "response_format", "unsupported_value", "json_schema"),
            ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value", '"json_schema"'),
            ({"response_format": schema({}, name=None)}, "response_format", "invalid_value", '"name"'),
            ({"response_format": schema(None)}, "response_format", "invalid_value", "a schema was expected"),
            ({"response_format": schema({}, strict="yes")}, "response_format", "invalid_value", "strict"),
            ({"response_format": schema({"properties": {"a": {"items": {"not": {}}}}})}, "response_format",
             "unsupported_value", 'response_format.json_schema.schema/properties/a/items: "not" is not offered'),
            ({"response_format": schema({"type": "integer", "minimum": 3, "maximum": 1})}, "response_format",
             "invalid_value", "no value"),
        ]
        told = self.ask(*[request for request, *_ in wrong], "{", {})
        for line, (_, param, code, says) in zip(told, wrong):
            self.assert_error(line, param=param, code=code, says=says)
        self.assert_error(told[-2], says="not valid JSON")
        self.assertIn("choices", told[-1])

    def test_known_fields_without_effect_are_accepted(self):
        told, = self.ask({"user": "u", "store": False, "metadata": {}, "stream": False, "top_logprobs": 0,
                          "logit_bias": {}, "response_format": {"type": "text"}, "frequency_penalty": 0.5})
        self.assertIn("choices", told)

    VERDICT = {"type": "object", "properties": {
        "why": {"type": "string", "maxLength": 8},
        "label": {"type": "string", "enum": ["good", "bad"]},
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "notes": {"type": "array", "items": {"type": ["integer", "null"]}, "maxItems": 2},
    }, "required": ["why", "label", "score"], "additionalProperties": False}

    def verdicts(self, line):
        for choice in line["choices"]:
            self.assertEqual(choice["finish_reason"], "stop")
            told = json.loads(choice["message"]["content"])
            self.assertEqual(list(told), [key for key in self.VERDICT["properties"] if key in told])
            self.assertLessEqual(set(self.VERDICT["required"]), set(told))
            self.assertLessEqual(len(told["why"]), 8)
            self.assertIn(told["label"], ("good", "bad"))
            self.assertTrue(0 <= told["score"] <= 1)
            notes = told.get("notes", [])
            self.assertTrue(len(notes) <= 2 and all(x is None or isinstance(x, int) for x in notes))
            yield told

    def test_an_answer_has_the_form_of_its_schema(self):
        request = {"response_format": schema(self.VERDICT), "max_tokens": 200, "n": 8}
        told = self.ask(*[{**request, "seed": seed} for seed in range(6)], {**request, "temperature": 0})
        verdicts = [verdict for line in told for verdict in self.verdicts(line)]
        self.assertEqual(len(verdicts), 56)
        self.assertEqual({verdict["label"] for verdict in verdicts}, {"good", "bad"})
        self.assertEqual({"notes" in verdict for verdict in verdicts}, {True, False})
        again, alone = self.ask({**request, "seed": 3, "response_format": schema(self.VERDICT, strict=None)},
                                {**request, "seed": 4, "n": 1})
        self.assertEqual([c["message"] for c in again["choices"]], [c["message"] for c in told[3]["choices"]])
        self.assertEqual(alone["choices"][0]["message"], told[4]["choices"][0]["message"])

    def test_more_schemas_than_are_kept_do_not_mix(self):
        numbers = list(range(12)) + [0, 11, 3]
        told = self.ask(*[{"response_format": schema({"const": "number %d" % n}), "max_tokens": 40} for n in numbers])
        self.assertEqual([json.loads(line["choices"][0]["message"]["content"]) for line in told],
                         ["number %d" % n for n in numbers])

    def test_an_answer_may_be_any_object(self):
        told = self.ask(*[{"response_format": {"type": "json_object"}, "max_tokens": 300, "seed": seed, "n": 4}
                          for seed in range(4)])
        contents = [c["message"]["content"] for line in told for c in line["choices"] if c["finish_reason"] == "stop"]
        self.assertTrue(all(isinstance(json.loads(content), dict) for content in contents))
        self.assertGreater(len(contents), 4)

    def test_an_answer_that_is_cut_says_so(self):
        told, = self.ask({"response_format": schema({"type": "string", "minLength": 500}), "max_tokens": 5})
        self.assertEqual(told["choices"][0]["finish_reason"], "length")
        self.assertTrue(told["choices"][0]["message"]["content"].startswith('"'))

    def test_log_probabilities_are_those_of_what_was_allowed(self):
        told, = self.ask({"response_format": schema({"const": "a"}), "logprobs": True})
        self.assertEqual(told["choices"][0]["message"]["content"], '"a"')
        self.assertGreater(sum(token["logprob"] for token in told["choices"][0]["logprobs"]["content"]), -3)
        free, = self.ask({"logprobs": True})
        self.assertLess(free["choices"][0]["logprobs"]["content"][0]["logprob"], -1)

    def test_an_adapter_answers_otherwise(self):
        plain, = self.ask({"temperature": 0})
        tuned, = self.ask({"temperature": 0}, options=("--adapter", os.path.join(TINY, "adapter")))
        self.assertNotEqual(plain["choices"], tuned["choices"])


class Thinking(HoneTest):
    """Spans that no job gave: the template opens one, or the model does."""

    # begins a greedy answer of the tiny model to "Hi" with "C" and " name" twice
    PARSES = "{{ messages[0].content }}{# <think> </think> #}"

    def model_that_writes(self, tags):
        """The tiny model, but some of its tokens have another text."""
        folder = shutil.copytree(HF, self.path("model-%d" % len(os.listdir(self.folder))))
        with open(os.path.join(folder, "tokenizer.json")) as stream:
            told = json.load(stream)
        for old, new in tags.items():
            token = told["model"]["vocab"].pop(old)
            told["added_tokens"].append({**told["added_tokens"][0], "id": token, "content": new, "special": False})
        told["model"]["merges"] = [(a, b) for a, b in told["model"]["merges"] if not {a, b, a + b} & set(tags)]
        with open(os.path.join(folder, "tokenizer.json"), "w") as stream:
            json.dump(told, stream)
        return folder

    def ask(self, model, template, **request):
        self.put("t.jinja", template)
        told, = self.lines("chat", "--model", model, "--template", "t.jinja", stdin=[
            {**HI, "temperature": 0, "max_tokens": 12, "logprobs": True, **request}])
        choice, usage = told["choices"][0], told["usage"]
        n = usage["completion_tokens_details"]["reasoning_tokens"]
        self.assertEqual(len(choice["logprobs"]["content"]), usage["completion_tokens"] - n)
        return choice["message"].get("reasoning_content"), choice["message"]["content"], n

    def talk(self, model):
        return self.works("chat", "--model", model, "--template", "t.jinja", "--temperature", "0",
                          "--max-tokens", "12", stdin="Hi\n")

    def test_a_span_that_the_template_opens(self):
        opens = "{{ messages[0].content }}{# </think> #}<think>\n"
        thinking, content, n = self.ask(HF, opens)
        self.assertEqual((content, n), ("", 12))
        self.assertTrue(thinking)
        self.assertTrue(self.talk(HF).startswith("[thinking] " + thinking))

    def test_an_answer_behind_a_span_has_the_form_of_its_schema(self):
        opens = "{{ messages[0].content }}{# </think> #}<think>\n"
        closes = self.model_that_writes({"\u0120name": "</think>"})
        found = 0
        for seed in range(12):
            self.put("t.jinja", opens)
            told, = self.lines("chat", "--model", closes, "--template", "t.jinja", stdin=[
                {**HI, "seed": seed, "n": 8, "max_tokens": 60, "response_format": schema({"type": "array", "maxItems": 2,
                 "items": {"type": "integer", "minimum": 0, "maximum": 99}})}])
            for choice in told["choices"]:
                self.assertIn("reasoning_content", choice["message"])
                if choice["finish_reason"] == "stop":
                    found += 1
                    self.assertTrue(all(0 <= x <= 99 for x in json.loads(choice["message"]["content"])))
        self.assertGreater(found, 5)

    def test_a_span_that_the_model_opens(self):
        _, plain, n = self.ask(HF, self.PARSES)
        self.assertEqual((plain[:11], n), ("C name name", 0))
        never = self.model_that_writes({"C": "<think>"})
        thinking, content, n = self.ask(never, self.PARSES)
        self.assertEqual((thinking, content, n), (plain[1:].strip(), "", 12))
        self.assertTrue(self.talk(never).startswith("[thinking] " + thinking))

        closes = self.model_that_writes({"C": "<think>", "\u0120name": "</think>"})
        thinking, content, n = self.ask(closes, self.PARSES)
        self.assertEqual((thinking, content, n), ("", "</think>" + plain[11:], 2))
        text = self.talk(closes)
        self.assertNotIn("[thinking]", text) # there is none to show
        self.assertTrue(text.startswith(content), text)

    def test_a_tag_later_in_the_answer_is_text(self):
        _, plain, _ = self.ask(HF, self.PARSES)
        later = self.model_that_writes({"\u0120name": "<think>"})
        self.assertEqual(self.ask(later, self.PARSES), (None, plain.replace(" name", "<think>"), 0))


class Talk(HoneTest):
    def test_each_line_is_answered(self):
        out = self.works("chat", "--model", HF, "--max-tokens", "3", "--temperature", "0", stdin="a\n\nb\n/reset\na\n/exit\nc\n")
        self.assertEqual(out.count("[cut at the longest answer: --max-tokens]\n"), 3)
        answers = out.split(" [cut at the longest answer: --max-tokens]\n")
        self.assertEqual(answers[0], answers[2])

    def test_the_only_model_in_the_store_needs_no_name(self):
        self.fails("chat", status=2, says="--model M")
        self.works("import", GGUF, "--name", "one")
        self.works("chat", "--max-tokens", "2", stdin="a\n")
        self.works("import", HF, "--name", "two")
        self.fails("chat", status=2, says="--model M")

    def test_a_question_that_does_not_fit_is_told(self):
        run = self.hone("chat", "--model", HF, "--system", "Be brief.", stdin="0" * 600)
        self.assertEqual(run.returncode, 1)
        self.assert_sentence(run.stderr, ["standard input, line 1", "512 positions"])


if __name__ == "__main__":
    unittest.main()
