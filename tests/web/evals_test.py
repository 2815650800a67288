"""The pages of evals: begun in the browser, models side by side; and the statistics, against figures of scipy."""
import csv
import io
import json
import struct
import time
import unittest

from browser import HOSTILE, WebTest, expect, jsonl

# by scipy 1.17.1: stats.t.interval, binomtest(...).proportion_ci(method="wilson"), ttest_rel, binomtest(13, 50).pvalue
MEAN = (0.500000000, -0.395668590, 1.395668590)
WILSON_7, WILSON_0 = (0.396778147, 0.892208733), (0.000000000, 0.161125158)
PAIRED = (0.137500000, -0.076520889, 0.351520889, 0.172515409)
MCNEMAR_13 = 0.000936222911

WORDS = ["alpha", "beta", "gamma", "delta"]


def given(answers):
    """Rows with answers that nobody has to be asked for."""
    return [{"item": {"q": "Question %d %s" % (i, HOSTILE if i == 0 else ""), "answer": WORDS[i % 4], "names": WORDS},
             "sample": {"output_text": text}} for i, text in enumerate(answers)]


class Statistics(WebTest):
    def js(self, expression):
        return self.page.evaluate("import('/web/lib/statistics.js').then((s) => %s)" % expression)

    def near(self, expression, want):
        got = self.js(expression)
        self.assertEqual(len(got), len(want))
        for g, w in zip(got, want):
            self.assertAlmostEqual(g, w, 7, expression)

    def test_figures(self):
        self.open("files")
        self.near("Object.values(s.meanInterval([0.2, 0.4, 0.9]))", MEAN)
        self.assertEqual(self.js("s.meanInterval([3])"), {"mean": 3, "low": None, "high": None})
        self.near("Object.values(s.shareInterval(7, 10))", (0.7, *WILSON_7))
        self.near("Object.values(s.shareInterval(0, 20))", (0, *WILSON_0))
        self.near("(({difference, low, high, p}) => [difference, low, high, p])(s.pairedScores([.1,.5,.9,.3,.7,.2,.8,.4], "
                  "[.4,.6,.8,.9,.7,.5,.9,.2]))", PAIRED)
        self.assertEqual(self.js("s.pairedScores([1, 2], [1, 2]).p"), 1)
        passes = "s.pairedPasses([...Array(%d).fill(true), ...Array(%d).fill(false)], [...Array(%d).fill(false), ...Array(%d).fill(true)])"
        self.assertAlmostEqual(self.js((passes + ".p") % (2, 8, 2, 8)), 0.109375, 9)
        self.assertAlmostEqual(self.js((passes + ".p") % (13, 37, 13, 37)), MCNEMAR_13, 9)
        self.assertEqual(self.js("[s.passAtK(5, 2, 3), s.passAtK(4, 0, 2), s.passAtK(2, 1, 3), s.passAtK(3, 3, 1)]"), [0.9, 0, None, 1])

    def test_rankings(self):
        self.open("files")
        item = {"gene": " TSC2 ", "all": ["TSC1", "TSC2", "TSC2b", "FBN1"]}
        json_ = {"ranked": "sample.output_json.genes", "reference": "item.gene"}
        text = {"ranked": "text", "reference": "item.gene", "among": "item.all"}
        for ranking, answer, place in ((json_, '{"genes": ["FBN1", "fbn1 ", "", "tsc2"]}', 2), (json_, 'So: {"genes": ["TSC2"]}.', 1),
                                       (json_, '{"genes": "TSC2"}', 0), (json_, "TSC2", 0), (text, "FBN1, then TSC2, TSC1", 2),
                                       (text, "TSC2b and TSC2-like", 0), (text, "I say: tsc2!", 1), (text, "", 0)):
            got = self.js("s.rankPlace(%s, %s, %s)" % tuple(map(json.dumps, (ranking, item, answer))))
            self.assertEqual(got, place, (ranking, answer))


