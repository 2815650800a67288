"""The grader objects that OpenAI's own pages show, unchanged, run by `hone grade`; where Azure's pages add a form, those too.

Sources, by the letter at each case:
    S  the OpenAPI specification, github.com/openai/openai-openapi, the examples of components/schemas and paths
    G  the guide "Graders"           R  the guide "Reinforcement fine-tuning"      U  its page "Use cases"
    C  github.com/openai/openai-cookbook: Reinforcement_Fine_Tuning, reinforcement_finetuning_healthbench, and the
       notebooks on evals (audio and image inputs, structured outputs, tools)
    A  Azure: the page "Reinforcement fine-tuning", and github.com/microsoft-foundry/fine-tuning
Prompts and sources of more than a few lines are written anew here, in the same shape and for the same data.
"""
import json
import os
import subprocess
import sys
import unittest

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), folder) for folder in ("cli", "support")]

from cli import HoneTest, python  # noqa: E402
from fake_openai import Failure, FakeOpenAI, Garbage, Refusal, Stall, Structured  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
MINILM = os.path.join(os.path.dirname(os.path.dirname(HERE)), "models", "all-MiniLM-L6-v2")
ASK_TIMEOUT = ("--judge-timeout", "2")  # bounds one question to a judge


def tool_call(name, **arguments):
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


EXACT = {"type": "string_check", "name": "Example string check grader", "input": "{{sample.output_text}}",
         "reference": "{{item.label}}", "operation": "eq"}  # S: the grader, validate, a job's method
SIMILAR = {"type": "text_similarity", "name": "Example text similarity grader", "input": "{{sample.output_text}}",
           "reference": "{{item.label}}", "evaluation_metric": "fuzzy_match"}  # S


class Official(HoneTest):
    options = ()

    def responses(self, grader, *lines, options=(), env=None):
        path = self.put("grader.json", grader)
        out = self.works("grade", "--grader", path, "--json", *self.options, *options, env=env,
                         stdin="".join(json.dumps(line) + "\n" for line in lines))
        return [json.loads(line) for line in out.splitlines()]

    def response(self, grader, item=None, sample="", options=(), env=None):
        """sample: the text of graders/run's model_sample, or a whole sample."""
        line = {"item": {} if item is None else item}
        line["model_sample" if isinstance(sample, str) else "sample"] = sample
        answer, = self.responses(grader, line, options=options, env=env)
        self.assertEqual(set(answer), {"reward", "metadata", "sub_rewards", "model_grader_token_usage_per_model"})
        return answer

    def reward(self, *words, **options):
        answer = self.response(*words, **options)
        set_flags = [key for key, value in answer["metadata"]["errors"].items() if value]
        self.assertEqual(set_flags, [], answer)
        return answer["reward"]

    def flagged(self, flag, *words, **options):
        """Reward 0, and this flag alone."""
        answer = self.response(*words, **options)
        errors = answer["metadata"]["errors"]
        self.assertEqual((answer["reward"], [key for key, value in errors.items() if value is True]), (0, [flag]), answer)
        return errors

    def refuses(self, grader, *says):
        return self.fails("grade", "--grader", self.put("grader.json", grader), "--json", *self.options, says=says)


class Unasked(Official):
    def test_without_a_judge_graders_that_ask_are_refused(self):
        for grader in (SCORE_GUIDE, LABEL_PARTS):
            self.refuses(grader, "asks the model", grader["model"], "--judge")


class StringCheck(Official):
    def test_the_example(self):
        self.assertEqual(self.reward(EXACT, {"label": "positive"}, "positive"), 1)
        self.assertEqual(self.reward(EXACT, {"label": "positive"}, "Positive"), 0)
        self.assertEqual(self.reward(EXACT, {"label": "positive"}, "positive "), 0)
        metadata = self.response(EXACT, {"label": "a"}, "a")["metadata"]
        self.assertEqual((metadata["name"], metadata["type"]), (EXACT["name"], "string_check"))

    def test_all_operations(self):
        """G: "neq" in the list of operations, "ne" in the form."""
        rows = [("eq", "New York", "New York", 1), ("eq", "new york", "New York", 0), ("ne", "Boston", "New York", 1),
                ("ne", "New York", "New York", 0), ("neq", "Boston", "New York", 1), ("neq", "New York", "New York", 0),
                ("like", "It is New York.", "New York", 1), ("like", "It is new york.", "New York", 0),
                ("like", "New", "New York", 0), ("ilike", "It is NEW york.", "New York", 1), ("ilike", "Boston", "New York", 0)]
        for operation, text, label, reward in rows:
            with self.subTest((operation, text)):
                self.assertEqual(self.reward({**EXACT, "operation": operation}, {"label": label}, text), reward)

    def test_input_and_reference_may_change_places(self):
        """S: the job of the Python client; A: MedMCQ."""
        swapped = {**EXACT, "input": "{{item.label}}", "reference": "{{sample.output_text}}"}
        self.assertEqual(self.reward(swapped, {"label": "a"}, "a"), 1)
        grader = {"name": "medmcqa_ans_grader", "type": "string_check", "input": "{{item.reference_answer}}",
                  "reference": "{{sample.output_text}}", "operation": "eq"}
        self.assertEqual(self.reward(grader, {"reference_answer": "C"}, "C"), 1)
        self.assertEqual(self.reward(grader, {"reference_answer": "C"}, "B"), 0)

    def test_a_check_of_the_row_alone_with_an_id(self):
        """S: the eval object."""
        grader = {"name": "String check", "id": "String check-2eaf2d8d-d649-4335-8148-9535a7ca73c2", "type": "string_check",
                  "input": "{{item.input}}", "reference": "{{item.ground_truth}}", "operation": "eq"}
        self.assertEqual(self.reward(grader, {"input": "x", "ground_truth": "x"}), 1)
        self.assertEqual(self.reward(grader, {"input": "x", "ground_truth": "y"}, "x"), 0)

    def test_like_in_a_transcript(self):
        """C: audio inputs."""
        grader = {"type": "string_check", "name": "String check grader", "input": "{{sample.output_text}}",
                  "reference": "{{item.official_answer}}", "operation": "like"}
        item = {"id": 0, "category": "formal_fallacies", "official_answer": "invalid", "audio_base64": "UklGRjrODwBXQVZF"}
        self.assertEqual(self.reward(grader, item, "The argument is invalid, for nothing follows."), 1)
        self.assertEqual(self.reward(grader, item, "The argument holds."), 0)


    def test_a_path_that_goes_on_within_the_arguments_of_a_tool_call(self):
        """C: tools: {{sample.output_tools[0].function.arguments.symbols}}, though "arguments" is JSON in a string."""
        grader = {**EXACT, "input": "{{sample.output_tools[0].function.arguments.symbols[0].name}}"}
        sample = {"output_tools": [tool_call("extract_symbols", symbols=[{"name": "Evals", "symbol_type": "class"}])]}
        self.assertEqual(self.reward(grader, {"label": "Evals"}, sample), 1)
        self.flagged("invalid_variable_error", grader, {"label": "Evals"}, {"output_tools": [tool_call("extract_symbols")]})


