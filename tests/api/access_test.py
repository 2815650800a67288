"""Organisations, projects, keys, invitations, limits and the audit log, by the official client's admin side."""
import contextlib
import json
import os
import resource
import socket
import time
import unittest
import urllib.parse

import openai
from server import ApiTest, Server, jsonl, rows

DATA_ROWS = jsonl(rows())


class Access(ApiTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin = cls.server.client(admin_api_key=cls.server.key)
        cls.org = cls.admin.admin.organization
        cls.project = next(iter(cls.org.projects.list())).id

    def new_key(self, project=None, **body):
        return self.client.post("/organization/projects/%s/api_keys" % (project or self.project),
                                body={"name": "k", **body}, cast_to=object)

    def as_key(self, value, **options):
        return self.server.client(api_key=value, admin_api_key=value, **options)

    def invited(self, name="Institute"):
        """The admin client of a new organisation, and what it was told."""
        invite = self.client.post("/organization/invites", body={"name": name}, cast_to=object)
        status, _, told = self.server.raw("POST", "/v1/organization/invites/accept", {"code": invite["code"]}, key=False)
        self.assertEqual(status, 200, told)
        told = json.loads(told)
        return self.as_key(told["api_key"]), told, invite

    def test_projects_live(self):
        made = self.org.projects.create(name="Rare diseases")
        self.assertEqual((made.object, made.name, made.status, made.archived_at),
                         ("organization.project", "Rare diseases", "active", None))
        self.assertIn(made.id, [p.id for p in self.org.projects.list(limit=1)])  # over pages
        self.assertEqual(self.org.projects.retrieve(made.id), made)
        self.assertEqual(self.org.projects.update(made.id, name="Other").name, "Other")
        key = self.new_key(made.id)["value"]
        self.assertEqual(self.as_key(key).files.list().data, [])
        self.assertEqual(self.org.projects.archive(made.id).status, "archived")
        self.refused(openai.AuthenticationError, lambda: self.as_key(key).files.list(), "invalid_api_key")
        self.assertNotIn(made.id, [p.id for p in self.org.projects.list()])
        self.assertIn(made.id, [p.id for p in self.org.projects.list(include_archived=True)])
        self.refused(openai.BadRequestError, lambda: self.org.projects.archive(self.project), param="project_id",
                     match="admin key")
        self.refused(openai.BadRequestError, lambda: self.org.projects.create(name="x", geography="EU"), param="geography")
        self.refused(openai.BadRequestError, lambda: self.org.projects.create(name=""), param="name")

    def test_a_key_is_shown_once_and_stops_at_once(self):
        made = self.new_key(name="laptop", scopes=["use"])
        self.assertRegex(made["value"], r"^sk-[A-Za-z0-9]{48}$")
        self.assertEqual((made["scopes"], made["name"]), (["use"], "laptop"))
        shown = self.org.projects.api_keys.retrieve(made["id"], project_id=self.project)
        self.assertFalse(hasattr(shown, "value"))
        self.assertTrue(made["value"].endswith(shown.redacted_value[-4:]))
        self.assertEqual((shown.owner.type, shown.owner_project_access, shown.last_used_at), ("service_account", "active", None))
        self.assertIn(made["id"], [k.id for k in self.org.projects.api_keys.list(self.project, limit=1)])
        user = self.as_key(made["value"])
        user.models.list()
        gone = self.org.projects.api_keys.delete(made["id"], project_id=self.project)
        self.assertEqual((gone.id, gone.deleted, gone.object), (made["id"], True, "organization.project.api_key.deleted"))
        self.refused(openai.AuthenticationError, user.models.list, "invalid_api_key")
        self.refused(openai.NotFoundError, lambda: self.org.projects.api_keys.retrieve(made["id"], project_id=self.project))

    def test_scopes(self):
        use, train = self.new_key(scopes=["use"])["value"], self.new_key()["value"]
        for key, lists, files, admin in ((use, True, False, False), (train, True, True, False)):
            client = self.as_key(key)
            for may, call in ((lists, client.models.list), (files, client.files.list),
                              (admin, lambda: client.admin.organization.projects.list())):
                if may:
                    call()
                else:
                    self.refused(openai.PermissionDeniedError, call, "missing_scope")
        for scopes in (["admin"], ["all"], [], "use", [1]):
            self.refused(openai.BadRequestError, lambda: self.new_key(scopes=scopes), param="scopes")

    def test_a_key_is_changed(self):
        made = self.new_key(scopes=["use"], expires_in_seconds=3600)
        client = self.as_key(made["value"])
        self.refused(openai.PermissionDeniedError, client.files.list, "missing_scope")
        changed = self.org.projects.api_keys.update(made["id"], project_id=self.project, scopes=["train"])
        self.assertEqual(changed.expires_at, made["expires_at"])
        self.assertAlmostEqual(changed.expires_at, time.time() + 3600, delta=60)
        client.files.list()
        self.refused(openai.BadRequestError, lambda: self.org.projects.api_keys.update(
            made["id"], project_id=self.project, scopes=["api.all.read"]), param="scopes")

    def test_a_key_ends(self):
        client = self.as_key(self.new_key(expires_in_seconds=1)["value"])
        time.sleep(2.1)
        self.refused(openai.AuthenticationError, client.models.list, "invalid_api_key")

    def test_admin_keys(self):
        made = self.org.admin_api_keys.create(name="second", expires_in_seconds=3600)
        self.assertRegex(made.value, r"^sk-admin-[A-Za-z0-9]{48}$")
        self.assertEqual((made.object, made.owner.role), ("organization.admin_api_key", "owner"))
        other = self.as_key(made.value)
        self.assertIn(made.id, [k.id for k in other.admin.organization.admin_api_keys.list(order="desc")])
        self.assertEqual(self.org.admin_api_keys.retrieve(made.id).redacted_value[-4:], made.value[-4:])
        self.assertTrue(self.org.admin_api_keys.delete(made.id).deleted)
        self.refused(openai.AuthenticationError, other.models.list, "invalid_api_key")
        self.refused(openai.NotFoundError, lambda: self.org.admin_api_keys.delete(made.id))

    def test_an_admin_key_acts_on_its_other_projects(self):
        made = self.org.projects.create(name="acted on")
        there = self.server.client(project=made.id)
        file = there.files.create(file=("x.jsonl", DATA_ROWS), purpose="fine-tune")
        self.assertEqual([f.id for f in there.files.list()], [file.id])
        self.assertNotIn(file.id, [f.id for f in self.client.files.list()])
        plain = self.new_key()["value"]
        self.refused(openai.AuthenticationError, self.as_key(plain, project=made.id).models.list, "mismatched_project")

    def test_an_invitation_is_an_organisation(self):
        other, told, invite = self.invited("Institut für Genetik")
        self.assertEqual(told["organization"]["name"], "Institut für Genetik")
        self.assertEqual(told["organization"]["slug"], "institut-f-r-genetik")
        org = other.admin.organization
        self.assertEqual([p.id for p in org.projects.list()], [told["project"]["id"]])
        # used once
        status, _, _ = self.server.raw("POST", "/v1/organization/invites/accept", {"code": invite["code"]}, key=False)
        self.assertEqual(status, 400)
        seen = self.org.invites.retrieve(invite["id"])
        self.assertEqual((seen.status, seen.role), ("accepted", "owner"))
        self.assertIsNotNone(seen.accepted_at)
        self.assertNotIn("code", seen.to_dict())
        self.refused(openai.BadRequestError, lambda: self.org.invites.delete(invite["id"]), match="was used")
        # what is another's is not there
        for call in (lambda: org.projects.retrieve(self.project), lambda: org.projects.update(self.project, name="x"),
                     lambda: org.projects.archive(self.project), lambda: list(org.projects.api_keys.list(self.project)),
                     lambda: other.post("/organization/projects/%s/api_keys" % self.project, body={"name": "x"}, cast_to=object)):
            self.refused(openai.NotFoundError, call, "not_found")
        mine = next(iter(self.org.admin_api_keys.list())).id
        self.refused(openai.NotFoundError, lambda: org.admin_api_keys.delete(mine), "not_found")
        self.assertEqual({e.type for e in org.audit_logs.list()}, {"invite.accepted", "project.updated", "project.archived",
                                                                  "api_key.created", "api_key.deleted"})
        self.assertNotIn(self.project, [e.project.id for e in org.audit_logs.list() if e.outcome == "ok"])
        # it does not invite
        self.refused(openai.PermissionDeniedError, lambda: org.invites.create(email="a@b", role="owner"), "forbidden")
        self.refused(openai.PermissionDeniedError, lambda: list(org.invites.list()), "forbidden")

    def test_invitations_of_the_client(self):
        made = self.org.invites.create(email="lab@example.org", role="owner")
        self.assertEqual((made.object, made.email, made.status), ("organization.invite", "lab@example.org", "pending"))
        self.assertIn(made.id, [i.id for i in self.org.invites.list()])
        self.assertTrue(self.org.invites.delete(made.id).deleted)
        status, _, _ = self.server.raw("POST", "/v1/organization/invites/accept", {"code": made.code}, key=False)
        self.assertEqual(status, 404)
        self.refused(openai.BadRequestError, lambda: self.org.invites.create(email="a@b", role="reader"), param="role")

    def test_the_audit_log(self):
        key = self.new_key(name="audited")
        self.org.projects.api_keys.delete(key["id"], project_id=self.project)
        with self.assertRaises(openai.NotFoundError):
            self.client.files.delete("file-nothing")
        page = self.org.audit_logs.list(limit=3)
        self.assertEqual([e.type for e in page.data], ["file.delete", "api_key.deleted", "api_key.created"])
        self.assertEqual([e.outcome for e in page.data], ["not_found", "ok", "ok"])
        self.assertEqual(page.data[1].api_key_deleted.id, key["id"])
        self.assertEqual(page.data[1].ip_address, "127.0.0.1")
        own = page.data[0].actor.api_key.id
        self.assertEqual(self.org.admin_api_keys.retrieve(own).id, own)
        self.assertGreater(len(list(self.org.audit_logs.list(limit=2))), 2)  # over pages
        found = self.org.audit_logs.list(resource_ids=[key["id"]], event_types=["api_key.created", "project.created"]).data
        self.assertEqual([e.type for e in found], ["api_key.created"])
        now = int(time.time())
        self.assertEqual(self.org.audit_logs.list(effective_at={"gt": now + 10}).data, [])
        self.assertTrue(self.org.audit_logs.list(effective_at={"lte": now + 10}).data)
        newer = self.org.audit_logs.list(before=page.data[2].id).data
        self.assertEqual([e.id for e in newer], [e.id for e in page.data[:2]])

    def test_limits_of_a_key(self):
        made = self.new_key(requests_per_minute=2)
        client = self.as_key(made["value"])
        raw = client.models.with_raw_response.list()
        self.assertEqual(raw.headers["x-ratelimit-limit-requests"], "2")
        self.assertEqual(raw.headers["x-ratelimit-remaining-requests"], "1")
        client.models.list()
        error = self.refused(openai.RateLimitError, client.models.list, "rate_limit_exceeded")
        self.assertGreater(int(error.response.headers["retry-after"]), 0)
        self.client.post("/organization/projects/%s/api_keys/%s" % (self.project, made["id"]),
                         body={"requests_per_minute": 0}, cast_to=object)
        client.models.list()

    def test_a_project_s_quota(self):
        made = self.client.post("/organization/projects", body={"name": "small", "quota_bytes": 20000}, cast_to=object)
        self.assertEqual(made["quota_bytes"], 20000)
        there = self.server.client(project=made["id"])
        there.files.create(file=("a.jsonl", DATA_ROWS), purpose="fine-tune")
        incoming = os.path.join(self.server.home, "files", "incoming")
        error = self.refused(openai.BadRequestError, lambda: there.files.create(
            file=("b.jsonl", b"x" * 2000000), purpose="fine-tune"), "storage_quota_exceeded", "file", "quota of 20000 bytes")
        self.assertNotIn("incoming", str(error))
        self.assertEqual(os.listdir(incoming) if os.path.isdir(incoming) else [], [])
        self.refused(openai.BadRequestError, lambda: there.files.create(
            file=("b.jsonl", b"x" * 20000), purpose="fine-tune"), "storage_quota_exceeded", "file")
        self.client.post("/organization/projects/" + made["id"], body={"quota_bytes": 0}, cast_to=object)
        there.files.create(file=("b.jsonl", DATA_ROWS * 100), purpose="fine-tune")


class Limited(ApiTest):
    options = ("--requests-per-minute", "600", "--concurrent-requests", "50")

    def test_every_key_has_the_server_s_limits(self):
        raw = self.client.models.with_raw_response.list()
        self.assertEqual(raw.headers["x-ratelimit-limit-requests"], "600")

    def test_codes_are_not_tried_without_end(self):
        statuses = [self.server.raw("POST", "/v1/organization/invites/accept", {"code": "inv-%d" % i}, key=False)[0]
                    for i in range(14)]
        self.assertEqual(statuses[:5], [404] * 5)
        self.assertEqual(statuses[-1], 429)


class OneAtOnce(ApiTest):
    options = ("--concurrent-requests", "1")

    def test_one_after_the_other_is_never_two_at_once(self):
        for _ in range(300):
            self.client.models.list()  # over one connection
            self.assertEqual(self.server.raw("GET", "/v1/models")[0], 200)  # over one of its own
        file = self.upload()
        ask = {"model": "tiny", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
        for i in range(60):
            # the official client reads no further than to [DONE]
            self.assertTrue(list(self.client.chat.completions.create(**ask, stream=True)))
            self.client.chat.completions.create(**ask)
            self.refused(openai.NotFoundError, lambda: self.client.files.retrieve("file-none"))
        self.assertEqual(self.client.files.content(file.id).read(), jsonl(rows()))


class Crowd(ApiTest):
    """What holds without being asked for, so that one client cannot take all there is."""

    def setUp(self):
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 5000:
            self.skipTest("so many files may not be open here")

    def connect(self):
        s = socket.create_connection(("127.0.0.1", urllib.parse.urlparse(self.server.url).port), timeout=60)
        self.addCleanup(s.close)
        return s

    def ask(self, s, path="/healthz"):
        """The first bytes of the answer; b"" where the connection was closed."""
        try:
            s.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (path, self.server.key)).encode())
            return s.recv(4096)
        except ConnectionError:
            return b""


