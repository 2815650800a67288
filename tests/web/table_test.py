"""A table in New job: its cells as Python's csv module reads them, and the way from a spreadsheet to a started job."""
import contextlib
import csv
import io
import json
import os
import random
import re
import time
import unittest

from browser import HOSTILE, WebTest, expect, openai

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(ROOT, "examples", "tutorial", "cases.csv")
PARSE = """async ([text, separator]) => (await import('/web/lib/table_file.js')).parse(text, separator)"""
MADE = """async ([text, separator, change]) => {
    const file = await import('/web/lib/table_file.js');
    const rows = await import('/web/lib/table_rows.js');
    const table = await file.readTable(text, separator);
    const told = {method: 'reinforcement', answer: table.heads.length - 1, worse: -1, share: 0.2, seed: 1, prompt: '{{' + table.heads[0] + '}}', ...change};
    const keys = rows.keysOf(table.heads, told.answer);
    const how = {...told, keys, system: null, prompt: rows.textWith(told.prompt, table.heads, keys)};
    const made = await rows.plan(table, how);
    const lines = async (side) => (await rows.linesOf(table, how, made.side, side)).join('');
    return {keys, table, mistakes: made.mistakes, n: [made.n_train, made.n_valid], train: await lines(rows.TRAIN), valid: await lines(rows.VALID)};
}"""


