"""Sampling from a UNet that PyTorch made: the same noise, twenty steps of each sampler, and the pictures are equal."""
import struct
import tempfile
import unittest
import zlib
from pathlib import Path

from harness import duet, main, np, to_arrays, torch

import dense_diffusion as diffusion
import dense_models
import files
import philox
from dense_harness import worn

SIDE, TIMES, STEPS, PICTURES, SEED = 32, 1000, 20, 3, 5
TOLERANCE = 1e-4  # of values in -1..1


def read_png(path):
    """uint8 [h, w, 3] of an RGB PNG without interlacing; PNG specification, section 9: each byte was predicted from its neighbours."""
    raw, at, packed = path.read_bytes(), 8, b""
    while at < len(raw):
        length, kind = struct.unpack(">I4s", raw[at:at + 8])
        body, at = raw[at + 8:at + 8 + length], at + length + 12
        if kind == b"IHDR":
            width, height, *rest = struct.unpack(">IIBBBBB", body)
            assert rest == [8, 2, 0, 0, 0], rest
        packed += body if kind == b"IDAT" else b""
    lines = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(height, 1 + 3 * width).astype(int)
    out = np.zeros((height + 1, 3 * width + 3), dtype=int)  # with a row above and a pixel before
    for y in range(height):
        how, above = lines[y, 0], out[y]
        for i in range(3, 3 * width + 3):
            left, up, corner = out[y + 1, i - 3], above[i], above[i - 3]
            nearest = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
            out[y + 1, i] = (lines[y, i - 2] + (0, left, up, (left + up) // 2, nearest)[how]) % 256
    return out[1:, 3:].reshape(height, width, 3)


class Sampling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="duet-sampling-")
        cls.folder = Path(cls.scratch.name)
        cls.network = worn(dense_models.build("unet_c8", seed=4)).double().eval()
        arrays = to_arrays(cls.network.float())
        cls.network.double()
        for schedule in ("linear", "cosine"):
            card = {"model": "unet_c8", "classes": "10", "normalise": "symmetric", "timesteps": str(TIMES), "noise": schedule}
            files.write_safetensors(cls.folder / f"{schedule}.safetensors", arrays, card)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def predict(self, x, t):
        with torch.no_grad():
            e = self.network(torch.from_numpy(x).permute(0, 3, 1, 2), torch.full((len(x),), t)).output
        return e.permute(0, 2, 3, 1).numpy()

    @staticmethod
    def noise(step):
        """Of every picture, NHWC as duet draws it; step 0: x_T."""
        return np.stack([philox.normals(SIDE * SIDE * 3, SEED, philox.SAMPLE, step, p) for p in range(PICTURES)]).reshape(
            PICTURES, SIDE, SIDE, 3).astype(np.float64)

    def sample(self, schedule, *words):
        raw, png = self.folder / "raw", self.folder / f"png{len(list(self.folder.iterdir()))}"
        duet("sample", self.folder / f"{schedule}.safetensors", "--n", PICTURES, "--steps", STEPS, "--seed", SEED, "--raw", raw,
             "--png", png, "--threads", 1, *words)
        return np.fromfile(raw, dtype="<f4").reshape(PICTURES, SIDE, SIDE, 3), png

    def agree(self, schedule, words, **how):
        found, png = self.sample(schedule, *words)
        ab = diffusion.signal(schedule, TIMES)
        wanted = diffusion.sample(self.predict, self.noise(0), ab, STEPS, lambda step: self.noise(step + 1), **how)
        error = float(np.abs(found - wanted).max())
        print(f"{schedule} {' '.join(map(str, words))}: largest error {error:.1e}")
        self.assertLessEqual(error, TOLERANCE)
        self.assertGreater(np.std(wanted), 0.1)
        self.compare_bytes(png, found)

    def compare_bytes(self, png, values):
        names = sorted(p.name for p in png.iterdir())
        self.assertEqual(names, [f"{i:05d}.png" for i in range(PICTURES)])
        for name, picture in zip(names, diffusion.to_bytes(values)):
            self.assertTrue(np.array_equal(read_png(png / name), picture), name)

    def test_ddim(self):
        for schedule in ("linear", "cosine"):
            for eta in (0, 0.5, 1):
                with self.subTest(schedule=schedule, eta=eta):
                    self.agree(schedule, ("--eta", eta), eta=float(eta))

    def test_ancestral(self):
        for schedule in ("linear", "cosine"):
            for variance in ("large", "small"):
                with self.subTest(schedule=schedule, variance=variance):
                    self.agree(schedule, ("--sampler", "ancestral", "--variance", variance), variance=variance)

    def test_the_batch_changes_no_picture(self):
        one, png1 = self.sample("cosine", "--batch", 1)
        all_, png8 = self.sample("cosine", "--batch", 8)
        self.assertEqual([p.read_bytes() for p in sorted(png1.iterdir())], [p.read_bytes() for p in sorted(png8.iterdir())])
        self.assertTrue(np.array_equal(one, all_))


if __name__ == "__main__":
    main()
