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
