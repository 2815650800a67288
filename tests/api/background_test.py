"""Background responses by the official client: looked up, cancelled, followed, and finished by a server that was killed."""
import signal
import time
import unittest

import openai
from server import ApiTest
from webhooks_test import receive


class Background(ApiTest):
    options = ("--allow-private-webhooks",)

    def ask(self, **more):
        return self.client.responses.create(**{"model": "tiny", "input": "abc", "background": True,
                                               "max_output_tokens": 40, "extra_body": {"seed": 7}, **more})

    def ended(self, id_, seconds=60):
        return self.wait(lambda: (r := self.client.responses.retrieve(id_)).status not in ("queued", "in_progress")
                         and r, seconds)

    def text(self, response):
        """What it says, without what belongs to this one alone."""
        return [(o.type, [c.text for c in (o.content or [])]) for o in response.output]

    def kill(self):
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        self.server.process.stdout.close()
        self.server.log.close()
        self.server.start()
        type(self).client = self.server.client()

    def test_it_ends_as_one_that_was_waited_for(self):
        made = self.ask()
        self.assertEqual((made.status, made.background, made.output), ("queued", True, []))
        got = self.ended(made.id)
        self.assertIn(got.status, ("completed", "incomplete"))
        waited = self.client.responses.create(model="tiny", input="abc", max_output_tokens=40,
                                              extra_body={"seed": 7})
        self.assertEqual(self.text(got), self.text(waited))
        self.assertEqual(got.usage.output_tokens, waited.usage.output_tokens)
        strict = self.server.client(_strict_response_validation=True)
        self.assertEqual(strict.responses.retrieve(made.id).id, made.id)
        self.refused(openai.BadRequestError, lambda: self.ask(store=False), param="store")
        self.refused(openai.BadRequestError, lambda: self.client.responses.cancel(
            self.client.responses.create(model="tiny", input="a", max_output_tokens=16).id))
        after = self.client.responses.create(model="tiny", input="b", previous_response_id=made.id,
                                             max_output_tokens=16)
        self.assertGreater(after.usage.input_tokens, got.usage.input_tokens)

    def test_a_stream_is_followed_and_found_again(self):
        events = list(self.ask(stream=True))
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        self.assertEqual((events[0].type, events[1].type), ("response.created", "response.in_progress"))
        self.assertIn(events[-1].type, ("response.completed", "response.incomplete"))
        id_ = events[0].response.id
        plain = list(self.client.responses.create(model="tiny", input="abc", max_output_tokens=40, stream=True,
                                                  extra_body={"seed": 7}))
        self.assertEqual([e.type for e in events], [e.type for e in plain])
        joined = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        self.assertEqual(joined, events[-1].response.output_text)
        for after in (0, len(events) // 2, len(events) - 2):
            again = list(self.client.responses.retrieve(id_, stream=True, starting_after=after))
            self.assertEqual([e.to_dict() for e in again], [e.to_dict() for e in events[after + 1:]])
        self.assertEqual(list(self.client.responses.retrieve(id_, stream=True, starting_after=len(events) - 1)), [])
        raw = self.server.raw("GET", "/v1/responses/%s?stream=true&starting_after=x" % id_)
        self.assertEqual(raw[0], 400)

    def test_a_client_that_left_goes_on_where_it_was(self):
        stream, seen = self.ask(stream=True, max_output_tokens=200), []
        for event in stream:
            seen.append(event)
            if len(seen) == 5:
                break
        stream.close()
        id_ = seen[0].response.id
        rest = list(self.client.responses.retrieve(id_, stream=True, starting_after=seen[-1].sequence_number))
        self.assertEqual([e.sequence_number for e in seen + rest], list(range(len(seen) + len(rest))))
        self.assertEqual("".join(e.delta for e in seen + rest if e.type == "response.output_text.delta"),
                         rest[-1].response.output_text)

    def test_cancelled_is_cancelled(self):
        made = [self.ask(input="y%d" % i, max_output_tokens=400) for i in range(30)]
        now = [self.client.responses.cancel(m.id).status for m in reversed(made)]
        self.assertIn("cancelled", now)
        time.sleep(2)
        for m, status in zip(reversed(made), now):
            self.assertEqual(self.client.responses.retrieve(m.id).status, status)
            events = list(self.client.responses.retrieve(m.id, stream=True))
            self.assertEqual(events[-1].type in ("response.completed", "response.incomplete"), status != "cancelled")
        self.assertEqual(self.client.responses.cancel(made[-1].id).status, now[0])

    def test_what_fails_says_so(self):
        self.refused(openai.NotFoundError, lambda: self.ask(model="none"), "model_not_found", "model")
        made = self.ask(input=[{"role": "user", "content": "a" * 100000}])
        got = self.ended(made.id)
        self.assertEqual(got.status, "failed")
        self.assertTrue(got.error.message)
        events = list(self.client.responses.retrieve(made.id, stream=True))
        self.assertEqual(events[-1].type, "response.failed")

    def test_an_end_is_told(self):
        receiver = receive(self)
        made = self.client.post("/webhook_endpoints", cast_to=object, body={
            "name": "n", "url": "http://127.0.0.1:%d/" % receiver.server_port,
            "event_types": ["response.completed", "response.incomplete", "response.failed"]})
        id_ = self.ask().id
        self.wait(lambda: receiver.got, 30)
        headers, body = receiver.got[0]
        event = self.client.webhooks.unwrap(body, headers, secret=made["signing_secret"])
        self.assertEqual((event.type, event.data.id), ("response." + self.ended(id_).status, id_))
        self.client.delete("/webhook_endpoints/" + made["id"], cast_to=object)

    def test_deleted_is_gone(self):
        made = [self.ask(input="d%d" % i, max_output_tokens=300) for i in range(10)]
        for m in made:
            self.client.responses.delete(m.id)
            self.refused(openai.NotFoundError, lambda: self.client.responses.retrieve(m.id))

    def test_a_killed_server_s_are_finished(self):
        stream, seen = self.ask(stream=True, max_output_tokens=300), []
        for event in stream:
            seen.append(event)
            break
        others = [self.ask(input="x%d" % i, max_output_tokens=200, extra_body={"seed": i}).id for i in range(30)]
        self.kill()
        stream.close()
        states = [self.client.responses.retrieve(id_).status for id_ in others]
        self.assertTrue({"queued", "in_progress"} & set(states), states)
        id_ = seen[0].response.id
        rest = list(self.client.responses.retrieve(id_, stream=True, starting_after=seen[-1].sequence_number))
        self.assertEqual([e.sequence_number for e in seen + rest], list(range(len(seen) + len(rest))))
        for i, other in enumerate(others):
            waited = self.client.responses.create(model="tiny", input="x%d" % i, max_output_tokens=200,
                                                  extra_body={"seed": i})
            self.assertEqual(self.text(self.ended(other)), self.text(waited))
            events = list(self.client.responses.retrieve(other, stream=True))
            self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
            self.assertEqual("".join(e.delta for e in events if e.type == "response.output_text.delta"),
                             waited.output_text)


if __name__ == "__main__":
    unittest.main()