class Evals(WebTest):
    def eval_of(self, metadata=None, *criteria):
        return self.client.evals.create(name="Genes <b>", metadata=metadata, testing_criteria=list(criteria) or [
            {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", "reference": "{{item.answer}}", "operation": "eq"}],
            data_source_config={"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True})

    def run_of(self, eval_, name, answers):
        run = self.client.evals.runs.create(eval_.id, name=name, data_source={
            "type": "jsonl", "source": {"type": "file_content", "content": given(answers)}})
        end = time.monotonic() + 60
        while self.client.evals.runs.retrieve(run.id, eval_id=eval_.id).status != "completed":
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def test_models_are_asked_and_compared(self):
        rows = [{"messages": [{"role": "user", "content": "%d" % i}], "answer": "a"} for i in range(3)]
        file = self.client.files.create(file=("test.jsonl", jsonl(rows)), purpose="evals")
        page = self.open("evals")
        expect(page.get_by_role("heading", name="Nothing is measured yet")).to_be_visible()
        self.sound()
        page.get_by_role("link", name="New eval").press("Enter")
        expect(page.get_by_role("heading", name="New eval")).to_be_visible()
        page.get_by_label("Name", exact=True).fill("first")
        page.get_by_label("Answers to each question").fill("2")
        page.get_by_label("Most tokens").fill("6")
        page.get_by_label("Grader", exact=True).select_option("similar")
        self.sound()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("heading", name="first")).to_be_visible()
        figures = page.get_by_role("region", name="Figures, with 95 % intervals")
        expect(figures).to_contain_text("3 items, 6 answers")
        expect(figures).to_contain_text("pass@2")
        (made,) = self.client.evals.list()
        runs = list(self.client.evals.runs.list(made.id))
        self.assertEqual([(r.model, r.status) for r in runs], [("tiny", "completed")] * 2)
        self.assertEqual(len({r.data_source.sampling_params.seed for r in runs}), 2)
        self.assertEqual({r.data_source.source.id for r in runs}, {file.id})  # the file itself, no copy of it
        self.assertEqual([f.id for f in self.client.files.list()], [file.id])
        self.sound()
        page.get_by_role("button", name="Rename").click()
        page.get_by_role("dialog").get_by_label("Name").fill("second <b>")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="second <b>")).to_be_visible()
        self.assertEqual(self.client.evals.retrieve(made.id).name, "second <b>")
        page.get_by_role("button", name="Delete the run").first.click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(figures).to_contain_text("3 items, 3 answers")
        self.assertEqual(len(list(self.client.evals.runs.list(made.id))), 1)
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Nothing is measured yet")).to_be_visible()
        self.every_form("evals/new", "eval-new")
        self.client.files.delete(file.id)

    def test_rows_without_messages_are_kept_once(self):
        file = self.client.files.create(file=("plain.jsonl", jsonl([{"q": "a", "answer": "b"}])), purpose="evals")
        page = self.page
        for _ in range(2):
            self.open("evals/new")
            page.get_by_label("What is asked").fill("item.q")
            page.get_by_label("Most tokens").fill("2")
            page.get_by_role("button", name="Start").click()
            expect(page.get_by_role("region", name="Figures, with 95 % intervals")).to_contain_text("1 item")
        self.assertEqual(sorted(f.filename for f in self.client.files.list()), ["plain.items.jsonl", "plain.jsonl"])
        for one in self.client.evals.list():
            self.client.evals.delete(one.id)
        for one in self.client.files.list():
            self.client.files.delete(one.id)

    def test_two_sides(self):
        made = self.eval_of({"ranked": "text", "reference": "item.answer", "among": "item.names"})
        right = [WORDS[i % 4] for i in range(12)]
        self.run_of(made, "base", ["beta alpha"] * 3 + right[3:6] + ["no " + HOSTILE] * 6)
        self.run_of(made, "tuned", right[:11] + ["x" * 200_000])
        page = self.open("evals/" + made.id)
        figures = page.get_by_role("region", name="Figures, with 95 % intervals").get_by_role("row")
        expect(figures).to_have_count(3)
        self.assertIn("91.7", figures.nth(2).inner_text())  # 11 of 12
        self.assertIn("25.0", figures.nth(1).inner_text())
        self.assertRegex(figures.nth(1).inner_text(), r"33\.3[\s\S]*41\.7")  # first: items 1, 3, 4, 5; anywhere: item 0, too
        expect(page.get_by_text("is better on these items")).to_contain_text("tuned")
        expect(page.get_by_text("8 / 0 / 4")).to_be_visible()
        expect(page.get_by_text("8 won, 0 lost")).to_be_visible()
        page.get_by_label("Show", exact=True).select_option("ties")
        items = page.locator("details.item")
        expect(items).to_have_count(4)
        page.get_by_label("Show", exact=True).select_option("all")
        expect(items).to_have_count(12)
        items.last.locator("summary").press("Enter")
        items.nth(7).locator("summary").press("Enter")
        expect(items.nth(7)).to_contain_text("no <script>")
        self.sound()
        downloads = {}
        for kind in ("CSV", "SVG", "PNG"):
            with page.expect_download() as waiting:
                page.get_by_role("button", name=kind, exact=True).click()
            with open(waiting.value.path(), "rb") as f:
                downloads[kind] = f.read()
            self.assertEqual(waiting.value.suggested_filename, "Genes-b-." + kind.lower())
        csv.field_size_limit(10**7)
        lines = list(csv.DictReader(io.StringIO(downloads["CSV"].decode())))
        self.assertEqual(len(lines), 24)
        self.assertEqual([(r["score"], r["place"]) for r in lines[:3]], [("0", "2"), ("0", "1"), ("0", "0")])
        self.assertIn(b"xmlns=\"http://www.w3.org/2000/svg\"", downloads["SVG"])
        self.assertEqual(downloads["PNG"][:8], b"\x89PNG\r\n\x1a\n")
        self.assertEqual(struct.unpack(">I", downloads["PNG"][16:20])[0], 1520)
        self.every_form("evals/" + made.id, "eval", lambda p: p.locator("details.item summary").nth(7).click())
        self.open("evals")
        self.every_form("evals", "evals")
        self.client.evals.delete(made.id)

    def test_what_is_wrong_is_told(self):
        self.client.files.create(file=("broken.jsonl", b'{"item": {}}\nno json\n'), purpose="evals")
        page = self.open("evals/new")
        page.get_by_label("Test file").select_option(label="broken.jsonl (21 bytes)")
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("broken.jsonl, line 2")
        page.get_by_role("checkbox", name="tiny").uncheck()
        page.get_by_role("button", name="Start").click()
        expect(page.get_by_role("alert")).to_contain_text("at least one model")
        self.assertEqual(list(self.client.evals.list()), [])

    def test_z_a_failed_run_says_why(self):
        made = self.eval_of(None, {"type": "string_check", "name": "x", "input": "{{sample.output_text}}", "reference": "a", "operation": "eq"})
        page = self.open("evals/" + made.id)
        expect(page.get_by_role("heading", name="No run is done")).to_be_visible()
        self.sound()
        self.client.evals.delete(made.id)


if __name__ == "__main__":
    unittest.main()
