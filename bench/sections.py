"""What the scripts here share: running hone bench, medians, and sections of a Markdown file that a script writes anew."""
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
HONE = os.path.join(ROOT, "build", "release", "hone")


def bench(hone, model, *words):
    """The object that hone bench --json prints; ends the program with hone's sentence where it fails."""
    command = [hone, "bench", "--model", model, *words, "--json"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit("%s: %s" % (hone, error.strerror))
    if done.returncode != 0:
        sys.exit(done.stderr.strip())
    return json.loads(done.stdout)


def processor():
    """What the system calls it."""
    try:
        with open("/proc/cpuinfo") as stream:
            for line in stream:
                if line.startswith(("model name", "Model", "CPU part")):
                    return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return os.uname().machine


def spread(values, digits=None):
    """'380 (362 to 418)': median, least and most."""
    def text(x):
        return "%.*f" % (digits if digits is not None else 0 if x >= 100 else 1 if x >= 10 else 2, x)
    middle = text(statistics.median(values))
    return middle if len(values) < 2 else "%s (%s to %s)" % (middle, text(min(values)), text(max(values)))


def table(head, rows):
    lines = ["| %s |" % " | ".join(head), "|%s" % ("---|" * len(head))]
    return "\n".join(lines + ["| %s |" % " | ".join(str(cell) for cell in row) for row in rows])


def write_section(path, name, text):
    """Puts text between the lines <!-- name --> and <!-- end of name -->, which the file has."""
    begin, end = "<!-- %s -->\n" % name, "<!-- end of %s -->\n" % name
    with open(path, encoding="utf-8") as stream:
        old = stream.read()
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        sys.exit("%s: there is no place for this: the line %s and behind it the line %s, once each" %
                 (path, begin.strip(), end.strip()))
    new = old[:old.index(begin) + len(begin)] + "\n" + text.strip("\n") + "\n\n" + old[old.index(end):]
    with open(path + ".new", "w", encoding="utf-8") as stream:
        stream.write(new)
    os.replace(path + ".new", path)
