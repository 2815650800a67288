"""Completions of a text: log-probabilities in their own form, and a stream that says what the whole answer says."""
import unittest

from server import ApiTest


class Completions(ApiTest):
    ASK = {"model": "tiny", "prompt": "a b", "max_tokens": 6, "temperature": 0, "logprobs": 2}

    def test_log_probabilities(self):
        choice = self.client.completions.create(**self.ASK, echo=True).choices[0]
        told = choice.logprobs
        n = len(told.tokens)
        self.assertEqual([len(x) for x in (told.token_logprobs, told.top_logprobs, told.text_offset)], [n, n, n])
        self.assertGreater(n, 6)
        self.assertIsNone(told.token_logprobs[0])  # nothing stands before it
        self.assertTrue(choice.text.startswith("a b"))
        exact = choice.text.split("\ufffd")[0]  # up to bytes that are no UTF-8, which the tiny model says
        self.assertGreaterEqual(len(exact), 3)
        for token, offset in zip(told.tokens, told.text_offset):
            if offset + len(token) <= len(exact):
                self.assertEqual(exact[offset:offset + len(token)], token)
        # greedy: what was taken is the likeliest, of two that were asked for
        for token, value, top in list(zip(told.tokens, told.token_logprobs, told.top_logprobs))[-6:]:
            self.assertIn(token, top)
            self.assertEqual(max(top.values()), value)
            self.assertLessEqual(len(top), 2)
        self.assertIsNone(self.client.completions.create(**{**self.ASK, "logprobs": None}).choices[0].logprobs)

    def test_a_stream_says_the_same(self):
        for more in ({}, {"echo": True}, {"n": 2}, {"logprobs": None}):
            with self.subTest(more=more):
                ask = {**self.ASK, "seed": 1, **more}
                whole = self.client.completions.create(**ask)
                texts, tokens, offsets, ends = {}, {}, {}, {}
                for chunk in self.client.completions.create(**ask, stream=True):
                    for c in chunk.choices:
                        texts[c.index] = texts.get(c.index, "") + c.text
                        if c.logprobs:
                            tokens.setdefault(c.index, []).extend(c.logprobs.tokens)
                            offsets.setdefault(c.index, []).extend(c.logprobs.text_offset)
                        if c.finish_reason:
                            ends[c.index] = c.finish_reason
                for c in whole.choices:
                    self.assertEqual((texts[c.index], ends[c.index]), (c.text, c.finish_reason))
                    self.assertEqual(tokens.get(c.index), c.logprobs and c.logprobs.tokens)
                    for one in offsets.get(c.index, []):
                        self.assertLessEqual(one, len(c.text))


if __name__ == "__main__":
    unittest.main()
