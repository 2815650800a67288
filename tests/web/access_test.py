"""The pages of keys, webhooks and members."""
import re
import unittest

from browser import HOSTILE, WebTest, expect
from webhooks_test import receive

NAME = "a<b>\u202ec & 'd'"


class Keys(WebTest):
    options = ("--workers=0", "--allow-private-webhooks")

    @classmethod
    def prepare(cls):
        cls.project = cls.org("get", "/projects")["data"][0]["id"]

    @classmethod
    def org(cls, method, path, body=None):
        more = {"body": body} if body else {}
        return getattr(cls.client, method)("/organization" + path, cast_to=object, **more)

    def keys(self):
        return self.org("get", "/projects/%s/api_keys" % self.project)["data"]

    def test_a_key_is_made_changed_and_revoked(self):
        page = self.open("keys")
        before = len(self.keys())
        page.get_by_role("button", name="New key").press("Enter")
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill(NAME)
        box.get_by_label("It may").select_option("use")
        box.get_by_label("Requests a minute").fill("7")
        box.get_by_label("It ends").select_option("30")
        self.sound()
        box.get_by_role("button", name="Make it").click()
        told = page.get_by_label("The key", exact=True)
        expect(told).to_contain_text("sk-")
        secret = told.inner_text()
        self.assertEqual(self.server.raw("GET", "/v1/models", key=secret)[0], 200)
        self.assertEqual(self.server.raw("GET", "/v1/files", key=secret)[0], 403)
        self.sound()
        page.get_by_role("dialog").get_by_role("button", name="Close", exact=True).last.click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.wait_for_function("s => !document.documentElement.outerHTML.includes(s)", arg=secret)  # shown once
        (made,) = [k for k in self.keys() if k["name"] == NAME]
        self.assertEqual((made["scopes"], made["requests_per_minute"]), (["use"], 7))
        self.assertEqual(len(self.keys()), before + 1)
        page.get_by_role("button", name="Change " + NAME).click()
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill("second")
        box.get_by_role("button", name="Save").click()
        expect(page.get_by_role("rowheader", name="second")).to_be_visible()
        self.every_form("keys", "keys")
        page.get_by_role("button", name="Revoke second").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        expect(page.get_by_role("rowheader", name="second")).to_have_count(0)
        self.assertEqual(len(self.keys()), before)

    def test_a_refusal_stays_in_the_dialog(self):
        page = self.open("keys")
        self.allowed = ["400"]
        page.get_by_role("button", name="New key").click()
        box = page.get_by_role("dialog")
        box.get_by_role("button", name="Make it").click()
        expect(box.get_by_role("alert")).to_contain_text("name")
        expect(box.get_by_label("Name")).to_be_visible()

    def test_a_key_that_may_not_is_told_so(self):
        secret = self.org("post", "/projects/%s/api_keys" % self.project, {"name": "user", "scopes": ["use"]})["value"]
        self.allowed = ["403"]
        self.page = self.new_page(key=secret)
        self.open("playground")
        may = []
        for address in self.page.locator("#nav a").evaluate_all("all => all.map((a) => a.hash.slice(2))"):
            self.open(address)
            if self.page.get_by_role("alert").count():
                expect(self.page.get_by_role("alert")).to_contain_text("lacks the scope")
            else:
                may.append(address)
        self.assertEqual(may, ["models", "playground", "stored", "feedback"])
        self.open("keys")
        self.sound()
        self.page.get_by_role("button", name="enter another key").click()
        expect(self.page.get_by_label("Key", exact=True)).to_be_focused()


    def test_a_webhook_is_made_tried_changed_and_deleted(self):
        receiver = receive(self)
        url = "http://127.0.0.1:%d/hook" % receiver.server_port
        page = self.open("webhooks")
        expect(page.get_by_role("heading", name="Nobody is told")).to_be_visible()
        self.sound()
        page.get_by_role("button", name="New webhook").press("Enter")
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill(NAME)
        box.get_by_label("Address").fill("ftp://nowhere")
        self.allowed = ["400"]
        box.get_by_role("button", name="Make it").click()
        expect(box.get_by_role("alert")).to_contain_text("url")
        box.get_by_label("Address").fill(url)
        box.get_by_label("Runs of evals: failed").check()
        self.sound()
        box.get_by_role("button", name="Make it").click()
        secret = page.get_by_label("The secret", exact=True)
        expect(secret).to_contain_text("whsec_")
        first = secret.inner_text()
        self.sound()
        page.keyboard.press("Escape")
        expect(box).to_have_count(0)
        page.wait_for_function("s => !document.documentElement.outerHTML.includes(s)", arg=first)  # shown once
        (made,) = self.client.get("/webhook_endpoints", cast_to=object)["data"]
        self.assertEqual((made["name"], made["url"]), (NAME, url))
        self.assertEqual(made["event_types"], ["fine_tuning.job." + s for s in ("succeeded", "failed", "cancelled", "paused")] + ["eval.run.failed"])
        self.every_form("webhooks", "webhooks")
        page.get_by_role("button", name="Try: " + NAME).click()
        box.get_by_label("Event").select_option("eval.run.failed")
        box.get_by_role("button", name="Send it").click()
        expect(box.get_by_text("The address answered with status 200.")).to_be_visible()
        self.sound()
        (headers, body), = receiver.got
        self.assertIn("eval.run.failed", body)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Change: " + NAME).click()
        box.get_by_label("Name").fill("second")
        box.get_by_role("button", name="Save").click()
        expect(page.get_by_role("rowheader", name="second")).to_be_visible()
        page.get_by_role("button", name="New secret: second").click()
        box.get_by_role("button", name="Make it").click()
        expect(secret).to_contain_text("whsec_")
        self.assertNotEqual(secret.inner_text(), first)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Delete second").click()
        box.get_by_role("button", name="Delete").click()
        expect(page.get_by_role("heading", name="Nobody is told")).to_be_visible()