class TextSimilarity(Official):
    ITEM = {"label": "the cat lay on the mat"}
    TEXT = "the cat sat on the mat"

    def test_each_metric_by_hand(self):
        """Six words each, one differs: 5, 3, 1, 0 rows of 1 to 4 words in common; "cat s|at" and "cat l|a|y" share an a."""
        rows = {"fuzzy_match": 2 * 20 / 44, "bleu": (5 / 6 * 3 / 5 * 1 / 4 * 0.1 / 3) ** 0.25, "gleu": 9 / 18,
                "rouge_1": 5 / 6, "rouge_2": 3 / 5, "rouge_3": 1 / 4, "rouge_4": 0, "rouge_5": 0, "rouge_l": 5 / 6}
        for metric, reward in rows.items():
            with self.subTest(metric):
                grader = {**SIMILAR, "evaluation_metric": metric}
                self.assertAlmostEqual(self.reward(grader, self.ITEM, self.TEXT), reward, places=9)
                self.assertAlmostEqual(self.reward(grader, {"label": self.TEXT}, self.TEXT), 1, places=9)

    def test_a_threshold_does_not_change_the_reward(self):
        """S: the eval's grader."""
        grader = {"type": "text_similarity", "name": "Example text similarity grader", "input": "{{sample.output_text}}",
                  "reference": "{{item.label}}", "pass_threshold": 0.8, "evaluation_metric": "fuzzy_match"}
        self.assertAlmostEqual(self.reward(grader, {"label": "abcd"}, "abxy"), 0.5)

    def test_the_row_as_input(self):
        """A: text_similarity_sample_grader."""
        grader = {"name": "text_similarity_sample_grader", "type": "text_similarity", "input": "{{item.reference_answer}}",
                  "reference": "{{sample.output_text}}", "evaluation_metric": "fuzzy_match"}
        self.assertEqual(self.reward(grader, {"reference_answer": "gout"}, "gout"), 1)

    def test_meteor(self):
        """P = R = 5/6, in two chunks: "the cat" and "on the mat"."""
        reward = self.reward({**SIMILAR, "evaluation_metric": "meteor"}, self.ITEM, self.TEXT)
        self.assertAlmostEqual(reward, 5 / 6 * (1 - 0.5 * (2 / 5) ** 3), places=6)

    def test_cosine(self):
        grader = {**SIMILAR, "evaluation_metric": "cosine"}
        tiny = ("--embedding-model", os.path.join(os.path.dirname(HERE), "golden", "encoder", "mean"))
        self.assertAlmostEqual(self.reward(grader, {"label": "a cat"}, "a cat", options=tiny), 1, places=5)
        self.assertLess(self.reward(grader, {"label": "a cat"}, "ubi sunt", options=tiny), 0.9999)
        self.refuses(grader, "evaluation_metric", "--embedding-model")

    def test_cosine_knows_what_words_mean(self):
        if not os.path.isdir(MINILM):
            self.skipTest("scripts/embedding-model gets the model")
        grader, options = {**SIMILAR, "evaluation_metric": "cosine"}, ("--embedding-model", MINILM)
        item = {"label": "The patient has a fever."}
        same, other = (self.reward(grader, item, text, options=options) for text in ("The person's temperature is high.", "The invoice is overdue."))
        self.assertGreater(same, 0.5)
        self.assertLess(other, 0.3)


EXACT_SOURCE = '''
def grade(sample: dict, item: dict) -> float:
    """
    Returns 1.0 if `output_text` equals `label`, otherwise 0.0.
    """
    output = sample.get("output_text")
    label = item.get("label")
    return 1.0 if output == label else 0.0
'''
RATIO_SOURCE = """
from rapidfuzz import fuzz, utils

def grade(sample, item) -> float:
    output_text = sample["output_text"]
    reference_answer = item["reference_answer"]
    return fuzz.WRatio(output_text, reference_answer, processor=utils.default_process) / 100.0
"""
# U, ChipStack: pairs of name and value as multisets; F1.
PAIRS_SOURCE = """from collections import Counter

def grade(sample: dict[str, str], item: dict[str, str]) -> float:
    found, wanted = (Counter((pair["name"], pair["value"]) for pair in pairs)
                     for pairs in (sample["output_json"]["predicted"], item["reference_answer"]))
    hits = (found & wanted).total()
    return 2 * hits / (found.total() + wanted.total()) if found or wanted else 0.0
"""
# U, Harvey: the mean best match of each passage, both ways; a helper beside grade().
PASSAGES_SOURCE = """from difflib import SequenceMatcher

def best(text, others):
    return max((SequenceMatcher(None, text, other).ratio() for other in others), default=0.0)

def grade(sample: dict, item: dict) -> float:
    out = (sample.get('output_json') or {}).get('passages', [])
    ref = (item.get('reference_answer') or {}).get('passages', [])
    if not ref or not out:
        return 0.0
    recall = sum(best(r, out) for r in ref) / len(ref)
    precision = sum(best(o, ref) for o in out) / len(out)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
"""
# A, the countdown demo: an expression of the answer is computed through ast; whole numbers 0 to 5, and a log.
COUNTDOWN_SOURCE = """from typing import Any, Dict
import ast
import json
import logging
import re

SUMS = {ast.Add: lambda a, b: a + b, ast.Sub: lambda a, b: a - b, ast.Mult: lambda a, b: a * b, ast.Div: lambda a, b: a / b}

def _value(node):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in SUMS:
        return SUMS[type(node.op)](_value(node.left), _value(node.right))
    raise ValueError("not a sum")

def grade(sample: Dict[str, Any], item: Dict[str, Any]) -> float:
    output = sample["output_json"] if "output_json" in sample else json.loads(sample["output_text"])
    if not output:
        logging.error("no JSON in the sample")
        return 0
    used = sorted(map(int, re.findall(r"\\d+", output["expression"])))
    if used != sorted(item["nums"]):
        logging.info("other numbers")
        return 0
    if _value(ast.parse(output["expression"], mode="eval").body) != output["result"]:
        return 1
    return 5 if output["result"] == item["target"] else 2

if __name__ == "__main__":
    print(grade(**json.load(open("test.json"))))
"""


