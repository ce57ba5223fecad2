"""What status.py makes of status files and of console output. Run by tests/real/epics.sh."""

import json
import os
import tempfile
import unittest
from pathlib import Path

import status

FILE = {
    "v": 1,
    "pid": 100,
    "leaving": False,
    "mode": "ON",
    "restarts": 3,
    "child": {"state": "running", "pid": 101, "started": "2026-11-20T13:30:08.094+01:00", "ready": True},
    "ends": [{"signal": 9, "pid": 99}, {"code": 1}],
    "clients": [{"role": "user"}, {"role": "viewer"}, {"role": "user"}],
}


def parse(**changes):
    return status.parse(json.dumps(FILE | changes).encode())


class ParseTest(unittest.TestCase):
    def test_a_running_child(self):
        found = parse()
        self.assertEqual((found.server_pid, found.child_pid, found.restarts, found.users), (100, 101, 3, 2))
        self.assertEqual(found.child_started.timestamp(), 1795177808.094)
        self.assertEqual((found.mode, found.ready, found.leaving), ("ON", True, False))

    def test_no_child(self):
        found = parse(child={"state": "by_hand"})
        self.assertEqual((found.child_pid, found.child_started, found.ready), (0, None, False))

    def test_ends(self):
        for end, text in [
            ({"signal": 9}, "SIGKILL (signal 9)"),
            ({"signal": 99}, "signal 99"),
            ({"code": 3}, "exit status 3"),
            ({"status": "unknown"}, "unknown"),
        ]:
            self.assertEqual(parse(ends=[end]).last_exit, text)
        self.assertEqual(parse(ends=[]).last_exit, "")

    def test_a_new_field_is_passed_over(self):
        self.assertEqual(parse(new={"v": 9}), parse())

    def test_every_wrong_field_is_refused(self):
        wrong = {
            "v": [2, 0, True, "1", None, 1.0],
            "pid": [0, -1, 2**31, 1.5, "100", True, None],
            "leaving": [0, None, "false"],
            "mode": ["on", "", None, ["ON"]],
            "restarts": [-1, 2**31, 10**40, 1e30, True, "3", None],
            "child": [None, [], {"state": "new"}, {"state": "running"}, FILE["child"] | {"started": "2026-11-20T13:30:08"},
                      FILE["child"] | {"started": "yesterday"}, FILE["child"] | {"ready": 1}],
            "ends": [None, {}, [None], [{"signal": "9"}], [{"code": 2**40}]],
            "clients": [None, {}, [None], ["user"], [{}], [{"role": 1}]],
        }  # fmt: skip
        for field, values in wrong.items():
            for value in values:
                with self.subTest(field=field, value=value), self.assertRaises(status.StatusError):
                    parse(**{field: value})

    def test_half_a_file_is_refused(self):
        text = json.dumps(FILE).encode()
        for length in range(len(text)):
            with self.assertRaises(status.StatusError):
                status.parse(text[:length])

    def test_no_json_is_refused(self):
        for text in [b"[" * 100_000, b"9" * 10_000, b"\xff", b"null", b"[]", b'{"v":1}']:
            with self.assertRaises(status.StatusError):
                status.parse(text)


class ReadTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "status"

    def test_a_file(self):
        self.path.write_bytes(b"text")
        self.assertEqual(status.read_file(self.path), b"text")

    def test_no_file(self):
        self.assertIsNone(status.read_file(self.path))
        self.assertIsNone(status.read_file(self.directory / "none" / "status"))

    def test_what_is_no_file_is_refused(self):
        for make in [self.path.mkdir, lambda: os.mkfifo(self.path), lambda: self.path.symlink_to("/etc/passwd")]:
            make()
            with self.assertRaises(status.StatusError):
                status.read_file(self.path)
            self.path.rmdir() if self.path.is_dir() and not self.path.is_symlink() else self.path.unlink()

    def test_a_large_file_is_refused(self):
        self.path.write_bytes(b" " * (status.MAX_FILE + 1))
        with self.assertRaises(status.StatusError):
            status.read_file(self.path)

    def test_who_is_no_server(self):
        self.assertFalse(status.is_server(os.getpid(), self.path))
        self.assertFalse(status.is_server(2**22 + 1, self.path))


class NamesTest(unittest.TestCase):
    def test_names(self):
        for name in ["vac1", "procServ:vac-1_A:b"]:
            self.assertIsNone(status.prefix_problem(name))
        for name in ["", "a.b", "a@b", "a b", "a\nb", "a$(P)", 'a"', "ä", "a" * 49]:
            self.assertIsNotNone(status.prefix_problem(name), name)
        self.assertIsNone(status.prefix_problem("a" * 48))

    def test_hosts(self):
        for host, here in [(None, True), ("", True), ("HOST1", True), ("host*", True), ("host2", False),
                           ("!host1", False), ("!host2", True), ("0" * 32, False)]:  # fmt: skip
            self.assertEqual(status.runs_here(host, "host1"), here, host)

    def test_options_that_move_the_status_file(self):
        self.assertTrue(status.moves_status_file(["--holdoff", "1", "--status-file=/tmp/s"]))
        self.assertTrue(status.moves_status_file(["--stat", "/tmp/s"]))
        self.assertFalse(status.moves_status_file(["--holdoff", "1", "--stop-input", "x"]))


class LinesTest(unittest.TestCase):
    def test_what_controls_a_terminal_is_left_out(self):
        for line, plain in [
            ("\x1b[31mred\x1b[0m", "red"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]0;title\x1b\\text", "text"),
            ("\x1bP1$r\x1b\\text", "text"),
            ("\x1b(Btext\x1b7\x1b", "text"),
            ("\x9b31mtext", "text"),
            ("text\x1b[31", "text"),
            ("a\tb\x00\x08\x7f\u202ec\u200b", "a bc"),
            ("10%\r100%\r\n", "100%"),
            ("ä \udcff", "ä "),
        ]:
            self.assertEqual(status.plain_line(line), plain)

    def test_long_lines_are_cut(self):
        self.assertEqual(len(status.plain_line("x" * 1_000_000)), status.MAX_LINE)
        self.assertEqual(status.plain_line("\x1b[" * 1_000_000), "")

    def test_the_last_lines_that_have_room(self):
        self.assertEqual(status.last_lines(["one", "two", "three"], 10), b"two\nthree\n")
        self.assertEqual(status.last_lines(["ä" * 5], 10), b"")
        self.assertEqual(status.last_lines([], 10), b"")
        self.assertLessEqual(len(status.last_lines(["ä" * 400] * 20, 5119)), 5119)


if __name__ == "__main__":
    unittest.main()
