"""duet train as a user meets it: output, the run folder, stopping and going on."""
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from program import PROGRAM, Case, environment

FILES = ["environment.json", "log.jsonl", "metrics.csv", "recipe.yaml", "state.safetensors", "student.best.safetensors",
         "student.safetensors", "teacher.best.safetensors", "teacher.safetensors"]


class Output(Case):
    def test_a_run_ends_with_a_table_and_the_next_command(self):
        out = self.run_ok("train", self.recipe, "--out", "run")
        self.assertRegex(out, r"(?m)^dml on cifar100: teacher \(resnet8\), student \(resnet8\)$")
        self.assertRegex(out, r"(?m)^ +1/2 ")
        self.assertRegex(out, r"(?m)^ +2/2 ")
        for name in ("teacher", "student"):
            self.assertRegex(out, rf"(?m)^{name} +resnet8( +\d+\.\d+){{6}} +\d$")
        self.assertIn("on which the best epoch was chosen too", " ".join(out.split()))
        self.assertNotIn("\033", out)
        self.assertEqual(sorted(os.listdir(self.folder / "run")), FILES)
        following = re.search(r"(?m)^Next: duet (.*)$", out).group(1).split()
        self.assertIn("top-1", self.run_ok(*following))

    def test_the_folder_is_named_after_the_recipe(self):
        self.run_ok("train", "small.yaml", "--max-steps", 1)
        self.assertTrue((self.folder / "runs" / "small" / "log.jsonl").exists())

    def test_quiet_says_nothing(self):
        self.assertEqual(self.run_ok("train", self.recipe, "--out", "run", "--quiet"), "")

    def test_overrides_reach_the_run(self):
        out = self.run_ok("train", self.recipe, "--out", "run", "--set", "train.epochs=1", "--set=adm=on")
        self.assertIn("dml + adm on", out)
        self.assertNotIn("1/2", out)
        self.assertIn("epochs: 1", (self.folder / "run" / "recipe.yaml").read_text())

    def test_validation_is_named(self):
        out = self.run_ok("train", self.recipe, "--out", "run", "--set", "data.validation=8", "--set", "train.epochs=1")
        self.assertIn("held-out training pictures", " ".join(out.split()))

    def test_data_from_the_environment(self):
        self.recipe.write_text(self.recipe.read_text().replace(f", path: {self.data}", ""))
        (self.folder / "all").mkdir()
        self.data.rename(self.folder / "all" / "cifar100")
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, DUET_DATA=str(self.folder / "all"))


class Mixup(Case):
    def test_it_is_said_by_the_run_and_by_the_plan(self):
        out = self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--set", "data.mixup=0.4")
        self.assertIn("mixup 0.4: training images are mixed two by two", " ".join(out.split()))
        self.assertEqual(json.loads((self.folder / "run" / "log.jsonl").read_text().splitlines()[0])["mixup"], 0.4)
        self.assertIn("mixup: 0.4", (self.folder / "run" / "recipe.yaml").read_text())
        self.assertIn("images mixed two by two, mixup 0.4", self.run_ok("plan", self.recipe, "--set", "data.mixup=0.4"))
        self.assertNotIn("mixup", self.run_ok("plan", self.recipe) + self.run_ok("train", self.recipe, "--out", "plain", "--max-steps", 1))

    def test_where_it_cannot_be(self):
        self.run_bad(2, "train", self.recipe, "--set", "data.mixup=-1", says=["data.mixup", "a number from 0 to 1000"])
        self.run_bad(2, "train", self.recipe, "--set", "data.mixup=on", says=["data.mixup", "found on"])
        self.run_bad(2, "train", self.recipe, "--set", "data.mixup=1", "--set", "method={name: kdcl, target: linear}",
                     says=["target: linear", "mixup gives it two", "remove `mixup`"])
        for task, model, why in (("segment", "seg8", "a mixed one would have two"), ("denoise", "unet_c8", "no label that could be shared out")):
            self.run_bad(2, "train", self.recipe, "--set", f"task={{name: {task}}}", "--set", f"networks.student.model={model}", "--set",
                         f"networks.teacher.model={model}", "--set", "data.mixup=0.2", says=["data.mixup: found 0.2", f"task {task}", why, "allowed here: 0"])