class Python(Official):
    def test_the_example(self):
        """S; with pass_threshold as in evals."""
        grader = {"type": "python", "name": "Example python grader", "image_tag": "2025-05-08", "source": EXACT_SOURCE}
        answers = self.responses(grader, {"item": {"label": "a"}, "model_sample": "a"}, {"item": {"label": "a"}, "model_sample": "b"})
        self.assertEqual([answer["reward"] for answer in answers], [1, 0])
        self.assertEqual(self.reward({**grader, "pass_threshold": 0.8}, {"label": "a"}, "a"), 1)

    def test_the_shortest_one_has_no_name(self):
        """G."""
        grader = {"type": "python", "source": "def grade(sample, item):\n    return 1.0", "image_tag": "2025-05-08"}
        self.assertEqual(self.reward(grader), 1)

    def test_annotations(self):
        """G."""
        source = "from typing import Any\n\ndef grade(sample: dict[str, Any], item: dict[str, Any]) -> float:\n" \
                 "    # your logic here\n    return 1.0\n"
        self.assertEqual(self.reward(python(source)), 1)

    def test_a_sample_has_what_the_guide_lists(self):
        """G: choices, output_text, output_json, output_tools, output_audio; as a chat completion has them."""
        source = """def grade(sample, item):
    assert sorted(sample) == ["choices", "output_audio", "output_json", "output_text", "output_tools"], sorted(sample)
    assert sample["output_text"] == '{"smiles": "CCO"}', sample["output_text"]
    assert sample["output_json"] == {"smiles": "CCO"}, sample["output_json"]
    assert sample["output_tools"][0]["function"]["name"] == "get_acceptors", sample["output_tools"]
    assert isinstance(sample["output_tools"][0]["function"]["arguments"], str)
    assert sample["choices"][0]["message"]["content"] == sample["output_text"]
    assert sample["choices"][0]["message"]["role"] == "assistant"
    assert sample["choices"][0]["message"]["tool_calls"] == sample["output_tools"]
    assert sample["output_audio"] is None
    assert item == {"reference_answer": "...", "my_key": {"a": [1, None]}}, item
    return 0.75
"""
        sample = {"output_text": '{"smiles": "CCO"}', "output_tools": [tool_call("get_acceptors", smiles="CCO")]}
        self.assertEqual(self.reward(python(source), {"reference_answer": "...", "my_key": {"a": [1, None]}}, sample), 0.75)
        no_json = "def grade(sample, item):\n    return float(sample['output_json'] is None and sample['output_tools'] is None)\n"
        self.assertEqual(self.reward(python(no_json), {}, "plain text"), 1)

    def test_pairs_of_a_map(self):
        """U, with the older image_tag "alpha"."""
        grader = {"type": "python", "name": "donors_caas", "image_tag": "alpha", "source": PAIRS_SOURCE}
        item = {"reference_answer": [{"name": "BLOCK_SIZE", "value": "8"}, {"name": "ADDR_WIDTH", "value": "4"}]}
        self.assertEqual(self.reward(grader, item, json.dumps({"predicted": item["reference_answer"][::-1]})), 1)
        half = [{"name": "BLOCK_SIZE", "value": "8"}, {"name": "ADDR_WIDTH", "value": "5"}]
        self.assertEqual(self.reward(grader, item, json.dumps({"predicted": half})), 0.5)
        self.flagged("python_grader_runtime_error", grader, item, "no JSON")  # it raises: None has no "predicted"

    def test_passages(self):
        """U."""
        item = {"reference_answer": {"passages": ["the tenant pays", "within thirty days"]}}
        self.assertEqual(self.reward(python(PASSAGES_SOURCE), item, json.dumps(item["reference_answer"])), 1)
        one = json.dumps({"passages": ["the tenant pays"]})
        self.assertTrue(0.5 < self.reward(python(PASSAGES_SOURCE), item, one) < 1)
        self.assertEqual(self.reward(python(PASSAGES_SOURCE), item, "no JSON"), 0)

    def test_a_score_may_be_whole_and_above_one(self):
        """A."""
        grader = {"type": "python", "name": "Python Countdown Grader", "source": COUNTDOWN_SOURCE, "pass_threshold": 5.0}
        item = {"target": 47, "nums": [86, 22, 88, 72]}
        sample = {"output_json": {"expression": "(72 + 22) / (88 - 86)", "result": 47}}
        self.assertEqual(self.reward(grader, item, sample), 5)
        self.assertEqual(self.reward(grader, item, json.dumps({"expression": "72 + 22 + 88 - 86", "result": 96})), 2)
        self.assertEqual(self.reward(grader, item, json.dumps({"expression": "72 + 22", "result": 94})), 0)
        self.assertEqual(self.reward(grader, item, "no JSON"), 0)

    def test_what_raises_or_gives_no_number_is_zero(self):
        """G: "Any other result (exception, invalid float value, etc.) will be marked as invalid and return a 0 grade"."""
        for body in ("raise ValueError('no')", "return 'high'", "return float('nan')", "return None", "return [1.0]"):
            with self.subTest(body):
                self.flagged("python_grader_runtime_error", python("def grade(sample, item):\n    %s\n" % body))
        self.refuses(python("def grade(sample):\n    return 1.0\n"), "grade")

    def with_rapidfuzz(self):
        """An interpreter for hone that has the library."""
        for python_path in (os.environ.get("HONE_TEST_RAPIDFUZZ", ""), sys.executable, "python3"):
            if python_path.startswith(("/tmp/", "/dev/")):
                continue  # a sandbox has its own
            if python_path and subprocess.run([python_path, "-c", "import rapidfuzz"], capture_output=True).returncode == 0:
                return "--python", python_path
        raise unittest.SkipTest("no Python here has rapidfuzz (HONE_TEST_RAPIDFUZZ can name one)")

    def test_the_working_example(self):
        """G: WRatio with default_process. 34/45, by the library's own arithmetic."""
        grader = {"type": "python", "source": RATIO_SOURCE}
        reward = self.reward(grader, {"reference_answer": "fuzzy wuzzy had no hair"}, "fuzzy wuzzy was a bear",
                             options=self.with_rapidfuzz())
        self.assertAlmostEqual(reward, 34 / 45, places=9)

    def test_two_graders_of_the_cookbook(self):
        """C: an import within the function, the name replaced by "grade"; image_tag beside the name."""
        near = "def grade(sample: dict, item: dict) -> float:\n    from rapidfuzz import fuzz, utils\n" \
               "    score = fuzz.token_set_ratio(sample[\"output_text\"], item[\"reference_answer\"], " \
               "processor=utils.default_process)\n    return score / 100.0\n"
        same = "def grade(sample: dict, item: dict) -> float:\n" \
               "    return 1.0 if sample[\"output_text\"] == item[\"reference_answer\"] else 0.0\n"
        grader = {"type": "multi", "graders": {
            "clinical_phrase": {"name": "clinical_phrase_grader", "image_tag": "2025-05-08", "type": "python", "source": near},
            "clinical_phrase_binary": {"name": "clinical_phrase_binary_grader", "image_tag": "2025-05-08", "type": "python",
                                       "source": same}},
            "calculate_output": "0.85 * clinical_phrase + 0.15 * clinical_phrase_binary"}
        options = self.with_rapidfuzz()
        self.assertAlmostEqual(self.reward(grader, {"reference_answer": "gout"}, "gout", options=options), 1)
        self.assertAlmostEqual(self.reward(grader, {"reference_answer": "gout"}, "acute gout", options=options), 0.85)


