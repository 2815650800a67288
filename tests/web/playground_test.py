"""The playground and what is said of its answers."""
import json
import unittest

from browser import HOSTILE, WebTest, expect


class Playground(WebTest):
    def feedback(self):
        return self.client.get("/feedback", cast_to=object)["data"]

    def ask(self, page, text, most="6"):
        if not page.get_by_label("Most tokens").is_visible():
            page.get_by_text("Settings", exact=True).click()
        page.get_by_label("Most tokens").fill(most)
        page.get_by_label("Seed").fill("1")  # an answer drawn anew each time may end by itself before its sixth token
        page.get_by_label("Your message").fill(text)
        page.get_by_label("Your message").press("Control+Enter")

    def test_two_models_are_asked_and_judged(self):
        page = self.open("playground?model=tiny")
        page.get_by_role("button", name="Side by side").click()
        self.ask(page, HOSTILE)
        sides = [page.get_by_role("region", name=name) for name in ("First model", "Second model")]
        for side in sides:
            expect(side.get_by_text("6 tokens")).to_be_visible()
            expect(side.get_by_text("<script>window.hacked=1</script>")).to_be_visible()
        self.sound()
        self.shot("playground-two")
        bar = sides[0].get_by_role("group", name="What do you say of this answer?")
        up = bar.get_by_role("button", name="Good answer")
        up.press("Enter")
        expect(up).to_have_attribute("aria-pressed", "true")
        (said,) = self.feedback()
        self.assertEqual((said["rating"], said["prompt"][-1]["content"]), ("up", HOSTILE))
        bar.get_by_role("button", name="Bad answer").click()
        expect(up).to_have_attribute("aria-pressed", "false")
        self.assertEqual([f["rating"] for f in self.feedback()], ["down"])
        bar.get_by_role("button", name="Correct it").click()
        box = page.get_by_role("dialog")
        box.get_by_label("Answer").fill("so it should be")
        self.sound()
        box.get_by_role("button", name="Keep it").click()
        bar.get_by_role("button", name="Comment").click()
        box.get_by_label("Comment").fill(HOSTILE)
        box.get_by_role("button", name="Keep it").click()
        expect(box).to_have_count(0)
        self.assertEqual({(f["correction"], f["comment"]) for f in self.feedback()},
                         {(None, None), ("so it should be", None), (None, HOSTILE)})
        # the conversation goes on with what was said
        self.ask(page, "second")
        expect(sides[0].get_by_text("6 tokens")).to_have_count(2)
        self.open("feedback")
        expect(page.get_by_role("article")).to_have_count(3)
        expect(page.get_by_text("so it should be")).to_be_visible()
        self.every_form("feedback", "feedback")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Download").click()
        with open(waiting.value.path(), encoding="utf-8") as f:
            self.assertEqual([json.loads(line)["messages"][-1]["content"] for line in f], ["so it should be"])
        page.get_by_role("button", name="Make a training file").click()
        expect(page.get_by_text("1 row in feedback-supervised.jsonl")).to_be_visible()
        page.get_by_role("button", name="Delete the feedback").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("article")).to_have_count(2)

    def test_stored_answers(self):
        made = self.client.chat.completions.create(model="tiny", store=True, max_completion_tokens=4, metadata={"topic": "<b>"},
                                                   messages=[{"role": "system", "content": "short"}, {"role": "user", "content": HOSTILE}])
        page = self.open("stored")
        link = page.get_by_role("row").filter(has_text=made.id).get_by_role("link")
        self.tab_to(link)
        page.keyboard.press("Enter")
        asked = page.get_by_role("region", name="What was asked")
        expect(asked.get_by_text("<script>window.hacked=1</script>")).to_be_visible()
        expect(asked.get_by_text("short", exact=True)).to_be_visible()
        expect(page.get_by_role("definition").filter(has_text="<b>")).to_be_visible()
        page.get_by_role("button", name="Good answer").click()
        expect(page.get_by_role("button", name="Good answer")).to_have_attribute("aria-pressed", "true")
        self.assertEqual([(f["object_id"], f["rating"]) for f in self.feedback()], [(made.id, "up")])
        self.client.delete("/feedback/" + self.feedback()[0]["id"], cast_to=object)
        page.get_by_role("button", name="Metadata").click()
        box = page.get_by_role("dialog")
        box.get_by_label("As JSON").fill("{nothing")
        box.get_by_role("button", name="Save").click()
        expect(box.get_by_role("alert")).to_contain_text("This is no JSON")
        box.get_by_label("As JSON").fill('{"topic": "genes"}')
        self.sound()
        box.get_by_role("button", name="Save").click()
        expect(page.get_by_role("definition").filter(has_text="genes")).to_be_visible()
        self.assertEqual(self.client.chat.completions.retrieve(made.id).metadata, {"topic": "genes"})
        self.every_form("stored", "stored")
        self.every_form("stored/" + made.id, "stored-one")
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Stored answers")).to_be_visible()
        self.assertNotIn(made.id, [c.id for c in self.client.chat.completions.list()])

    def test_a_response_is_looked_up(self):
        made = self.client.responses.create(model="tiny", instructions="be kind", input=HOSTILE, max_output_tokens=16)
        page = self.open("stored")
        page.get_by_label("One by its id").fill(made.id)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Response")).to_be_visible()
        asked = page.get_by_role("region", name="What was asked")
        expect(asked.get_by_text("be kind")).to_be_visible()
        expect(asked.get_by_text("<script>window.hacked=1</script>")).to_be_visible()
        expect(page.get_by_text("It was cut at the most tokens.")).to_have_count(int(made.status == "incomplete"))
        self.sound()
        page.route("**/v1/responses/" + made.id, lambda r: r.fulfill(json={**made.to_dict(), "status": "in_progress"}))
        page.reload()
        expect(page.get_by_text("It is being answered.")).to_be_visible()
        self.allowed = ["400"]  # which it is not
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("region", name="Messages")).to_contain_text("background")
        page.unroute("**/v1/responses/" + made.id)
        page.reload()
        expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Stored answers")).to_be_visible()
        self.allowed += ["404"]
        self.open("stored/" + made.id)
        expect(page.get_by_role("alert")).to_contain_text("no stored response of this id")

    def test_tokens_are_counted_and_calls_are_told(self):
        page = self.open("playground")
        page.get_by_label("Your message").fill("What is 2 + 2?")
        page.get_by_role("button", name="Count the tokens").click()
        n = self.client.post("/responses/input_tokens", cast_to=object, body={"model": "tiny", "input": "What is 2 + 2?"})["input_tokens"]
        expect(page.get_by_text("%d tokens with all that is sent" % n)).to_be_visible()
        page.get_by_role("button", name="API calls").click()
        box = page.get_by_role("dialog")
        expect(box.get_by_role("button", name="GET /v1/models")).to_have_count(1)
        self.sound()
        box.get_by_role("button", name="POST /v1/responses/input_tokens").press("Enter")
        code = page.get_by_label("The call", exact=True)
        expect(code).to_contain_text("What is 2 + 2?")
        expect(code).to_contain_text("$OPENAI_API_KEY")
        self.assertNotIn(self.server.key, page.content())

    def test_stop_and_a_refusal(self):
        page = self.open("playground")
        page.get_by_text("Settings", exact=True).click()
        page.get_by_label("Temperature").fill("7")
        self.allowed = ["400"]
        self.ask(page, "a")
        expect(page.get_by_role("alert")).to_contain_text("temperature")
        page.get_by_label("Temperature").fill("1")
        page.get_by_role("button", name="Show the call").click()
        code = page.get_by_label("The call", exact=True)
        expect(code).to_contain_text('"temperature": 1')
        page.get_by_role("button", name="Command").click()
        expect(code).to_have_text("hone chat --model tiny")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Begin anew").click()
        expect(page.get_by_text("Nothing is asked yet.")).to_be_visible()
        self.sound()

    def test_thinking_is_apart(self):
        def think(route):
            chunks = [{"reasoning_content": "hm " + HOSTILE}, {"content": "<b>yes</b>"}, {}]
            body = "".join("data: %s\n\n" % json.dumps({"id": "chatcmpl-x", "choices": [
                {"index": 0, "delta": d, "finish_reason": None if d else "length"}]}) for d in chunks)
            route.fulfill(status=200, content_type="text/event-stream", body=body + "data: [DONE]\n\n")
        page = self.open("playground")
        page.route("**/v1/chat/completions", think)
        self.ask(page, "x" * 1_000_000)
        expect(page.get_by_text("<b>yes</b>")).to_be_visible()
        expect(page.get_by_text("cut at the most tokens")).to_be_visible()
        expect(page.get_by_text("hm <script>")).to_be_hidden()
        page.get_by_text("Thinking", exact=True).click()
        expect(page.get_by_text("hm <script>")).to_be_visible()
        self.sound()

    def test_every_form(self):
        def asked(page):
            page.get_by_role("button", name="Side by side").click()
            self.ask(page, "What is 2 + 2?", "20")
            expect(page.get_by_text("20 tokens")).to_have_count(2)
        self.every_form("playground", "playground", asked)


if __name__ == "__main__":
    unittest.main()
