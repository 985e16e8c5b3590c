"""What a user gets wrong is said in one line, with the place and the mend, and the exit code is 1 or 2."""
import json
import os
import stat
import unittest

from program import Case, duet, write_cifar100


class CommandLine(Case):
    def test_options(self):
        self.run_bad(2, "train", self.recipe, "--ou", "x", says=["'--ou'", "did you mean --out?"])
        self.run_bad(2, "train", self.recipe, "--wibble", says="`duet help train` lists them")
        self.run_bad(2, "train", self.recipe, "-x", says="'-x'")
        self.run_bad(2, "train", self.recipe, "--out", says="--out needs a value: --out DIR")
        self.run_bad(2, "train", self.recipe, "--quiet=yes", says="--quiet takes no value")
        self.run_bad(2, "train", self.recipe, "--max-steps", "ten", says=["--max-steps", "'ten'", "a whole number from 1"])
        self.run_bad(2, "train", self.recipe, "--max-steps", "0", says="'0'")
        self.run_bad(2, "train", self.recipe, "--max-steps", "99999999999999999999", says="--max-steps")

    def test_words(self):
        self.run_bad(2, "train", says="usage: duet train RECIPE")
        self.run_bad(2, "train", "a", "b", says="'b' is one word too many")
        self.run_bad(2, "eval", says="usage: duet eval WEIGHTS")
        self.run_bad(2, "models", "resnet8", says="one word too many")
        self.run_bad(2, "bench", "stap", says="allowed: step")
        self.run_bad(2, "data", "--path", "x", says="duet data NAME --path P")
        self.run_bad(2, "methods", "dlm", says="dml")

    def test_bench(self):
        self.run_bad(2, "bench", "step", "--networks", "resnet8,resnet2O", says="resnet20")
        self.run_bad(2, "bench", "step", "--networks", "a: b", says="--networks")
        self.run_bad(2, "bench", "step", "--networks", "resnet8,", says="--networks")
        self.run_bad(2, "bench", "step", "--method", "dlm", says="dml")
        self.run_bad(2, "bench", "step", "--adm=align", says="CONSENSUS-DIVERGENCE")
        self.run_bad(2, "bench", "step", "--batch", "0", says="--batch")
        self.run_bad(2, "bench", "step", "--classes", "1", says="--classes")


class Recipes(Case):
    def test_a_recipe_that_is_not_there(self):
        self.run_bad(2, "train", "none.yaml", says=["none.yaml", "No such file"])

    def test_mistakes_name_file_line_and_key(self):
        self.recipe.write_text(self.recipe.read_text().replace("epochs", "epoch"))
        out = self.run_bad(2, "train", self.recipe, "--out", "run", says=["small.yaml:6:", "epoch", "did you mean", "epochs"])
        self.assertEqual(out, "")
        self.assertFalse((self.folder / "run").exists())

    def test_overrides(self):
        self.run_bad(2, "train", self.recipe, "--set", "train.lr=fast", says="train.lr")
        self.run_bad(2, "train", self.recipe, "--set", "train.wibble=1", says="train.wibble")
        self.run_bad(2, "train", self.recipe, "--set", "train.lr", says="train.lr")
        self.run_bad(2, "plan", self.recipe, "--set", "networks.student.model=resnet9", says="resnet8")


class Data(Case):
    def test_no_folder_given(self):
        self.recipe.write_text(self.recipe.read_text().replace(f", path: {self.data}", ""))
        self.run_bad(1, "train", self.recipe, "--out", "run", says=["data.path", "DUET_DATA"])
        self.assertFalse((self.folder / "run").exists())

    def test_files_that_are_missing_or_damaged(self):
        (self.data / "train.bin").rename(self.data / "other.bin")
        self.run_bad(1, "train", self.recipe, "--out", "run", says="train.bin")
        write_cifar100(self.data, 32, 10)
        with open(self.data / "test.bin", "ab") as f:
            f.write(b"x")
        self.run_bad(1, "train", self.recipe, "--out", "run", says=["test.bin", "3074"])
        self.run_bad(1, "data", "cifar100", "--path", self.data, says="test.bin")
        self.assertFalse((self.folder / "run").exists())

    def test_names(self):
        self.run_bad(2, "data", "cifra100", says="cifar100")
        self.run_bad(1, "data", "cifar100", "--path", "nowhere", says="nowhere")


