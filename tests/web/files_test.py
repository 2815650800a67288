"""The frame of the dashboard and its page of files."""
import json
import os
import tempfile
import unittest

from browser import HOSTILE, LONG, WebTest, expect, jsonl, rows


class Frame(WebTest):
    def test_the_files_of_the_program_are_served(self):
        status, headers, body = self.server.raw("GET", "/", key=False)
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        policy = headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'",
                     "require-trusted-types-for 'script'"):
            self.assertIn(rule, policy)
        self.assertNotIn("unsafe", policy)
        self.assertEqual((headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"]),
                         ("nosniff", "no-referrer", "no-cache"))
        self.assertIn(b"<title>hone</title>", body)
        for path, kind in (("app.js", "text/javascript"), ("app.css", "text/css"), ("colours.css", "text/css"), ("icon.svg", "image/svg+xml"),
                           ("lib/api.js", "text/javascript"), ("pages/files.js", "text/javascript"),
                           ("vendor/chart.js", "text/javascript")):
            status, headers, body = self.server.raw("GET", "/web/" + path, key=False)
            self.assertEqual((status, headers["content-type"].split(";")[0]), (200, kind), path)
            again, told, rest = self.server.raw("GET", "/web/" + path, None, {"If-None-Match": headers["etag"]}, key=False)
            self.assertEqual((again, told["etag"], rest), (304, headers["etag"], b""), path)
            other, _, whole = self.server.raw("GET", "/web/" + path, None, {"If-None-Match": '"other"'}, key=False)
            self.assertEqual((other, whole), (200, body), path)
        for path in ("none.js", "lib/none.js", "lib", "..%2Fapp.js", "lib/..%2F..%2Fapp.js"):
            status, headers, body = self.server.raw("GET", "/web/" + path, key=False)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (404, "unknown_url"), path)

    def test_no_file_of_ours_makes_html_of_text(self):
        web = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "web")
        for folder, _, names in os.walk(web):
            for name in names:
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    text = f.read()
                for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " style=\"", " onclick="):
                    self.assertNotIn(word, text, name)

    def test_a_key_is_asked_for_and_kept(self):
        page = self.page = self.new_page(key="")
        self.allowed = ["401"]
        self.open("files")
        expect(page.get_by_role("heading", name="Your API key")).to_be_visible()
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        self.sound()
        page.keyboard.type("sk-wrong-key-of-nobody")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("is not known here")
        page.get_by_label("Key", exact=True).fill(self.server.key)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()
        self.assertNotIn(self.server.key, page.url)
        self.assertIsNone(page.evaluate("localStorage.getItem('hone.key')"))
        page.reload()
        self.settled()
        expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()
        page.get_by_role("button", name="Key …").click()
        page.get_by_label("Key", exact=True).fill(self.server.key)
        page.get_by_label("Remember it on this computer").check()
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_role("heading", name="Files", exact=True)).to_be_visible()
        self.assertEqual(page.evaluate("localStorage.getItem('hone.key')"), self.server.key)
        page.get_by_role("button", name="Key …").click()
        page.get_by_role("button", name="Forget").click()
        expect(page.get_by_role("heading", name="Your API key")).to_be_visible()
        self.assertIsNone(page.evaluate("localStorage.getItem('hone.key') ?? sessionStorage.getItem('hone.key')"))

    def test_theme_menu_and_unknown_addresses(self):
        page = self.open("files")
        page.get_by_role("button", name="Theme").click()
        page.get_by_role("button", name="Theme").click()
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark")
        page.reload()
        self.settled()
        self.assertEqual(page.evaluate("document.documentElement.dataset.theme"), "dark")
        page.goto(self.origin + "/#/no/such/page")
        expect(page.get_by_role("heading", name="There is nothing at this address")).to_be_visible()
        self.sound()
        narrow = self.new_page(viewport={"width": 360, "height": 740})
        self.open("files", narrow)
        menu = narrow.get_by_role("button", name="Menu")
        expect(menu).to_have_attribute("aria-expanded", "false")
        menu.focus()
        narrow.keyboard.press("Enter")
        expect(narrow.get_by_role("link", name="Files")).to_be_visible()
        self.sound(narrow)
        narrow.keyboard.press("Escape")
        expect(narrow.get_by_role("link", name="Files")).to_be_hidden()

    def test_a_chart_is_drawn_and_announced(self):
        page = self.open("files")
        label = page.evaluate("""import("/web/lib/chart.js").then(async ({ lineChart }) => {
            const x = [...Array(2000).keys()], y = x.map((i) => i / 2000);
            const chart = await lineChart({ label: "Reward", series: [{ name: "train", x, y, low: y.map((v) => v - .1), high: y.map((v) => v + .1), colour: "train" },
                                                                     { name: "valid", x: [0, 1], y: [.25, .5], colour: "valid" }] });
            document.querySelector("main .page").append(chart.element);
            await new Promise(requestAnimationFrame);
            window.chart = chart;
            return chart.element.querySelector("canvas").getAttribute("aria-label");
        })""")
        self.assertEqual(label, "Reward. train: 0 at first, 1 at last; valid: 0.25 at first, 0.5 at last.")
        painted = """[...document.querySelector("canvas").getContext("2d").getImageData(0, 0, 4000, 4000).data].some((v) => v > 0)"""
        self.assertTrue(page.evaluate(painted))
        page.get_by_role("button", name="train").click()
        expect(page.get_by_role("button", name="train")).to_have_attribute("aria-pressed", "false")
        page.get_by_role("button", name="Theme").click()
        self.sound()
        self.shot("chart")
        page.evaluate("window.chart.destroy()")

    def test_a_server_without_keys_asks_for_none(self):
        from browser import Server
        server = Server("--workers=0", "--anonymous", key="")
        try:
            self.origin_only = lambda url: None
            page = self.new_page(key="")
            page.goto(server.url.removesuffix("/v1") + "/")
            expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        finally:
            server.close()


