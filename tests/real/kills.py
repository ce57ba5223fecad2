"""Kills procServ under systemd again and again while its child writes 5 MB/s, and looks for a byte that
one of ten clients, the log or the child lacks, or that the log or the child has twice.

kills.py UNIT KILLS; the check beside it runs it where systemd is. kills.py child: the child.
"""

import itertools
import os
import random
import signal
import sys
import threading
import time
import tty

from kill_checks import LAST, LINE, Reader, check, follow, line, next_server, show, wait_for, without_restarts

RATE = 5_000_000
GO, END, STARTED, TYPED, LOG = (f"/opt/kills/{name}" for name in ("go", "end", "started", "typed", "log"))
# After so many kills all are compared, so that what they got need not be kept for longer.
ROUND = 50


def child():
    """Writes numbered lines, and what is typed into a file."""
    tty.setraw(0)
    with open(STARTED, "a") as started:
        print(os.getpid(), file=started)

    def keep():
        with open(TYPED, "wb", buffering=0) as typed:
            while data := os.read(0, 4096):
                typed.write(data)

    threading.Thread(target=keep, daemon=True).start()
    number = 0
    for end in itertools.count(1):
        while not os.path.exists(f"{GO}{end}"):
            time.sleep(0.01)
        start = time.monotonic() - number * LINE / RATE
        while not os.path.exists(f"{END}{end}"):
            due = int((time.monotonic() - start) * RATE / LINE)
            # A child that was held up does not catch up.
            if due > number + 4000:
                due = number + 4000
                start = time.monotonic() - due * LINE / RATE
            lines = b"".join(line(n) for n in range(number, due))
            while lines:
                lines = lines[os.write(1, lines) :]
            number = due
            time.sleep(0.002)
        os.write(1, LAST)


def type_lines(client, ends, typed):
    while not ends.is_set():
        typed[0] += 1
        client.socket.sendall(b"%d\n" % typed[0])
        time.sleep(0.002)


class Check:
    """The server and all its clients."""

    def __init__(self):
        unix, tcp, raw, log = "/run/kills/control", ("127.0.0.1", 20001), "/run/kills/raw", ("127.0.0.1", 20002)
        self.stalls = threading.Event()
        self.typist = Reader("typing", raw)
        self.readers = [Reader("telnet 1", tcp, True), Reader("telnet 2", tcp, True), Reader("telnet 3", tcp, True),
                        Reader("Unix 1", unix, True), Reader("Unix 2", unix, True), Reader("raw 1", raw),
                        Reader("raw 2", raw), Reader("log", log, True),
                        Reader("stalled", raw, stalls=self.stalls), self.typist]
        wait_for("all ten connections are stored", lambda: int(show(UNIT, "NFileDescriptorStore")) >= 17)
        wait_for("the child has started", lambda: os.path.exists(STARTED))
        self.server = int(show(UNIT, "MainPID"))
        # How many lines the child has written, and how long the log is, at the end of the last round.
        self.lines = self.logged = 0
        self.restarts, self.twice, self.skipped = 0, dict.fromkeys((r.name for r in self.readers), 0), 0

    def kill(self, number):
        if number % 10 == 3:
            self.stalls.set()
        elif number % 10 == 8:
            self.stalls.clear()
        time.sleep(random.random() / 4)
        os.kill(self.server, signal.SIGKILL)
        self.server = next_server(UNIT, self.server)

    def compare(self, kills):
        """Looks at all that came in a round of so many kills."""
        wait_for("all have the end", lambda: all(reader.is_done or reader.is_closed for reader in self.readers))
        check("all clients are connected", not any(reader.is_closed for reader in self.readers))
        wait_for("the log has the end", lambda: self.log(os.path.getsize(LOG) - len(LAST)) == LAST)
        log = self.log(self.logged)
        self.logged += len(log)
        check("nobody is told that output may be missing", b"may be missing" not in log)
        first = line(self.lines)
        stream = log if self.lines else log[log.index(first) :]
        output, restarts = without_restarts(stream)
        count = (len(output) - len(LAST)) // LINE
        exact = b"".join(line(n) for n in range(self.lines, self.lines + count)) + LAST
        if output != exact:
            at = next(i for i, (one, other) in enumerate(zip(output, exact)) if one != other)
            print(f"     at {at} it has {output[at - 70 : at + 200]!r}")
        check(f"the log is exact: {count} lines, {restarts} restarts told of", output == exact)
        check("there is a restart in it for each kill", 0 < restarts <= kills)
        for reader in self.readers:
            data = reader.stream(first if self.lines == 0 else b"")
            twice, skipped = follow(reader.name, data, stream, reader.stalls is not None)
            check(f"{reader.name}: {twice} pieces twice, {skipped} bytes skipped", twice <= kills)
            self.twice[reader.name] += twice
            self.skipped += skipped
            reader.forget()
        self.lines += count
        self.restarts += restarts

    def run(self):
        ends, typed = threading.Event(), [0]
        typist = threading.Thread(target=type_lines, args=(self.typist, ends, typed), daemon=True)
        elapsed = 0
        for end, first in enumerate(range(0, KILLS, ROUND), 1):
            numbers = range(first, min(first + ROUND, KILLS))
            open(f"{GO}{end}", "w").close()
            if first == 0:
                typist.start()
            begin = time.monotonic()
            for number in numbers:
                self.kill(number)
            self.stalls.clear()
            if numbers.stop == KILLS:
                ends.set()
                typist.join()
            open(f"{END}{end}", "w").close()
            elapsed += time.monotonic() - begin
            self.compare(len(numbers))
            print(f"     {numbers.stop} kills", flush=True)
        wait_for("the last typed line", lambda: open(TYPED, "rb").read().endswith(b"%d\n" % typed[0]))
        lines = [int(line) for line in open(TYPED, "rb").read().split()]
        gaps = sum(one + 1 != next for one, next in zip([0, *lines], lines))
        check(f"typed lines come once, in order: {len(lines)} of {typed[0]}, {gaps} gaps",
              all(one < next for one, next in zip(lines, lines[1:])) and gaps <= KILLS)
        started = open(STARTED).read().split()
        check("there is one child, which lives", len(started) == 1 and os.path.exists(f"/proc/{started[0]}"))
        print(f"     {KILLS} kills, {self.restarts} restarts told of, {self.lines} lines,"
              f" {self.lines * LINE / elapsed / 1e6:.1f} MB/s, {self.skipped} bytes skipped; pieces twice:"
              f" {self.twice}")

    @staticmethod
    def log(start):
        with open(LOG, "rb") as log:
            log.seek(start)
            return log.read()


if sys.argv[1] == "child":
    child()
else:
    UNIT, KILLS = sys.argv[1], int(sys.argv[2])
    Check().run()
