"""Segmentation and denoising as a user meets them: runs that resume to the same bytes, what is measured, what is refused."""
import csv
import json
import random
import signal
import struct
import subprocess
import time
import unittest
import zlib

from program import PROGRAM, Case, environment

NETWORKS = """\
networks:
  - {{name: teacher, model: {teacher}, role: teacher}}
  - {{name: student, model: {student}, role: student}}
method: {{name: dml}}
adm: on
device: {{threads: 1}}
"""

SEGMENT = """\
data: {{name: folder-seg, path: {data}, crop: [16, 24], scale: [50, 150], augment: flip}}
task: {{name: segment}}
train: {{epochs: 3, batch: 2, lr: 0.05, log_every: 1, schedule: {{name: poly}}}}
""" + NETWORKS

DENOISE = """\
data: {{name: cifar100, path: {data}, augment: flip}}
task: {{name: denoise, timesteps: 100}}
train: {{epochs: 2, batch: 8, optimizer: adam, lr: 0.001, clip_norm: 1, ema: 0.9, log_every: 1, schedule: {{name: constant}}}}
""" + NETWORKS


def write_png(path, width, height, pixels, colour_type=0):
    """8-bit rows of grey (0) or RGB (2)."""
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = width * (3 if colour_type == 2 else 1)
    rows = b"".join(b"\0" + pixels[k * row:(k + 1) * row] for k in range(height))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_folder(folder, train=6, test=3, width=24, height=20):
    draw = random.Random(3)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for split, count in (("train", train), ("val", test)):
        stems = [f"{split}{k}" for k in range(count)]
        for stem in stems:
            classes = [255 if draw.random() < 0.05 else (x * 3 // width) for _ in range(height) for x in range(width)]
            pixels = bytes(min(255, 80 * (c % 3) + draw.randrange(40)) for c in classes for _ in range(3))
            write_png(folder / "images" / f"{stem}.png", width, height, pixels, 2)
            write_png(folder / "masks" / f"{stem}.png", width, height, bytes(classes))
        (folder / f"{split}.txt").write_text("".join(s + "\n" for s in stems))
    (folder / "classes.txt").write_text("left #ff0000\nmiddle #00ff00\nright #0000ff\n")
    return folder


def without_metadata(source, target):
    """A safetensors file as others write it."""
    data = source.read_bytes()
    n, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + n])
    head["__metadata__"] = {"format": "pt"}
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + n:])


