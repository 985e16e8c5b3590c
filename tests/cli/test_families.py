"""Networks of unlike families, and of one's own: what is said before they train, and what a run keeps of them."""
import json
import unittest

from program import Case, RECIPE, duet

PAIR = """\
data: {{name: cifar100, path: {data}}}
networks:
  - {{name: teacher, model: resnet32x4, role: teacher}}
  - {{name: student, model: vgg8, role: student}}
method: {{name: dml}}
adm: on
train: {{batch: 4}}
device: {{threads: 1}}
"""

TINY = """\
image: 32
with: {width: 4}
layers:
  - {conv: conv1, channels: $width, stride: 4}
  - {batch_norm: bn1}
  - relu
  - {classifier: fc}
"""


class Meeting(Case):
    def test_a_plan_says_how_unlike_networks_meet(self):
        self.recipe.write_text(PAIR.format(data=self.data))
        plan = self.run_ok("plan", self.recipe)
        row = next(line for line in plan.splitlines() if "teacher, student" in line)
        # 100 classes times (256x8x8 + 512x4x4) for the views, 100 x 256 for the teacher's answer from its map
        self.assertEqual(row.split(), ["teacher,", "student", "256x8x8", "512x4x4", "100x4x4", "2.48", "M", "(0.2", "%)"])
        self.assertIn("tap 'features', view 'class'", plan)
        self.assertIn("averaged down", plan)
        for line in plan.split("\n\n")[1].splitlines():
            self.assertLessEqual(len(line), 80, line)

    def test_networks_of_one_grid_need_no_word_about_it(self):
        plan = self.run_ok("plan", self.recipe, "--set", "adm=on")
        self.assertIn("64x8x8", plan)
        self.assertNotIn("averaged down", plan)
        self.assertNotIn("adm looks", self.run_ok("plan", self.recipe))

    def test_a_run_begins_with_it(self):
        out = self.run_ok("train", self.recipe, "--set", "adm=on", "--max-steps", 1, "--out", "run")
        self.assertIn("adm looks at the tap 'features'", out)


class Described(Case):
    def setUp(self):
        super().setUp()
        (self.folder / "mine.yaml").write_text(TINY)
        self.recipe.write_text(RECIPE.format(data=self.data).replace("name: student, model: resnet8", "name: student, model: mine.yaml"))

    def test_a_run_keeps_it_and_goes_on_without_the_file(self):
        self.run_ok("train", self.recipe, "--out", "whole", "--quiet")
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 3, "--quiet")
        self.assertEqual((self.folder / "run/student.mine.yaml").read_text(), TINY)
        (self.folder / "mine.yaml").unlink()
        self.run_ok("train", "run/recipe.yaml", "--out", "run", "--resume", "--quiet")
        for name in ("student.safetensors", "teacher.safetensors", "metrics.csv"):
            if name.endswith(".safetensors"):
                self.assertEqual((self.folder / "run" / name).read_bytes(), (self.folder / "whole" / name).read_bytes(), name)
        (self.folder / "run").rename(self.folder / "elsewhere")
        said = json.loads(self.run_ok("eval", "elsewhere/student.safetensors", "--data", "cifar100", "--path", self.data, "--json"))
        self.assertEqual(said["images"], 10)

    def test_a_changed_description_is_another_recipe(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 2, "--quiet")
        (self.folder / "mine.yaml").write_text(TINY.replace("stride: 4", "stride: 2"))
        code, _, err = duet("train", self.recipe, "--out", "run", "--resume", "--quiet", cwd=self.folder)
        self.assertNotEqual(code, 0)
        self.assertIn("description of student", err)

    def test_it_is_found_beside_the_recipe(self):
        (self.folder / "inner").mkdir()
        (self.folder / "mine.yaml").rename(self.folder / "inner/mine.yaml")
        self.recipe.rename(self.folder / "inner/small.yaml")
        self.assertIn("4x8x8", self.run_ok("plan", "inner/small.yaml"))

    def test_mistakes_have_their_place(self):
        (self.folder / "mine.yaml").write_text(TINY.replace("stride", "strife"))
        for words in (("plan", self.recipe), ("models", "--describe", "mine.yaml")):
            code, _, err = duet(*words, cwd=self.folder)
            self.assertNotEqual(code, 0)
            self.assertIn("mine.yaml:4:37: found strife beside conv", err)
        (self.folder / "mine.yaml").unlink()
        code, _, err = duet("plan", self.recipe, cwd=self.folder)
        self.assertNotEqual(code, 0)
        self.assertIn("mine.yaml", err)

    def test_describe_prints_layers(self):
        out = self.run_ok("models", "--describe", "mine.yaml")
        self.assertIn("4x8x8", out)
        self.assertIn("<- features", out)
        self.assertRegex(out, r"in all +616 +")
        self.assertIn("wide_resnet50_2", self.run_ok("models"))
        self.assertIn("layer1.0.downsample.0", self.run_ok("models", "--describe", "resnet50"))


if __name__ == "__main__":
    unittest.main()
