"""What the checks share that kill procServ under systemd: numbered lines, clients that keep what they get,
and the comparison with the log.
"""

import os
import re
import socket
import subprocess
import threading
import time

LINE = 64
TIMEOUT = 60
LAST = b"*** END ***\r\n"
RESTARTED = b"@@@ procServ server restarted\r\n"
# What a client gets again is found by its first bytes, several lines.
PIECE = 4 * LINE


def line(number):
    return b"%0*d\r\n" % (LINE - 2, number)


def check(what, holds):
    print("ok   " if holds else "FAIL ", what, flush=True)
    if not holds:
        os._exit(1)


def wait_for(what, condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            check(what, False)
        time.sleep(0.002)


def show(unit, name):
    command = ["systemctl", "show", "--property", name, "--value", unit]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def next_server(unit, last):
    """Waits until systemd has started another server."""
    wait_for("systemd starts another", lambda: show(unit, "MainPID") not in ("0", str(last)))
    return int(show(unit, "MainPID"))


class Reader(threading.Thread):
    """A client that keeps all it gets; one that `stalls` does not read while that is set."""

    def __init__(self, name, address, is_telnet=False, stalls=None):
        super().__init__(name=name, daemon=True)
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.connect(address)
        self.is_telnet, self.stalls = is_telnet, stalls
        self.parts, self.tail, self.is_done, self.is_closed = [], b"", False, False
        self.start()

    def run(self):
        while True:
            if self.stalls is not None and self.stalls.is_set():
                time.sleep(0.005)
                continue
            data = self.socket.recv(1 << 18)
            if not data:
                self.is_closed = True
                return
            self.parts.append(data)
            self.tail = (self.tail + data)[-400:]
            self.is_done = LAST in self.tail

    def stream(self, first):
        """What came, without telnet's commands, from there on to the end."""
        data = b"".join(self.parts)
        if self.is_telnet:
            data = re.sub(rb"\xff[\xfb-\xfe].", b"", data, flags=re.DOTALL)
        return data[data.index(first) : data.rindex(LAST) + len(LAST)]

    def forget(self):
        """Goes on after the end, without what came before."""
        self.parts, self.tail, self.is_done = [], b"", False


def without_restarts(data):
    """The output of the child, and how many restarts are told of."""
    notice = b"\r\n" + RESTARTED
    count = data.count(RESTARTED)
    return data.replace(notice, b""), count


def goes_on(data, at, stream, place):
    """Returns true if the data go on with the stream there, for several lines or to the end."""
    return place <= len(stream) and data[at : at + PIECE] == stream[place : place + PIECE]


def follow(name, data, stream, skips):
    """How many pieces came twice, and how many bytes were skipped, each skip announced."""
    at = place = twice = skipped = 0
    announced = re.compile(rb"(?:\r\n)?@@@ (\d+) bytes skipped[^\r\n]*\r\n")
    while at < len(data):
        step = 1 << 16
        while step and at < len(data):
            if data[at : at + step] == stream[place : place + step] and place < len(stream):
                at, place = at + min(step, len(data) - at), place + step
                place = min(place, len(stream))
            else:
                step //= 2
        if at == len(data):
            break
        # The output that was skipped may begin as the notice of that does.
        back = range(min(at, place, len(b"\r\n@@@ ")) + 1) if skips else ()
        notices = [(notice, place - count) for count in back if (notice := announced.match(data, at - count))]
        if notices:
            ends = [(notice.end(), start + int(notice[1]), int(notice[1])) for notice, start in notices]
            ends = [end for end in ends if goes_on(data, end[0], stream, end[1])]
            if not ends:
                check(f"{name}: {notices[0][0][0]} counts exactly", False)
            at, place, count = ends[0]
            skipped += count
            continue
        again = stream.rfind(data[at : at + PIECE], 0, place + PIECE - 1)
        if again < 0:
            check(f"{name}: {data[at - 80 : at + 200]} goes on with {stream[place : place + 100]}", False)
        place, twice = again, twice + 1
    if place != len(stream):
        check(f"{name}: the end is there", False)
    return twice, skipped
