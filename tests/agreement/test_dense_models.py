"""Dense networks, written by PyTorch and read by duet: the weights load strictly, and output, features and auxiliary logits
are equal. OUTPUTS names the program that runs a network of duet's on given pictures (outputs.c).

The large networks take a minute and gigabytes: `test_dense_models.py Large`, by hand, or with DUET_TEST_LARGE set."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from dense_harness import worn
from harness import main, np, to_arrays, torch
from torch import nn

import dense_models
import files

TOLERANCE = 1e-4  # of the norm of a map


def used(network):
    """A network past its start, where group norms would hide mistakes and branches would be nothing."""
    with torch.no_grad():
        for name, m in network.named_modules():
            if isinstance(m, nn.GroupNorm):
                m.weight.uniform_(0.6, 1.4)
                m.bias.normal_(0, 0.3)
            elif isinstance(m, (nn.Conv2d, nn.Linear)):
                if m.bias is not None:
                    m.bias.normal_(0, 0.2)
                if m.weight.abs().max() < 1e-3 or name.endswith("block.4"):  # starts as almost nothing
                    m.weight.normal_(0, m.weight[0].numel() ** -0.5)
    return worn(network)


class Outputs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = os.environ.get("OUTPUTS") or sys.exit("OUTPUTS must name the program made from outputs.c")
        cls.scratch = tempfile.TemporaryDirectory(prefix="duet-outputs-")
        cls.folder = Path(cls.scratch.name)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_duet(self, name, classes, arrays, x, t):
        weights, given, found = (self.folder / f for f in ("weights.safetensors", "in", "out"))
        files.write_safetensors(weights, arrays)
        pictures = x.permute(0, 2, 3, 1).contiguous().numpy().astype("<f4")
        given.write_bytes(pictures.tobytes() + t.numpy().astype("<i4").tobytes())
        done = subprocess.run([self.program, name, *map(str, (classes, weights, len(x), *x.shape[2:], given, found))],
                              stderr=subprocess.PIPE, text=True, timeout=240)
        self.assertEqual(done.returncode, 0, done.stderr)
        return np.fromfile(found, dtype="<f4")

    def agree(self, name, size, count=3):
        network = used(dense_models.build(name, seed=3)).eval()
        unet = name.startswith("unet_")
        x, t = torch.randn(count, 3, *size), torch.tensor([0, 999, 437])[:count]
        arrays = to_arrays(network)
        with torch.no_grad():
            wanted = network.double()(x.double(), *((t,) if unet else ()))
        classes = wanted.output.shape[1]
        found = self.run_duet(name, classes, arrays, x, t)
        for what, map_ in zip(wanted._fields, wanted):
            if map_ is None:
                continue
            n, c, h, w = map_.shape
            own, found = found[:map_.numel()], found[map_.numel():]
            own = own.reshape(n, h, w, c).transpose(0, 3, 1, 2).astype(np.float64)
            error = np.linalg.norm(own - map_.numpy()) / np.linalg.norm(map_.numpy())
            if os.environ.get("DUET_TEST_LARGE"):
                print(f"{name} {size}: {what}: {error:.1e}")
            self.assertLessEqual(error, TOLERANCE, f"{name}: {what}")
        self.assertEqual(found.size, 0, f"{name}: more values than PyTorch has")


class Small(Outputs):
    def test_segmentation(self):
        for name, size in (("seg8", (64, 64)), ("seg14", (33, 64)), ("seg20", (64, 64)), ("seg56", (64, 64)), ("seg8x2", (45, 62)), ("seg20x2", (32, 48))):
            with self.subTest(network=name):
                self.agree(name, size)

    def test_unets(self):
        for name, size in (("unet_c8", (32, 32)), ("unet_c16", (16, 24)), ("unet_c16d2", (32, 32)), ("unet_c32", (16, 16))):
            with self.subTest(network=name):
                self.agree(name, size)


class Large(Outputs):
    NETWORKS = {"deeplabv3_resnet18": (97, 129), "pspnet_resnet18": (97, 129), "deeplabv3_resnet18_w512": (65, 97),
                "tv_deeplabv3_resnet50": (65, 65), "deeplabv3_resnet101": (65, 65), "tv_deeplabv3_resnet101": (65, 65),
                "deeplabv3_resnet101_w512": (65, 65), "unet_c64": (32, 32), "unet_c128": (32, 32)}

    def test_all(self):
        if not (os.environ.get("DUET_TEST_LARGE") or "Large" in sys.argv):
            self.skipTest("DUET_TEST_LARGE is not set")
        for name, size in self.NETWORKS.items():
            with self.subTest(network=name):
                self.agree(name, size, count=2)


if __name__ == "__main__":
    main()
