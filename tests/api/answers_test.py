"""
What models answer, by the official client: seeds, tools, formats, log-probabilities, what is kept, embeddings.

The client checks every answer against its types (_strict_response_validation=True), but for some that its own types do
not know: completions while they are streamed (finish_reason is null) or echo a prompt (of whose first token nothing is known),
embeddings in base64, stored messages of users.
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import struct
import typing
import unittest

try:
    import pydantic
except ImportError:
    pydantic = None

from server import ROOT, ApiTest, openai

ENCODER = os.path.join(ROOT, "models", "all-MiniLM-L6-v2")
SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["x", "y"]}, "sure": {"type": "boolean"}},
          "required": ["kind", "sure"], "additionalProperties": False}
CHOOSE = {"name": "choose", "description": "Says which.", "parameters": SCHEMA, "strict": True}


def ask(text="1a"):
    return [{"role": "user", "content": text}]


class Answers(ApiTest):
    @classmethod
    def setUpClass(cls):
        """Beside the tiny model the same with more room: what offers a tool to it takes some 600 of its tokens."""
        super().setUpClass()
        cls.lenient, cls.client = cls.client, cls.server.client(_strict_response_validation=True)
        wide = os.path.join(cls.server.home, "models", "wide")
        shutil.copytree(os.path.join(ROOT, "tests", "golden", "tiny", "hf"), wide)
        with open(os.path.join(wide, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        with open(os.path.join(wide, "config.json"), "w", encoding="utf-8") as f:
            json.dump({**config, "max_position_embeddings": 4096}, f)

    def chat(self, text="1a", **more):
        return self.client.chat.completions.create(**{"model": "tiny", "messages": ask(text), "seed": 5,
                                                      "max_completion_tokens": 12, **more})

    def respond(self, input="1a", **more):
        return self.client.responses.create(**{"model": "tiny", "input": input, "max_output_tokens": 16,
                                               "extra_body": {"seed": 5}, **more})


class Chat(Answers):
    def test_a_misspelt_key_of_responses_is_refused_by_name(self):
        self.refused(openai.BadRequestError, lambda: self.client.responses.create(
            model="tiny", input="1a", extra_body={"max_output_token": 16}), "unknown_parameter", "max_output_token")

    def test_a_seed_is_an_answer_alone_and_in_company(self):
        alone = [self.chat(seed=i).choices[0].message.content for i in range(4)]
        self.assertEqual(len(set(alone)), 4)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            company = list(pool.map(lambda i: self.chat(seed=i % 4, messages=ask()).choices[0].message.content,
                                    range(20)))
        self.assertEqual(company, [alone[i % 4] for i in range(20)])

    def test_choices(self):
        reply = self.chat(n=3)
        self.assertEqual([c.index for c in reply.choices], [0, 1, 2])
        self.assertEqual(len({c.message.content for c in reply.choices}), 3)
        self.assertTrue(12 < reply.usage.completion_tokens <= 36)
        self.assertEqual(reply.choices[0].message.content, self.chat().choices[0].message.content)
        parts = ["", "", ""]
        for chunk in self.chat(n=3, stream=True):
            parts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
        self.assertEqual(parts, [c.message.content for c in reply.choices])

    def test_stop(self):
        whole = self.chat(temperature=0, max_completion_tokens=20).choices[0].message.content
        mark = next(ch for ch in whole[2:] if ch.isascii() and whole.index(ch) > 1)
        cut = self.chat(temperature=0, max_completion_tokens=20, stop=[mark])
        self.assertEqual((cut.choices[0].message.content, cut.choices[0].finish_reason),
                         (whole[:whole.index(mark)], "stop"))
        parts = self.chat(temperature=0, max_completion_tokens=20, stop=mark, stream=True)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in parts), whole[:whole.index(mark)])

    def test_logprobs(self):
        entries = self.chat(logprobs=True, top_logprobs=5).choices[0].logprobs.content
        self.assertEqual(len(entries), 12)
        for e in entries:
            self.assertEqual(len(e.top_logprobs), 5)
            self.assertEqual([t.logprob for t in e.top_logprobs], sorted([t.logprob for t in e.top_logprobs],
                                                                         reverse=True))
            self.assertLessEqual(e.logprob, e.top_logprobs[0].logprob)
            self.assertLessEqual(e.logprob, 0)
        streamed = []
        for chunk in self.chat(logprobs=True, top_logprobs=5, stream=True):
            if chunk.choices[0].logprobs:
                streamed += chunk.choices[0].logprobs.content
        self.assertEqual(streamed, entries)
        self.assertIsNone(self.chat().choices[0].logprobs)
        self.refused(openai.BadRequestError, lambda: self.chat(top_logprobs=2), None, "top_logprobs")
        self.refused(openai.BadRequestError, lambda: self.chat(logprobs=True, top_logprobs=21), None, "top_logprobs")

    def test_logit_bias(self):
        token = self.client.completions.create(model="tiny", prompt=[[70]], echo=True, max_tokens=0).choices[0].text
        reply = self.chat(logit_bias={"70": 100}, max_completion_tokens=4).choices[0]
        self.assertEqual(reply.message.content, token * 4)
        self.refused(openai.BadRequestError, lambda: self.chat(logit_bias={"70": 101}), None, "logit_bias")

    def test_forms(self):
        for form in ({"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}},
                     {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}):
            value = json.loads(self.chat(response_format=form, max_completion_tokens=100).choices[0].message.content)
            self.assertIn(value["kind"], ("x", "y"))
            self.assertIsInstance(value["sure"], bool)
        value = self.respond(text={"format": {"type": "json_schema", "name": "n", "strict": True, "schema": SCHEMA}},
                             max_output_tokens=100).output_text
        self.assertEqual(set(json.loads(value)), {"kind", "sure"})

    def test_a_schema_with_what_is_not_offered_is_refused_by_name(self):
        for keyword, schema in (("not", {"not": {"type": "null"}}), ("contains", {"contains": {"type": "null"}}),
                                ("uniqueItems", {"type": "array", "uniqueItems": True}), ("$id", {"$id": "b", "type": "null"})):
            outer = {**SCHEMA, "properties": {**SCHEMA["properties"], "kind": schema}}
            form = {"name": "n", "strict": True, "schema": outer}
            for call in (lambda: self.chat(response_format={"type": "json_schema", "json_schema": form}),
                         lambda: self.respond(text={"format": {"type": "json_schema", **form}})):
                self.refused(openai.BadRequestError, call, match=f'properties/kind: "{re.escape(keyword)}" is ')

    @unittest.skipUnless(pydantic, "pydantic is not installed")
    def test_parse(self):
        class Choice(pydantic.BaseModel):
            kind: typing.Literal["x", "y"]
            sure: bool

        chat = {"model": "tiny", "messages": ask(), "seed": 5, "max_completion_tokens": 100}
        parsed = self.client.chat.completions.parse(**chat, response_format=Choice).choices[0].message.parsed
        self.assertIsInstance(parsed, Choice)
        with self.client.chat.completions.stream(**chat, response_format=Choice) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_completion().choices[0].message.parsed, parsed)
        with self.assertRaises(openai.LengthFinishReasonError):
            self.client.chat.completions.parse(**{**chat, "max_completion_tokens": 2}, response_format=Choice)
        respond = {"model": "tiny", "input": "1a", "max_output_tokens": 100, "extra_body": {"seed": 5}}
        answer = self.client.responses.parse(**respond, text_format=Choice).output_parsed
        self.assertIsInstance(answer, Choice)
        with self.client.responses.stream(**respond, text_format=Choice) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output_parsed, answer)

        tool = openai.pydantic_function_tool(Choice)
        call = self.client.chat.completions.parse(**{**chat, "model": "wide", "max_completion_tokens": 400},
                                                  tools=[tool], tool_choice="required", parallel_tool_calls=False)
        self.assertIsInstance(call.choices[0].message.tool_calls[0].function.parsed_arguments, Choice)

    def test_tools(self):
        more = {"tools": [{"type": "function", "function": CHOOSE}], "tool_choice": "required", "model": "wide",
                "parallel_tool_calls": False, "max_completion_tokens": 400}
        choice = self.chat(**more).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        call = choice.message.tool_calls[0]
        self.assertEqual((call.type, call.function.name), ("function", "choose"))
        self.assertTrue(call.id.startswith("call_"))
        self.assertIn(json.loads(call.function.arguments)["kind"], ("x", "y"))
        deltas = [d for c in self.chat(**more, stream=True) for d in c.choices[0].delta.tool_calls or []]
        self.assertEqual({d.index for d in deltas}, {0})
        self.assertEqual((deltas[0].function.name, deltas[0].type), ("choose", "function"))
        self.assertTrue(deltas[0].id)
        self.assertEqual("".join(d.function.arguments or "" for d in deltas), call.function.arguments)
        with self.client.chat.completions.stream(messages=ask(), seed=5, **more) as stream:
            kinds = {event.type for event in stream}
            final = stream.get_final_completion().choices[0].message.tool_calls[0]
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.assertEqual(final.function.arguments, call.function.arguments)
        after = self.chat(messages=ask() + [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "ok"}],
                          tools=more["tools"], model="wide")
        self.assertEqual(after.object, "chat.completion")

    def test_efforts(self):
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max", None):
            self.assertEqual(self.chat(reasoning_effort=effort, max_completion_tokens=2).object, "chat.completion")
        self.refused(openai.BadRequestError, lambda: self.chat(reasoning_effort="most"), None, "reasoning_effort")
        self.assertEqual(self.respond(reasoning={"effort": "low", "summary": "auto"}).reasoning.effort, "low")

    def test_what_was_read_is_counted(self):
        text = "tell me more, " * 40
        first = self.chat(text, max_completion_tokens=2)
        again = self.chat(text, max_completion_tokens=2)
        self.assertEqual(first.usage.prompt_tokens_details.cached_tokens, 0)
        self.assertGreater(again.usage.prompt_tokens_details.cached_tokens, 100)
        self.assertLess(again.usage.prompt_tokens_details.cached_tokens, again.usage.prompt_tokens)
        self.assertEqual(again.choices[0].message, first.choices[0].message)
        self.assertGreater(self.respond(text).usage.input_tokens_details.cached_tokens, 100)

    def test_a_text_that_does_not_fit(self):
        self.refused(openai.BadRequestError, lambda: self.chat("more " * 60000), "context_length_exceeded", "messages")


class Stored(Answers):
    def test_completions_are_kept(self):
        stored = self.client.chat.completions
        made = [self.chat(str(i), store=True, metadata={"set": "s", "n": str(i)}).id for i in range(5)]
        other = self.chat("not kept").id
        listed = [c.id for c in stored.list(limit=2)]
        self.assertEqual([i for i in listed if i in made], made)
        self.assertNotIn(other, listed)
        self.assertEqual([c.id for c in stored.list(metadata={"n": "3"})], [made[3]])
        self.assertEqual([c.id for c in stored.list(metadata={"set": "s"}, limit=2)], made)
        self.assertEqual([c.id for c in stored.list(metadata={"set": "s"}, order="desc", limit=2)], made[::-1])
        self.assertEqual(list(stored.list(model="another")), [])
        self.assertEqual(stored.retrieve(made[0]).metadata, {"set": "s", "n": "0"})
        self.assertEqual(stored.update(made[0], metadata={"n": "9"}).metadata, {"n": "9"})
        self.assertEqual([c.id for c in stored.list(metadata={"n": "9"})], [made[0]])
        messages = list(self.lenient.chat.completions.messages.list(made[1], limit=1))
        self.assertEqual([(m.role, m.content) for m in messages], [("user", "1")])
        gone = stored.delete(made[0])
        self.assertEqual((gone.id, gone.deleted, gone.object), (made[0], True, "chat.completion.deleted"))
        for call in (lambda: stored.retrieve(made[0]), lambda: stored.retrieve(other),
                     lambda: stored.delete(made[0])):
            self.refused(openai.NotFoundError, call, "not_found")
        streamed = list(self.chat("s", stream=True, store=True))[0].id
        self.assertTrue(stored.retrieve(streamed).choices[0].message.content)


class Responses(Answers):
    def test_three_turns(self):
        first = self.respond("one", instructions="Be short.")
        second = self.respond("two", previous_response_id=first.id)
        third = self.respond("three", previous_response_id=second.id)
        self.assertEqual((second.previous_response_id, third.previous_response_id), (first.id, second.id))
        self.assertIsNone(second.instructions)
        self.assertGreater(third.usage.input_tokens, second.usage.input_tokens)
        by_hand = self.respond([{"role": "user", "content": "one"}, *[o.to_dict() for o in first.output],
                                {"role": "user", "content": "two"}])
        self.assertEqual(by_hand.usage.input_tokens, second.usage.input_tokens)
        self.assertEqual(by_hand.output_text, second.output_text)
        items = list(self.client.responses.input_items.list(third.id, limit=2))
        self.assertEqual(items[0].content[0].text, "three")
        self.assertTrue(all(item.id for item in items))
        self.assertEqual([i.id for i in self.client.responses.input_items.list(third.id, order="asc")],
                         [i.id for i in items][::-1])
        self.assertEqual(self.client.responses.retrieve(first.id).output_text, first.output_text)
        self.client.responses.delete(first.id)
        self.refused(openai.NotFoundError, lambda: self.client.responses.retrieve(first.id), "not_found")
        self.refused(openai.BadRequestError, lambda: self.respond("x", previous_response_id="resp_none"),
                     "previous_response_not_found", "previous_response_id")
        unkept = self.respond("one", store=False)
        self.refused(openai.NotFoundError, lambda: self.client.responses.retrieve(unkept.id), "not_found")

    def test_functions(self):
        tool = {"type": "function", **CHOOSE}
        more = {"tools": [tool], "tool_choice": "required", "max_output_tokens": 400, "model": "wide",
                "parallel_tool_calls": False}
        reply = self.respond("1a", **more)
        call = [o for o in reply.output if o.type == "function_call"][0]
        self.assertEqual((call.name, call.status), ("choose", "completed"))
        self.assertTrue(call.id.startswith("fc_") and call.call_id.startswith("call_"))
        self.assertIn(json.loads(call.arguments)["kind"], ("x", "y"))
        events = list(self.respond("1a", **more, stream=True))
        self.assertEqual("".join(e.delta for e in events if e.type == "response.function_call_arguments.delta"),
                         call.arguments)
        with self.client.responses.stream(input="1a", extra_body={"seed": 5}, **more) as stream:
            for _ in stream:
                pass
            self.assertEqual(stream.get_final_response().output[-1].arguments, call.arguments)
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "{\"ok\":true}"}
        after = self.respond([result], previous_response_id=reply.id, tools=[tool], model="wide")
        by_hand = self.respond([{"role": "user", "content": "1a"}, call.to_dict(), result], tools=[tool], model="wide")
        self.assertEqual(by_hand.output_text, after.output_text)
        listed = [i.type for i in self.client.responses.input_items.list(by_hand.id, order="asc")]
        self.assertEqual(listed, ["message", "function_call", "function_call_output"])
        self.refused(openai.BadRequestError, lambda: self.respond("x", tools=[{"type": "web_search"}]), None, "tools")

    def test_logprobs(self):
        reply = self.respond(include=["message.output_text.logprobs"], top_logprobs=2)
        entries = reply.output[-1].content[0].logprobs
        self.assertTrue(entries)
        self.assertTrue(all(len(e.top_logprobs) == 2 for e in entries))
        streamed = [x for e in self.respond(include=["message.output_text.logprobs"], top_logprobs=2, stream=True)
                    if e.type == "response.output_text.delta" for x in e.logprobs]
        self.assertEqual([x.logprob for x in streamed], [x.logprob for x in entries])

    def test_an_answer_that_is_cut(self):
        reply = self.respond("a", extra_body={"seed": 1})
        self.assertEqual((reply.status, reply.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        self.assertEqual(reply.usage.output_tokens, 16)
        self.refused(openai.BadRequestError, lambda: self.respond("a", max_output_tokens=15), None, "max_output_tokens")

    def test_tokens_are_counted(self):
        counted = self.client.responses.input_tokens.count(model="tiny", input="hello")
        self.assertEqual(counted.input_tokens, self.respond("hello").usage.input_tokens)

    def test_what_is_not_offered(self):
        self.refused(openai.BadRequestError, lambda: self.respond(conversation="conv_1"), None, "conversation")
        self.refused(openai.BadRequestError, lambda: self.respond(truncation="auto"), None, "truncation")


class Others(Answers):
    @unittest.skipUnless(os.path.isdir(ENCODER), "models/all-MiniLM-L6-v2 is not there")
    def test_embeddings(self):
        os.symlink(ENCODER, os.path.join(self.server.home, "models", "minilm"))
        texts = ["a king", "a queen", "the tax office"]
        reply = self.lenient.embeddings.create(model="minilm", input=texts)  # base64 on the wire
        floats = self.client.embeddings.create(model="minilm", input=texts, encoding_format="float")
        self.assertEqual([d.embedding for d in reply.data],
                         [list(struct.unpack("<384f", struct.pack("<384f", *d.embedding))) for d in floats.data])
        self.assertEqual([d.index for d in reply.data], [0, 1, 2])
        status, _, raw = self.server.raw("POST", "/v1/embeddings", {"model": "minilm", "input": "a king",
                                                                    "encoding_format": "base64"})
        self.assertEqual(status, 200)
        self.assertEqual(len(base64.b64decode(json.loads(raw)["data"][0]["embedding"])), 4 * 384)

        def near(a, b):
            return sum(x * y for x, y in zip(reply.data[a].embedding, reply.data[b].embedding))
        self.assertAlmostEqual(near(0, 0), 1, 4)
        self.assertGreater(near(0, 1), near(0, 2))
        short = self.lenient.embeddings.create(model="minilm", input="a king", dimensions=8).data[0].embedding
        self.assertEqual(len(short), 8)
        self.assertAlmostEqual(sum(x * x for x in short), 1, 4)
        self.refused(openai.BadRequestError, lambda: self.client.embeddings.create(
            model="minilm", input="a", dimensions=385), None, "dimensions")
        self.refused(openai.BadRequestError, lambda: self.client.embeddings.create(model="minilm", input=[]),
                     None, "input")

    def test_a_model_of_the_other_kind(self):
        self.refused(openai.BadRequestError, lambda: self.client.embeddings.create(model="tiny", input="a"))

    def test_completions(self):
        more = {"model": "tiny", "prompt": "It was", "max_tokens": 6, "seed": 5}
        whole = self.client.completions.create(**more)
        choice = whole.choices[0]
        self.assertEqual((whole.object, choice.finish_reason, choice.logprobs), ("text_completion", "length", None))
        self.assertEqual((whole.usage.completion_tokens, whole.usage.total_tokens),
                         (6, 6 + whole.usage.prompt_tokens))
        chunks = list(self.lenient.completions.create(**more, stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), choice.text)
        self.assertEqual(chunks[-1].usage, whole.usage)
        self.assertEqual([c.choices[0].finish_reason for c in chunks if c.choices][-1], "length")
        self.assertEqual([c.index for c in self.client.completions.create(**{**more, "prompt": ["a", "b"]},
                                                                          n=2).choices], [0, 1, 2, 3])
        self.assertTrue(self.client.completions.create(**more, echo=True).choices[0].text.startswith("It was"))
        self.client.completions.create(**more, logprobs=2)

    def test_logprobs_of_completions(self):
        more = {"model": "tiny", "prompt": "It was", "max_tokens": 6, "seed": 5, "logprobs": 2}
        choice = self.client.completions.create(**more).choices[0]
        told = choice.logprobs
        self.assertEqual([len(x) for x in (told.tokens, told.token_logprobs, told.top_logprobs, told.text_offset)],
                         [6] * 4)
        self.assertTrue(all(1 <= len(top) <= 2 and all(isinstance(x, float) for x in top.values())
                            for top in told.top_logprobs))
        self.assertEqual(told.text_offset[0], 0)
        self.assertEqual(told.text_offset, sorted(told.text_offset))
        streamed = [c.choices[0].logprobs for c in self.lenient.completions.create(**more, stream=True)]
        streamed = [x for x in streamed if x]
        for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            self.assertEqual([v for x in streamed for v in getattr(x, key)], getattr(told, key))
        echo = self.lenient.completions.create(**{**more, "max_tokens": 1}, echo=True).choices[0]
        self.assertIsNone(echo.logprobs.token_logprobs[0])
        self.assertIsNone(echo.logprobs.top_logprobs[0])
        for text, offset in zip(echo.logprobs.tokens[:-1], echo.logprobs.text_offset):
            self.assertEqual(echo.text[offset:offset + len(text)], text)

    def test_moderations_are_not_made_up(self):
        self.refused(openai.BadRequestError, lambda: self.client.moderations.create(input="x"), "not_offered",
                     match="no moderation model")


if __name__ == "__main__":
    unittest.main()
