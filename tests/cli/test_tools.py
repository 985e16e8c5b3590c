"""models, methods, data, plan, eval and bench: what they print, for people and as JSON."""
import json
import math
import struct
import unittest

from program import Case


class Lists(Case):
    def test_models(self):
        rows = json.loads(self.run_ok("models", "--json"))
        by_name = {row["name"]: row for row in rows}
        self.assertEqual(by_name["resnet20"]["parameters"], 278324)
        self.assertEqual(by_name["resnet20"]["macs"], 40818944)
        self.assertEqual(by_name["wrn_16_2"]["buffers"], 1837)
        self.assertEqual(by_name["resnet8x4"]["taps"]["features"], [256, 8, 8])
        self.assertEqual(by_name["resnet8"]["taps"]["stage2"], [32, 16, 16])
        table = self.run_ok("models")
        for row in rows:
            self.assertRegex(table, rf"(?m)^{row['name']} +{row['parameters']:,} ")
        fewer = json.loads(self.run_ok("models", "--json", "--classes", 10))
        self.assertEqual(fewer[0]["parameters"], rows[0]["parameters"] - 90 * 65)
        self.assertEqual((by_name["seg8"]["task"], by_name["seg8"]["classes"]), ("segment", 11))
        self.assertEqual((by_name["unet_c8"]["task"], by_name["unet_c8"]["classes"]), ("denoise", None))
        big = by_name["deeplabv3_resnet18"]
        self.assertEqual((big["image"], big["image_width"], big["taps"]["features"]), (512, 1024, [128, 64, 128]))
        for title in ("classify, pictures of 32x32, 100 classes", "segment, pictures of 512x1024, 19 classes", "denoise, pictures of 32x32"):
            self.assertEqual(table.count(title + "\n"), 1)
        self.assertLessEqual(max(map(len, table.splitlines())), 80)

    def test_methods(self):
        table = self.run_ok("methods")
        for name in ("vanilla", "kd", "dml", "kdcl", "switokd", "adm"):
            self.assertRegex(table, rf"(?m)^  {name} ")
            one = self.run_ok("methods", name)
            self.assertIn("In a recipe\n", one)
        self.assertIn("temperature: 2 ", self.run_ok("methods", "kdcl"))
        self.assertIn("adm: {consensus: align}", self.run_ok("methods", "adm"))

    def test_data(self):
        for name in ("cifar10", "cifar100", "shapes"):
            self.assertRegex(self.run_ok("data"), rf"(?m)^  {name} ")
        shapes = self.run_ok("data", "shapes")
        self.assertIn("10,000 training and 2,000 test pictures of 32x32 pixels, 20 classes, with foreground masks", shapes)
        small = self.run_ok("data", "cifar100", "--path", self.data)
        self.assertIn("32 training and 10 test pictures", small)
        self.assertIn("wardrobe", small)


class Plan(Case):
    def test_a_plan_names_kernels_bytes_and_fusion(self):
        plan = self.run_ok("plan", self.recipe)
        for text in ("one step of dml on cifar100, batch 8", "kernels", "slab", "fused", "conv1"):
            self.assertIn(text, plan)

    def test_a_plan_of_segmentation_or_denoising_names_its_fusions(self):
        denoise = self.folder / "denoise.yaml"
        denoise.write_text("data: {name: shapes-plain}\nnetworks: [{name: student, model: unet_c8}]\ntask: {name: denoise}\nmethod: {name: vanilla}\n")
        plan = self.run_ok("plan", denoise)
        for text in ("group_norm+silu+add", "group_norm_grad+silu+add", "conv+x2", "conv_grad_input+x2", "conv_grad_weight+x2"):
            self.assertIn(text, plan)
        self.assertNotIn("upsample", "".join(line.split(maxsplit=2)[1] for line in plan.splitlines() if line[:5].strip().isdigit()))

    def test_no_files_are_needed(self):
        self.recipe.write_text(self.recipe.read_text().replace(f", path: {self.data}", ""))
        self.assertIn("100 classes", self.run_ok("plan", self.recipe))

    def test_resolved_reads_back(self):
        text = self.run_ok("plan", self.recipe, "--resolved", "--set", "train.lr=0.25")
        self.assertIn("weight_decay", text)
        again = self.folder / "again.yaml"
        again.write_text(text)
        self.assertEqual(self.run_ok("plan", again, "--resolved"), text)

    def test_profile(self):
        self.assertIn("ms/run", self.run_ok("plan", self.recipe, "--profile", 1))


