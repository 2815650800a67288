#!/usr/bin/env python3
"""The pictures of docs/images/, taken of a server that runs and has trained.

    HONE_API_KEY=sk-... .venv/bin/python tools/screenshots.py JOB [--url http://127.0.0.1:8080] [--out docs/images] [--ask TEXT]

JOB is a reinforcement job of the server that has succeeded. What is asked in the playground is kept on the server.
"""
import argparse
import json
import os
import shutil
import urllib.request

from playwright.sync_api import expect, sync_playwright

SIZE = {"width": 1280, "height": 860}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("job")
    p.add_argument("--url", default="http://127.0.0.1:8080")
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "images"))
    p.add_argument("--ask", default="Cataract: is it a sign of the eye, heart, skin, bone, brain or kidney? Answer with one word.")
    a = p.parse_args()
    key = os.environ["HONE_API_KEY"]

    def get(path):
        with urllib.request.urlopen(urllib.request.Request(a.url + path, headers={"Authorization": "Bearer " + key})) as r:
            return json.load(r)
    job = get("/v1/fine_tuning/jobs/" + a.job)
    answer = get("/v1/fine_tuning/jobs/%s/rollouts?order=newest&split=valid&min_reward=1&limit=1" % a.job)["data"][0]["id"]
    os.makedirs(a.out, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        context = browser.new_context(viewport=SIZE, reduced_motion="reduce")
        context.add_init_script("sessionStorage.setItem('hone.key', %s)" % json.dumps(key))
        page = context.new_page()

        def shot(name, address, ready=None, scheme="light"):
            page.emulate_media(color_scheme=scheme)
            page.goto("%s/#/%s" % (a.url, address))
            expect(page.locator("main h1")).to_be_visible()
            expect(page.locator("main[aria-busy]")).to_have_count(0)
            if ready:
                ready()
            page.wait_for_timeout(1500)  # charts and pictures
            page.screenshot(path=os.path.join(a.out, name + ".png"))

        def asked():
            page.get_by_role("textbox", name="Your message").fill(a.ask)
            page.get_by_role("button", name="Send").click()
            expect(page.get_by_text(" tokens \u00b7 ")).to_have_count(2, timeout=120_000)

        def changed():
            expect(page.get_by_text("The whole answer became")).to_be_visible(timeout=120_000)
            to("Prompt")()

        def to(text):
            return lambda: page.get_by_role("heading", name=text, exact=True).first.evaluate("e => scrollTo(0, e.getBoundingClientRect().top + scrollY - 24)")
        shot("job", "jobs/" + a.job, to("Reward"))
        shot("job-dark", "jobs/" + a.job, to("Learning"), "dark")
        shot("answer", "jobs/%s/answers/%s" % (a.job, answer), changed)
        shot("rows", "jobs/%s/rows" % a.job)
        shot("new-job", "new-job?from=" + a.job, to("What a good answer is"))
        shot("playground", "playground?model=%s&with=%s" % (job["fine_tuned_model"], job["model"]), asked)
        browser.close()


if __name__ == "__main__":
    main()
