"""Squares made of pictures of any size, beside Pillow.

The same bytes where the whole picture is decoded (PNG; JPEG at 8 eighths): parts, scaling, mirroring, colours. Where a JPEG is decoded at
a smaller size first, the low-pass filter is another one: on waves and noise the mean difference stays below 1 of 255, the greatest below 6.
A shift by one result pixel would make it 5."""
import io
import os
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    from PIL import Image, ImageEnhance, ImageOps
except ImportError:
    print("needs numpy and Pillow (python3-pil)")
    sys.exit(77)

SQUARES = os.environ["SQUARES"]
ORDERS = ["bcs", "bsc", "cbs", "csb", "sbc", "scb"]


def picture(height, width, seed, wave=9, noise=6):
    """Waves of about 6 times so many pixels, and noise."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (wave + 3 * k) + seed) * np.cos(y / (wave + 2 * k)) + draw.normal(0, noise, (height, width)) for k in range(3)]
    return Image.fromarray(np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8))


class Squares(unittest.TestCase):
    def make(self, data, size, short_side, seed, *more):
        with tempfile.NamedTemporaryFile() as f:
            f.write(data)
            f.flush()
            out = subprocess.run([SQUARES, f.name, str(size), str(short_side), str(seed), *more], stdout=subprocess.PIPE, check=True).stdout
        line, _, pixels = out.partition(b"\n")
        return [float(word) for word in line.split()], np.frombuffer(pixels, np.uint8).reshape(size, size, 3).astype(int)

    @staticmethod
    def encoded(image, kind, **options):
        out = io.BytesIO()
        image.save(out, kind, **options)
        return out.getvalue()

    def judged(self, image, size, short_side):
        """torchvision's Resize(short_side) and CenterCrop(size), for pictures of Pillow."""
        w, h = image.size
        width, height = (short_side, int(short_side * h / w)) if w <= h else (int(short_side * w / h), short_side)
        image = image.resize((width, height), Image.BILINEAR)
        top, left = int(round((height - size) / 2.0)), int(round((width - size) / 2.0))
        return np.asarray(image.crop((left, top, left + size, top + size))).astype(int)

    def varied(self, image, drawn, size):
        _, _, y, x, h, w, flip, brightness, contrast, saturation, order, _ = drawn
        image = image.crop((int(x), int(y), int(x + w), int(y + h))).resize((size, size), Image.BILINEAR)
        if flip:
            image = ImageOps.mirror(image)
        for step in ORDERS[int(order)]:
            kind, factor = {"b": (ImageEnhance.Brightness, brightness), "c": (ImageEnhance.Contrast, contrast),
                            "s": (ImageEnhance.Color, saturation)}[step]
            image = kind(image).enhance(factor)
        return np.asarray(image).astype(int)

    def test_judged_pictures_have_pillows_bytes(self):
        for height, width, size, side in ((300, 401, 224, 256), (256, 256, 224, 256), (97, 33, 32, 37), (20, 31, 48, 48), (700, 90, 64, 64), (1, 5, 8, 8)):
            with self.subTest((height, width, size, side)):
                image = picture(height, width, height)
                _, got = self.make(self.encoded(image, "png"), size, side, 0)
                self.assertEqual(np.abs(got - self.judged(image, size, side)).max(), 0)

    def test_random_parts_have_pillows_bytes(self):
        flips = 0
        for seed in range(1, 25):
            with self.subTest(seed):
                image = picture(150 + 7 * seed, 240 - 5 * seed, seed)
                drawn, got = self.make(self.encoded(image, "png"), 64, 64, seed)
                self.assertEqual(np.abs(got - self.varied(image, drawn, 64)).max(), 0)
                flips += drawn[6]
        self.assertTrue(4 <= flips <= 20, flips)

    def test_colours_have_pillows_bytes(self):
        orders = set()
        for seed in range(1, 25):
            with self.subTest(seed):
                image = picture(90, 80, seed)
                drawn, got = self.make(self.encoded(image, "png"), 48, 48, seed, "jitter")
                orders.add(drawn[10])
                self.assertTrue(all(0.6 <= f <= 1.4 for f in drawn[7:10]), drawn)
                self.assertEqual(np.abs(got - self.varied(image, drawn, 48)).max(), 0)
        self.assertGreaterEqual(len(orders), 4)

    def test_parts_are_drawn_as_torchvision_draws_them(self):
        """Area and ratio of many parts have the means of their distributions; all lie inside."""
        image = self.encoded(picture(120, 160, 1), "png")
        areas, ratios = [], []
        for seed in range(1, 121):
            (height, width, y, x, h, w, *_), _ = self.make(image, 8, 8, seed)
            self.assertTrue(0 <= y <= height - h and 0 <= x <= width - w)
            areas.append(h * w / (height * width))
            ratios.append(np.log(w / h))
        # Attempts that do not fit are drawn again, so the mean is below (0.08 + 1) / 2: 0.434, deviation 0.218, by simulating the definition.
        self.assertLess(abs(np.mean(areas) - 0.434), 4 * 0.218 / np.sqrt(len(areas)))
        self.assertGreater(min(areas), 0.07)
        self.assertLess(max(np.abs(ratios)), np.log(4 / 3) + 0.1)

    def test_jpegs_decoded_at_a_part_of_their_size_are_near(self):
        parts = set()
        for seed in range(0, 12):
            with self.subTest(seed):
                image = picture(600 + 31 * seed, 800 - 17 * seed, seed, 30, 3)
                data = self.encoded(image, "jpeg", quality=92, subsampling=seed % 3)
                whole = Image.open(io.BytesIO(data)).convert("RGB")
                drawn, got = self.make(data, 96, 110, seed)
                want = self.varied(whole, drawn, 96) if seed else self.judged(whole, 96, 110)
                parts.add(drawn[11])
                off = np.abs(got - want)
                self.assertLess(off.mean(), 1e-9 if drawn[11] == 8 else 1)
                self.assertLessEqual(off.max(), 0 if drawn[11] == 8 else 5)
        self.assertGreaterEqual(len(parts), 3)


if __name__ == "__main__":
    unittest.main()
