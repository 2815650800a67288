"""What somebody who may do little, or nothing, tries: to learn what is not his, and to take the server from the others."""
import json
import os
import tempfile
import unittest

from server import ApiTest, Server

MARK = "xyzzy-password"


def words_of(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().decode()


class Secrets(unittest.TestCase):
    @unittest.skipUnless(os.path.exists("/proc/self/cmdline"), "no /proc")
    def test_a_databases_address_is_not_among_a_workers_words(self):
        """Anyone on the machine can read the words of a process, and the address may hold a password."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, MARK + ".db")
            server = Server("--workers=1", env={"HONE_DATABASE": "sqlite:" + path})
            try:
                client = ApiTest()
                client.wait(lambda: any("worker" in words_of(pid).split("\0") for pid in server.left()))
                for pid in server.left():
                    self.assertNotIn(MARK, words_of(pid))
                self.assertTrue(os.path.exists(path))
            finally:
                server.close()


if __name__ == "__main__":
    unittest.main()