class SeveralBatchesToAStep(Case):
    def test_said_by_the_run_and_by_the_plan(self):
        out = self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--set", "train.accumulate=3", "--set", "train.batch=2")
        self.assertIn("each step: the gradients of 3 batches of 2 images, averaged: 6 images", " ".join(out.split()))
        self.assertEqual(json.loads((self.folder / "run" / "log.jsonl").read_text().splitlines()[0])["images_per_step"], 6)
        self.assertIn("3 times: the update is of their mean gradient, 6 images",
                      self.run_ok("plan", self.recipe, "--set", "train.accumulate=3", "--set", "train.batch=2"))

    def test_where_it_cannot_be(self):
        self.run_bad(2, "train", self.recipe, "--set", "train.accumulate=0", says=["train.accumulate", "from 1 to 4096"])
        self.run_bad(2, "train", self.recipe, "--set", "train.accumulate=2", "--set", "method={name: switokd}",
                     says=["train.accumulate: found 2 with method switokd", "allowed here: 1"])
        self.run_bad(2, "train", self.recipe, "--out", "run", "--set", "train.accumulate=4096",
                     says=["train.batch times train.accumulate", "at most that many are accepted"])
        self.assertFalse((self.folder / "run").exists())


class FineTuning(Case):
    """From 100 classes to the 20 of shapes."""

    def on_shapes(self, *more):
        return ["train", self.recipe, "--out", "tuned", "--max-steps", 1, "--set", "data.name=shapes", "--set", "data.path=",
                "--set", "networks.student.init=run/student.safetensors", *more]

    def test_a_new_last_layer_is_asked_for_and_announced(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        self.run_bad(1, *self.on_shapes(), says=["run/student.safetensors", "fc.weight is [100, 64]", "`init_head: new`"])
        self.assertFalse((self.folder / "tuned").exists())
        out = self.run_ok(*self.on_shapes("--set", "networks.student.init_head=new"))
        self.assertIn("student: the last layer is new: fc.weight [20, 64] (not the file's [100, 64])", " ".join(out.split()))
        start = json.loads((self.folder / "tuned" / "log.jsonl").read_text().splitlines()[0])
        self.assertEqual(list(start["init"]), ["student"])
        self.assertIn("the last layer is new", start["init"]["student"])

    def test_the_file_is_needed_once(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1)
        from_file = ["train", self.recipe, "--set", "networks.student.init=run/student.safetensors", "--out"]
        self.run_ok(*from_file, "whole")
        self.run_ok(*from_file, "parts", "--max-steps", 3)
        (self.folder / "run" / "student.safetensors").unlink()
        self.run_ok(*from_file, "parts", "--resume")
        whole, parts = ((self.folder / run / "student.safetensors").read_bytes() for run in ("whole", "parts"))
        self.assertEqual(whole, parts)
        self.run_bad(1, *from_file, "other", says=["networks.student.init: run/student.safetensors", "cannot open it"])
        self.assertFalse((self.folder / "other").exists())

    def test_layers_of_their_own_rate(self):
        self.run_ok("train", self.recipe, "--out", "run", "--max-steps", 1, "--set", "networks.student.layers={conv1: frozen, fc: 2}")
        self.assertIn("layers: {conv1: frozen, fc: 2}", (self.folder / "run" / "recipe.yaml").read_text())
        self.run_bad(2, "train", self.recipe, "--out", "other", "--set", "networks.student.layers={layr1: 0.5}",
                     says=["networks.student.layers", "layr1", "did you mean layer1?"])
        self.assertFalse((self.folder / "other").exists())

    def test_nothing_to_be_new_in(self):
        self.run_bad(2, "train", self.recipe, "--set", "networks.student.init_head=new", says=["networks.1.init_head", "without init"])


class Resume(Case):
    def test_max_steps_then_resume_is_one_run(self):
        self.run_ok("train", self.recipe, "--out", "whole")
        out = self.run_ok("train", self.recipe, "--out", "parts", "--max-steps", 3)
        self.assertIn("Stopped early after 3 steps", out)
        following = re.search(r"(?m)^Next: duet (.*)$", out).group(1).split()
        self.assertIn("--resume", following)
        self.assertIn("Finished after 8 steps", self.run_ok(*following))
        for name in ("teacher", "student"):
            whole, parts = ((self.folder / run / f"{name}.safetensors").read_bytes() for run in ("whole", "parts"))
            self.assertEqual(whole, parts)

    def test_resume_starts_where_there_is_nothing(self):
        self.assertIn("Finished", self.run_ok("train", self.recipe, "--out", "run", "--resume"))
        self.assertIn("finished", self.run_ok("train", self.recipe, "--out", "run", "--resume"))


class Signals(Case):
    def start(self, **more):
        self.run_folder = self.folder / "run"
        return subprocess.Popen([PROGRAM, "train", str(self.recipe), "--out", "run", "--set", "train.epochs=10000"], cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**more))

    def wait_for_a_step(self, process):
        log = self.run_folder / "log.jsonl"
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline and process.poll() is None:
            if log.exists() and '"event":"step"' in log.read_text().replace(" ", ""):
                return
            time.sleep(0.05)
        self.fail(f"no step: {process.communicate()}")

    def test_one_signal_stops_with_a_checkpoint(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = self.start()
                self.wait_for_a_step(process)
                process.send_signal(number)
                out, err = process.communicate(timeout=100)
                self.assertEqual(process.returncode, 130, err)
                self.assertIn("once more to kill", err)
                self.assertRegex(err, r"duet: stopped in epoch \d+ after step \d+")
                self.assertIn("--resume", out)
                self.assertTrue((self.run_folder / "state.safetensors").exists())
                self.assertEqual([p for p in os.listdir(self.run_folder) if p.endswith(".tmp")], [])
                events = [json.loads(line) for line in (self.run_folder / "log.jsonl").read_text().splitlines()]
                self.assertEqual(events[-1]["event"], "stop")
                for path in self.run_folder.iterdir():
                    path.unlink()


class Terminal(Case):
    """The same on a terminal: one line that is redrawn."""

    def run_on_terminal(self, columns, **more):
        ours, theirs = pty.openpty()
        process = subprocess.Popen([PROGRAM, "train", str(self.recipe), "--out", f"run{columns}"], cwd=self.folder, stdin=theirs, stdout=theirs,
                                   stderr=theirs, env=environment(TERM="xterm", COLUMNS=str(columns), **more))
        os.close(theirs)
        seen = b""
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            seen += piece
        os.close(ours)
        self.assertEqual(process.wait(), 0, seen)
        return seen.decode()

    @staticmethod
    def plain(text):
        return re.sub(r"\033\[[0-9;]*[mK]", "", text)

    def test_the_progress_line_fits_and_disappears(self):
        for columns in (50, 80, 120):
            seen = self.run_on_terminal(columns)
            drawn = [self.plain(line) for line in re.findall(r"\r([^\r\n]*left)", seen)]
            self.assertTrue(drawn, seen)
            for line in drawn:
                self.assertLess(len(line), columns)
                self.assertRegex(line, r"^epoch \d/2")
            self.assertIn("\r\033[K", seen)
            if columns >= 80:
                self.assertRegex(drawn[0], r"step \d/4  teacher \d+\.\d+  student \d+\.\d+  [\d.]+(/s| images/s)  \d+:\d\d left")
            if columns >= 120:
                self.assertIn("...", drawn[0])  # the bar, in a locale without UTF-8

    def test_colours_are_wanted_or_not(self):
        self.assertIn("\033[1m", self.run_on_terminal(100))
        self.assertNotRegex(self.run_on_terminal(101, NO_COLOR="1"), r"\033\[[0-9;]*m")


if __name__ == "__main__":
    unittest.main()
