"""org, project, key, audit, backup, restore: on the store itself."""
import json
import os
import subprocess
import unittest

from cli import HONE, HoneTest


class Access(HoneTest):
    def setUp(self):
        super().setUp()
        first = self.run_hone("org", "list")
        self.assertRegex(first.stderr, r"its first key, told only now: sk-admin-\w{48}\n")

    def run_hone(self, *words, status=0):
        run = subprocess.run([HONE, *words], env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, status, run.stderr)
        return run

    def test_organisations(self):
        self.assertEqual([o["name"] for o in self.json("org", "list")["data"]], ["Default"])
        made = self.json("org", "create", "Institute of Genetics")
        self.assertEqual(made["organization"]["slug"], "institute-of-genetics")
        self.assertRegex(made["api_key"], r"^sk-admin-")
        self.assertIn("institute-of-genetics", self.works("org", "list"))
        self.fails("org", "create", "", says="1 to 200")

    def test_an_invitation_is_good_once(self):
        made = self.json("org", "invite", "Lab", "--note", "a@b", "--days", "1")
        self.assertIn("open", self.works("org", "invitations"))
        told = self.works("org", "accept", made["code"])
        self.assertRegex(told, r"its first key, told only now: sk-admin-")
        self.fails("org", "accept", made["code"], says="used already")
        self.fails("org", "accept", "inv-none", says="no invitation")
        self.assertEqual([i["organization_id"] is not None for i in self.json("org", "invitations")["data"]], [True])
        self.assertIn("hone org accept", self.works("org", "invite", "Other"))

    def test_projects(self):
        made = self.json("project", "create", "Rare", "--quota", "20")
        self.assertEqual(made["quota_bytes"], 20 << 20)
        self.assertEqual(self.json("project", "change", made["id"], "--name", "Rarer", "--quota", "0")["quota_bytes"], 0)
        self.assertIn("Rarer", self.works("project", "list"))
        self.assertIn("(archived)", self.works("project", "archive", made["id"]))
        self.fails("project", "change", "proj_none", "--name", "x", says="no project")
        self.fails("project", "create", "x", "--org", "nobody", says="hone org list")
        self.run_hone("project", "change", made["id"], status=2)

    def test_keys(self):
        made = self.json("key", "create", "laptop", "--scopes", "use", "--requests-per-minute", "60", "--days", "3")
        self.assertEqual((made["scopes"], made["requests_per_minute"]), (["use"], 60))
        self.assertRegex(made["value"], r"^sk-\w{48}$")
        self.assertNotIn(made["value"], self.works("key", "list"))
        self.assertIn("60 a minute", self.works("key", "list"))
        changed = self.json("key", "change", made["id"], "--scopes", "train,use", "--concurrent-requests", "4")
        self.assertEqual((changed["scopes"], changed["requests_per_minute"], changed["concurrent_requests"]),
                         (["use", "train"], 60, 4))
        self.assertIn("revoked", self.works("key", "revoke", made["id"]))
        self.assertIn("(revoked)", self.works("key", "list"))
        self.fails("key", "change", made["id"], "--name", "x", says="no key")
        self.fails("key", "revoke", "key_none", says="hone key list")
        self.assertIn("use, train and admin", self.run_hone("key", "create", "x", "--scopes", "all", status=2).stderr)
        self.assertIn("takes NAME", self.run_hone("key", "create", status=2).stderr)
        self.assertIn("none of these", self.run_hone("key", "make", status=2).stderr)

    def test_a_limit_of_the_server_s_is_not_the_key_s(self):
        self.env["HONE_REQUESTS_PER_MINUTE"] = "5"
        self.assertEqual(self.json("key", "create", "x")["requests_per_minute"], 0)

    def test_the_audit_log(self):
        key = self.json("key", "create", "x")
        self.works("key", "revoke", key["id"])
        lines = [json.loads(line) for line in self.works("audit", "--json").splitlines()]
        self.assertEqual([(e["action"], e["target"], e["address"]) for e in lines],
                         [("api_key.created", key["id"], "command"), ("api_key.deleted", key["id"], "command")])
        self.assertEqual(len(self.works("audit", "--last", "1").splitlines()), 1)

    def test_a_backup_is_restored(self):
        key = self.json("key", "create", "kept")
        self.assertIn("holds the rows", self.works("backup", self.path("backup")))
        self.works("key", "revoke", key["id"])
        self.fails("restore", self.path("backup"), says="not empty")
        self.fails("restore", self.path("nothing"), "--home", self.path("new"), says="no backup")
        self.assertFalse(os.path.exists(self.path("new")))
        self.works("restore", self.path("backup"), "--home", self.path("new"))
        kept = [k for k in self.json("key", "list", "--home", self.path("new"))["data"] if k["id"] == key["id"]]
        self.assertEqual([k["revoked_at"] for k in kept], [0])
        self.fails("backup", self.path("b2"), "--home", self.path("empty"), says="no store")


if __name__ == "__main__":
    unittest.main()
