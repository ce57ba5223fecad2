"""Kills procServ under systemd again and again while its child writes 5 MB/s, and looks for a byte that
one of ten clients, the log or the child lacks, or that the log or the child has twice.

kills.py UNIT KILLS; the check beside it runs it where systemd is. kills.py child: the child.
"""

import os
import random
import signal
import sys
import threading
import time
import tty

from kill_checks import LAST, LINE, Reader, check, follow, line, next_server, show, wait_for, without_restarts

RATE = 5_000_000
GO, END, STARTED, TYPED = (f"/opt/kills/{name}" for name in ("go", "end", "started", "typed"))


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
    while not os.path.exists(GO):
        time.sleep(0.01)
    start, number = time.monotonic(), 0
    while not os.path.exists(END):
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
    signal.pause()


def type_lines(client, ends, typed):
    while not ends.is_set():
        typed[0] += 1
        client.socket.sendall(b"%d\n" % typed[0])
        time.sleep(0.002)


def main():
    unix, tcp, raw, log = "/run/kills/control", ("127.0.0.1", 20001), "/run/kills/raw", ("127.0.0.1", 20002)
    stalls = threading.Event()
    readers = [Reader("telnet 1", tcp, True), Reader("telnet 2", tcp, True), Reader("telnet 3", tcp, True),
               Reader("Unix 1", unix, True), Reader("Unix 2", unix, True), Reader("raw 1", raw),
               Reader("raw 2", raw), Reader("log", log, True),
               Reader("stalled", raw, stalls=stalls), Reader("typing", raw)]
    stored = lambda: int(show(UNIT, "NFileDescriptorStore")) >= 17
    wait_for("all ten connections are stored", stored)
    wait_for("the child has started", lambda: os.path.exists(STARTED))
    ends, typed = threading.Event(), [0]
    typist = threading.Thread(target=type_lines, args=(readers[-1], ends, typed), daemon=True)
    with open(GO, "w"):
        pass
    typist.start()
    begin, server = time.monotonic(), int(show(UNIT, "MainPID"))
    for number in range(KILLS):
        if number % 10 == 3:
            stalls.set()
        elif number % 10 == 8:
            stalls.clear()
        time.sleep(random.random() / 4)
        os.kill(server, signal.SIGKILL)
        server = next_server(UNIT, server)
    stalls.clear()
    ends.set()
    typist.join()
    with open(END, "w"):
        pass
    wait_for("all have the end", lambda: all(reader.is_done or reader.is_closed for reader in readers))
    check("all clients are connected", not any(reader.is_closed for reader in readers))
    kept = lambda: open("/opt/kills/log", "rb").read()
    wait_for("the log has the end", lambda: kept().endswith(LAST))
    elapsed = time.monotonic() - begin
    log = kept()
    check("nobody is told that output may be missing", b"may be missing" not in log)
    stream = log[log.index(line(0)) :]
    output, restarts = without_restarts(stream)
    count = (len(output) - len(LAST)) // LINE
    exact = b"".join(line(n) for n in range(count)) + LAST
    if output != exact:
        at = next(i for i, (one, other) in enumerate(zip(output, exact)) if one != other)
        print(f"     at {at} it has {output[at - 70 : at + 200]!r}")
    check(f"the log is exact: {count} lines, {restarts} restarts told of", output == exact)
    check("there is a restart in it for each kill", 0 < restarts <= KILLS)
    for reader in readers:
        twice, skipped = follow(reader.name, reader.stream(), stream, reader.stalls is not None)
        check(f"{reader.name}: {twice} pieces twice, {skipped} bytes skipped", twice <= KILLS)
    wait_for("the last typed line", lambda: open(TYPED, "rb").read().endswith(b"%d\n" % typed[0]))
    lines = [int(line) for line in open(TYPED, "rb").read().split()]
    gaps = sum(one + 1 != next for one, next in zip([0, *lines], lines))
    check(f"typed lines come once, in order: {len(lines)} of {typed[0]}, {gaps} gaps",
          all(one < next for one, next in zip(lines, lines[1:])) and gaps <= KILLS)
    started = open(STARTED).read().split()
    check("there is one child, which lives", len(started) == 1 and os.path.exists(f"/proc/{started[0]}"))
    print(f"     {KILLS} kills, {len(stream) / elapsed / 1e6:.1f} MB/s")


if sys.argv[1] == "child":
    child()
else:
    UNIT, KILLS = sys.argv[1], int(sys.argv[2])
    main()