class Eval(Case):
    def setUp(self):
        super().setUp()
        self.run_ok("train", self.recipe, "--out", "run", "--set", "train.epochs=1")
        self.weights = self.folder / "run" / "student.safetensors"

    def test_json_and_table_say_the_same(self):
        said = json.loads(self.run_ok("eval", self.weights, "--data", "cifar100", "--path", self.data, "--json"))
        self.assertEqual((said["model"], said["images"], said["epoch"], said["split"]), ("resnet8", 10, 1, "test"))
        table = self.run_ok("eval", self.weights, "--path", self.data)
        for key in ("top1", "top5"):
            self.assertIn(f"{said[key]:.2f}", table)
        self.assertIn(f"{said['ce']:.4f}", table)
        with open(self.folder / "run" / "metrics.csv") as f:
            head, row = (line.strip().split(",") for line in f)
        self.assertAlmostEqual(float(row[head.index("student.ce")]), said["ce"], places=5)
        self.assertAlmostEqual(float(row[head.index("student.top1")]), said["top1"], places=5)

    def test_logits(self):
        out = self.folder / "logits"
        said = json.loads(self.run_ok("eval", self.weights, "--path", self.data, "--logits", out, "--json"))
        values = struct.unpack("<1000f", out.read_bytes())
        labels = [(self.data / "test.bin").read_bytes()[3074 * i + 1] for i in range(10)]
        rows = [values[100 * i:100 * i + 100] for i in range(10)]
        right = sum(max(range(100), key=row.__getitem__) == label for row, label in zip(rows, labels))
        self.assertAlmostEqual(said["top1"], 10 * right)

    def test_the_training_split(self):
        said = json.loads(self.run_ok("eval", self.weights, "--path", self.data, "--split", "train", "--json"))
        self.assertEqual((said["images"], said["split"]), (32, "train"))


class Bench(Case):
    KEYS = ["teacher", "student", "method", "adm", "precision", "layout", "batch", "threads", "steps", "images_per_s", "ms_per_step",
            "ms_min", "ms_p90", "first_step_s", "first_loss", "peak_rss_mib", "load1"]
    QUICK = ["--networks", "resnet8,resnet8", "--batch", 4, "--threads", 1, "--steps", 2, "--warmup", 1]

    def test_json(self):
        said = json.loads(self.run_ok("bench", "step", *self.QUICK, "--method", "dml", "--adm", "--precision", "f32", "--json"))
        for key in self.KEYS:
            self.assertIn(key, said)
        self.assertEqual((said["batch"], said["threads"], said["steps"], said["adm"]), (4, 1, 2, "align-modulate"))
        self.assertLessEqual(said["ms_min"], said["ms_per_step"])
        self.assertAlmostEqual(said["images_per_s"], 4000 / said["ms_per_step"], delta=0.01 * said["images_per_s"])

    def test_adm_adds_its_losses(self):
        plain = json.loads(self.run_ok("bench", "step", *self.QUICK, "--json"))
        adm = json.loads(self.run_ok("bench", "step", *self.QUICK, "--adm=modulate-modulate", "--json"))
        self.assertIsNone(plain["adm"])
        self.assertGreater(adm["first_loss"], plain["first_loss"] + 1)  # two more cross-entropies of about log 100

    def test_classes_of_pixels(self):
        """A network of places knows nothing at first: its loss is the logarithm of their number."""
        for classes in (5, 11):
            said = json.loads(self.run_ok("bench", "step", "--networks", "seg8", "--method", "vanilla", "--set", "task.name=segment", "--batch", 2,
                                          "--steps", 1, "--warmup", 1, "--classes", classes, "--json"))
            self.assertAlmostEqual(said["first_loss"], math.log(classes), delta=0.05)

    def test_one_network_and_a_profile(self):
        out = self.run_ok("bench", "step", "--networks", "resnet8", "--method", "vanilla", "--batch", 4, "--steps", 1, "--warmup", 1, "--profile", 1)
        self.assertIn("images/s", out)
        self.assertIn("ms/run", out)


if __name__ == "__main__":
    unittest.main()
