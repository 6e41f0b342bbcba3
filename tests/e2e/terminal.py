"""Progress on a terminal of any width, and where there is none: the real program behind a pseudo terminal.

    terminal.py --program build/release/saferclip [unittest arguments]
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from world import World, WorldCase, main


class Screen:
    """As much of a terminal as a status line needs: rows that break at the right edge and are broken anew when the
    width changes, carriage return, line feed, erasing to the end of the line or screen."""

    def __init__(self, columns):
        self.columns = columns
        self.lines = []      # finished by a line feed
        self.line = []       # the last one, unbroken
        self.at = 0          # the cursor's place in it
        self.erased = []     # what stood in the last line when it was erased or written over, and the columns then
        self.pending = b""
        self.unknown = []

    def width(self, text):
        return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)

    def resize(self, columns):
        self.columns = columns
        self.note()

    def note(self):
        text = "".join(self.line).rstrip()
        if text:
            self.erased.append((text, self.width(text), self.columns))

    def feed(self, data):
        data = self.pending + data
        cut = re.search(rb"(\x1b\[?[0-9;]*|[\xc0-\xff][\x80-\xbf]{0,2})$", data)
        self.pending = data[cut.start():] if cut else b""
        text = data[:len(data) - len(self.pending)].decode("utf-8", "replace")
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", text, re.S):
            self.take(token)

    def take(self, token):
        if token == "\r":
            # To the head of the row, which is the line's only when the line is not broken.
            self.at -= self.at % self.columns if self.at else 0
        elif token == "\n":
            self.lines.append("".join(self.line))
            self.line, self.at = [], 0
        elif token in ("\x1b[J", "\x1b[K", "\x1b[0J"):
            self.note()
            del self.line[self.at:]
        elif token.startswith("\x1b["):
            if not token.endswith("m"):
                self.unknown.append(token)
        else:
            if self.at == 0 and self.line:
                self.note()
            self.line[self.at:self.at + 1] = [token]
            self.at += 1

    def shown(self):
        return "".join(self.line)


class Session:
    """The program behind a pseudo terminal."""

    def __init__(self, world, columns, *arguments, **environment):
        self.screen = Screen(columns)
        self.raw = b""
        self.first = None
        self.began = time.monotonic()
        environment = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment}
        keep = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "COLORTERM", "TERM")}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(world.root)
            os.execvpe(World.program, [World.program, "--threads", "1", *map(str, arguments)], {**keep, **environment})
        self.resize(columns)

    def resize(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen.resize(columns)

    def read(self, seconds):
        """Until the program ends or the time is over; whether it goes on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
                return False
            self.first = self.first or time.monotonic() - self.began
            self.raw += data
            self.screen.feed(data)
        return True

    def until(self, pattern, seconds=240):
        """Until something drawn or written so far matches."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.raw.decode("utf-8", "replace")):
            if time.monotonic() > end or not self.read(0.1):
                raise AssertionError(f"{pattern} was not seen: {self.raw[-2000:]}")

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.read(60)


class Terminal(WorldCase):
    prefix = "saferclip-terminal-"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.world.run("train", "safe.yaml", "--set", "train.max_steps=4")

    STEPS = 20000  # more than any of these tests waits for

    def train(self, name, columns, **environment):
        return Session(self.world, columns, "train", "safe.yaml", "--set", f"run.name={name}", "--set",
                       f"train.max_steps={self.STEPS}", "--set", "checkpoint.every_steps=0", "--set", "data.validation=",
                       "--set", "schedule.name=constant", **environment)

    def assert_one_row(self, screen):
        self.assertEqual(screen.unknown, [])
        for text, width, columns in screen.erased:
            self.assertLess(width, columns, text)

    def assert_whole_messages(self, screen):
        for line in screen.lines:
            self.assertRegex(line, r"^([DIWE] |run: |\s|prepared |[a-z]+ {2,})", screen.lines)
            self.assertNotRegex(line, r"\[[=> ]+\] +\d+%", screen.lines)

    def test_fits_each_width(self):
        seen = {}
        for columns in (20, 60, 80, 120):
            session = self.train(f"w{columns}", columns)
            session.until(r"training.*[1-9]%")
            session.read(1)
            session.kill()
            self.assert_one_row(session.screen)
            self.assert_whole_messages(session.screen)
            drawn = [text for text, _, _ in session.screen.erased if text.startswith("training ")]
            seen[columns] = max(drawn, key=len)
        for columns, there, left_out in ((20, "%", "steps"), (60, f"/{self.STEPS:,} steps", "quadruplets"), (80, "loss ", "lr "),
                                         (120, "quadruplets", "rows/s")):
            self.assertIn(there, seen[columns])
            self.assertNotIn(left_out, seen[columns])
        self.assertRegex(seen[120], rf"^training \[=*>? *\] +\d+%  [\d,]+/{self.STEPS:,} steps  .* left  loss \d+\.\d+  .*(steps/s|s/step)")

    def test_follows_the_width(self):
        session = self.train("resized", 120)
        session.until(r"training.*[1-9]%")
        for columns in (100, 40, 20, 70, 30, 120):
            session.resize(columns)
            session.read(1)  # a redraw later all is right
            session.screen.erased.clear()
            before = len(session.raw)
            while len(session.raw) < before + 200 and session.read(0.2):
                pass
            self.assertTrue(session.screen.erased, session.raw[-300:])
            self.assert_one_row(session.screen)
        session.kill()
        self.assert_whole_messages(session.screen)

    def test_rows_of_an_objective_without_unsafe_ones(self):
        session = Session(self.world, 140, "train", "base.yaml", "--set", "run.name=rows", "--set", f"train.max_steps={self.STEPS}")
        session.until("rows/s|quadruplets|s/row")
        session.kill()
        drawn = "\n".join(text for text, _, _ in session.screen.erased)
        self.assertRegex(drawn, " rows/s|s/row")
        self.assertNotIn("quadruplets", drawn)

    def test_other_commands_draw_at_once_and_in_one_row(self):
        fresh = ["--set", "data.cache_dir=fresh"]
        for arguments, parts in (
                (["prepare", "safe.yaml", *fresh], ["decoding train, safe", "decoding train, unsafe", "reference, train safe",
                                                    "reference, train unsafe", "nearest-safe targets of train"]),
                (["evaluate", "runs/safe", "--strengths", "0,1", "--json"], ["embedding validation safe", "embedding validation unsafe",
                                                                             "strengths 0/2: ", "strengths 1/2: "])):
            session = Session(self.world, 80, *arguments)
            self.assertFalse(session.read(300))
            self.assertEqual(session.status, 0, session.raw)
            self.assert_one_row(session.screen)
            drawn = "\n".join(text for text, _, _ in session.screen.erased)
            for part in parts:
                self.assertIn(part, drawn)

    def test_interrupting_leaves_no_remnant(self):
        session = self.train("interrupted", 80)
        session.until(r"training.*[1-9]%|training.*/20,000 steps  .* left")
        os.kill(session.pid, signal.SIGINT)
        self.assertFalse(session.read(240))
        self.assertEqual(session.status, 130)
        self.assertNotIn("%", session.screen.shown())

    def test_plain_lines_without_colour_or_on_a_dumb_terminal(self):
        for name, environment in (("plain", {"NO_COLOR": "1"}), ("dumb", {"TERM": "dumb"})):
            session = self.train(name, 60, **environment)
            session.until(r"training [\d,]+/20,000 steps, .* left, loss ")
            session.read(1)
            session.kill()
            self.assertNotIn(b"\x1b", session.raw)
            self.assertNotIn(b"\r", session.raw.replace(b"\r\n", b"\n"))
            self.assert_sparse(session.raw.decode(), time.monotonic() - session.began)

    def assert_sparse(self, text, seconds):
        lines = [line for line in text.splitlines() if re.search(r"[\d,]+/[\d,]+ ", line)]
        self.assertLessEqual(len(lines), 1 + seconds / 10, text)

    def test_plain_lines_in_a_pipe(self):
        began = time.monotonic()
        process = subprocess.Popen([World.program, "--threads", "1", "train", "safe.yaml", "--set", "run.name=piped", "--set", "train.max_steps=20000",
                                    "--set", "checkpoint.every_steps=0", "--set", "data.validation=", "--set", "schedule.name=constant"],
                                   cwd=self.world.root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        said = ""
        for line in process.stderr:
            said += line
            if "training " in line and "/20,000 steps" in line:
                break
        process.kill()
        said += process.communicate()[0] or ""
        self.assertRegex(said, r"training [\d,]+/20,000 steps, .* left, loss ")
        self.assertNotRegex(said, r"[\x1b\r]")
        self.assert_sparse(said, time.monotonic() - began)


if __name__ == "__main__":
    main()
