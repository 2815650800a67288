#!/usr/bin/env python3
"""Runs clang's static analyser over src/, as BUILD/compile_commands.json compiles it; a warning is a failure.

    tools/analyze.py BUILD

Not asked: security.insecureAPI.vfork and unix.Vfork. The sandbox forks so on purpose: a fork of a process that holds
gigabytes is slow, and its child makes nothing but system calls (src/grade/sandbox.c).
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEPT = ("-I", "-D", "-std=", "-mavx", "-mamx", "-mfma", "-mf16c")
OFF = ["-Xclang", "-analyzer-disable-checker=security.insecureAPI.vfork,unix.Vfork"]


def analyse(entry):
    words = [word for word in shlex.split(entry["command"])[1:] if word.startswith(KEPT)]
    done = subprocess.run(["clang", "--analyze", "-Xclang", "-analyzer-output=text", *OFF, *words, "-o", os.devnull, entry["file"]],
                          cwd=entry["directory"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode != 0 or "warning:" in done.stdout, done.stdout


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(os.path.join(sys.argv[1], "compile_commands.json")) as stream:
        entries = [e for e in json.load(stream)
                   if e["file"].startswith(os.path.join(ROOT, "src", "")) and e["file"].endswith(".c")]
    if not entries:
        sys.exit("analyze: %s compiles nothing of %s/src" % (sys.argv[1], ROOT))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for bad, text in pool.map(analyse, entries) if bad]
    print("".join(found) + "analyze: %d files, %d with warnings" % (len(entries), len(found)))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
