"""Completion scripts and man pages: every command and option is in each, and shells and troff read them.

    completion.py --program build/release/saferclip [unittest arguments]
"""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from world import Workspace, main


def words(*arguments):
    return subprocess.run([Workspace.program, *arguments], check=True, text=True, capture_output=True).stdout


def options_of(text):
    return set(re.findall(r"^\s+(?:-\w,)?(--[a-z-]+)", text, re.M))


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        program = words("--help")
        cls.commands = {(name,): words(name, "--help") for name in re.findall(r"^  ([a-z]+) {2,}", program.split("Subcommands:")[1], re.M)}
        for name in re.findall(r"^  ([a-z]+) {2,}", cls.commands["config",].split("Subcommands:")[1], re.M):
            cls.commands["config", name] = words("config", name, "--help")
        cls.commands[()] = program

    def script(self, shell):
        path = self.folder / f"saferclip.{shell}"
        path.write_text(words("completion", shell))
        return path

    def parse(self, shell, path):
        if shutil.which(shell):
            done = subprocess.run([shell, "-n", path], text=True, capture_output=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_there_are_commands(self):
        self.assertGreater(len(self.commands), 14)
        self.assertIn("--resume", options_of(self.commands["train",]))

    def complete(self, *line):
        """What bash offers at the end of a line."""
        quoted = " ".join(f"'{word}'" for word in line)
        code = f"source {self.script('bash')}; COMP_WORDS=({quoted}); COMP_CWORD={len(line) - 1}; _saferclip; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        return set(subprocess.run(["bash", "-c", code], check=True, text=True, capture_output=True, cwd=self.folder).stdout.split())

    def test_bash(self):
        self.parse("bash", self.script("bash"))
        self.assertEqual(self.complete("saferclip", "tra"), {"train"})
        self.assertEqual(self.complete("saferclip", "config", "sh"), {"show"})
        self.assertEqual(self.complete("saferclip", "export", "--dtype", ""), {"fp32", "fp16", "bf16"})
        (self.folder / "my.yaml").touch()
        self.assertEqual(self.complete("saferclip", "train", "my"), {"my.yaml"})
        for command, help_text in self.commands.items():
            self.assertLessEqual(options_of(help_text), self.complete("saferclip", *command, "--"), command)

    def test_zsh_and_fish(self):
        for shell in ("zsh", "fish"):
            path = self.script(shell)
            self.parse(shell, path)
            text = path.read_text()
            for command, help_text in self.commands.items():
                for option in options_of(help_text):
                    self.assertIn(f"*{option}[" if shell == "zsh" else f" -l {option[2:]} ", text, command)
                for name in command:
                    self.assertIn(name, text)

    def test_man_pages(self):
        words("completion", "--man", str(self.folder / "man"))
        names = {path.name for path in (self.folder / "man").iterdir()}
        self.assertEqual(names, {"-".join(("saferclip", *command)) + ".1" for command in self.commands})
        for command, help_text in self.commands.items():
            path = self.folder / "man" / ("-".join(("saferclip", *command)) + ".1")
            page = path.read_text().replace("\\-", "-")
            for option in options_of(help_text):
                self.assertRegex(page, rf"\.B {option}\b", command)
            if shutil.which("groff"):
                done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], text=True, capture_output=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_a_shell_is_needed(self):
        done = subprocess.run([Workspace.program, "completion"], text=True, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("bash, zsh, fish", done.stderr)


if __name__ == "__main__":
    main()