NAME_AND_EMAIL = {
    "type": "multi",
    "graders": {
        "name": {"name": "name_grader", "type": "text_similarity", "input": "{{sample.output_json.name}}",
                 "reference": "{{item.name}}", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.9},
        "email": {"name": "email_grader", "type": "string_check", "input": "{{sample.output_json.email}}",
                  "reference": "{{item.email}}", "operation": "eq"}},
    "calculate_output": "(name + email) / 2"}
TOOL_CALL = {
    "type": "multi",
    "graders": {
        "function_name": {"name": "function_name", "type": "string_check", "input": "get_acceptors",
                          "reference": "{{sample.output_tools[0].function.name}}", "operation": "eq"},
        "arguments": {"name": "arguments", "type": "string_check", "input": "{\"smiles\": \"{{item.smiles}}\"}",
                      "reference": "{{sample.output_tools[0].function.arguments}}", "operation": "eq"}},
    "calculate_output": "0.5 * function_name + 0.5 * arguments"}
LIST = {
    "type": "multi", "name": "example multi grader",
    "graders": [{"type": "text_similarity", "name": "example text similarity grader", "input": "The graded text",
                 "reference": "The reference text", "evaluation_metric": "fuzzy_match"},
                {"type": "string_check", "name": "Example string check grader", "input": "{{sample.output_text}}",
                 "reference": "{{item.label}}", "operation": "eq"}],
    "calculate_output": "0.5 * text_similarity_score +  0.5 * string_check_score)"}


class Multi(Official):
    PERSON = {"name": "John Doe", "email": "john.doe@gmail.com"}

    def test_two_fields(self):
        """G."""
        answer = self.response(NAME_AND_EMAIL, self.PERSON, json.dumps(self.PERSON))
        self.assertEqual((answer["reward"], answer["sub_rewards"]), (1, {"name": 1, "email": 1}))
        self.assertEqual(answer["metadata"]["type"], "multi")
        self.assertEqual(self.reward(NAME_AND_EMAIL, self.PERSON, json.dumps({**self.PERSON, "email": "jd@gmail.com"})), 0.5)
        misspelt = self.reward(NAME_AND_EMAIL, self.PERSON, json.dumps({**self.PERSON, "name": "Jon Doe"}))
        self.assertAlmostEqual(misspelt, (2 * 7 / 15 + 1) / 2)
        self.flagged("sample_parse_error", NAME_AND_EMAIL, self.PERSON, "John Doe")

    def test_a_tool_call(self):
        """G."""
        item = {"smiles": "CCO"}
        self.assertEqual(self.reward(TOOL_CALL, item, {"output_tools": [tool_call("get_acceptors", smiles="CCO")]}), 1)
        self.assertEqual(self.reward(TOOL_CALL, item, {"output_tools": [tool_call("get_acceptors", smiles="CCN")]}), 0.5)
        self.assertEqual(self.reward(TOOL_CALL, item, {"output_text": None, "output_tools": [tool_call("get", smiles="CCO")]}), 0.5)
        self.flagged("invalid_variable_error", TOOL_CALL, item, "no call")

    def test_a_list_of_graders(self):
        """S: the list works, but the formula shown has a bracket too many, and names that are none of the graders."""
        self.refuses(LIST, "calculate_output", 'uses "text_similarity_score" at character 7, which is none of the graders')
        names = ("text_similarity_score", "string_check_score")
        named = {**LIST, "graders": [{**grader, "name": name} for grader, name in zip(LIST["graders"], names)]}
        self.refuses(named, '")" at character 56, where an operator or the end is expected')
        mended = {**named, "calculate_output": named["calculate_output"].rstrip(")")}
        answer = self.response(mended, {"label": "a"}, "a")
        self.assertEqual(list(answer["sub_rewards"]), list(names))
        self.assertAlmostEqual(answer["sub_rewards"]["text_similarity_score"], 2 * 11 / (15 + 18))  # "The ", "re", " text"
        self.assertAlmostEqual(answer["reward"], 0.5 * 2 / 3 + 0.5)

    def test_a_threshold_above_the_graders(self):
        """A: ClauseMatching."""
        grader = {"name": "clause_match_grader", "type": "multi", "pass_threshold": 0.65, "graders": {
            "extracted_text_similarity": {"name": "extracted_text_similarity", "type": "text_similarity",
                                          "input": "{{sample.output_json.extracted_text}}",
                                          "reference": "{{item.extracted_text}}", "evaluation_metric": "fuzzy_match"},
            "clause_string_check": {"name": "clause_string_check", "type": "string_check",
                                    "input": "{{sample.output_json.clause_type}}", "operation": "eq",
                                    "reference": "{{item.clause_type}}"}},
            "calculate_output": "0.5 * extracted_text_similarity + 0.5 * clause_string_check"}
        item = {"extracted_text": "The tenant pays.", "clause_type": "Payment"}
        self.assertEqual(self.reward(grader, item, json.dumps(item)), 1)
        self.assertEqual(self.reward(grader, item, json.dumps({**item, "clause_type": "Term"})), 0.5)
        self.assertEqual(self.reward({**grader, "invalid_grade": 0.0}, item, json.dumps(item)), 1)  # A: an older key

    def test_blanks_in_the_braces(self):
        """A: Example multigrader."""
        grader = {"type": "multi", "name": "Example multigrader", "graders": {
            "similarity_score": {"type": "text_similarity", "name": "similarity grader", "input": "{{ sample.output_text }}",
                                 "reference": "{{ item.summary }}", "evaluation_metric": "bleu"},
            "label_checker": {"type": "string_check", "name": "label grader", "input": "{{ sample.output_text }}",
                              "reference": "{{ item.label }}", "operation": "eq"}},
            "calculate_output": "(similarity_score + label_checker) / 2"}
        text = "one two three four five"
        self.assertAlmostEqual(self.reward(grader, {"summary": text, "label": text}, text), 1)
        self.assertAlmostEqual(self.reward(grader, {"summary": text, "label": "no"}, text), 0.5)

    def test_every_operator_and_function_of_the_guide(self):
        """G: + - * / ^, min max abs floor ceil exp sqrt log."""
        graders = {"a": {**EXACT, "name": "a"}, "b": {**EXACT, "name": "b", "operation": "ne"}}  # 1 and 0
        for formula, reward in [("a + b", 1), ("b - a", -1), ("2 * a", 2), ("a / 4", 0.25), ("(a + 1) ^ 3", 8),
                                ("min(a, b)", 0), ("max(a, b, 0.5)", 1), ("abs(b - a)", 1), ("floor(a * 2.7)", 2),
                                ("ceil(a * 2.1)", 3), ("exp(b)", 1), ("sqrt(a * 9)", 3), ("log(exp(2 * a))", 2)]:
            with self.subTest(formula):
                grader = {"type": "multi", "graders": graders, "calculate_output": formula}
                self.assertAlmostEqual(self.reward(grader, {"label": "x"}, "x"), reward)

    def test_a_key_need_not_be_a_name_until_the_formula_wants_it(self):
        """A: the text says "similarity-score", the example similarity_score. And a key may be a function's name."""
        graders = {"label-checker": EXACT, "1st": EXACT, "zwei drei": EXACT, "größe": EXACT, "min": EXACT}
        grader = {"type": "multi", "graders": graders, "calculate_output": "0.5 * min + min(min, 0.25)"}
        answer = self.response(grader, {"label": "a"}, "a")
        self.assertEqual((answer["reward"], answer["sub_rewards"]), (0.75, dict.fromkeys(graders, 1)))
        for key in ("label-checker", "1st", "zwei drei", "größe"):
            self.refuses({**grader, "calculate_output": "0.5 * " + key}, "calculate_output", "at character",
                         'no formula can use the name "%s"' % key)

    def test_one_grader_in_the_place_of_the_map_is_refused(self):
        """S, as the clients' types have it; the service refuses it, too (github.com/openai/openai-java, issue 647)."""
        self.refuses({"type": "multi", "name": "m", "graders": EXACT, "calculate_output": "1"}, "graders.type is a string")

    def test_a_multi_has_no_multi_inside(self):
        """G."""
        self.refuses({"type": "multi", "graders": {"a": NAME_AND_EMAIL}, "calculate_output": "a"}, "graders.a.type")


