"""Shards: packed, checked, trained on; and every way in which they can be wrong."""
import io
import json
import os
import tarfile
import sys
import unittest
from pathlib import Path

from pictures import exif, jpeg, png, write_folder
from program import PROGRAM, Case, duet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))
import large_data  # noqa: E402

RECIPE = """\
data: {name: tar, path: shards, augment: {size: 32}, shuffle_buffer: 7}
networks:
  - {name: teacher, model: resnet8, role: teacher}
  - {name: student, model: resnet8, role: student}
method: {name: dml}
train: {epochs: 2, batch: 6, lr: 0.01, log_every: 1}
device: {threads: 1}
"""


def write_tar(path, members, style=tarfile.USTAR_FORMAT):
    """members: pairs of a name and bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=style) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def sample(key, label, n=0):
    return [(f"{key}.jpg", jpeg(40, 48, lambda y, x: (60 + 9 * y + 5 * x + n, 90 + 30 * label, 200 - 40 * label))), (f"{key}.cls", str(label).encode())]


class Shards(Case):
    def setUp(self):
        super().setUp()
        self.recipe.write_text(RECIPE)
        self.shards = self.folder / "shards"

    def write(self, train=3, per_shard=6):
        for s in range(train):
            write_tar(self.shards / f"train-{s:03}.tar", [m for i in range(per_shard) for m in sample(f"{s}/{i:04}", i % 3, i)])
        write_tar(self.shards / "val-000.tar", [m for i in range(5) for m in sample(f"{i:04}", i % 3, 50 + i)])

    def weights(self, run):
        return (self.folder / run / "student.safetensors").read_bytes()


class Packing(Shards):
    def setUp(self):
        super().setUp()
        self.pictures = write_folder(self.folder / "pictures")

    def test_packed_pictures_are_the_files_and_train_as_well(self):
        out = self.run_ok("data", "pack", "pictures", "shards")
        self.assertIn("27 pictures in 2 shards", out)
        self.assertEqual((self.shards / "classes.txt").read_text(), "apple\nbear\ncat\n")
        files = {p.read_bytes(): c for c, name in enumerate(("apple", "bear", "cat")) for p in (self.pictures / "train" / name).iterdir()}
        with tarfile.open(self.shards / "train-000000.tar") as t:
            names = t.getnames()
            self.assertEqual(len(names), 36)
            for picture, label in zip(names[::2], names[1::2]):
                self.assertEqual(files.pop(t.extractfile(picture).read()), int(t.extractfile(label).read()))
        self.assertEqual(files, {})
        self.run_ok("train", self.recipe, "--out", "run")
        out = self.run_ok("predict", "run/student.safetensors", "pictures/val/cat/0.jpg")
        self.assertIn("bear", out)
        self.run_ok("eval", "run/student.safetensors", "--path", "shards")
        self.run_bad(2, "data", "pack", "pictures", "shards", says=("already holds shards", "train-000000.tar"))

    def test_packing_twice_gives_the_same_bytes(self):
        for out in ("a", "b"):
            self.run_ok("data", "pack", "pictures", out, "--shard", 1)
        for name in sorted(os.listdir(self.folder / "a")):
            self.assertEqual((self.folder / "a" / name).read_bytes(), (self.folder / "b" / name).read_bytes())

    def test_a_broken_picture_is_named_and_left_out_if_asked(self):
        cut = self.pictures / "val" / "bear" / "cut.jpg"
        cut.write_bytes((self.pictures / "val" / "bear" / "0.jpg").read_bytes()[:-20])
        self.run_bad(1, "data", "pack", "pictures", "shards", says=("val/bear/cut.jpg", "damaged JPEG"))
        self.assertFalse((self.shards / "val-000000.tar").exists())
        out = " ".join(self.run_ok("data", "pack", "pictures", "other", "--skip").split())
        self.assertIn("left out: pictures/val/bear/cut.jpg", out)
        self.assertIn("27 pictures", out)


class Checking(Shards):
    def setUp(self):
        super().setUp()
        self.pictures = write_folder(self.folder / "pictures")
        for i, path in enumerate(sorted(self.pictures.glob("*/*/*"))):  # no two alike
            path.unlink()
            path.with_suffix(".png").write_bytes(png(20, 24, lambda y, x: (i, y, x)))

    def test_nothing_is_wrong(self):
        out = self.run_ok("data", "check", "pictures")
        for text in ("18 training and 9 test pictures", "27 PNG", "from 20x24 to 20x24", "apple", "Nothing is wrong"):
            self.assertIn(text, out)

    def test_broken_files_and_twins_are_named_and_counted(self):
        train, val = self.pictures / "train", self.pictures / "val"
        (train / "bear" / "0.png").write_bytes(b"")
        (train / "cat" / "1.png").write_bytes((train / "cat" / "1.png").read_bytes()[:-30])
        (val / "cat" / "copy.png").write_bytes((train / "apple" / "2.png").read_bytes())
        (val / "cat" / "turned.jpg").write_bytes(jpeg(16, 24, lambda y, x: (50 + 9 * y + x, 128, 128), 3, exif(6)))
        (val / "cat" / "grey.png").write_bytes(png(16, 24, lambda y, x: 300 * y + x, "grey16"))
        reports = []
        for threads in (1, 4):
            out = self.run_broken("data", "check", "pictures", "--json", "--threads", threads)
            reports.append(out)
        self.assertEqual(reports[0], reports[1])
        r = json.loads(reports[0])
        self.assertEqual((r["train"], r["test"], r["turned"], r["grey"], r["16_bit"], r["jpeg"]), (16, 12, 1, 1, 1, 1))
        self.assertEqual([c["train"] for c in r["classes"]], [6, 5, 5])
        self.assertIn("train/bear/0.png", r["left_out"][0])
        self.assertIn("train/cat/1.png", r["broken"][0])
        self.assertEqual(r["twins"], [["pictures/val/cat/copy.png", "pictures/train/apple/2.png"]])
        out = self.run_broken("data", "check", "pictures")
        self.assertIn("1 test picture", out)

    def run_broken(self, *words):
        code, out, err = duet(*words, cwd=self.folder)
        self.assertEqual((code, err), (1, ""))
        return out

    def test_a_recipe_and_shards_can_be_checked(self):
        self.run_ok("data", "pack", "pictures", "shards")
        self.assertIn("Nothing is wrong", self.run_ok("data", "check", "shards"))
        self.assertIn("Nothing is wrong", self.run_ok("data", "check", self.recipe))
        self.run_bad(1, "data", "check", "nowhere", says="nowhere")
        self.run_bad(2, "data", "check", says="name one folder")
        self.run_bad(2, "data", "pack", "pictures", says="a folder for shards")


class Training(Shards):
    def test_threads_and_a_stop_inside_a_shard_change_nothing(self):
        self.write()
        for run, workers in (("one", 1), ("four", 4)):
            self.run_ok("train", self.recipe, "--out", run, "--set", f"data.workers={workers}")
        self.assertEqual(self.weights("one"), self.weights("four"))
        self.run_ok("train", self.recipe, "--out", "parts", "--max-steps", 4)  # 24 pictures: in the middle of the second epoch's first shard
        self.run_ok("train", self.recipe, "--out", "parts", "--resume")
        self.assertEqual(self.weights("one"), self.weights("parts"))
        self.run_ok("train", self.recipe, "--out", "other", "--set", "data.shuffle_buffer=1")
        self.assertNotEqual(self.weights("one"), self.weights("other"))

    def test_memory_does_not_grow_with_the_set(self):
        memory = []
        for gigabytes in (0.064, 0.64):
            large_data.write_set(self.folder / f"large-{gigabytes}", gigabytes)
            memory.append(large_data.train(PROGRAM, self.folder, self.folder / f"large-{gigabytes}")[1])
        self.assertLess(memory[1], memory[0] + 30, "MB")

    def test_lists_with_braces(self):
        self.write()
        out = self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--set", "data.path=shards/train-{000..001}.tar,shards/val-{000,000}.tar")
        self.assertIn("12 training pictures in 2 shards and 10 validation pictures in 2", " ".join(out.split()))

    def test_kinds_of_tar_files(self):
        self.write(0)
        long = "folder/" * 20
        for i, style in enumerate((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
            write_tar(self.shards / f"train-{i}.tar", [("folder/readme.txt", b"text")] + sample((long if i else "a/") + "key", i, i) +
                      [((long if i else "a/") + "key.json", b"{}")] + sample("second", i, i + 9), style)
        out = self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        self.assertIn("6 training pictures in 3 shards", " ".join(out.split()))


class Mistakes(Shards):
    def refused(self, *says):
        self.run_bad(1, "train", self.recipe, "--out", "run", says=says)
        self.assertFalse((self.folder / "run").exists())

    def test_what_is_in_a_shard(self):
        cases = (([("a.jpg", b"x")], "a has a picture and no class beside it"),
                 ([("a.cls", b"1")], "a has a class and no picture beside it"),
                 (sample("a", 1)[:1] + [("a.cls", b"two")], 'a.cls: found "two"'),
                 (sample("a", 1)[:1] + [("a.cls", b"-1")], "whole number from 0"),
                 (sample("a", 1)[:1] + sample("a", 1), "a second picture of one key"),
                 ([("a.txt", b"1")], "no pictures in 1 shard"))
        for members, says in cases:
            with self.subTest(says):
                self.write(1)
                write_tar(self.shards / "val-000.tar", members)
                self.refused("val-000.tar", says)

    def test_what_a_shard_is(self):
        for data, says in ((b"", "0 bytes are no tar file"), (b"text" * 500, "no tar file by its first bytes"), (b"\x1f\x8b" + bytes(2000), "compressed")):
            with self.subTest(says):
                self.write()
                (self.shards / "train-001.tar").write_bytes(data)
                self.refused("train-001.tar", says)

    def test_a_shard_that_was_cut_off(self):
        self.write()
        path = self.shards / "train-001.tar"
        whole = path.read_bytes()
        path.write_bytes(whole[:1500])
        self.refused("train-001.tar", "cut off")
        end = len(whole.rstrip(b"\0"))
        path.write_bytes(whole[:(end + 511) // 512 * 512])
        self.refused("train-001.tar", "without an end mark")
        path.write_bytes(whole[:3000] + b"\xff" * 512 + whole[3512:])
        self.refused("train-001.tar", "damaged head")
        out = " ".join(self.run_ok("train", self.recipe, "--out", "run", "--set", "data.on_error=skip", "--max-steps", 1).split())
        self.assertIn("left out: shards/train-001.tar: a damaged head", out)

    def test_an_evaluation_skips_and_counts(self):
        self.write()
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--quiet")
        members = [m for i in range(5) for m in sample(f"{i:04}", i % 3, 50 + i)]
        members[2] = (members[2][0], members[2][1][:-20])  # 0001.jpg
        write_tar(self.shards / "val-000.tar", members + [("9.jpg", b"alone")])
        evaluate = ["eval", "run/student.safetensors", "--path", "shards"]
        self.run_bad(1, *evaluate, says="9 has a picture and no class")
        out = " ".join(self.run_ok(*evaluate, "--skip").split())
        self.assertIn("left out: shards/val-000.tar: 9 has a picture and no class", out)
        self.assertIn("test pictures: 1 picture could not be read", out)
        found = json.loads(self.run_ok(*evaluate, "--skip", "--json"))
        self.assertEqual([found[key] for key in ("images", "left_out", "skipped")], [5, 1, 1])
        write_tar(self.shards / "val-000.tar", members)
        self.run_bad(1, *evaluate, says=("0001.jpg", "damaged JPEG"))

    def test_lists(self):
        self.write()
        for path, says in (("shards/train-000.tar", "no folder"), ("nowhere", "No such file"), ("shards/train-{}.tar,shards/val-000.tar", "braces"),
                           ("shards/train-{5..2}.tar,shards", "5 comes before 2"), ("shards/train-{000..009}.tar,shards/val-000.tar", "train-003.tar"),
                           ("data,shards", "holds no .tar files")):
            with self.subTest(path):
                self.run_bad(1, "train", self.recipe, "--out", "run", "--set", f"data.path={path}", says=says)
        (self.shards / "val-000.tar").unlink()
        self.refused("no shards val-*.tar")

    def test_classes(self):
        self.write()
        write_tar(self.shards / "val-000.tar", sample("a", 7))
        self.refused("val-000.tar", "class 7", "classes 0 to 2")
        (self.shards / "classes.txt").write_text("a\nb\nc\n")
        self.refused("val-000.tar", "class 7", "classes.txt names classes 0 to 2")

    def test_a_pipe(self):
        self.write()
        os.mkfifo(self.shards / "train-009.tar")
        self.refused("train-009.tar", "not a regular file")

    def test_pictures_that_are_not_resized(self):
        self.write()
        self.run_bad(2, "train", self.recipe, "--out", "run", "--set", "data.augment=flip", says="data.crop")


if __name__ == "__main__":
    unittest.main()