class Files(WebTest):
    def upload(self, name="cases.jsonl", content=None):
        return self.client.files.create(file=(name, jsonl(rows()) if content is None else content), purpose="fine-tune")

    def tearDown(self):
        super().tearDown()
        for file in self.client.files.list():
            self.client.files.delete(file.id)

    def test_empty(self):
        self.open("files")
        expect(self.page.get_by_role("heading", name="No files yet")).to_be_visible()
        self.every_form("files", "files-empty")

    def test_upload_list_preview_download_delete(self):
        page = self.open("files")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "my cases.jsonl")
            with open(path, "wb") as f:
                f.write(jsonl(rows(30)))
            page.get_by_label("What is in them").select_option("evals")
            page.get_by_label("Files to upload").set_input_files(path)
            link = page.get_by_role("link", name="my cases.jsonl")
            expect(link).to_be_visible()
            (file,) = self.client.files.list()
            self.assertEqual((file.filename, file.purpose, file.bytes), ("my cases.jsonl", "evals", os.path.getsize(path)))
            with page.expect_download() as waiting:
                page.get_by_role("button", name="Download my cases.jsonl").click()
            with open(waiting.value.path(), "rb") as f:
                self.assertEqual(f.read(), jsonl(rows(30)))
            self.assertEqual(waiting.value.suggested_filename, "my cases.jsonl")
        self.tab_to(link)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="The first 20 rows")).to_be_visible()
        expect(page.get_by_text("Line 20")).to_be_visible()
        expect(page.get_by_role("heading", name="my cases.jsonl")).to_be_focused()
        self.sound()
        page.get_by_role("button", name="Delete").click()
        box = page.get_by_role("dialog")
        expect(box).to_contain_text("my cases.jsonl")
        box.get_by_role("button", name="Show the call").click()
        expect(page.get_by_label("The call", exact=True)).to_contain_text("-X DELETE")
        self.sound()
        page.keyboard.press("Escape")
        box.get_by_role("button", name="Cancel").click()
        self.assertEqual(len(list(self.client.files.list())), 1)
        page.get_by_role("button", name="Delete").click()
        box.get_by_role("button", name="Delete").press("Enter")
        expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
        self.assertEqual(list(self.client.files.list()), [])

    def test_rows_as_a_job_reads_them(self):
        made = self.upload("bad.jsonl", jsonl(rows(22)) + b'{"messages": []}\n{<b>nothing\n' + jsonl(rows(1)))
        page = self.open("files/" + made.id)
        part = page.get_by_role("region", name="Rows")
        expect(part.get_by_role("heading", name="Rows for the method reinforcement")).to_be_visible()
        expect(part.get_by_text("2 mistakes in 25 rows")).to_be_visible()
        expect(part.get_by_role("listitem").filter(has_text="Line 23: ")).to_contain_text("\"messages\" is empty")
        expect(part.get_by_role("listitem").filter(has_text="Line 24: ")).to_contain_text("{<b>nothing")
        expect(part.get_by_text("Line 20", exact=True)).to_be_visible()
        part.get_by_role("button", name="Show more").press("Enter")
        expect(part.get_by_text("Line 25", exact=True)).to_be_visible()
        expect(part.locator(".row-body").filter(has_text="Line 23")).to_have_count(0)  # a mistake is no row
        expect(part.get_by_role("button", name="Show more")).to_be_hidden()
        self.sound()
        page.get_by_label("Rows as they are read by").select_option("supervised")
        expect(part.get_by_text("25 mistakes in 25 rows")).to_be_visible()
        expect(part.get_by_text("And 5 more.")).to_be_visible()
        page.get_by_role("button", name="Show the call").click()
        expect(page.get_by_label("The call", exact=True)).to_contain_text("/v1/files/%s/rows?method=supervised" % made.id)
        page.keyboard.press("Escape")
        page.get_by_label("Rows as they are read by").select_option("text")
        expect(page.get_by_role("heading", name="The first 20 rows")).to_be_visible()
        page.reload()
        self.settled()
        expect(page.get_by_role("heading", name="The first 20 rows")).to_be_visible()  # the address has it
        self.every_form("files/" + made.id, "file-mistakes")

    def test_a_refusal_is_the_servers_own_sentence(self):
        made = self.upload()
        page = self.open("files")
        self.client.files.delete(made.id)
        self.allowed = ["404"]
        page.get_by_role("link", name="cases.jsonl").click()
        expect(page.get_by_role("alert")).to_contain_text(made.id)
        self.sound()

    def test_the_call_is_shown(self):
        page = self.open("files")
        page.get_by_role("button", name="Show the call").click()
        code = page.get_by_label("The call", exact=True)
        expect(code).to_contain_text("curl %s/v1/files" % self.origin)
        page.get_by_role("button", name="Python").click()
        expect(code).to_contain_text("client.files.list()")
        self.assertNotIn(self.server.key, page.content())
        self.sound()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

    def test_hostile_names_and_rows_are_text(self):
        lines = [json.dumps({"messages": [{"role": "user", "content": HOSTILE}], "answer": HOSTILE}).encode(),
                 HOSTILE.encode(), json.dumps({"messages": "none", "x<b>": [HOSTILE]}).encode(), b"\xff\xfe broken", LONG.encode()]
        made = self.upload("<b>\u202eevil</b>.jsonl", b"\n".join(lines))
        page = self.open("files")
        expect(page.get_by_role("link", name="evil</b>.jsonl")).to_be_visible()
        self.sound()
        self.open("files/" + made.id)
        expect(page.get_by_text("␛[31mred").first).to_be_visible()
        expect(page.get_by_text("⟨U+202E⟩gnp.exe").first).to_be_visible()
        expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_visible()
        self.sound()
        self.open("files/%s?as=text" % made.id)
        expect(page.get_by_text("\u27e8U+202E\u27e9gnp.exe").first).to_be_visible()
        self.every_form("files/%s?as=text" % made.id, "file-hostile")

    def test_many_files(self):
        for i in range(103):
            self.upload("f%03d.jsonl" % i, b"{}\n")
        page = self.open("files")
        expect(page.get_by_role("row")).to_have_count(101)
        page.get_by_role("button", name="Show more").click()
        expect(page.get_by_role("row")).to_have_count(104)
        expect(page.get_by_role("button", name="Show more")).to_be_hidden()
        page.get_by_role("button", name="Name").click()
        expect(page.get_by_role("rowheader").first).to_contain_text("f000.jsonl")
        self.every_form("files", "files")


if __name__ == "__main__":
    unittest.main()