class Dense(Case):
    def setUp(self):
        super().setUp()
        self.seg = write_folder(self.folder / "seg")
        self.segment = self.folder / "segment.yaml"
        self.segment.write_text(SEGMENT.format(data=self.seg, teacher="seg14", student="seg8"))
        self.denoise = self.folder / "denoise.yaml"
        self.denoise.write_text(DENOISE.format(data=self.data, teacher="unet_c8", student="unet_c8"))

    def same_bytes(self, a, b, names):
        for name in names:
            self.assertEqual((self.folder / a / name).read_bytes(), (self.folder / b / name).read_bytes(), name)

    def last_row(self, run):
        with open(self.folder / run / "metrics.csv", newline="") as f:
            return list(csv.DictReader(f))[-1]

    def kill_after(self, steps, recipe, out):
        """Starts the run, and kills it as soon as its log has so many steps after the first checkpoint."""
        run = subprocess.Popen([PROGRAM, "train", str(recipe), "--out", out, "--resume"], cwd=self.folder, env=environment(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        log = self.folder / out / "log.jsonl"
        began = time.monotonic()
        while run.poll() is None and time.monotonic() - began < 60:
            if log.exists() and log.read_text().count('"event":"step"') >= steps:
                break
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait()


class Runs(Dense):
    def test_segmentation_is_cut_killed_and_resumed_to_the_same_bytes(self):
        files = ["teacher.safetensors", "student.safetensors", "student.best.safetensors"]
        self.run_ok("train", self.segment, "--out", "whole", "--set", "data.workers=1")
        self.run_ok("train", self.segment, "--out", "cut", "--set", "data.workers=4", "--max-steps", 4)
        self.kill_after(6, self.segment, "cut")
        self.run_ok("train", self.segment, "--out", "cut", "--resume")
        self.same_bytes("whole", "cut", files)
        row = self.last_row("whole")
        self.assertTrue(0 <= float(row["student.miou"]) <= 100 and 0 <= float(row["student.pixel_accuracy"]) <= 100)
        self.assertEqual(row, self.last_row("whole"))
        out = self.run_ok("eval", "whole/student.safetensors", "--path", self.seg)
        self.assertIn("mIoU", out)
        self.assertIn("middle", out)

    def test_denoising_is_cut_killed_and_resumed_to_the_same_bytes(self):
        files = ["teacher.safetensors", "student.safetensors", "student.ema.safetensors", "student.best.safetensors"]
        self.run_ok("train", self.denoise, "--out", "whole", "--set", "data.workers=1")
        self.run_ok("train", self.denoise, "--out", "cut", "--set", "data.workers=4", "--max-steps", 3)
        self.kill_after(5, self.denoise, "cut")
        self.run_ok("train", self.denoise, "--out", "cut", "--resume")
        self.same_bytes("whole", "cut", files)
        row = self.last_row("whole")
        self.assertGreater(float(row["student.mse"]), 0)
        self.assertIn("student.raw.mse", row) # averaged weights are judged, the others reported

    def test_look_shows_what_networks_take_for_the_picture_behind_the_noise(self):
        self.run_ok("train", self.denoise, "--out", "run", "--max-steps", 1)
        said = json.loads(self.run_ok("look", "run", "--json", "--n", 2, "--threads", 1, "--out", "sheets"))
        self.assertEqual([(p["index"], p["time"]) for p in said["pictures"]], [(i, t) for i in range(2) for t in (10, 30, 50, 70, 90)])
        self.assertEqual(said["sheets"], ["sheets/look-01.png"])
        for p in said["pictures"]:
            self.assertAlmostEqual(p["maps"]["student_error"]["mean"], 1, delta=0.2)  # a network that says almost 0
            self.assertIsNone(p["foreground"])
        apart = json.loads(self.run_ok("look", "run", "--json", "--from", 1, "--n", 1, "--threads", 1))
        self.assertEqual(apart["pictures"], said["pictures"][5:])  # a picture's noise is its own

    def test_weights_that_say_nothing_of_themselves_are_sampled_when_the_caller_says_it(self):
        self.run_ok("train", self.denoise, "--out", "run", "--max-steps", 1)
        without_metadata(self.folder / "run/student.safetensors", self.folder / "public.safetensors")
        sample = ("--n", 2, "--steps", 4, "--threads", 1)
        self.run_ok("sample", "run/student.safetensors", *sample, "--raw", "own")
        said = ("public.safetensors", "--model", "unet_c8")
        self.run_bad(1, "sample", "public.safetensors", *sample, "--raw", "x", says=["public.safetensors", "--model"])
        self.run_bad(1, "sample", *said, *sample, "--raw", "x", says=["public.safetensors", "--noise linear", "--timesteps"])
        self.run_bad(2, "sample", *said, *sample, "--noise", "square", "--raw", "x", says=["'square'", "linear, cosine"])
        self.run_bad(2, "sample", *said, *sample, "--noise", "cosine", "--timesteps", 1, "--raw", "x", says="--timesteps")
        self.run_bad(2, "sample", "run/student.safetensors", *sample, "--noise", "linear", "--raw", "x", says=["cosine", "linear", "leave it out"])
        self.run_bad(2, "eval", "run/student.safetensors", "--path", self.data, "--timesteps", 1000, says=["100", "1000"])
        self.run_ok("sample", *said, *sample, "--noise", "cosine", "--timesteps", 100, "--raw", "same")
        self.run_ok("sample", *said, *sample, "--noise", "linear", "--timesteps", 100, "--raw", "other")
        own, same, other = ((self.folder / name).read_bytes() for name in ("own", "same", "other"))
        self.assertTrue(own == same and own != other)
        self.assertFalse((self.folder / "x").exists())

    def test_segmentation_starts_at_the_loss_of_a_guess(self):
        self.run_ok("train", self.segment, "--out", "run", "--max-steps", 1, "--set", "adm=off")
        text = (self.folder / "run" / "log.jsonl").read_text()
        first = float(text.split('"student.ce":')[1].split(",")[0].rstrip("}"))
        self.assertAlmostEqual(first, 1.0986, delta=0.1) # ln 3


class BadInput(Dense):
    def test_a_mask_value_that_is_no_class(self):
        write_png(self.seg / "masks" / "train2.png", 24, 20, bytes([0] * 50 + [7] + [0] * 429))
        self.run_bad(1, "train", self.segment, "--out", "run", says=["train2.png", "7"])

    def test_a_mask_of_another_size(self):
        write_png(self.seg / "masks" / "train2.png", 20, 20, bytes(400))
        self.run_bad(1, "train", self.segment, "--out", "run", says=["train2.png", "20"])

    def test_a_mask_in_colour(self):
        write_png(self.seg / "masks" / "train2.png", 24, 20, bytes(3 * 480), 2)
        self.run_bad(1, "train", self.segment, "--out", "run", says=["train2.png"])

    def test_an_empty_list(self):
        (self.seg / "train.txt").write_text("\n")
        self.run_bad(1, "train", self.segment, "--out", "run", says=["train.txt"])

    def test_networks_of_another_task(self):
        self.run_bad(2, "train", self.segment, "--out", "run", "--set", "networks.student.model=resnet8", says=["resnet8", "classify", "segment"])
        self.run_bad(2, "train", self.recipe, "--out", "run", "--set", "networks.student.model=seg8", says=["seg8", "task: {name: segment}"])

    def test_data_of_another_task(self):
        self.run_bad(2, "train", self.segment, "--out", "run", "--set", "data={name: shapes}", says=["class for every pixel", "shapes"])

    def test_a_temperature_where_nothing_can_be_softened(self):
        self.run_bad(2, "train", self.denoise, "--out", "run", "--set", "method.temperature=4", says=["temperature", "denoise", "set it to 1"])

    def test_views_of_ones_own(self):
        self.run_bad(2, "train", self.denoise, "--out", "run", "--set", "data.views=independent", says=["data.views", "allowed: shared"])

    def test_an_adm_view_that_the_task_does_not_have(self):
        self.run_bad(2, "train", self.segment, "--out", "run", "--set", "adm={view: label, consensus: modulate}", says=["label", "segment", "class, channel"])

    def test_a_target_of_kdcl_that_needs_pixels(self):
        self.run_bad(2, "train", self.segment, "--out", "run", "--set", "method={name: kdcl, target: naive}", says=["kd_at: pixels"])

    def test_pictures_of_a_size_that_the_network_does_not_take(self):
        self.run_bad(1, "train", self.denoise, "--out", "run", "--set", "data.crop=[30, 30]", says=["unet_c8", "multiples of 4"])

    def test_sampling_refuses_steps_out_of_range_and_other_networks(self):
        self.run_ok("train", self.denoise, "--out", "noise", "--max-steps", 1)
        self.run_bad(2, "sample", "noise/student.safetensors", "--n", 1, "--steps", 101, "--grid", "g.png", says=["101", "100"])
        self.run_ok("train", self.segment, "--out", "classes", "--max-steps", 1)
        self.run_bad(2, "sample", "classes/student.safetensors", "--n", 1, "--steps", 5, "--grid", "g.png", says=["segment"])
        self.assertFalse((self.folder / "g.png").exists())


if __name__ == "__main__":
    unittest.main()