class Members(WebTest):
    def accept(self, code):
        page = self.new_page(key="")
        self.allowed = ["401", "404", "400"]
        self.open("files", page)
        page.get_by_role("button", name="I have an invitation").click()
        box = page.get_by_role("dialog")
        box.get_by_label("Its code").fill("invite-none")
        box.get_by_role("button", name="Accept it").click()
        expect(box.get_by_role("alert")).to_be_visible()
        box.get_by_label("Its code").fill(code)
        self.sound(page)
        box.get_by_role("button", name="Accept it").click()
        key = page.get_by_label("The key", exact=True)
        expect(key).to_contain_text("sk-")
        expect(page.get_by_role("heading", name="No files yet")).to_be_attached()
        self.sound(page)
        self.assertEqual(self.server.raw("GET", "/v1/files", key=key.inner_text())[0], 200)
        page.context.close()

    def test_projects_keys_invitations_and_log(self):
        page = self.open("members")
        page.get_by_role("button", name="New project").click()
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill(NAME)
        box.get_by_label("Room for files").fill("1.5")
        box.get_by_role("button", name="Make it").click()
        projects = page.get_by_role("region", name="Projects")
        expect(projects.get_by_role("row")).to_have_count(3)
        expect(projects).to_contain_text("1.5 GB")
        expect(projects).to_contain_text("a<b>\u27e8U+202E\u27e9c")
        page.get_by_role("button", name="New admin key").click()
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill("second admin")
        box.get_by_role("button", name="Make it").click()
        expect(page.get_by_label("The key", exact=True)).to_contain_text("sk-")
        page.keyboard.press("Escape")
        expect(page.get_by_role("region", name="Admin keys")).to_contain_text("second admin")
        page.get_by_role("button", name="Invite", exact=True).click()
        box = page.get_by_role("dialog")
        box.get_by_label("Name").fill("Institute")
        box.get_by_role("button", name="Invite", exact=True).click()
        expect(page.get_by_label("How it is accepted")).to_contain_text("invite")
        code = re.search(r'"code": "([^"]+)"', page.get_by_label("How it is accepted").inner_text())[1]
        page.keyboard.press("Escape")
        expect(page.get_by_role("region", name="Invitations")).to_contain_text("Institute")
        self.open("members")
        page.reload()
        self.settled()
        log = page.get_by_role("region", name="Audit log")
        expect(log.get_by_role("rowheader").first).to_be_visible()
        for what in ("project.created", "invite.sent"):
            expect(log).to_contain_text(what)
        self.every_form("members", "members")
        self.accept(code)
        page.get_by_role("button", name="Invite", exact=True).click()
        box.get_by_label("Name").fill("Nobody")
        box.get_by_role("button", name="Invite", exact=True).click()
        expect(page.get_by_label("How it is accepted")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("region", name="Invitations")).to_contain_text("accepted")
        page.get_by_role("button", name="Take back the invitation of Nobody").click()
        expect(page.get_by_role("rowheader", name="Nobody")).to_have_count(0)
        page.get_by_role("button", name="Close " + NAME).click()
        page.get_by_role("dialog").get_by_role("button", name="Close it").click()
        expect(projects).to_contain_text("closed")
        page.get_by_role("link", name="Keys of").first.click()
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()


if __name__ == "__main__":
    unittest.main()
