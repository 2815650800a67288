#!/usr/bin/env python3
"""Checks that includes point only to the left in the order of the folders.

    tools/layers.py [SRC]        SRC: the source tree, src/ of this checkout unless given

        base < text, tensor, store < model, grade < sample < train < job < server < cli

A file may include from its own folder and from folders to the left of it; folders that share a place do
not see each other. Four rules more: job, server and cli see no tensor; only tensor/cuda sees a CUDA
header; a header of tensor/cuda is seen by tensor alone; and x_internal.h is seen only from the folder
that it is in. Every violation is one line with file and line number, and the exit status is 1 when
there is one.
"""
import os
import re
import sys

ORDER = [["base"], ["text", "tensor", "store"], ["model", "grade"], ["sample"], ["train"], ["job"],
         ["server"], ["cli"]]
PLACE = {folder: place for place, folders in enumerate(ORDER) for folder in folders}
LINE = " < ".join(", ".join(folders) for folders in ORDER)
WITHOUT_TENSOR = ("job", "server", "cli")
SOURCES = (".c", ".h", ".cu", ".cuh", ".inc")

INCLUDE = re.compile(r"\s*#\s*include\b\s*(.*)")
NAMED = re.compile(r'(?:"([^"]+)"|<([^>]+)>)')
CUDA_HEADER = re.compile(
    r"(cu(da|blas|dnn|fft|rand|solver|sparse|tensor|pti)\w*([./].*)?|nvrtc.*|nvml.*|nccl.*|mma|"
    r"nvtx.*|cooperative_groups|driver_types|vector_types|device_launch_parameters|"
    r"cub/.*|thrust/.*|cutlass/.*)(\.h|\.hpp|\.cuh)?")


def includes(path):
    """Yields (line number, what is included, in quotes?) of one file; None for what a macro names."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            match = INCLUDE.match(line)
            if match:
                named = NAMED.match(match.group(1))
                yield number, (named.group(1) or named.group(2)) if named else None, \
                    bool(named and named.group(1))


def resolve(src, folder, name, quoted):
    """The included file's path below src, as the compiler finds it, or None if it is not ours."""
    for start in ([folder] if quoted else []) + [""]:
        path = os.path.normpath(os.path.join(start, name))
        if os.path.isfile(os.path.join(src, path)):
            return path.replace(os.sep, "/")
    return None


def complaint(source, name, quoted, target):
    """Why source may not include name, or None if it may. source and target are paths below src."""
    top = source.split("/")[0]
    if target is None:
        if not quoted and CUDA_HEADER.fullmatch(name) and not source.startswith("tensor/cuda/"):
            return "only tensor/cuda sees a CUDA header, and <%s> is one" % name
        return 'there is no "%s" in the source tree' % name if quoted else None
    other = target.split("/")[0]
    if other not in PLACE:
        return "%s is in no folder of the order %s" % (target, LINE)
    if top in WITHOUT_TENSOR and other == "tensor":
        return "%s sees no tensor, and includes %s" % (top, target)
    if top != other and PLACE[other] == PLACE[top]:
        return "%s and %s share a place and do not see each other, but it includes %s" % (
            top, other, target)
    if PLACE[other] > PLACE[top]:
        return "%s is to the left of %s, but includes %s (%s)" % (top, other, target, LINE)
    if target.startswith("tensor/cuda/") and top != "tensor":
        return "only tensor sees tensor/cuda, but it includes %s" % target
    home = os.path.dirname(target)
    if re.search(r"_internal\.\w+$", target) and not source.startswith(home + "/"):
        return "%s is for %s alone" % (target, home)
    return None


def violations(src):
    """Yields "path:line: why" for every include that breaks a rule, in the order of the paths."""
    for folder, subfolders, files in os.walk(src):
        subfolders.sort()
        for file in sorted(files):
            if not file.endswith(SOURCES):
                continue
            path = os.path.join(folder, file)
            source = os.path.relpath(path, src).replace(os.sep, "/")
            if source.split("/")[0] not in PLACE or "/" not in source:
                yield "%s:1: the file is in no folder of the order %s" % (path, LINE)
                continue
            for number, name, quoted in includes(path):
                if name is None:
                    why = "an include whose file a macro names cannot be checked"
                else:
                    why = complaint(source, name, quoted,
                                    resolve(src, os.path.dirname(source), name, quoted))
                if why:
                    yield "%s:%d: %s" % (path, number, why)


def main(arguments):
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if len(arguments) == 1 else 2
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    src = arguments[0] if arguments else os.path.relpath(os.path.join(root, "src"))
    if not os.path.isdir(src):
        print("layers: there is no folder %s" % src, file=sys.stderr)
        return 2
    found = list(violations(src))
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
