"""The Frechet distance in numpy, two ways, on vectors that the unit test draws too: the numbers written there are these.

Needs no duet but its source: src/tasks/frechet.c is held to the table in tests/unit/test_tasks_frechet.c."""
import re
import unittest
from pathlib import Path

import dense_measures as measures
import philox
from harness import main, np

TEST = 99  # the purpose of the tests' streams
TABLE = Path(__file__).resolve().parent.parent / "unit" / "test_tasks_frechet.c"


def vector(set_, i, d):
    x = philox.normals(d, set_, TEST, d, i)
    for j in range(1, d):
        x[j] = x[j] + np.float32(0.5) * x[j - 1]
    j = np.arange(d)
    return x * (1 + (j + set_) % 4).astype(np.float32) + (j * set_ % 7).astype(np.float32) / np.float32(16)


def features(set_, n, d):
    return np.stack([vector(set_, i, d) for i in range(n)])


def frechet_by_eigenvalues(m1, c1, m2, c2):
    """The formula as it is written: the root of C1 C2 by the eigenvalues of that product, which is not symmetric."""
    values = np.linalg.eigvals(c1 @ c2).real
    return ((m1 - m2) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * np.sqrt(np.maximum(values, 0)).sum()


class Frechet(unittest.TestCase):
    def test_the_unit_tests_numbers(self):
        rows = re.findall(r"^ +\{(\d+), (\d+), (\d+), (\d+), (\d+), ([\d.]+)\}", TABLE.read_text(), re.M)
        self.assertEqual(len(rows), 3)
        for *whole, written in rows:
            a, b, n_a, n_b, d = map(int, whole)
            one, two = measures.moments(features(a, n_a, d)), measures.moments(features(b, n_b, d))
            found = measures.frechet(*one, *two)
            with self.subTest(sets=(a, b), dimensions=d):
                self.assertAlmostEqual(found, frechet_by_eigenvalues(*one, *two), delta=1e-9 * found)
                self.assertAlmostEqual(float(written), found, delta=1e-10 * found, msg=f"write {found!r}")


if __name__ == "__main__":
    main()
