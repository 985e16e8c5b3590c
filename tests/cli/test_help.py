"""Every command explains itself, with an example; topics and near misses lead somewhere."""
import json
import re
import unittest

from program import COMMANDS, Case, duet


class Help(Case):
    def test_the_overview_lists_every_command(self):
        overview = self.run_ok("help")
        for command in COMMANDS:
            self.assertRegex(overview, rf"(?m)^  {command} +\w")
        self.assertEqual(self.run_ok("--help"), overview)
        code, out, _ = duet()
        self.assertEqual((code, out), (2, overview))

    def test_every_command_has_usage_and_an_example(self):
        for command in COMMANDS:
            with self.subTest(command):
                text = self.run_ok("help", command)
                if command != "help":
                    self.assertIn(f"Usage\n  duet {command}", text)
                    self.assertRegex(text, rf"Example\n  duet {command}")
                else:
                    self.assertIn("Start here\n  duet train", text)
                self.assertEqual(self.run_ok(command, "--help"), text)
                self.assertEqual(self.run_ok(command, "-h"), text)

    def test_options_in_the_usage_are_explained(self):
        for command in COMMANDS:
            text = self.run_ok("help", command)
            usage = re.search(r"Usage\n(.*)", text)
            for option in re.findall(r"--[a-z-]+", usage.group(1) if usage else ""):
                self.assertRegex(text, rf"(?m)^  {option}\b", f"{command} {option}")

    def test_lines_fit_the_terminal(self):
        for command in COMMANDS:
            for columns in (60, 80, 120):
                text = self.run_ok("help", command, COLUMNS=str(columns))
                prose = text.split("\nExample\n")[0].split("\n\n", 2)[-1]  # past the title and the usage
                for line in prose.split("\n"):
                    self.assertLess(len(line), columns, f"{command} at {columns}: {line}")

    def test_no_colours_where_there_is_no_terminal(self):
        for command in COMMANDS:
            self.assertNotIn("\033", self.run_ok("help", command, TERM="xterm-256color"))

    def test_topics(self):
        self.assertIn("DUET_DATA", self.run_ok("help", "environment"))
        self.assertIn("130", self.run_ok("help", "environment"))
        recipe = self.run_ok("help", "recipe")
        for word in ("temperature", "milestones", "weight_decay", "consensus"):
            self.assertIn(word, recipe)
        self.assertIn("momentum", self.run_ok("help", "recipe", "train"))
        self.assertIn("gamma", self.run_ok("help", "train.schedule"))
        self.assertIn("temperature", self.run_ok("help", "kdcl"))
        self.assertEqual(json.loads(self.run_ok("help", "schema"))["type"], "object")

    def test_near_misses(self):
        self.run_bad(2, "trian", says="did you mean `duet train`?")
        self.run_bad(2, "help", "enviroment", says="did you mean `duet help environment`?")
        self.run_bad(2, "help", "recipe", "trian", says="did you mean 'train'?")
        self.run_bad(2, "frobnicate", says="`duet help` lists what there is")

    def test_version(self):
        self.assertRegex(self.run_ok("version"), r"^duet \d+\.\d+\.\d+\n$")
        self.assertEqual(self.run_ok("--version"), self.run_ok("version"))


if __name__ == "__main__":
    unittest.main()
