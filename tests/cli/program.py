"""Runs the program as a user would. Every test file of this folder is a unittest program on top of this."""
import os
import random
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = os.environ.get("DUET")
if not PROGRAM:
    sys.exit("DUET must name the duet program")
PROGRAM = os.path.abspath(PROGRAM)

COMMANDS = ["train", "eval", "predict", "look", "plan", "models", "methods", "sample", "frechet", "data", "bench", "help", "version"]


def environment(**more):
    """The caller's environment without what would change the program's output."""
    env = {k: v for k, v in os.environ.items() if k not in ("DUET_DATA", "NO_COLOR", "COLUMNS", "TERM")}
    env.update(LC_ALL="C", **more)
    return env


def duet(*words, cwd=None, **more):
    """Exit code, standard output, standard error."""
    done = subprocess.run([PROGRAM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
                          env=environment(**more), timeout=200)
    return done.returncode, done.stdout, done.stderr


def write_cifar100(folder, train, test, seed=1):
    """A folder in CIFAR-100's layout with so many records: coarse label, fine label, 3072 bytes of noise around the label."""
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("train.bin", train), ("test.bin", test)):
        with open(folder / name, "wb") as f:
            for _ in range(records):
                label = draw.randrange(100)
                f.write(bytes([label // 5, label]) + bytes((2 * label + draw.randrange(50)) % 256 for _ in range(3072)))
    return folder


RECIPE = """\
data: {{name: cifar100, path: {data}}}
networks:
  - {{name: teacher, model: resnet8, role: teacher}}
  - {{name: student, model: resnet8, role: student}}
method: {{name: dml}}
train: {{epochs: 2, batch: 8, lr: 0.01, log_every: 1}}
device: {{threads: 1}}
"""


class Case(unittest.TestCase):
    """A scratch folder with a small data set in data/ and a recipe in small.yaml: four steps an epoch."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory(prefix="duet-cli-")
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.data = write_cifar100(self.folder / "data", 32, 10)
        self.recipe = self.folder / "small.yaml"
        self.recipe.write_text(RECIPE.format(data=self.data))

    def run_ok(self, *words, **more):
        code, out, err = duet(*words, cwd=self.folder, **more)
        self.assertEqual(code, 0, f"duet {' '.join(map(str, words))}\n{err}{out}")
        self.assertEqual(err, "")
        return out

    def run_bad(self, code, *words, says=(), **more):
        """Fails with this exit code and one line on standard error that says all of this."""
        found, out, err = duet(*words, cwd=self.folder, **more)
        self.assertEqual(found, code, f"duet {' '.join(map(str, words))}\n{err}{out}")
        self.assertTrue(err.startswith("duet: "), err)
        self.assertEqual(err.count("\n"), 1, err)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, err)
        return out


if __name__ == "__main__":
    sys.exit("not a test: run test_*.py")
