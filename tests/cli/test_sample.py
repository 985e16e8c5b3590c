"""Pictures from a network that denoises, and how far two sets of them are apart, as a user meets both commands."""
import json
import struct
import unittest

from program import Case

DENOISE = """\
task: {name: denoise}
data: {name: shapes-plain}
networks: [{name: peer, model: unet_c8}]
method: {name: vanilla}
train: {epochs: 1, batch: 4, lr: 0.001, log_every: 1}
device: {threads: 1}
"""
CLASSIFY = """\
data: {name: shapes-plain}
networks: [{name: peer, model: resnet8}]
method: {name: vanilla}
train: {epochs: 1, batch: 4, lr: 0.01, log_every: 1}
device: {threads: 1}
"""


class Trained(Case):
    """A network of each task, hardly trained."""

    def setUp(self):
        super().setUp()
        for name, recipe in (("noise", DENOISE), ("classes", CLASSIFY)):
            (self.folder / f"{name}.yaml").write_text(recipe)
            self.run_ok("train", f"{name}.yaml", "--out", name, "--max-steps", 2, "--quiet")
        self.denoiser, self.classifier = "noise/peer.safetensors", "classes/peer.safetensors"

    def sample(self, *words):
        return self.run_ok("sample", self.denoiser, "--threads", 1, "--steps", 3, *words)

    def names(self):
        return {p.name for p in self.folder.iterdir()}


class Sample(Trained):
    def test_pictures_sheets_and_numbers(self):
        said = self.sample("--n", 5, "--png", "all", "--grid", "sheet.png", "--raw", "numbers")
        for word in ("5 pictures", "32x32", "unet_c8", "3 steps", "ddim, eta 0", "seed 0", "all", "sheet.png", "numbers"):
            self.assertIn(word, said)
        self.assertEqual([p.name for p in sorted((self.folder / "all").iterdir())], [f"{i:05d}.png" for i in range(5)])
        self.assertEqual(self.size("all/00000.png"), (32, 32))
        self.assertEqual(self.size("sheet.png"), (3 * 34 + 2, 2 * 34 + 2))
        self.assertEqual((self.folder / "numbers").stat().st_size, 5 * 32 * 32 * 3 * 4)
        self.assertFalse(any("." in name and name.startswith("all") for name in self.names()))

    def size(self, path):
        return struct.unpack(">II", (self.folder / path).read_bytes()[16:24])

    def pictures(self, folder):
        return [p.read_bytes() for p in sorted((self.folder / folder).iterdir())]

    def test_a_picture_depends_on_seed_and_number_alone(self):
        for name, n, batch, more in (("one", 3, 1, ()), ("more", 5, 4, ()), ("other", 3, 3, ("--seed", 1))):
            self.sample("--n", n, "--batch", batch, "--sampler", "ancestral", "--png", name, *more)
        self.assertEqual(self.pictures("one"), self.pictures("more")[:3])
        self.assertNotEqual(self.pictures("one"), self.pictures("other"))

    def test_an_empty_folder_is_as_good_as_none(self):
        (self.folder / "empty").mkdir()
        self.sample("--n", 1, "--png", "empty")
        self.assertEqual(len(self.pictures("empty")), 1)

    def test_mistakes_leave_nothing(self):
        before = self.names()
        place = ("--png", "out")
        self.run_bad(2, "sample", self.classifier, *place, says=["resnet8", "classify", "denoises"])
        self.run_bad(2, "sample", self.denoiser, *place, "--steps", 1001, says=["1001", "2 to 1000"])
        self.run_bad(2, "sample", self.denoiser, *place, "--steps", 1, says=["--steps", "'1'"])
        self.run_bad(2, "sample", self.denoiser, *place, "--eta", "1.5", says=["--eta", "from 0 to 1"])
        self.run_bad(2, "sample", self.denoiser, *place, "--sampler", "ddpm", says=["--sampler", "ddim or ancestral"])
        self.run_bad(2, "sample", self.denoiser, *place, "--sampler", "ancestral", "--eta", 0, says="--variance")
        self.run_bad(2, "sample", self.denoiser, *place, "--variance", "small", says="--eta")
        self.run_bad(2, "sample", self.denoiser, says=["--png", "--grid"])
        self.run_bad(1, "sample", self.denoiser, "--png", "none/out", says=["none/out", "No such file"])
        self.run_bad(1, "sample", self.denoiser, "--grid", "none/sheet.png", says=["none/sheet.png", "No such file"])
        self.run_bad(1, "sample", self.denoiser, "--png", "data", says=["data", "no empty folder"])
        self.run_bad(1, "sample", "none.safetensors", *place, says="none.safetensors")
        self.assertEqual(self.names(), before)


class Frechet(Trained):
    def compare(self, a, b, *words):
        return self.run_ok("frechet", a, b, "--extractor", self.classifier, "--threads", 1, *words)

    def test_the_number_has_its_extractor_and_its_bias(self):
        text = self.compare("shapes-plain:train", "shapes-plain:test", "--n", 80)
        self.assertRegex(text, r"(?m)^frechet\[resnet8@[0-9a-f]{12}\] = \d")
        self.assertIn("D 64", text)
        self.assertIn("Few pictures", text)
        self.assertNotIn("differ in size", text)
        said = json.loads(self.compare("shapes-plain:train", "shapes-plain:test", "--n", 80, "--json"))
        self.assertEqual([s["n"] for s in said["sets"]], [80, 80])
        self.assertAlmostEqual(said["unit_bias"], (64 * 65 / 4 + 64) * 2 / 80)
        self.assertGreater(said["bias"], 0)
        self.assertLess(said["frechet"], 20 * said["bias"])  # two samples of one distribution
        self.assertIsNone(said["extrapolated"])
        self.assertTrue(said["few"])

    def test_a_folder_of_pictures(self):
        self.sample("--n", 70, "--steps", 2, "--png", "out")
        said = json.loads(self.compare("out", "out", "--json"))
        self.assertLess(abs(said["frechet"]), 1e-9)
        said = json.loads(self.compare("out", "shapes-plain:test", "--json"))
        self.assertTrue(said["uneven"])
        self.assertGreater(said["frechet"], said["bias"])
        (self.folder / "out" / "00003.png").write_bytes(b"no picture")
        self.run_bad(1, "frechet", "out", "out", "--extractor", self.classifier, says="00003.png")

    def test_mistakes(self):
        pair = ("shapes-plain:train", "shapes-plain:test")
        self.run_bad(2, "frechet", *pair, says="--extractor")
        self.run_bad(2, "frechet", *pair, "--extractor", self.classifier, "--n", 64, says=["64 pictures", "64 dimensions"])
        self.run_bad(2, "frechet", *pair, "--extractor", self.denoiser, says=["unet_c8", "denoise", "classifier"])
        self.run_bad(1, "frechet", "none", pair[1], "--extractor", self.classifier, says=["none", "NAME:train"])
        self.run_bad(1, "frechet", "shapes-seg:test", pair[1], "--extractor", self.classifier, says=["shapes-seg", "64x64", "32x32"])
        (self.folder / "bare").mkdir()
        self.run_bad(1, "frechet", "bare", pair[1], "--extractor", self.classifier, says=["bare", "no PNG"])
        self.run_bad(2, "frechet", "shapes-plain:train", says="usage: duet frechet A B")


if __name__ == "__main__":
    unittest.main()
