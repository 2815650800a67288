"""tools/layers.py: what points to the left passes, each planted violation is named with its line."""
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.join(ROOT, "tools", "layers.py")

SOUND = {
    "base/error.h": "#include <stddef.h>\n",
    "base/error.c": '#include "base/error.h"\n#include "error.h"\n',
    "text/json.h": '#include "base/error.h"\n',
    "text/json_internal.h": "",
    "text/json.c": '#include "text/json.h"\n#include "text/json_internal.h"\n',
    "tensor/ops.h": "",
    "tensor/ops.c": '#include "tensor/cuda/ops.h"\n',
    "tensor/ops_internal.h": "",
    "tensor/cpu/ops.c": '#include "tensor/ops.h"\n#include "tensor/ops_internal.h"\n',
    "tensor/cuda/ops.h": "",
    "tensor/cuda/ops.cu": "#include <cuda_runtime.h>\n#include <cublasLt.h>\n",
    "model/model.h": '#include "tensor/ops.h"\n#include "text/json.h"\n',
    "grade/grade.h": '#include "text/json.h"\n',
    "sample/sample.h": '#include "model/model.h"\n#include "grade/grade.h"\n',
    "train/train.h": '#include "sample/sample.h"\n#include "tensor/ops.h"\n',
    "job/job.h": '#include "train/train.h"\n#include <curl/curl.h>\n',
    "server/http.h": '#include "job/job.h"\n',
    "cli/main.c": '#include "server/http.h"\n  #  include "base/error.h"\n// #include "nothing"\n',
}


class Layers(unittest.TestCase):
    def run_on(self, **planted):
        """The tool's exit status and lines for the sound tree with planted files (a__b_c: a/b.c)."""
        with tempfile.TemporaryDirectory() as src:
            files = dict(SOUND)
            for name, text in planted.items():
                files[name.replace("__", "/")[::-1].replace("_", ".", 1)[::-1]] = text
            for name, text in files.items():
                path = os.path.join(src, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as stream:
                    stream.write(text)
            run = subprocess.run([sys.executable, TOOL, src], capture_output=True, text=True)
            self.assertEqual(run.stderr, "")
            return run.returncode, [line.replace(src + "/", "") for line in run.stdout.splitlines()]

    def assert_one(self, result, place, words):
        status, lines = result
        self.assertEqual(status, 1)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(place + ": "), lines[0])
        self.assertIn(words, lines[0])

    def test_the_sound_tree_passes(self):
        self.assertEqual(self.run_on(), (0, []))

    def test_an_include_to_the_right_is_named(self):
        result = self.run_on(base__bad_c='\n\n#include "text/json.h"\n')
        self.assert_one(result, "base/bad.c:3", "base is to the left of text")

    def test_a_relative_path_does_not_hide_one(self):
        result = self.run_on(sample__bad_h='#include "../train/train.h"\n')
        self.assert_one(result, "sample/bad.h:1", "sample is to the left of train")

    def test_angle_brackets_do_not_hide_one(self):
        result = self.run_on(sample__bad_h="#include <train/train.h>\n")
        self.assert_one(result, "sample/bad.h:1", "sample is to the left of train")

    def test_neighbours_do_not_see_each_other(self):
        result = self.run_on(grade__bad_c='#include "model/model.h"\n')
        self.assert_one(result, "grade/bad.c:1", "grade and model share a place")

    def test_the_upper_folders_see_no_tensor(self):
        for folder in ("job", "server", "cli"):
            result = self.run_on(**{folder + "__bad_c": '#include "tensor/ops.h"\n'})
            self.assert_one(result, folder + "/bad.c:1", folder + " sees no tensor")

    def test_only_the_cuda_folder_sees_a_cuda_header(self):
        for header in ("cuda.h", "cuda_runtime.h", "cublasLt.h", "nccl.h", "cuda/barrier", "mma.h"):
            result = self.run_on(tensor__cpu__bad_c="#include <%s>\n" % header)
            self.assert_one(result, "tensor/cpu/bad.c:1", "only tensor/cuda sees a CUDA header")

    def test_a_header_of_the_cuda_folder_is_for_tensor(self):
        result = self.run_on(model__bad_c='#include "tensor/cuda/ops.h"\n')
        self.assert_one(result, "model/bad.c:1", "only tensor sees tensor/cuda")

    def test_an_internal_header_stays_in_its_folder(self):
        result = self.run_on(model__bad_c='#include "text/json_internal.h"\n')
        self.assert_one(result, "model/bad.c:1", "is for text alone")

    def test_a_header_that_is_not_there_is_named(self):
        result = self.run_on(model__bad_c='#include "model/absent.h"\n')
        self.assert_one(result, "model/bad.c:1", 'there is no "model/absent.h"')

    def test_an_include_through_a_macro_is_refused(self):
        result = self.run_on(model__bad_c="#include WHERE\n")
        self.assert_one(result, "model/bad.c:1", "a macro names")

    def test_a_folder_without_a_place_is_refused(self):
        result = self.run_on(utils__bad_c="int x;\n")
        self.assert_one(result, "utils/bad.c:1", "in no folder of the order")

    def test_all_violations_are_shown(self):
        status, lines = self.run_on(base__bad_c='#include "cli/x.h"\n#include "job/job.h"\n',
                                    text__bad_c='#include "store/store.h"\n', store__store_h="")
        self.assertEqual(status, 1)
        self.assertEqual(len(lines), 3)


if __name__ == "__main__":
    unittest.main()