class Files(Case):
    def test_a_folder_that_holds_a_run_is_not_overwritten(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        before = sorted((p.name, p.stat().st_size) for p in (self.folder / "run").iterdir())
        self.run_bad(2, "train", self.recipe, "--out", "run", says=["run: already holds a run", "--resume"])
        self.assertEqual(before, sorted((p.name, p.stat().st_size) for p in (self.folder / "run").iterdir()))

    def test_a_folder_that_cannot_be(self):
        (self.folder / "file").write_text("")
        self.run_bad(1, "train", self.recipe, "--out", "file/run", says=["file", "folder"])

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_an_unwritable_folder(self):
        closed = self.folder / "closed"
        closed.mkdir()
        closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
        self.run_bad(1, "train", self.recipe, "--out", "closed/run", says=["closed/run", "Permission denied"])


class Weights(Case):
    def test_files_that_are_no_weights(self):
        bad = self.folder / "w.safetensors"
        for content, says in ((b"", "w.safetensors"), (b"\xff" * 64, "w.safetensors: header"), (b"\x02" + b"\0" * 7 + b"[]", "header")):
            bad.write_bytes(content)
            self.run_bad(1, "eval", bad, "--data", "shapes", says=says)
        self.run_bad(1, "eval", "none.safetensors", "--data", "shapes", says="none.safetensors")

    def test_weights_that_do_not_fit(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        good = self.folder / "run" / "student.safetensors"
        self.run_bad(1, "eval", good, "--data", "shapes", says=["100 classes", "20"])
        self.run_bad(1, "eval", good, "--model", "resnet14", "--data", "cifar100", "--path", self.data, says="layer1.1")
        self.run_bad(2, "eval", good, "--split", "all", says="test or train")
        cut = self.folder / "cut.safetensors"
        cut.write_bytes(good.read_bytes()[:-100])
        self.run_bad(1, "eval", cut, "--data", "cifar100", "--path", self.data, says=["cut.safetensors", "cut short or damaged"])
        out = self.folder / "no" / "logits"
        self.run_bad(1, "eval", good, "--data", "cifar100", "--path", self.data, "--logits", out, says="no/logits")

    def anonymous(self, network, model):
        """Weights that do not say which network they are of, as files from elsewhere."""
        self.run_ok("train", self.recipe, "--out", model, "--max-steps", 1, "--quiet", "--set", f"networks.{network}.model={model}")
        data = (self.folder / model / f"{network}.safetensors").read_bytes()
        n = int.from_bytes(data[:8], "little")
        header = json.loads(data[8:8 + n])
        del header["__metadata__"]
        header = json.dumps(header).encode()
        path = self.folder / f"{model}.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + n:])
        return path.name

    def test_weights_of_a_near_twin_name_it(self):
        """The same layers under other names, or of another width: the built-in network that the file fits is named."""
        for theirs, ours in (("resnet18_cifar", "resnet18"), ("resnet8x4", "resnet8")):
            with self.subTest(file=theirs, network=ours):
                weights = self.anonymous("student", theirs)
                train = ["train", self.recipe, "--out", "run", "--set", f"networks.student.model={ours}", "--set", f"networks.student.init={weights}"]
                self.run_bad(1, *train, says=[weights, f"these are the shapes of {theirs}: set networks[].model: {theirs}"])
                self.assertFalse((self.folder / "run").exists())
                evaluate = ["eval", weights, "--data", "cifar100", "--path", self.data, "--classes", 100]
                self.run_bad(1, *evaluate, "--model", ours, says=f"these are the shapes of {theirs}: --model {theirs}")
                self.run_bad(1, *evaluate, says=["does not say which model it holds", f"--model {theirs}"])

    def test_weights_of_other_classes_or_of_nothing_known_name_no_twin(self):
        weights = self.anonymous("student", "resnet14")
        train = ["train", self.recipe, "--out", "run", "--set", f"networks.student.init={weights}", "--set", "data.name=shapes", "--set", "data.path="]
        for more, says in ((["networks.student.model=resnet14"], "`init_head: new`"), (["networks.student.model=resnet8"], "these are the shapes of resnet14")):
            code, _, err = duet(*train, "--set", *more, cwd=self.folder)
            self.assertEqual(code, 1)
            self.assertIn(says, err)
            self.assertEqual("these are the shapes" in err, "shapes" in says)


if __name__ == "__main__":
    unittest.main()