def written(rows, separator=",", end="\r\n", quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return out.getvalue()


def as_python_reads(text, separator, strict=False):
    """(records, the line where each begins); empty lines are no records."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    records, lines, before = [], [], 0
    for record in reader:
        if record:
            records.append(record)
            lines.append(before + 1)
        before = reader.line_num
    return records, lines


def objects(lines):
    return [json.loads(line) for line in lines.splitlines()]


class Table(WebTest):
    @classmethod
    def prepare(cls):
        with open(CASES, "rb") as stream:
            cls.cases = stream.read()

    def tearDown(self):
        super().tearDown()
        for job in self.client.fine_tuning.jobs.list():
            with contextlib.suppress(openai.BadRequestError):
                self.client.fine_tuning.jobs.cancel(job.id)
        self.forget()

    def forget(self):
        for file in self.client.files.list():
            self.client.files.delete(file.id)

    def give(self, content, name="cases.csv", page=None):
        content = content.encode() if isinstance(content, str) else content
        box = (page or self.page).get_by_role("group", name="Training file")
        box.locator("input[type=file]").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})

    def opened(self, content, name="cases.csv", page=None):
        """The panel of a table."""
        self.give(content, name, page)
        panel = (page or self.page).get_by_role("region", name="The table", exact=True)
        expect(panel.get_by_role("status")).to_contain_text("to train on")
        return panel

    def uploaded(self):
        """{name: rows} of all files of the server."""
        return {f.filename: objects(self.client.files.content(f.id).text) for f in self.client.files.list()}

    def used(self):
        self.page.get_by_role("button", name="Use these rows").click()
        expect(self.page.get_by_role("region", name="The table", exact=True)).to_have_count(0)
        expect(self.page.get_by_role("group", name="Training file").locator("xpath=..").locator(".chip").first).to_be_visible()
        return self.uploaded()

    # ---- reading ----

    def test_tables_are_read_as_python_reads_them(self):
        page = self.open("new-job")
        chance = random.Random(7)
        pieces = ["", "a", "b ", " c", '"', '""', ",", ";", "\t", "\n", "\r\n", "\r", "\u00e4\U0001f600", "x y", "'"]

        def cell():
            return "".join(chance.choice(pieces) for _ in range(chance.randrange(5)))
        tables, texts = [], []
        for _ in range(300):
            width = chance.randrange(1, 6)
            tables.append((written([["h%d" % i for i in range(width)]] + [[cell() for _ in range(width)] for _ in range(chance.randrange(1, 8))],
                                   chance.choice(",;\t"), chance.choice(["\n", "\r\n"]), chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])), width))
        for _ in range(400):  # no writer's: whatever stands there
            texts.append("".join(chance.choice(pieces) for _ in range(chance.randrange(40))))
        found = page.evaluate("""async (texts) => {
            const {parse, separatorOf} = await import('/web/lib/table_file.js');
            return texts.map((t) => [separatorOf(t), ...[',', ';', '\\t'].map((s) => parse(t, s))]);
        }""", [t for t, _ in tables] + texts)
        opened = 0
        for i, (separator, *by) in enumerate(found):
            text = tables[i][0] if i < len(tables) else texts[i - len(tables)]
            if i < len(tables) and tables[i][1] > 1:
                self.assertEqual(as_python_reads(text, separator)[0][0], ["h%d" % k for k in range(tables[i][1])], repr(text))
            for sign, told in zip(",;\t", by):
                if told["open"] or told["stray"]:
                    with self.assertRaises(csv.Error, msg=repr(text)):
                        as_python_reads(text, sign, strict=True)
                else:
                    as_python_reads(text, sign, strict=True)
                opened += bool(told["open"])
                if not told["open"]:
                    self.assertEqual((told["records"], told["lines"]), as_python_reads(text, sign), repr(text))
        self.assertGreater(opened, 20)
        self.assertLess(opened, 3 * len(texts))

    def test_what_parts_the_cells_is_told_from_the_table(self):
        page = self.open("new-job")
        cases = [("a,b;c,d\n1,2;3,4\n", "", ","), ("what, long;answer\nx;y\nz, w, v;u\n", "", ";"), ("a\tb, c\n1\t2\n", "", "\t"),
                 ("what, in words\na, b\n", "cases.TSV", "\t"), ("sep=;\na,b;c\n1,2;3\n", "", ";"), ("one column\nx\n", "", ","),
                 ('"a;b;c",d\n"e;f;g",h\n', "", ","), ("", "", ","),
                 ("a;b\nx;\"" + "y, z\n" * 60000 + "\"\n", "", ";")]  # longer than what is looked at
        found = page.evaluate("""async (cases) => {
            const {separatorOf} = await import('/web/lib/table_file.js');
            return cases.map(([text, name]) => separatorOf(text, name));
        }""", [case[:2] for case in cases])
        for (text, name, wanted), is_ in zip(cases, found):
            self.assertEqual(is_, wanted, (text[:40], name))

    def test_what_is_no_table_is_told_in_a_sentence(self):
        page = self.open("new-job")
        alert = page.get_by_role("group", name="Training file").locator("xpath=..").get_by_role("alert")
        for name, content, words in (
                ("cases.csv", "question,answer\na,b\nGr\u00f6\u00dfe,c\n".encode("cp1252"), "Line 3 is not UTF-8"),
                ("cases.csv", "question,answer\na,b\n".encode("utf-16"), "UTF-16"),
                ("cases.csv", b"a,b\n1,\0\n", "Line 2 holds a zero byte"),
                ("cases.xlsx", b"PK\3\4", "This is a workbook"),
                ("cases.csv", b"PK\3\4\x14\0", "This is a workbook"),
                ("cases.ods", b"x", "Save it as CSV (UTF-8)"),
                ("cases.csv", 'a,b\n1,2\n3,"4\n5,6\n', "Line 3: a quote is opened there and never closed"),
                ("cases.csv", "\n , \n", "The table is empty"),
                ("cases.csv", "sep=;\nquestion;answer\n", "Line 2 has the names of the columns, and no row is below it."),
                ("cases.csv", ",".join("c%d" % i for i in range(501)) + "\n1\n", "501 columns")):
            self.give(content, name)
            expect(alert).to_contain_text(words)
        self.sound()
        said = page.evaluate("""async () => {
            const {openTable} = await import('/web/pages/new_job_table.js');
            return openTable({name: 'cases.csv', size: 100e6 + 1e6}).catch((e) => e.message);
        }""")
        self.assertIn("The table has 101 MB, and 100 MB at most are read in a browser", said)
        with self.assertRaisesRegex(Exception, "more than 0 million characters"):
            page.evaluate(MADE.replace("made.side, side)", "made.side, side, 80)"), ["a,b\n" + "c,d\n" * 3, ",", {}])
        self.assertEqual(self.uploaded(), {})
        page.get_by_role("group", name="Validation file").locator("input[type=file]").set_input_files(CASES)
        expect(page.get_by_text("A table is taken by the box of the training file")).to_be_visible()

    def test_marks_of_spreadsheets(self):
        page = self.open("new-job")
        text = "\ufeffsep=;\r\nquestion ; answer;;\r\n\"a; \"\"b\"\"\"; x ;;\r\n\"c\nd\";y;\r\n;;;\r\n\r\ne;z;;;;\r\n"
        made = page.evaluate(MADE, [text.removeprefix("\ufeff"), ";", {"share": 0}])
        self.assertEqual((made["table"]["heads"], made["table"]["lines"], made["table"]["flaws"]), (["question", "answer"], [3, 4, 8], {}))
        panel = self.opened(text)
        expect(panel.get_by_role("heading", name="cases.csv: 3 rows, 2 columns")).to_be_visible()
        expect(panel.get_by_label("Cells are parted by")).to_have_value(";")
        panel.get_by_label("Cells are parted by").select_option(",")
        expect(panel.get_by_role("heading", name="cases.csv: 4 rows, 1 column")).to_be_visible()

    # ---- from a table to a job ----

    def test_from_a_spreadsheet_to_a_job_by_keyboard_alone(self):
        page = self.open("new-job")
        key = page.keyboard.press
        box = page.get_by_role("group", name="Training file")
        self.tab_to(box.get_by_role("button", name="Choose a file"), 200)
        box.locator("input[type=file]").set_input_files(CASES)
        panel = page.get_by_role("region", name="The table", exact=True)
        expect(panel.get_by_role("heading", name="cases.csv: 100 rows, 3 columns")).to_be_visible()
        asked = panel.get_by_label("What the model is asked")
        expect(asked).to_have_value("{{what_the_customer_says}}")
        expect(panel.get_by_label("Which column holds the right answer")).to_have_value("2")
        self.tab_to(asked)
        key("Home")
        page.keyboard.type("Which part? ")
        key("End")
        page.keyboard.type(" (case ")
        self.tab_to(panel.get_by_role("button", name="{{case}}"))
        key("Enter")
        expect(asked).to_be_focused()
        page.keyboard.type(")")
        expect(panel.get_by_text("Which part? Only one of the two shines (case 1)")).to_be_visible()
        expect(panel.get_by_role("status")).to_have_text("80 rows to train on, 20 kept back.")
        self.sound()
        self.tab_to(panel.get_by_role("button", name="Use these rows"))
        key("Enter")
        expect(page.get_by_text("80 rows, no mistake", exact=True)).to_be_visible()
        expect(page.get_by_text("20 rows, no mistake", exact=True)).to_be_visible()
        expect(page.locator("#file-training")).to_be_focused()
        with open(CASES, encoding="utf-8", newline="") as stream:
            cases = list(csv.DictReader(stream))
        files = self.uploaded()
        wanted = [{"messages": [{"role": "user", "content": "Which part? %s (case %s)" % (c["what the customer says"], c["case"])}],
                   "answer": c["part"], "case": c["case"], "what_the_customer_says": c["what the customer says"]} for c in cases]
        held = [row for row in wanted if row in files["cases.valid.jsonl"]]
        self.assertEqual((list(files["cases.valid.jsonl"]), list(files["cases.train.jsonl"])), (held, [row for row in wanted if row not in held]))
        self.tab_to(page.get_by_role("button", name="Start the job"), 200)
        key("Enter")
        page.wait_for_url(re.compile("#/jobs/ftjob-"))
        job = self.client.fine_tuning.jobs.retrieve(page.url.rsplit("/", 1)[1])
        self.assertEqual([self.client.files.retrieve(f).filename for f in (job.training_file, job.validation_file)],
                         ["cases.train.jsonl", "cases.valid.jsonl"])
        self.assertEqual(job.method.reinforcement.grader.reference, "{{item.answer}}")

    def test_mistakes_are_told_with_their_lines_and_left_out(self):
        page = self.open("new-job")
        panel = self.opened('question,part\n"two\nlines",eye\nshort\na,b,c\n"x" y,ear\nw, \n ,ear\nlast,nose\n')
        for line, words in ((4, "1 cell, 2 were expected."), (5, "3 cells, 2 were expected."), (6, "text follows a closing quote"),
                            (7, "the answer is empty."), (8, "nothing is asked")):
            expect(panel.get_by_role("listitem").filter(has_text="Line %d:" % line)).to_contain_text(re.compile(words, re.I))
        expect(panel.get_by_text("5 mistakes in 7 rows.")).to_be_visible()
        panel.get_by_role("button", name="Use these rows").click()
        expect(panel.get_by_role("alert").filter(has_text="The table has 5 rows with a mistake")).to_be_visible()
        expect(panel.get_by_label("Leave these 5 rows out")).to_be_focused()
        page.get_by_role("button", name="Start the job").click()
        expect(page.get_by_role("button", name="Use the rows of the table, or leave it.")).to_be_visible()
        self.sound()
        page.keyboard.press("Shift+Tab")
        panel.get_by_label("Leave these 5 rows out").check()
        panel.get_by_label("Keep back for validation, in %").fill("0")
        self.assertEqual(self.used(), {"cases.train.jsonl": [
            {"messages": [{"role": "user", "content": "two\nlines"}], "answer": "eye", "question": "two\nlines"},
            {"messages": [{"role": "user", "content": "last"}], "answer": "nose", "question": "last"}]})

    def test_what_cannot_be_asked_is_said_at_once(self):
        self.open("new-job")
        panel = self.opened("question,answer\na,b\nc,d\n")
        asked = panel.get_by_label("What the model is asked")
        for text, words in (("Which?", "Every row would be asked the same"), ("{{question}} {{nobody}}", "No column is named {{nobody}}"),
                            ("", "Nothing is asked yet."), ("{{question}}: {{ answer }}", "shows the model the right answer")):
            asked.fill(text)
            expect(panel.get_by_role("alert").filter(has_text=words)).to_be_visible()
            expect(asked).to_have_attribute("aria-invalid", "true")
            panel.get_by_role("button", name="Use these rows").click()
            expect(asked).to_be_focused()
        asked.fill("{{ question }}")
        for label, bad in (("Keep back for validation, in %", "95"), ("Seed of the draw", "1.5"), ("Seed of the draw", "")):
            panel.get_by_label(label).fill(bad)
            panel.get_by_role("button", name="Use these rows").click()
            expect(panel.get_by_label(label)).to_be_focused()
            panel.get_by_label(label).fill("0")
        self.assertEqual(self.uploaded(), {})
        self.sound()
        panel.get_by_role("button", name="Leave the table").click()
        expect(panel).to_have_count(0)
        expect(self.page.locator("#file-training-choose")).to_be_focused()

    def test_each_method_gets_its_rows(self):
        page = self.open("new-job")
        text = "Ask\tWorse\tBetter\n" + "".join("q%d\tbad\tgood\n" % i for i in range(5))
        panel = self.opened(text, "pairs.tsv")
        page.locator("#method-dpo").click()
        expect(panel.get_by_label("Which column holds the better answer")).to_have_value("2")
        expect(panel.get_by_label("Which column holds the worse answer")).to_have_value("1")
        panel.get_by_text("A message of the system before it").click()
        panel.get_by_label("Message of the system").fill("Be kind.")
        asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "q0"}]
        files = self.used()
        self.assertEqual((len(files["pairs.train.jsonl"]), len(files["pairs.valid.jsonl"])), (4, 1))
        rows = files["pairs.train.jsonl"] + files["pairs.valid.jsonl"]
        self.assertIn({"input": {"messages": asked}, "preferred_output": [{"role": "assistant", "content": "good"}],
                       "non_preferred_output": [{"role": "assistant", "content": "bad"}]}, rows)
        expect(page.get_by_text("4 rows, no mistake", exact=True)).to_be_visible()
        page.locator("#method-supervised").click()  # the files are of another method: the table can be gone back to
        expect(page.get_by_text("mistakes in 4 rows")).to_be_visible()
        page.get_by_role("button", name="Change what is made of pairs.tsv").click()
        panel.get_by_label("Which column holds the answer").select_option(label="Better")
        self.forget()
        self.used()
        expect(page.get_by_text("4 rows, no mistake", exact=True)).to_be_visible()
        files = self.uploaded()
        self.assertIn({"messages": asked + [{"role": "assistant", "content": "good"}]}, files["pairs.train.jsonl"] + files["pairs.valid.jsonl"])

    def test_keys_are_names_that_a_grader_can_say(self):
        page = self.open("new-job")
        heads = ["What does\nit say?", "note", "note", "", "messages", "Gr\u00f6\u00dfe (cm)", "__proto__", "7", "answer", "{{x}}.[0]", "part"]
        made = page.evaluate(MADE, [written([heads, ["v%d" % i for i in range(len(heads))]]), ",", {"share": 0, "prompt": "{{note}}{{note_2}}"}])
        keys = ["What_does_it_say", "note", "note_2", "column_4", "messages_2", "Gr\u00f6\u00dfe_cm", "proto", "7", "answer_2", "x_0", "answer"]
        self.assertEqual(made["keys"], keys)
        item = objects(made["train"])[0]
        self.assertEqual(item, {"messages": [{"role": "user", "content": "v1v2"}], **{k: "v%d" % i for i, k in enumerate(keys)}})
        for i, name in enumerate(keys):
            grader = {"type": "string_check", "name": "g", "operation": "eq", "input": "{{sample.output_text}}", "reference": "{{item.%s}}" % name}
            said = self.client.post("/fine_tuning/alpha/graders/run", cast_to=object, body={"grader": grader, "item": item, "model_sample": "v%d" % i})
            self.assertEqual(said["reward"], 1, name)

    def test_the_same_seed_keeps_back_the_same_rows(self):
        page = self.open("new-job")
        text = written([["question", "n"]] + [["q%d" % (i * i % 331), str(i)] for i in range(1000)])

        def split(**change):
            made = page.evaluate(MADE, [text, ",", change])
            train, valid = objects(made["train"]), objects(made["valid"])
            self.assertEqual(sorted(int(row["answer"]) for row in train + valid), list(range(1000)))
            asked = [{row["messages"][0]["content"] for row in part} for part in (train, valid)]
            self.assertEqual(asked[0] & asked[1], set())
            return [row["answer"] for row in valid]
        first = split()
        self.assertLess(abs(len(first) - 200), 10)
        self.assertEqual(first, split())
        self.assertEqual(first, split(prompt="Tell me: {{question}}"))
        self.assertNotEqual(first, split(seed=2))
        self.assertLess(abs(len(split(share=0.5, seed=3)) - 500), 10)
        self.assertEqual(split(share=0), [])
        for text, n in (("a,b\nsame,1\nsame,2\nsame,3\n", [3, 0]), ("a,b\nsame,1\nsame,2\nother,3\n", None)):
            made = page.evaluate(MADE, [text, ",", {"share": 0.3}])
            self.assertEqual(sum(made["n"]), 3)
            self.assertIn(made["n"], [n] if n else [[2, 1], [1, 2]])

    def test_both_files_are_downloaded_without_an_upload(self):
        page = self.open("new-job")
        panel = self.opened(self.cases)
        got = []
        page.on("download", lambda d: got.append(d))
        panel.get_by_role("button", name="Download").click()
        end = time.monotonic() + 30
        while len(got) < 2 and time.monotonic() < end:
            page.wait_for_timeout(50)
        self.assertEqual(self.uploaded(), {})
        texts = {}
        for download in got:
            with open(download.path(), encoding="utf-8") as stream:
                texts[download.suggested_filename] = objects(stream.read())
        self.assertEqual(texts, self.used())

    # ---- large, hostile, narrow ----

    def test_a_hundred_thousand_rows(self):
        page = self.open("new-job")
        took = page.evaluate("""async () => {
            const made = %s;
            const row = (_, i) => `${i},"The wheel number ${i} makes a noise, and ""quotes"", too; it does so since March",k${i %% 9},"none, or\\nlittle",${'abc'[i %% 3]}\\r\\n`;
            const text = 'case,what was said,kind,remark,part\\r\\n' + Array.from({length: 100000}, row).join('');
            const data = new DataTransfer();
            data.items.add(new File([text], 'cases.csv'));
            const input = document.querySelector('[aria-label^="Training file:"]');
            const began = performance.now();
            const until = async (found) => {
                while (!found()) await new Promise((resolve) => setTimeout(resolve, 10));
                return (performance.now() - began) / 1000;
            };
            input.files = data.files;
            input.dispatchEvent(new Event('change'));
            const shown = await until(() => document.querySelector('.sheet'));
            const counted = await until(() => document.querySelector('[aria-label="The table"] [role=status]').textContent);
            const {n} = await made([text, ',', {prompt: '{{what was said}}'}]);
            return {n, mb: text.length / 1e6, shown, counted, lines: (performance.now() - began) / 1000 - counted};
        }""" % MADE)
        expect(page.get_by_text("80,000 rows to train on, 20,000 kept back.")).to_be_visible()
        self.assertLess(page.locator("[aria-label='The table'] *").count(), 300)
        self.assertEqual(took["n"], [80000, 20000])
        print("100,000 rows, %.0f MB: shown after %.1f s, counted after %.1f s, read and made into lines in %.1f s"
              % (took["mb"], took["shown"], took["counted"], took["lines"]))
        self.assertLess(took["shown"] + took["lines"], 30)  # two seconds where the core is free

    def test_hostile_cells_are_text(self):
        cell = HOSTILE.replace("\0", "")
        content = written([["<img src=x onerror='window.hacked=1'>", "\u202eevil {{b}}", "answer"]] + [[cell, "{{7*7}}" + cell, cell] for _ in range(6)])
        self.open("new-job")
        panel = self.opened(content, "<b>\u202eevil</b>.csv")
        expect(panel.get_by_text("\u241b[31mred").first).to_be_visible()
        self.sound()
        rows = self.used()["<b>\u202eevil</b>.train.jsonl"]
        self.assertEqual(rows[0]["answer"], cell)
        self.assertIn(rows[0]["messages"][0]["content"], (cell, "{{7*7}}" + cell))

    def test_every_width(self):
        wide = [["column %d %s" % (i, "x" * i * 2) for i in range(40)]] + [["%d words of a cell that goes on and on" % i] * 40 for i in range(9)] + [["short"]]
        self.every_form("new-job", "new-job-table", lambda p: self.opened(written(wide), "n" * 80 + ".csv", p))


if __name__ == "__main__":
    unittest.main()
