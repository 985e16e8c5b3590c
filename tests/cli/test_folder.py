"""A folder of pictures as a data set: trained on, predicted, measured; and every way in which it can be wrong."""
import json
import shutil
import struct
import unittest

from pictures import exif, jpeg, png, write_folder
from program import Case

RECIPE = """\
data: {name: folder, path: pictures, augment: {size: 32, colour_jitter: on}}
networks:
  - {name: teacher, model: resnet8, role: teacher}
  - {name: student, model: resnet8, role: student}
method: {name: dml}
train: {epochs: 2, batch: 6, lr: 0.01, log_every: 1}
device: {threads: 1}
"""


class Folder(Case):
    def setUp(self):
        super().setUp()
        self.pictures = write_folder(self.folder / "pictures")
        self.recipe.write_text(RECIPE)

    def weights(self, run):
        return (self.folder / run / "student.safetensors").read_bytes()


class Training(Folder):
    def test_train_predict_and_eval(self):
        out = self.run_ok("train", self.recipe, "--out", "run")
        self.assertIn("18 training and 9 validation pictures", " ".join(out.split()))
        self.assertIn("size: 32", (self.folder / "run" / "recipe.yaml").read_text())
        out = self.run_ok("predict", "run/student.safetensors", "pictures/val/bear/0.jpg")
        for name in ("apple", "bear", "cat"):
            self.assertIn(name, out)
        out = self.run_ok("eval", "run/student.safetensors", "--path", "pictures", "--json")
        self.assertEqual(json.loads(out)["images"], 9)

    def test_the_plan_is_of_the_size_that_networks_meet(self):
        self.assertIn("batch 6, 32x32 pixels, 3 classes", self.run_ok("plan", self.recipe))

    def test_predict_sees_the_same_picture_in_a_file_and_in_the_data_set(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        file = json.loads(self.run_ok("predict", "run/student.safetensors", "pictures/val/apple/1.jpg", "--json"))[0]
        record = json.loads(self.run_ok("predict", "run/student.safetensors", "--data", "folder", "--path", "pictures", "--from", 1, "--n", 1,
                                        "--json"))[0]
        self.assertEqual(file["classes"], record["classes"])
        self.assertEqual(record["label"], 0)

    def test_one_and_four_workers_and_a_stop_in_between_give_the_same_weights(self):
        for run, workers in (("one", 1), ("four", 4)):
            self.run_ok("train", self.recipe, "--out", run, "--set", f"data.workers={workers}")
        self.assertEqual(self.weights("one"), self.weights("four"))
        self.run_ok("train", self.recipe, "--out", "parts", "--max-steps", 4)
        self.run_ok("train", self.recipe, "--out", "parts", "--resume", "--set", "data.workers=1")
        self.assertEqual(self.weights("one"), self.weights("parts"))

    def test_pictures_of_one_size_need_no_resizing(self):
        shutil.rmtree(self.pictures)
        for split in ("train", "val"):
            for c, name in enumerate(("a", "b")):
                (self.pictures / split / name).mkdir(parents=True)
                for i in range(4):
                    (self.pictures / split / name / f"{i}.png").write_bytes(png(32, 32, lambda y, x: (99 * c, y, x)))
        self.run_ok("train", self.recipe, "--out", "run", "--set", "data.augment=crop_flip", "--set", "train.batch=4", "--max-steps", 1)

    def test_other_data_can_be_resized_too(self):
        self.run_ok("train", self.recipe, "--out", "run", "--set", "data.name=cifar100", "--set", "data.path=data", "--max-steps", 2)


class ClassWeights(Folder):
    def setUp(self):
        super().setUp()
        for i in range(4):
            next((self.pictures / "train" / "bear").iterdir()).unlink()

    def test_balanced_by_the_files_of_each_class(self):
        more = ["--set", "task.class_weights=balanced", "--max-steps", 1]
        out = self.run_ok("train", self.recipe, "--out", "run", *more)
        self.assertIn("class weights: 0.7778 (apple) to 2.333 (bear)", " ".join(out.split()))  # 14 / (3 * 6), 14 / (3 * 2)
        self.assertIn("class_weights: balanced", (self.folder / "run" / "recipe.yaml").read_text())
        self.run_ok("data", "pack", "pictures", "shards")
        out = self.run_ok("train", self.recipe, "--out", "packed", "--set", "data={name: tar, path: shards, augment: {size: 32}}", *more)
        self.assertIn("class weights: 0.7778 (apple) to 2.333 (bear)", " ".join(out.split()))
        self.assertIn("class weights: balanced, by the training images", self.run_ok("plan", self.recipe, "--set", "task.class_weights=balanced"))

    def test_a_list(self):
        self.assertIn("class weights: 0.5 to 2", self.run_ok("plan", self.recipe, "--set", "task.class_weights=[1, 2, 0.5]"))
        self.run_bad(2, "train", self.recipe, "--out", "run", "--set", "task.class_weights=[1, 2]",
                     says=["task.class_weights: found 2 numbers", "folder has 3 classes"])
        self.assertFalse((self.folder / "run").exists())


class Measured(Folder):
    def said(self, run):
        return json.loads((self.folder / run / "log.jsonl").read_text().splitlines()[0])

    def test_mean_and_deviation_are_measured_once_and_written_down(self):
        out = self.run_ok("train", self.recipe, "--out", "whole", "--set", "data.normalise=measure")
        self.assertIn("measured on 18 training pictures", " ".join(out.split()))
        start = self.said("whole")
        for name in ("mean", "std"):
            self.assertTrue(all(0 < x < 1 for x in start[name]), start)
        self.assertNotEqual([round(x, 3) for x in start["mean"]], [0.485, 0.456, 0.406])
        self.run_ok("train", self.recipe, "--out", "parts", "--set", "data.normalise=measure", "--max-steps", 2)
        out = self.run_ok("train", self.recipe, "--out", "parts", "--set", "data.normalise=measure", "--resume")
        self.assertNotIn("measured on", " ".join(out.split()))
        self.assertEqual(self.weights("whole"), self.weights("parts"))
        self.run_ok("eval", "whole/student.safetensors", "--path", "pictures")

    def test_pictures_of_one_colour_cannot_be_measured(self):
        for path in self.pictures.glob("train/*/*"):
            path.unlink()
            path.with_suffix(".png").write_bytes(png(40, 40, lambda y, x: (7, y, x)))
        self.run_bad(1, "train", self.recipe, "--out", "run", "--set", "data.normalise=measure", says=("same red, 7", "imagenet"))


class Broken(Folder):
    """Pictures whose heads are good and whose ends are not, and such whose heads are not."""

    def setUp(self):
        super().setUp()
        whole = (self.pictures / "train" / "bear" / "0.jpg").read_bytes()
        (self.pictures / "train" / "bear" / "cut.jpg").write_bytes(whole[:-20])
        self.cut = "train/bear/cut.jpg"

    def test_refused_by_name(self):
        self.run_bad(1, "train", self.recipe, "--out", "run", says=(self.cut, "damaged JPEG"))
        self.run_bad(1, "train", self.recipe, "--out", "one", "--set", "data.workers=1", says=(self.cut, "damaged JPEG"))

    def test_skipped_and_counted_with_the_same_bits(self):
        (self.pictures / "train" / "cat" / "none.jpg").write_bytes(b"")
        (self.pictures / "val" / "cat" / "none.png").write_bytes(b"text")
        for run, workers in (("one", 1), ("four", 4)):
            out = " ".join(self.run_ok("train", self.recipe, "--out", run, "--set", "data.on_error=skip", "--set", "train.batch=19", "--set",
                                       f"data.workers={workers}").split())
            self.assertIn("left out: pictures/train/cat/none.jpg: the file is empty", out)
            self.assertIn("left out: pictures/val/cat/none.png: neither a PNG nor a JPEG", out)
            self.assertIn("epoch 1: 1 picture could not be read; the next one stood in its place. The first: pictures/" + self.cut, out)
        self.assertEqual(self.weights("one"), self.weights("four"))
        epochs = [json.loads(line) for line in (self.folder / "one" / "log.jsonl").read_text().splitlines()]
        self.assertEqual([e["skipped"] for e in epochs if e["event"] == "epoch"], [1, 1])

    def test_an_evaluation_skips_and_counts_like_a_training(self):
        (self.pictures / "val" / "cat" / "none.png").write_bytes(b"text")
        whole = (self.pictures / "val" / "bear" / "0.jpg").read_bytes()
        (self.pictures / "val" / "bear" / "cut.jpg").write_bytes(whole[:-20])
        self.run_ok("train", self.recipe, "--out", "run", "--set", "data.on_error=skip", "--set", "train.epochs=1")
        evaluate = ["eval", "run/student.safetensors", "--path", "pictures"]
        self.run_bad(1, *evaluate, says=("none.png", "neither a PNG nor a JPEG"))
        out = " ".join(self.run_ok(*evaluate, "--skip").split())
        self.assertIn("left out: pictures/val/cat/none.png: neither a PNG nor a JPEG", out)
        self.assertIn("1 of 11 validation pictures cannot be read and are left out", out)
        self.assertIn("test pictures: 1 picture could not be read; the next one stood in its place. The first: pictures/val/bear/cut.jpg", out)
        found = json.loads(self.run_ok(*evaluate, "--skip", "--json"))
        self.assertEqual([found[key] for key in ("images", "left_out", "skipped")], [10, 1, 1])
        epoch = next(e for e in map(json.loads, (self.folder / "run" / "log.jsonl").read_text().splitlines()) if e["event"] == "epoch")
        self.assertAlmostEqual(found["ce"], epoch["test"]["student"]["ce"], places=5)
        (self.pictures / "val" / "cat" / "none.png").unlink()
        self.run_bad(1, *evaluate, says=("bear/cut.jpg", "damaged JPEG"))
        (self.pictures / "val" / "bear" / "cut.jpg").unlink()
        found = json.loads(self.run_ok(*evaluate, "--skip", "--json"))
        self.assertEqual([found[key] for key in ("images", "left_out", "skipped")], [9, 0, 0])

    def test_a_class_of_which_nothing_is_left(self):
        for path in (self.pictures / "train" / "bear").iterdir():
            path.write_bytes(b"text")
        self.run_bad(1, "train", self.recipe, "--out", "run", "--set", "data.on_error=skip", says=("train/bear", "none of its pictures"))

    def test_a_file_that_may_not_be_read(self):
        path = self.pictures / "train" / "bear" / "link.jpg"
        path.symlink_to("nowhere.jpg")
        self.run_bad(1, "train", self.recipe, "--out", "run", says=("bear/link.jpg", "No such file"))


class Formats(Folder):
    """Every picture is read as RGB of 8 bits, upright."""

    def colour(self, name, data):
        path = self.pictures / "val" / "cat" / name
        path.write_bytes(data)
        out = self.run_ok("predict", "run/student.safetensors", path, "--json")
        return [c["probability"] for c in sorted(json.loads(out)[0]["classes"], key=lambda c: c["class"])]

    def test_kinds_of_pictures(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 2)
        grey = self.colour("rgb.png", png(40, 40, lambda y, x: (6 * y, 6 * y, 6 * y)))
        self.assertEqual(grey, self.colour("grey.png", png(40, 40, lambda y, x: 6 * y, "grey")))
        self.assertEqual(grey, self.colour("grey16.png", png(40, 40, lambda y, x: 256 * 6 * y + 99, "grey16")))
        palette = self.colour("palette.png", png(40, 40, lambda y, x: 6 * y, "palette"))
        self.assertEqual(palette, self.colour("same.png", png(40, 40, lambda y, x: (6 * y, 255 - 6 * y, 3 * y))))
        grey = self.colour("grey.jpg", jpeg(40, 48, lambda y, x: (20 + 30 * y + 10 * x,), 1))
        self.assertEqual(grey, self.colour("ycc.jpg", jpeg(40, 48, lambda y, x: (20 + 30 * y + 10 * x, 128, 128))))
        self.assertEqual(grey, self.colour("cmyk.jpg", jpeg(40, 48, lambda y, x: (0, 0, 0, 255 - 20 - 30 * y - 10 * x), 4)))

    def test_a_picture_that_was_taken_sideways_is_turned(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 2)

        def upright(y, x):
            return (20 + 30 * y + 5 * x, 100 + 20 * y, 150)

        height, width = 5, 4
        straight = self.colour("1.jpg", jpeg(8 * height, 8 * width, upright))
        stored = {2: lambda y, x: upright(y, width - 1 - x), 3: lambda y, x: upright(height - 1 - y, width - 1 - x),
                  4: lambda y, x: upright(height - 1 - y, x), 5: lambda y, x: upright(x, y), 6: lambda y, x: upright(x, width - 1 - y),
                  7: lambda y, x: upright(height - 1 - x, width - 1 - y), 8: lambda y, x: upright(height - 1 - x, y)}
        for turn, pixel in stored.items():
            with self.subTest(turn):
                size = (height, width) if turn < 5 else (width, height)
                self.assertEqual(straight, self.colour(f"{turn}.jpg", jpeg(8 * size[0], 8 * size[1], pixel, 3, exif(turn))))


class Mistakes(Folder):
    def refused(self, *says):
        self.run_bad(1, "train", self.recipe, "--out", "run", says=says)
        self.assertFalse((self.folder / "run").exists())

    def test_no_such_folder(self):
        shutil.rmtree(self.pictures)
        self.refused("pictures", "train/CLASS")

    def test_no_val(self):
        shutil.rmtree(self.pictures / "val")
        self.refused("pictures/val: no such folder", "train/CLASS")

    def test_no_class_folders(self):
        for c in ("apple", "bear", "cat"):
            shutil.rmtree(self.pictures / "train" / c)
        self.refused("pictures/train: has no folders", "one for each class")

    def test_one_class(self):
        for c in ("apple", "bear"):
            shutil.rmtree(self.pictures / "train" / c)
        self.refused("one class, cat", "two")

    def test_a_class_only_in_val(self):
        (self.pictures / "val" / "cats").mkdir()
        self.refused("pictures/val/cats", "not in train/", "did you mean cat?")

    def test_an_empty_class(self):
        for path in (self.pictures / "train" / "bear").iterdir():
            path.rename(path.with_suffix(".txt"))
        self.refused("pictures/train/bear: has no pictures", ".jpg, .jpeg, .png")

    def test_no_validation_pictures(self):
        for path in self.pictures.glob("val/*/*"):
            path.unlink()
        self.refused("no validation pictures")

    def test_files_that_are_no_pictures(self):
        bomb = bytearray(jpeg(8, 8, lambda y, x: (0, 0, 0)))
        at = bomb.index(b"\xff\xc0")
        bomb[at + 5:at + 9] = struct.pack(">HH", 60000, 60000)
        for name, data, says in (("a.jpg", b"", "the file is empty"), ("b.jpg", b"GIF89a......", "neither a PNG nor a JPEG"),
                                 ("c.png", b"\x89PNG\r\n\x1a\n", "damaged PNG"), ("d.jpg", bytes(bomb), "60000x60000 pixels")):
            with self.subTest(name):
                path = self.pictures / "train" / "cat" / name
                path.write_bytes(data)
                self.refused(f"train/cat/{name}", says)
                path.unlink()


if __name__ == "__main__":
    unittest.main()
