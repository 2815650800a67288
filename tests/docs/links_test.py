"""The documents for people: every link inside the repository leads somewhere, and every heading that is linked to is there."""
import glob
import os
import re
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def text_of(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def anchors(path):
    """The names that GitHub gives to headings; one that comes twice gets -1, which nobody here should need."""
    prose = re.sub(r"^```.*?^```$", "", text_of(path), flags=re.M | re.S)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", prose, re.M)}


class Links(unittest.TestCase):
    def test_they_lead_somewhere(self):
        pages = [os.path.join(ROOT, name) for name in ("README.md", "CHANGELOG.md")] + sorted(
            glob.glob(os.path.join(ROOT, "docs", "*.md")) + glob.glob(os.path.join(ROOT, "examples", "**", "*.md"), recursive=True))
        n = 0
        for page in pages:
            for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                there = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                self.assertTrue(os.path.exists(there), "%s links to %s" % (page, target))
                if anchor and there.endswith(".md"):
                    self.assertIn(anchor, anchors(there), "%s links to %s" % (page, target))
                n += 1
        self.assertGreater(n, 60)

    def test_the_readme_names_every_document(self):
        readme = text_of(os.path.join(ROOT, "README.md"))
        for path in glob.glob(os.path.join(ROOT, "docs", "*.md")):
            self.assertIn("docs/" + os.path.basename(path), readme)


if __name__ == "__main__":
    unittest.main()