class CrowdOfOneKey(Crowd):
    def test_it_has_a_quarter_of_the_connections_streams_included(self):
        job = self.client.fine_tuning.jobs.create(model="tiny", training_file=self.upload().id)
        path = "/v1/fine_tuning/jobs/%s/events?stream=true" % job.id
        sockets = [self.connect() for _ in range(1024)]
        for s in sockets:
            self.assertIn(b"HTTP/1.1 200", self.ask(s, path))
        self.refused(openai.RateLimitError, self.client.models.list, "rate_limit_exceeded", match="1024 at once is its limit")
        for s in sockets[:100]:
            s.close()

        def is_let_in():
            with contextlib.suppress(openai.RateLimitError):
                return self.client.models.list()
        self.wait(is_let_in)
        self.client.fine_tuning.jobs.cancel(job.id)


class CrowdOfOneAddress(Crowd):
    options = ("--host", "0.0.0.0")

    def test_it_has_a_half_of_the_connections(self):
        sockets = [self.connect() for _ in range(2100)]
        self.wait(lambda: self.ask(self.connect()) == b"")  # all of them are let in, or not
        self.assertEqual(len([s for s in sockets if self.ask(s)]), 2048)
        for s in sockets:
            s.close()
        self.wait(lambda: self.ask(self.connect()))


