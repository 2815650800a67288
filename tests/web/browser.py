"""What the tests of the dashboard share: a server in a home of its own, and the system's Chromium looking at it.

A test fails where the page says anything on the console, asks anyone but its server, scrolls sideways, or where axe finds what a
screen reader or a keyboard would miss. One server and one browser a file.
"""
import contextlib
import glob
import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "api"))
from server import HONE, Server, jsonl, openai, rows  # noqa: F401, E402: for the tests

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import expect, sync_playwright
    expect.set_options(timeout=60_000)
except ImportError:
    sync_playwright = None
    print("SKIPPED: playwright and axe-playwright-python are not installed (scripts/requirements-test.txt)", flush=True)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if sync_playwright and not CHROMIUM:
    print("SKIPPED: there is no chromium (scripts/deps test)", flush=True)
    sync_playwright = None
SHOTS = os.environ.get("HONE_WEB_SHOTS")  # a folder: what the pages look like is left there

# What a model or a stranger may write: none of it may be more than text.
HOSTILE = ("<script>window.hacked=1</script><img src=x onerror='window.hacked=2'>"
           "\x1b[31mred\x1b[0m \u202egnp.exe\u202c \"'&amp;</textarea></script>{{7*7}}")
LONG = "x" * 1_000_000


@unittest.skipUnless(HONE and os.path.exists(HONE), "HONE_BIN names no hone")
@unittest.skipUnless(sync_playwright, "playwright, axe or chromium is missing")
@unittest.skipUnless(openai, "the package openai is not installed (scripts/requirements-test.txt)")
class WebTest(unittest.TestCase):
    """self.page shows the dashboard with the key of self.server; self.client is the official client on the same server."""
    options = ("--workers=0",)

    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        try:
            cls.server = Server(*cls.options)
            cls.stack.callback(cls.server.close)
            cls.client = cls.server.client()
            cls.origin = cls.server.url.removesuffix("/v1")
            playwright = cls.stack.enter_context(sync_playwright())
            args = ["--disable-gpu", "--disable-dev-shm-usage"] + (["--no-sandbox"] if os.geteuid() == 0 else [])
            cls.browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
            cls.stack.callback(cls.browser.close)
            cls.prepare()
        except BaseException:
            cls.stack.close()
            raise

    @classmethod
    def prepare(cls):
        """What the tests of a class need on the server."""

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def setUp(self):
        self.complaints = []
        self.allowed = []  # beginnings of complaints that a test expects
        self.page = self.new_page()

    def new_page(self, key=None, **options):
        """A page in a context of its own. key "": none; else the server's."""
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "accept_downloads": True,
                                              "reduced_motion": "reduce", **options})
        self.addCleanup(context.close)
        context.set_default_timeout(60_000)
        key = self.server.key if key is None else key
        if key:
            context.add_init_script("if (!sessionStorage.getItem('hone.key')) sessionStorage.setItem('hone.key', '%s')" % key)
        page = context.new_page()
        page.on("console", lambda m: m.type in ("error", "warning") and self.complain("console: " + m.text))
        page.on("pageerror", lambda e: self.complain("error: %s" % e))
        page.on("request", lambda r: self.origin_only(r.url))
        return page

    def complain(self, text):
        self.complaints.append(text)

    def origin_only(self, url):
        if not url.startswith((self.origin + "/", "data:", "blob:")):
            self.complain("a request to " + url)
        if self.server.key in url:
            self.complain("a key in the address " + url)

    def tearDown(self):
        left = [c for c in self.complaints if not any(a in c for a in self.allowed)]
        self.assertEqual(left, [])

    def open(self, address, page=None):
        """The page of this address ("files"), whole."""
        page = page or self.page
        page.goto(self.origin + "/#/" + address)
        self.settled(page)
        return page

    def settled(self, page=None):
        page = page or self.page
        expect(page.locator("main h1")).to_be_visible()
        expect(page.locator("main[aria-busy]")).to_have_count(0)

    def sound(self, page=None):
        """Nothing that axe finds, nothing that only a mouse reaches, no text that became markup, no scrolling sideways."""
        page = page or self.page
        found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
        self.assertEqual(found.violations_count, 0, found.generate_report())
        self.assertIsNone(page.evaluate("window.hacked ?? null"))
        self.assertEqual(page.evaluate("[...document.querySelectorAll('main [onclick], main script, main iframe')].length"), 0)

    def every_form(self, address, name, ready=None):
        """The page at 360 and 1,920 px, light and dark: it never scrolls sideways, and is sound narrow and dark, wide and light."""
        page = self.new_page(viewport={"width": 360, "height": 740})
        self.open(address, page)
        if ready:
            ready(page)
        for width, height, schemes in ((360, 740, ("light", "dark")), (1920, 1080, ("dark", "light"))):
            page.set_viewport_size({"width": width, "height": height})
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
                self.shot("%s-%d-%s" % (name, width, scheme), page)
            wide = page.evaluate("document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width, "%s scrolls sideways at %d px" % (address, width))
            self.sound(page)
        page.context.close()

    def shot(self, name, page=None):
        if SHOTS:
            os.makedirs(SHOTS, exist_ok=True)
            (page or self.page).screenshot(path=os.path.join(SHOTS, name + ".png"), full_page=True)

    def tab_to(self, locator, most=60):
        """Reached by the keyboard alone."""
        for _ in range(most):
            if locator.evaluate("e => e === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        self.fail("the keyboard does not reach %s" % locator)
