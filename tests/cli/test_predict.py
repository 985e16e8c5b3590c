"""predict, look and eval of networks that name pixels: the files they write, what they print, what they refuse."""
import json
import struct
import unittest
import zlib

from program import Case

SEGMENT = """\
task: {name: segment}
data: {name: shapes-seg}
networks:
  - {name: teacher, model: seg8, role: teacher}
  - {name: student, model: seg8, role: student}
method: {name: dml}
train: {epochs: 1, batch: 2, lr: 0.003, optimizer: adam, log_every: 1}
device: {threads: 1}
"""

STREETS = """\
task: {name: segment}
data: {name: cityscapes, path: streets, crop: [64, 64], augment: flip}
networks: [{name: peer, model: seg8}]
method: {name: vanilla}
train: {epochs: 1, batch: 1, lr: 0.01}
device: {threads: 1}
"""


def write_png(path, height, width, rows, colour_type):
    """8 bits; colour type 0: grey, 2: RGB; rows: bytes without filters."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    stride = len(rows) // height
    raw = b"".join(b"\0" + rows[y * stride:(y + 1) * stride] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def read_png(path):
    """Height, width, rows as lists of bytes: of an 8-bit PNG, whatever filters it uses."""
    data, at, idat, head = path.read_bytes(), 8, b"", None
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", data[at + 8:at + 21])
        if kind == b"IDAT":
            idat += data[at + 8:at + 8 + n]
        at += 12 + n
    width, height, bits, colour_type = head[:4]
    assert bits == 8, path
    step = 3 if colour_type == 2 else 1
    raw, rows = zlib.decompress(idat), []
    before = bytearray(width * step)
    for y in range(height):
        line = raw[y * (width * step + 1):(y + 1) * (width * step + 1)]
        row = bytearray(line[1:])
        for x in range(len(row)):
            left, up = (row[x - step] if x >= step else 0), before[x]
            corner = before[x - step] if x >= step else 0
            guess = left + up - corner
            paeth = min((left, up, corner), key=lambda v: (abs(guess - v), (left, up, corner).index(v)))
            row[x] = (row[x] + (0, left, up, (left + up) // 2, paeth)[line[0]]) & 255
        rows.append(bytes(row))
        before = row
    return height, width, rows


def noise(n, seed=7):
    out = bytearray()
    for _ in range(n):
        seed = (1103515245 * seed + 12345) % (1 << 31)
        out.append(seed >> 16 & 255)
    return bytes(out)


class Pixels(Case):
    """A pair of networks after two steps on shapes-seg."""

    def setUp(self):
        super().setUp()
        (self.folder / "seg.yaml").write_text(SEGMENT)
        self.run_ok("train", "seg.yaml", "--out", "run", "--max-steps", 2, "--quiet")
        self.weights = "run/student.safetensors"

    def files(self, folder):
        return sorted(p.name for p in (self.folder / folder).iterdir()) if (self.folder / folder).exists() else []

    def test_test_pictures_come_with_truth_and_errors_that_agree_with_what_is_printed(self):
        said = json.loads(self.run_ok("predict", self.weights, "--data", "shapes-seg", "--n", 2, "--from", 3, "--out", "a/b", "--json"))
        names = [f"shapes-seg-test-0000{i}" for i in (3, 4)]
        self.assertEqual([one["file"] for one in said], names)
        self.assertEqual(self.files("a/b"), sorted(f"{n}{kind}.png" for n in names for kind in ("", ".picture", ".truth", ".errors")))
        for one in said:
            base = self.folder / "a/b" / one["file"]
            classes, truth, errors = (b"".join(read_png(base.with_name(base.name + kind + ".png"))[2]) for kind in ("", ".truth", ".errors"))
            labelled = [i for i in range(64 * 64) if truth[i] != 255]
            right = sum(classes[i] == truth[i] for i in labelled)
            self.assertAlmostEqual(one["pixel_accuracy"], 100 * right / len(labelled), places=3)
            red = sum(errors[3 * i:3 * i + 3] == bytes((230, 40, 30)) for i in range(64 * 64))
            self.assertEqual(red, len(labelled) - right)
            for share in one["classes"]:
                self.assertAlmostEqual(share["share"], classes.count(share["class"]) / (64 * 64), places=5)

    def test_a_picture_from_a_file_is_answered_as_the_same_picture_of_the_data(self):
        self.run_ok("predict", self.weights, "--data", "shapes-seg", "--n", 1, "--out", "one")
        self.run_ok("predict", self.weights, "one/shapes-seg-test-00000.picture.png", "--out", "two", "--overlay")
        self.assertEqual(self.files("two"), ["shapes-seg-test-00000.picture.overlay.png", "shapes-seg-test-00000.picture.png"])
        self.assertEqual((self.folder / "one/shapes-seg-test-00000.png").read_bytes(), (self.folder / "two/shapes-seg-test-00000.picture.png").read_bytes())

    def test_pictures_of_several_sizes_go_through_one_call(self):
        write_png(self.folder / "wide.png", 33, 95, noise(3 * 33 * 95), 2)
        write_png(self.folder / "grey.png", 64, 64, noise(64 * 64), 0)
        out = self.run_ok("predict", self.weights, "wide.png", "grey.png", "--out", "out")
        self.assertIn("wide.png", out)
        self.assertEqual(read_png(self.folder / "out/wide.png")[:2], (33, 95))
        self.assertEqual(read_png(self.folder / "out/grey.png")[:2], (64, 64))

    def test_a_bad_picture_is_named_and_nothing_is_written(self):
        write_png(self.folder / "good.png", 64, 64, noise(3 * 64 * 64), 2)
        bad = {"missing.png": "No such file", "text.png": "PNG", "cut.png": "cut.png"}
        (self.folder / "text.png").write_text("no picture")
        (self.folder / "cut.png").write_bytes((self.folder / "good.png").read_bytes()[:400])
        for name, reason in bad.items():
            with self.subTest(name):
                self.run_bad(1, "predict", self.weights, "good.png", name, "--out", "out", says=[name, reason])
                self.assertEqual(self.files("out"), [])

    def test_calls_that_cannot_be(self):
        write_png(self.folder / "p.png", 64, 64, noise(3 * 64 * 64), 2)
        write_png(self.folder / "more/p.png", 64, 64, noise(3 * 64 * 64), 2)
        self.run_bad(2, "predict", self.weights, "p.png", says="--out DIR")
        self.run_bad(2, "predict", self.weights, "--out", "out", says="--data shapes-seg")
        self.run_bad(2, "predict", self.weights, "p.png", "--out", "out", "--ids", says="cityscapes")
        self.run_bad(2, "predict", self.weights, "p.png", "--n", 2, "--out", "out", says="--n")
        self.run_bad(2, "predict", self.weights, "p.png", "more/p.png", "--out", "out", says="more/p.png")
        self.run_bad(2, "predict", self.weights, "--data", "shapes-seg", "--n", 501, "--out", "out", says="500 test pictures")
        self.run_bad(1, "predict", self.weights, "--data", "shapes", "--out", "out", says="class for each picture")
        self.run_bad(1, "predict", self.weights, "p.png", "--data", "cityscapes", "--out", "out", says=["19 classes", "knows 11"])
        self.run_bad(1, "predict", "nothing.safetensors", "p.png", "--out", "out", says="nothing.safetensors")
        self.assertEqual(self.files("out"), [])

    def test_eval_prints_every_class(self):
        said = json.loads(self.run_ok("eval", self.weights, "--json", "--threads", 1))
        self.assertEqual(len(said["iou"]), 11)
        there = [one["iou"] for one in said["iou"] if one["iou"] is not None]
        self.assertEqual(said["absent"], 11 - len(there))
        self.assertAlmostEqual(said["miou"], sum(there) / len(there), places=6)
        table = self.run_ok("eval", self.weights, "--threads", 1)
        for one in said["iou"]:
            self.assertRegex(table, rf"(?m)^  {one['class']} +" + ("absent" if one["iou"] is None else f"{one['iou']:.2f}"))
        self.run_bad(2, "eval", self.weights, "--logits", "z", says="no row of classes")

    def test_look_draws_a_sheet_for_each_few_pictures(self):
        out = self.run_ok("look", "run", "--out", "sheets", "--n", 3, "--rows", 2, "--threads", 1)
        self.assertEqual(self.files("sheets"), ["look-01.png", "look-02.png"])
        self.assertIn("sheets/look-02.png", out)
        height, width, rows = read_png(self.folder / "sheets/look-01.png")
        self.assertEqual(width, 2 * 10 + 9 * 128 + 8 * 6)  # picture, truth, attention and activation of both, S, c, d
        self.assertGreater(height, 2 * 128)
        shown = {bytes(row[3 * (10 + x):3 * (10 + x) + 3]) for row in rows[60:160] for x in range(0, 128, 4)}
        self.assertGreater(len(shown), 50)  # a picture is there, not a flat ground

    def test_look_has_its_numbers_as_json(self):
        said = json.loads(self.run_ok("look", "run", "--json", "--n", 2, "--threads", 1))
        self.assertEqual((said["task"], said["data"], said["teacher"]["name"], said["sheets"]), ("segment", "shapes-seg", "teacher", []))
        self.assertEqual([p["index"] for p in said["pictures"]], [0, 1])
        for p in said["pictures"]:
            self.assertTrue(0.1 < p["foreground"] < 0.9)
            self.assertEqual(sorted(p["maps"]), ["consensus", "divergence", "similarity", "student_activation", "student_attention", "teacher_activation",
                                                 "teacher_attention"])
            for one in p["maps"].values():
                self.assertTrue(0 <= one["on_foreground"] <= 1 and one["mean"] <= one["largest"])
        both = json.loads(self.run_ok("look", "run", "--json", "--n", 2, "--out", "sheets", "--threads", 1))
        self.assertEqual(both["sheets"], ["sheets/look-01.png"])
        self.assertEqual(both["pictures"], said["pictures"])

    def test_look_takes_the_weights_that_are_judged_and_says_which(self):
        which = lambda *words: json.loads(self.run_ok("look", "run", "--json", "--n", 1, "--threads", 1, *words))["teacher"]["weights"]
        for name in ("teacher.best", "teacher.ema"):
            (self.folder / f"run/{name}.safetensors").unlink(missing_ok=True)
        self.assertEqual(which(), "teacher.safetensors")  # what there is
        (self.folder / "run/teacher.ema.safetensors").write_bytes((self.folder / "run/teacher.safetensors").read_bytes())
        self.assertEqual(which(), "teacher.ema.safetensors")
        (self.folder / "run/teacher.best.safetensors").write_bytes((self.folder / "run/teacher.safetensors").read_bytes())
        self.assertEqual(which(), "teacher.best.safetensors")
        self.assertEqual(which("--weights", "last"), "teacher.ema.safetensors")
        self.assertEqual(which("--weights", "raw"), "teacher.safetensors")
        self.assertIn("teacher: teacher.best.safetensors", self.run_ok("look", "run", "--out", "sheets", "--n", 1, "--threads", 1))

    def test_look_refuses_what_is_no_run_and_who_is_not_in_it(self):
        self.run_bad(2, "look", "run", says="--out DIR")
        self.run_bad(1, "look", "nowhere", "--out", "out", says=["nowhere", "no run"])
        self.run_bad(2, "look", "run", "--teacher", "nobody", "--out", "out", says=["nobody", "teacher, student"])
        self.run_bad(2, "look", "run", "--teacher", "student", "--out", "out", says="itself")
        self.run_bad(2, "look", "run", "--n", 501, "--out", "out", says="500 test pictures")
        self.run_bad(2, "look", "run", "--weights", "ema", "--out", "out", says=["'ema'", "best, last or raw"])
        self.assertEqual(self.files("out"), [])


class Streets(Case):
    def test_ids_are_those_of_cityscapes(self):
        for part, seed in (("train", 1), ("val", 2)):
            name = f"a/a_000000_{seed:06}"
            write_png(self.folder / f"streets/leftImg8bit/{part}/{name}_leftImg8bit.png", 64, 64, noise(3 * 64 * 64, seed), 2)
            write_png(self.folder / f"streets/gtFine/{part}/{name}_gtFine_labelIds.png", 64, 64, bytes([7, 26] * 32 * 64), 0)
        (self.folder / "streets.yaml").write_text(STREETS)
        self.run_ok("train", "streets.yaml", "--out", "run", "--max-steps", 1, "--quiet")
        write_png(self.folder / "x.png", 64, 64, noise(3 * 64 * 64, 3), 2)
        self.run_ok("predict", "run/peer.safetensors", "x.png", "--ids", "--out", "out")
        ids = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
        classes, written = (b"".join(read_png(self.folder / "out" / name)[2]) for name in ("x.png", "x.ids.png"))
        self.assertEqual(list(written), [ids[c] for c in classes])


class Pictures(Case):
    """Classifiers."""

    def setUp(self):
        super().setUp()
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--quiet")
        self.weights = "run/student.safetensors"

    def test_classes_are_printed_with_the_likeliest_first(self):
        write_png(self.folder / "a.png", 32, 32, noise(3 * 32 * 32), 2)
        said = json.loads(self.run_ok("predict", self.weights, "a.png", "--top", 100, "--json"))
        p = [one["probability"] for one in said[0]["classes"]]
        self.assertEqual(len(p), 100)
        self.assertEqual(p, sorted(p, reverse=True))
        self.assertAlmostEqual(sum(p), 1, places=4)
        table = self.run_ok("predict", self.weights, "a.png")
        self.assertIn(said[0]["classes"][0]["name"], table)
        self.assertEqual(table.count("%"), 5)
        many = json.loads(self.run_ok("predict", self.weights, "--data", "cifar100", "--path", self.data, "--n", 3, "--json"))
        self.assertEqual(len(many), 3)
        self.assertTrue(all(0 <= one["label"] < 100 for one in many))

    def test_refused(self):
        write_png(self.folder / "b.png", 16, 32, noise(3 * 16 * 32), 2)
        self.run_bad(1, "predict", self.weights, "b.png", says=["b.png", "32x32", "16x32"])
        self.run_bad(2, "predict", self.weights, "b.png", "--out", "out", says="one class for a picture")

    def test_look_shows_activation_maps_of_classifiers(self):
        self.run_ok("look", "run", "--out", "sheets", "--n", 1, "--threads", 1)
        _, width, _ = read_png(self.folder / "sheets/look-01.png")
        self.assertEqual(width, 2 * 10 + 8 * 128 + 7 * 6)  # cifar has no masks


if __name__ == "__main__":
    unittest.main()
