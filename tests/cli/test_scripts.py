"""The scripts that turn run folders into tables: their arithmetic on runs small enough to do by hand, and what they refuse."""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(script, *arguments):
    return subprocess.run([sys.executable, str(SCRIPTS / script), *map(str, arguments)], capture_output=True, text=True)


class Seeds(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="scripts"))

    def write(self, name, values, column="top1", extra=""):
        """A run whose networks a and b end at the two values of the last pair."""
        (self.folder / name).mkdir()
        rows = ["%d,1.0,%s,1.0,%s%s" % (i, a, b, extra and ",0.5,0.6,0.4,0.2,0.7,0.6") for i, (a, b) in enumerate(values, 1)]
        head = "epoch,a.loss,a.%s,b.loss,b.%s" % (column, column) + extra
        (self.folder / name / "metrics.csv").write_text("\n".join([head] + rows) + "\n")
        return self.folder / name

    def test_mean_deviation_and_difference_between_runs_of_a_seed(self):
        alone = [self.write("alone%d" % i, [(0, 0), v]) for i, v in enumerate([(10, 1), (12, 2), (14, 3)])]
        dml = [self.write("dml%d" % i, [(0, 0), v]) for i, v in enumerate([(11, 1), (14, 2), (17, 3)])]
        done = run("seeds.py", "--digits", 1, "alone=" + ",".join(map(str, alone)), "dml=" + ",".join(map(str, dml)), "--csv", self.folder / "all.csv")
        self.assertEqual(done.returncode, 0, done.stderr)
        cells = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(cells[1], "alone 3 12.0 +- 2.0 2.0 +- 1.0".split())
        self.assertEqual(cells[2], "dml 3 14.0 +- 3.0 +2.0 +- 1.0 2.0 +- 1.0 +0.0 +- 0.0".split())
        lines = (self.folder / "all.csv").read_text().splitlines()
        self.assertEqual(lines[0], "recipe,run,network,epoch,top1")
        self.assertEqual(len(lines), 1 + 6 * 2 * 2)
        self.assertIn("dml,3,a,2,17", lines)

    def test_groups_of_unlike_length_are_refused(self):
        runs = [self.write("r%d" % i, [(1, 1)]) for i in range(3)]
        done = run("seeds.py", "x=%s,%s" % (runs[0], runs[1]), "y=%s" % runs[2])
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"^seeds\.py: y has 1 runs, x has 2; .*\n$")

    def test_a_column_that_is_not_there(self):
        done = run("seeds.py", "--column", "miou", self.write("r", [(1, 1)]))
        self.assertRegex(done.stderr, r"^seeds\.py: the first run has no column NAME\.miou; its columns are .*\n$")

    def test_shares_of_the_foreground(self):
        columns = ",train.adm.foreground,train.adm.foreground_s,train.adm.foreground_c,train.adm.foreground_d,train.a.foreground_attention,train.b.foreground_attention"
        one = self.write("o", [(1, 1)], extra=columns)
        done = run("observations.py", one)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[1].split()[-6:], ["50.0", "60.0", "40.0", "20.0", "70.0", "60.0"])
        refused = run("observations.py", self.write("without", [(1, 1)]))
        self.assertRegex(refused.stderr, r"no column train\.adm\.foreground")

    def test_a_run_that_is_not_there(self):
        for script in ("seeds.py", "observations.py", "results.py"):
            done = run(script, self.folder / "nowhere")
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr, r"^%s: .*nowhere.*metrics\.csv: No such file or directory; give folders that `duet train --out` wrote\n$" % script)


if __name__ == "__main__":
    unittest.main()