class FewConnections(ApiTest):
    options = ("--max-connections-per-address", "3")

    def test_the_fourth_is_closed(self):
        address = urllib.parse.urlparse(self.server.url)
        first = [socket.create_connection((address.hostname, address.port), timeout=60) for _ in range(3)]
        for s in first:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertTrue(s.recv(100))
        with socket.create_connection((address.hostname, address.port), timeout=60) as s:
            try:
                self.assertEqual(s.recv(100), b"")
            except ConnectionError:
                pass
        for s in first:
            s.close()


class TwoServers(ApiTest):
    def test_a_revoked_key_stops_everywhere(self):
        admin = self.server.client(admin_api_key=self.server.key).admin.organization
        made = admin.admin_api_keys.create(name="short-lived")
        second = self.second()
        self.addCleanup(second.close)
        client = second.client(api_key=made.value)
        client.models.list()
        admin.admin_api_keys.delete(made.id)

        def refused():
            try:
                client.models.list()
            except openai.AuthenticationError:
                return True
        self.wait(refused, 10)

    def second(self):
        class Second(Server):
            def start(inner):
                inner.key = self.server.key
                super(Second, inner).start()

            def left(inner):
                return []  # the first one's are of this home, too
        return Second("--workers", "0", home=self.server.home)


if __name__ == "__main__":
    unittest.main()