class Asking(Official):
    """Graders that ask: the fake server is the judge, for every model name."""

    def setUp(self):
        super().setUp()
        self.server = FakeOpenAI(key="sk-test")
        self.server.__enter__()
        self.addCleanup(self.server.__exit__)
        self.options = ("--judge", self.server.url)
        self.env["HONE_JUDGE_KEY"] = "sk-test"

    @property
    def asked(self):
        return [request.body for request in self.server.chat.asked]

    def judged(self, answer, *words, **options):
        """The reward where the judge says this; looks at what was asked in self.asked[-1]."""
        self.server.chat.answers = [answer]
        return self.reward(*words, **options)

    def text_of(self, message):
        content = message["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)

    def assert_messages(self, *messages):
        """Role and text of what was asked last; developer and system are one to most servers."""
        roles = {"developer": "system"}
        self.assertEqual([(roles.get(m["role"], m["role"]), self.text_of(m)) for m in self.asked[-1]["messages"]],
                         [(roles.get(role, role), text) for role, text in messages])


def message(text, role="user", **more):
    return {"role": role, "content": text, **more}


SCORE_RUN = {  # S: graders/run, "Score text alignment"
    "type": "score_model", "name": "Example score model grader",
    "input": [{"role": "user", "content": [{"type": "input_text", "text": (
        "Score how close the reference answer is to the model answer on a 0-1 scale. Return only the score.\n\n"
        "Reference answer: {{item.reference_answer}}\n\nModel answer: {{sample.output_text}}")}]}],
    "model": "gpt-5-mini", "sampling_params": {"temperature": 1, "top_p": 1, "seed": 42}}
SCORE_GUIDE = {  # G: the runnable sample
    "type": "score_model", "name": "my_score_model",
    "input": [{"role": "system", "content": (
        "You are an expert grader. If the reference and model answer are exact matches, output a score of 1. If they are "
        "somewhat similar in meaning, output a score in 0.5. Otherwise, give a score of 0.")},
        {"role": "user", "content": "Reference: {{ item.reference_answer }}. Model answer: {{ sample.output_text }}"}],
    "pass_threshold": 0.5, "model": "o4-mini-2025-04-16", "range": [0, 1],
    "sampling_params": {"max_completions_tokens": 32768, "top_p": 1, "reasoning_effort": "medium"}}


class ScoreModel(Asking):
    def test_the_run_of_the_reference(self):
        self.server.chat.answers = [Structured(result=1.0)]
        bear = "fuzzy wuzzy was a bear"
        answer = self.response(SCORE_RUN, {"reference_answer": bear}, bear)
        self.assertEqual(answer["reward"], 1)
        usage = {"prompt_tokens": 190, "completion_tokens": 134, "total_tokens": 324, "cached_tokens": 12}
        metadata = answer["metadata"]
        self.assertEqual((metadata["name"], metadata["type"]), (SCORE_RUN["name"], "score_model"))
        self.assertEqual((metadata["sampled_model_name"], metadata["token_usage"]), ("gpt-5-mini", usage))
        self.assertEqual(answer["model_grader_token_usage_per_model"], {"gpt-5-mini": usage})
        self.assert_messages(("user", "Score how close the reference answer is to the model answer on a 0-1 scale. Return only "
                              "the score.\n\nReference answer: %s\n\nModel answer: %s" % (bear, bear)))
        asked = self.asked[-1]
        self.assertEqual((asked["model"], asked["temperature"], asked["top_p"], asked["seed"]), ("gpt-5-mini", 1, 1, 42))
        self.assertEqual(self.server.chat.asked[-1].headers["authorization"], "Bearer sk-test")

    def test_the_sample_of_the_guide(self):
        """A number in the row; strings as content; the form that the judge is held to."""
        self.assertEqual(self.judged(Structured(result=0.5), SCORE_GUIDE, {"reference_answer": 1.0}, "0.9"), 0.5)
        self.assert_messages(("system", SCORE_GUIDE["input"][0]["content"]), ("user", "Reference: 1.0. Model answer: 0.9"))
        asked = self.asked[-1]
        self.assertEqual((asked["model"], asked["top_p"], asked["reasoning_effort"]), ("o4-mini-2025-04-16", 1, "medium"))
        self.assertEqual(asked.get("max_completion_tokens", asked.get("max_tokens")), 32768)
        schema = asked["response_format"]["json_schema"]["schema"]
        self.assertEqual(set(schema["properties"]), {"steps", "result"})
        self.assertEqual(schema["properties"]["result"]["type"], "number")
        self.assertEqual(set(schema["properties"]["steps"]["items"]["properties"]), {"description", "conclusion"})

    def test_every_form_of_a_message(self):
        """S: EvalItem. A text, a part, a list of texts and parts; input_text and output_text; "type": "message"."""
        part = {"type": "input_text", "text": "{{item.a}}"}
        for content, text in [("{{item.a}}!", "A!"), (part, "A"), ([part, "-{{item.a}}"], "A-A"), (["x", "y"], "xy"),
                              ({"type": "output_text", "text": "so {{item.a}}"}, "so A")]:
            for role in ("user", "assistant", "system", "developer"):
                with self.subTest((content, role)):
                    last = message("Score it.")
                    grader = {**SCORE_RUN, "input": [message(content, role, type="message"), last]}
                    self.assertEqual(self.judged(Structured(result=1), grader, {"a": "A"}, ""), 1)
                    self.assert_messages((role, text), ("user", "Score it."))

    def test_sampling_params_may_be_null(self):
        for params in (None, {"seed": None, "top_p": None, "temperature": None, "max_completions_tokens": None,
                              "reasoning_effort": None}):
            grader = {**SCORE_RUN, "sampling_params": params}
            self.assertEqual(self.judged(Structured(result=0.25), grader, {"reference_answer": "a"}, "b"), 0.25)

    def test_a_score_is_cut_to_the_range(self):
        """G: "truncated to the given range, and default to 0 for all non-numeric outputs"; C: [1, 7]."""
        rows = [({}, 1.7, 1), ({}, -0.3, 0), ({"range": [1, 7]}, 9, 7), ({"range": [1, 7]}, 0, 1), ({"range": [1, 7]}, 5.5, 5.5),
                ({"range": [-1, 1]}, -1.0, -1)]
        for more, result, reward in rows:
            with self.subTest((more, result)):
                grader = {**SCORE_RUN, **more}
                self.assertEqual(self.judged(Structured(result=result), grader, {"reference_answer": "a"}, "b"), reward)
        for reply in ({"steps": [], "result": "high"}, "rather good", {"steps": []}, '{"steps": [], "result": NaN}'):
            with self.subTest(reply):
                self.server.chat.answers = [reply]
                self.flagged("model_grader_parse_error", {**SCORE_RUN, "range": [1, 7]}, {"reference_answer": "a"}, "b")

    def test_an_explanation_and_a_label(self):
        """R: the multi of the security review; "type": "message", no sampling_params."""
        grader = {"type": "multi", "graders": {
            "explanation": {"name": "Explanation text grader", "type": "score_model", "model": "gpt-4o-2024-08-06", "input": [
                message("Rate the answer by the policy, from 0 to 1.\nReference: {{item.explanation}}\n"
                        "Answer: {{sample.output_json.explanation}}", type="message")]},
            "compliant": {"name": "compliant", "type": "string_check", "reference": "{{item.compliant}}", "operation": "eq",
                          "input": "{{sample.output_json.compliant}}"}},
            "calculate_output": "0.5 * compliant + 0.5 * explanation"}
        item = {"messages": [message("Do you have a dedicated security team?")], "compliant": "yes",
                "explanation": "A dedicated security team follows strict protocols for handling incidents."}
        self.server.chat.answers = [Structured(result=0.75)]
        answer = self.response(grader, item, json.dumps({"compliant": "yes", "explanation": "There is a team."}))
        self.assertEqual((answer["reward"], answer["sub_rewards"]), (0.875, {"explanation": 0.75, "compliant": 1}))
        self.assert_messages(("user", "Rate the answer by the policy, from 0 to 1.\nReference: %s\nAnswer: There is a team."
                              % item["explanation"]))
        self.assertEqual(list(answer["model_grader_token_usage_per_model"]), ["gpt-4o-2024-08-06"])

    def test_a_rubric_with_the_conversation_in_it(self):
        """C: healthbench: a list of the row within a prompt."""
        grader = {"name": "score_health", "type": "score_model", "model": "o4-mini-2025-04-16",
                  "input": [message("Conversation:\n{{item.messages}}\n\nReply:\n{{sample.output_text}}\n\nThe score alone.",
                                    type="message")], "sampling_params": {"reasoning_effort": "low"}}
        item = {"messages": [message("my knee clicks")]}
        self.assertEqual(self.judged(Structured(result=0.25), grader, item, "Since when?"), 0.25)
        conversation, reply = self.text_of(self.asked[-1]["messages"][0]).split("\n\n")[:2]
        self.assertEqual(json.loads(conversation.partition("\n")[2]), item["messages"])
        self.assertEqual(reply, "Reply:\nSince when?")
        self.assertEqual(self.asked[-1]["reasoning_effort"], "low")

    def test_json_of_the_sample_in_a_prompt(self):
        """A: ClauseMatching: braces of JSON around those of the template, and the whole of output_json."""
        grader = {"name": "basic_model_grader", "type": "score_model", "pass_threshold": 0.5, "model": "gpt-4o-2024-08-06",
                  "input": [message("Reference answer: {\"extracted_text\": {{item.extracted_text}}, \"clause_type\": "
                                    "{{item.clause_type}}}\n\n Model answer: {{sample.output_json}}")],
                  "sampling_params": {"seed": 42}}
        item = {"extracted_text": "Pay.", "clause_type": "Payment"}
        self.assertEqual(self.judged(Structured(result=1), grader, item, json.dumps(item)), 1)
        first, _, last = self.text_of(self.asked[-1]["messages"][0]).partition("\n\n Model answer: ")
        self.assertEqual(first, 'Reference answer: {"extracted_text": Pay., "clause_type": Payment}')
        self.assertEqual(json.loads(last), item)

    def test_arguments_of_a_tool_call_in_a_prompt(self):
        """C: tools: the path goes on within "arguments", which is JSON in a string."""
        grader = {"type": "score_model", "name": "General Evaluator", "model": "o3", "range": [1, 7], "pass_threshold": 5.0,
                  "input": [message("Rate the symbols from 1 to 7.", "system"),
                            message("<Code File>\n{{item.input}}\n</Code File>\n\n<Extracted Information>\n"
                                    "{{sample.output_tools[0].function.arguments.symbols}}\n</Extracted Information>\n")]}
        symbols = [{"name": "Evals", "symbol_type": "class"}]
        sample = {"output_tools": [tool_call("extract_symbols", symbols=symbols)]}
        self.assertEqual(self.judged(Structured(result=6), grader, {"input": "class Evals: pass"}, sample), 6)
        told = self.text_of(self.asked[-1]["messages"][1]).partition("<Extracted Information>\n")[2].partition("\n<")[0]
        self.assertEqual(json.loads(told), symbols)

    def test_an_image(self):
        """S: graders/run "Score an image caption"; C: a template as image_url."""
        grader = {"type": "score_model", "name": "Image caption grader", "model": "gpt-5-mini", "sampling_params": {"temperature": 0.2},
                  "input": [{"role": "user", "content": [
                      {"type": "input_text", "text": "Score how well the provided caption matches the image on a 0-1 scale. Only "
                       "return the score.\n\nCaption: {{sample.output_text}}"},
                      {"type": "input_image", "image_url": "https://example.com/dog-catching-ball.png", "file_id": None,
                       "detail": "high"}]}]}
        item = {"expected_caption": "A golden retriever jumps to catch a tennis ball", "media_url": "https://example.com/a.jpg"}
        self.assertEqual(self.judged(Structured(result=0.8), grader, item, "A dog leaps to grab a tennis ball mid-air"), 0.8)
        image = {"type": "image_url", "image_url": {"url": "https://example.com/dog-catching-ball.png", "detail": "high"}}
        self.assertEqual(self.asked[-1]["messages"][0]["content"][1], image)
        grader["input"][0]["content"][1] = {"type": "input_image", "image_url": "{{ item.media_url }}", "detail": "auto"}
        self.judged(Structured(result=0.8), grader, item, "A dog")
        image = self.asked[-1]["messages"][0]["content"][1]
        self.assertEqual(image["image_url"]["url"], "https://example.com/a.jpg")

    def test_a_sound(self):
        """S: graders/run "Score an audio response"."""
        grader = {"type": "score_model", "name": "Audio clarity grader", "model": "gpt-audio",
                  "sampling_params": {"temperature": 0.2, "top_p": 1, "seed": 123}, "input": [{"role": "user", "content": [
                      {"type": "input_text", "text": "Listen to the clip and return a confidence score from 0 to 1 that the speaker "
                       "said: {{item.target_phrase}}"},
                      {"type": "input_audio", "input_audio": {"data": "{{item.audio_clip_b64}}", "format": "mp3"}}]}]}
        item = {"target_phrase": "Please deliver the package on Tuesday", "audio_clip_b64": "SUQzBAA="}
        self.assertEqual(self.judged(Structured(result=0.9), grader, item, item["target_phrase"]), 0.9)
        self.assertEqual(self.asked[-1]["messages"][0]["content"][1],
                         {"type": "input_audio", "input_audio": {"data": "SUQzBAA=", "format": "mp3"}})

    def test_what_fails_for_a_moment_is_asked_again(self):
        for failure in (Failure(500), Failure(503), Failure(429, {"Retry-After": "1"}), Garbage()):
            with self.subTest(vars(failure)):
                self.server.chat.asked.clear()
                self.server.chat.answers = [failure, Structured(result=1)]
                self.assertEqual(self.reward(SCORE_RUN, {"reference_answer": "a"}, "a"), 1)
                self.assertEqual(len(self.asked), 2)

    def test_what_fails_for_good_is_flagged(self):
        words = (SCORE_RUN, {"reference_answer": "a"}, "a")
        self.server.chat.answers = [Refusal()]
        self.flagged("model_grader_refusal_error", *words)
        self.server.chat.answers = [Structured(result=1)]
        errors = self.flagged("model_grader_server_error", *words, env={"HONE_JUDGE_KEY": "sk-wrong"})
        self.assertIn("Incorrect API key", errors["model_grader_server_error_details"])
        self.server.chat.answers = [Stall()]
        self.flagged("model_grader_server_error", *words, options=ASK_TIMEOUT)


LABEL_PARTS = {  # S
    "name": "First label grader", "type": "label_model", "model": "gpt-4o-2024-08-06",
    "input": [{"type": "message", "role": "system", "content": {"type": "input_text", "text": (
        "Classify the sentiment of the following statement as one of positive, neutral, or negative")}},
        {"type": "message", "role": "user", "content": {"type": "input_text", "text": "Statement: {{item.response}}"}}],
    "passing_labels": ["positive"], "labels": ["positive", "neutral", "negative"]}


class LabelModel(Asking):
    def test_the_example(self):
        for label, reward in (("positive", 1), ("neutral", 0), ("negative", 0)):
            self.assertEqual(self.judged(Structured(label=label), LABEL_PARTS, {"response": "I like it " + label}, ""), reward)
        self.assert_messages(("system", LABEL_PARTS["input"][0]["content"]["text"]), ("user", "Statement: I like it negative"))
        self.assertEqual(self.asked[-1]["model"], "gpt-4o-2024-08-06")
        self.assertIn('["positive", "neutral", "negative"]', json.dumps(self.asked[-1]["response_format"]))

    def test_the_example_of_evals(self):
        """S: strings as content."""
        grader = {"type": "label_model", "model": "gpt-4o-2024-08-06", "input": [
            {"role": "system", "content": "Classify the sentiment of the following statement as one of 'positive', 'neutral', or "
             "'negative'"}, {"role": "user", "content": "Statement: {{item.response}}"}],
            "passing_labels": ["positive"], "labels": ["positive", "neutral", "negative"], "name": "Sentiment label grader"}
        self.assertEqual(self.judged(Structured(label="positive"), grader, {"response": "good"}, ""), 1)

    def test_the_sample_of_the_guide(self):
        """G: sampling_params, which the specification's label_model lacks, with "max_tokens"."""
        grader = {"type": "label_model", "name": "my_label_model", "input": [
            {"role": "system", "content": "You are an expert grader."},
            {"role": "user", "content": "Classify this: {{ sample.output_text }} as either good or bad, where closer to 1 is good."}],
            "passing_labels": ["good"], "labels": ["good", "bad"], "model": "o3-mini-2024-01-31",
            "sampling_params": {"max_tokens": 32768, "top_p": 1, "seed": 42, "reasoning_effort": "medium"}}
        self.assertEqual(self.judged(Structured(label="good"), grader, {}, "0.9"), 1)
        self.assertEqual(self.judged(Structured(label="bad"), grader, {}, "0.1"), 0)
        asked = self.asked[-1]
        self.assertEqual((asked["seed"], asked["reasoning_effort"], asked["top_p"]), (42, "medium", 1))

    def test_a_developer_message_an_id_and_no_sampling_params(self):
        """S: the list of evals; the prompts in words of our own."""
        grader = {"name": "Push Notification Summary Grader", "id": "Push Notification Summary Grader-9b876f24",
                  "type": "label_model", "model": "o3-mini", "input": [
                      message({"type": "input_text", "text": "\nIs the summary concise? Say correct or incorrect.\n"}, "developer",
                              type="message"),
                      message({"type": "input_text", "text": "\nNotifications: {{item.input}}\nSummary: {{sample.output_text}}\n"},
                              type="message")],
                  "passing_labels": ["correct"], "labels": ["correct", "incorrect"], "sampling_params": None}
        self.assertEqual(self.judged(Structured(label="correct"), grader, {"input": "3 new mails"}, "Mail!"), 1)
        self.assert_messages(("developer", "\nIs the summary concise? Say correct or incorrect.\n"),
                             ("user", "\nNotifications: 3 new mails\nSummary: Mail!\n"))

    def test_within_a_multi(self):
        grader = {"type": "multi", "graders": {"mood": LABEL_PARTS, "same": {**EXACT, "name": "same"}},
                  "calculate_output": "0.5 * mood + 0.5 * same"}
        self.assertEqual(self.judged(Structured(label="positive"), grader, {"response": "good", "label": "a"}, "b"), 0.5)

    def test_a_label_that_is_none_is_flagged(self):
        self.server.chat.answers = ["fairly positive I would think"]
        self.flagged("model_grader_parse_error", LABEL_PARTS, {"response": "good"}, "")
        self.server.chat.answers = [Refusal()]
        self.flagged("model_grader_refusal_error", LABEL_PARTS, {"response": "bad"}, "")

    def test_passing_labels_are_labels(self):
        self.refuses({**LABEL_PARTS, "passing_labels": ["good"]}, "passing_labels", "good")


class Endpoint(Asking):
    ITEM = {"target": 47, "nums": [86, 22, 88, 72]}
    SAMPLE = {"output_text": "", "output_json": {"expression": "(72 + 22) / (88 - 86)", "result": 47}}

    def grader(self, **more):
        """A: the README of agentic RFT, but for the address."""
        return {"type": "endpoint", "name": "some_name", "url": self.server.root + "/grade",
                "headers": {"Authorization": "Bearer ${KEY}"}, "rate_limit": 50, "pass_threshold": 8, **more}

    def test_the_example(self):
        self.server.grade.answers = [5]
        self.assertEqual(self.reward(self.grader(), self.ITEM, self.SAMPLE), 5)
        asked, = self.server.grade.asked
        self.assertEqual(asked.headers["authorization"], "Bearer ${KEY}")
        self.assertTrue(asked.headers["content-type"].startswith("application/json"))
        self.assertEqual(set(asked.body), {"sample", "item", "trace_id"})
        self.assertEqual(asked.body["item"], self.ITEM)
        self.assertEqual(asked.body["sample"]["output_json"], self.SAMPLE["output_json"])
        self.assertEqual(asked.body["sample"]["choices"][0]["message"]["role"], "assistant")
        self.assertRegex(asked.body["trace_id"], r"\Atrace_[0-9a-f]")

    def test_all_but_the_address_may_be_missing(self):
        self.server.grade.answers = [0.5]
        self.assertEqual(self.reward({"type": "endpoint", "url": self.server.root + "/grade"}, {}, "x"), 0.5)

    def test_beside_a_python_grader(self):
        """A: the endpoint demo."""
        grader = {"type": "multi", "name": "Combined local and remote grader", "graders": {
            "python": {"type": "python", "name": "Python Countdown Grader", "source": COUNTDOWN_SOURCE, "pass_threshold": 5.0},
            "endpoint": {"type": "endpoint", "name": "Remote Countdown Grader", "url": self.server.root + "/grade",
                         "headers": {"X-Functions-Key": "secret"}}},
            "calculate_output": "(python + endpoint) / 2", "pass_threshold": 5}
        self.server.grade.answers = [4]
        self.assertEqual(self.reward(grader, self.ITEM, self.SAMPLE), 4.5)
        self.assertEqual(self.server.grade.asked[0].headers["x-functions-key"], "secret")

    def test_it_is_tried_again_and_then_given_up(self):
        """A: "we will retry for at most 3 times before discarding the rollout"."""
        self.server.grade.answers = [Failure(500), Failure(503), 1]
        self.assertEqual(self.reward(self.grader(), {}, "x"), 1)
        self.assertEqual(len(self.server.grade.asked), 3)
        self.server.grade.asked.clear()
        self.server.grade.answers = [Failure(500)]
        answer = self.response(self.grader(), {}, "y")
        self.assertEqual(answer["reward"], 0)
        self.assertTrue(any(value is True for value in answer["metadata"]["errors"].values()))
        self.assertLessEqual(len(self.server.grade.asked), 4)

    def test_an_answer_without_a_score_is_flagged(self):
        for reply in ({"score": "high"}, {"grade": 1}, [1], Garbage(b"1")):
            with self.subTest(str(reply)):
                self.server.grade.answers = [reply]
                answer = self.response(self.grader(), {}, str(reply))
                self.assertEqual(answer["reward"], 0)
                self.assertTrue(any(value is True for value in answer["metadata"]["errors"].values()))


if __name__ == "__main__":
    unittest.main()
