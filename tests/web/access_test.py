"""The pages of keys and members."""
import unittest

from browser import HOSTILE, WebTest, expect

NAME = "a<b>\u202ec & 'd'"


class Keys(WebTest):
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
        for address in ("keys", "members", "files"):
            self.open(address)
            expect(self.page.get_by_role("alert")).to_contain_text("lacks the scope")
        self.sound()
        self.page.get_by_role("button", name="enter another key").click()
        expect(self.page.get_by_label("Key", exact=True)).to_be_focused()


class Members(WebTest):
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
        page.get_by_role("button", name="Take back the invitation of Institute").click()
        expect(page.get_by_role("heading", name="Nobody is invited")).to_be_visible()
        page.get_by_role("button", name="Close " + NAME).click()
        page.get_by_role("dialog").get_by_role("button", name="Close it").click()
        expect(projects).to_contain_text("closed")
        page.get_by_role("link", name="Keys of").first.click()
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()


if __name__ == "__main__":
    unittest.main()
