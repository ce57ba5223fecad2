"""Kills procServ under systemd before and after the system calls of its turns, upgrades and starts, and
looks for a byte that a client, the log or the child lacks, or that the log or the child has twice.

calls.py UNIT STEP NAMES: at every STEP-th of these places; NAMES has the numbers and names of system calls.
calls.py child: the child.
"""

import os
import random
import re
import select
import signal
import socket
import struct
import sys
import time
import tty
from collections import Counter

from kill_checks import LAST, LINE, RESTARTED, Reader, check, follow, line, next_server, show, wait_for
from kill_checks import without_restarts
from tracer import Tracer

ORDERS, STARTED, TYPED, LOG, HOLD = (f"/opt/calls/{name}" for name in ("orders", "started", "typed", "log", "hold"))
CONTROL, RAW, TCP, LOGS = "/run/calls/control", "/run/calls/raw", ("127.0.0.1", 20001), ("127.0.0.1", 20002)
# How many lines answer a typed line that begins with p. follow() finds a place by so many.
PROBE = 4


def child():
    """Writes as many numbered lines as it is told to, and answers typed ones by such lines."""
    tty.setraw(0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(ORDERS)
    listener.listen()
    with open(STARTED, "a") as started:
        print(os.getpid(), file=started)
    orders, _ = listener.accept()
    written, rest = 0, b""
    with open(TYPED, "wb", buffering=0) as typed:
        while True:
            count = 0
            ready, _, _ = select.select([0, orders], [], [])
            if 0 in ready:
                *lines, rest = (rest + os.read(0, 4096)).split(b"\n")
                for text in lines:
                    typed.write(text + b"\n")
                    count += PROBE if text.startswith(b"p") else 1
            ordered = orders in ready and int(orders.recv(100))
            for number in range(written, written + count + (ordered or 0)):
                os.write(1, line(number))
                written = number + 1
            if orders in ready:
                if ordered is not False and ordered < 0:
                    os.write(1, LAST)
                orders.send(b"%d" % written)


class Guest:
    """A client that comes and goes."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        # Closed, it sends a reset: the server sees at once that it has gone.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.connect(address)
        self.socket.setblocking(False)
        self.got, self.is_closed = b"", False

    def has(self, wanted):
        """Returns true if that has come, or the connection is closed."""
        try:
            while not self.is_closed:
                data = self.socket.recv(1 << 16)
                self.got += data
                self.is_closed = not data
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.is_closed = True
        return self.is_closed or wanted in self.got

    def check_stream(self):
        """Looks for a line that is missing in what it got."""
        numbers = [int(number) for number in re.findall(rb"(?<!\d)(\d{%d})\r\n" % (LINE - 2), self.got)]
        again = [one for one, next in zip(numbers, numbers[1:]) if next <= one]
        gaps = [one for one, next in zip(numbers, numbers[1:]) if next > one + 1]
        if gaps or len(again) > 1:
            check(f"a guest has no gap: {numbers}", False)


def log_end(size):
    with open(LOG, "rb") as log:
        log.seek(max(0, os.fstat(log.fileno()).st_size - size))
        return log.read()


class Check:
    """The server and all its clients."""

    def __init__(self):
        wait_for("the child has started", lambda: os.path.exists(STARTED) and open(STARTED).read())
        self.orders = socket.socket(socket.AF_UNIX)
        self.orders.connect(ORDERS)
        self.raw, self.telnet = Reader("raw", RAW), Reader("telnet", TCP, True)
        self.readers = [self.raw, self.telnet, Reader("log client", LOGS, True)]
        self.server = int(show(UNIT, "MainPID"))
        # State, terminal, child, four endpoints, three connections.
        self.stored = 10
        wait_for("all is stored", lambda: self.count_stored() == self.stored)
        self.child = int(open(STARTED).read())
        self.processes = f"/sys/fs/cgroup{show(UNIT, 'ControlGroup')}/cgroup.procs"
        self.guests, self.guest = 0, None
        self.last, self.typed = 0, 0
        self.places, self.lost, self.refused, self.begun = Counter(), Counter(), Counter(), 0

    def count_stored(self):
        return int(show(UNIT, "NFileDescriptorStore"))

    def order(self, count):
        self.orders.send(b"%d" % count)

    def type_line(self, client, kind=b"t"):
        self.typed += 1
        client.socket.sendall(b"%s%d\n" % (kind, self.typed))
        return b"%s%d\n" % (kind, self.typed)

    def has_all(self, last):
        """Returns true if all readers and the log have got the last line before number `last`. In the log, that
        of an upgrade may follow."""
        end = line(last - 1)
        return all(reader.tail.endswith(end) for reader in self.readers) and end in log_end(4 * LINE)

    # What the server is to do; each returns what tells that it is done.

    def write(self):
        self.order(2)
        last = self.last + 2
        return lambda: self.has_all(last)

    def type_raw(self, client=None):
        self.type_line(client or self.raw)
        last = self.last + 1
        return lambda: self.has_all(last)

    def type_telnet(self):
        return self.type_raw(self.telnet)

    def join(self):
        self.guests += 1
        self.guest = Guest((CONTROL, TCP, RAW)[self.guests % 3])
        guest = self.guest
        return lambda: guest.has(b"(plus you)\r\n")

    def leave(self):
        descriptors = lambda: len(os.listdir(f"/proc/{self.server}/fd"))
        before = descriptors()
        self.guest.check_stream()
        self.guest.socket.close()
        self.guest = None
        return lambda: descriptors() < before

    def do_all(self):
        is_over = [self.leave(), self.join()]
        self.order(2)
        self.type_line(self.raw)
        self.type_line(self.telnet)
        last = self.last + 4
        is_over.append(lambda: self.has_all(last))
        return lambda: all(condition() for condition in is_over[1:])

    def upgrade(self):
        is_over = self.do_all()
        os.kill(self.server, signal.SIGUSR1)
        # There are more lines since the last upgrade.
        return lambda: b"upgraded in place" in log_end(2 * PROBE * LINE) and is_over()

    def kill_at(self, action, is_main, count):
        """Kills the server at begin or end number `count` of a call of a thread while it does that. Returns
        false if there are less."""
        if action in (Check.leave, Check.do_all, Check.upgrade) and self.guest is None:
            wait_for("a guest is greeted", self.join())
        if action == Check.join and self.guest is not None:
            self.leave()
        typed_before, ordered = self.typed, action in (Check.write, Check.do_all, Check.upgrade)
        tracer = Tracer.attach(self.server, is_main)
        is_reached = tracer.go_on(count, action(self))
        where = f"{action.__name__} {count}: {self.kill(tracer, 'main' if is_main else 'log', is_reached)}"
        print("    ", where, flush=True)
        self.server = next_server(UNIT, self.server)
        self.look(where, range(typed_before + 1, self.typed + 1), ordered)
        if action == Check.join and is_main and self.guest is None:
            is_stored = any(place.startswith("after sendmsg") for place in tracer.places)
            if is_stored:
                check(f"a client that is stored is kept: {where}", False)
        return is_reached

    def kill_twice_at(self, count):
        """Kills the server somewhere, and the next one at begin or end number `count` of a call of its start.
        Returns false if there are less."""
        if self.guest is None:
            wait_for("a guest is greeted", self.join())
        typed_before = self.typed
        tracer = Tracer.attach(self.server, True)
        is_reached = tracer.go_on(random.randrange(80), self.do_all())
        with open(HOLD, "w"):
            pass
        where = f"do_all: {self.kill(tracer, 'main', is_reached)}"
        self.server = next_server(UNIT, self.server)
        is_held = lambda: open(f"/proc/{self.server}/stat").read().rpartition(")")[2].split()[0] == "T"
        wait_for("the next server can be traced", is_held)
        os.remove(HOLD)
        tracer = Tracer.attach_held(self.server)
        is_told = lambda: all(RESTARTED in reader.tail for reader in self.readers)
        is_reached = tracer.go_on(count, is_told)
        where += f", then start {count}: {self.kill(tracer, 'next', is_reached)}"
        print("    ", where, flush=True)
        # A server that dies earlier need not have told of itself.
        self.begun += not is_reached
        self.server = next_server(UNIT, self.server)
        self.look(where, range(typed_before + 1, self.typed + 1), True)
        return is_reached

    def kill(self, tracer, thread, is_reached):
        """Kills the server. Returns the place."""
        place = f"{thread} thread {tracer.places[-1] if is_reached else 'idle'}"
        self.places[place] += 1
        tracer.kill()
        return place

    def look(self, where, typed, ordered):
        """Checks that all have all."""
        if ordered:
            self.orders.recv(100)
        for client in (self.raw, self.telnet):
            probe = self.type_line(client, b"p")
            wait_for(f"a line that is typed afterwards comes: {where}",
                     lambda: probe in open(TYPED, "rb").read().splitlines(True))
        self.order(0)
        self.last = int(self.orders.recv(100))
        wait_for(f"all readers have all: {where}", lambda: self.has_all(self.last))
        lines = open(TYPED, "rb").read().split(b"\n")
        for number in typed:
            count = lines.count(b"t%d" % number)
            # Nobody knows if the write was made.
            is_lost = count == 0 and re.search("before writev? of /dev/pts/ptmx|log thread", where)
            self.lost[where] += bool(is_lost)
            if count != 1 and not is_lost:
                check(f"a typed line comes once, not {count} times: {where}", False)
        if self.guest is not None:
            wait_for(f"a guest has all or is closed: {where}", lambda: self.guest.has(line(self.last - 1)))
            if self.guest.is_closed:
                # Accepted and not yet stored.
                if self.guest.got:
                    check(f"a guest that was told something is kept: {where}", False)
                self.refused[where] += 1
                self.guest = None
            else:
                greetings = self.guest.got.count(b"(plus you)\r\n")
                if not 1 <= greetings <= 2:
                    check(f"a guest is greeted: {where}: {self.guest.got}", False)
        wait_for(f"the store has {self.stored} and the guest: {where}",
                 lambda: self.count_stored() == self.stored + (self.guest is not None))
        wait_for(f"nothing runs but server and child: {where}",
                 lambda: set(map(int, open(self.processes))) == {self.server, self.child})
        if b"may be missing" in open(LOG, "rb").read():
            check(f"nobody is told that output may be missing: {where}", False)

    def walk(self, step):
        for action in (Check.write, Check.type_raw, Check.type_telnet, Check.join, Check.leave, Check.do_all):
            for is_main in (True, False):
                count, missed = random.randrange(step), 0
                while missed < 2:
                    missed += not self.kill_at(action, is_main, count)
                    count += step
        # An upgrade and a start have many calls.
        step = step if step == 1 else 7 * step
        count, missed = random.randrange(step), 0
        while missed < 2:
            missed += not self.kill_at(Check.upgrade, True, count)
            count += step
        count, missed = random.randrange(step), 0
        while missed < 2:
            missed += not self.kill_twice_at(count)
            count += step

    def end(self):
        self.order(-1)
        wait_for("all have the end", lambda: all(reader.is_done or reader.is_closed for reader in self.readers))
        check("all clients are connected", not any(reader.is_closed for reader in self.readers))
        kept = lambda: open(LOG, "rb").read()
        wait_for("the log has the end", lambda: kept().endswith(LAST))
        # An upgrade is told of in the log alone.
        log = re.sub(rb"@@@ procServ server (upgraded|not upgraded)[^\r]*\r\n", b"", kept())
        stream = log[log.index(line(0)) :]
        output, restarts = without_restarts(stream)[0], log.count(RESTARTED)
        exact = b"".join(line(number) for number in range(self.last)) + LAST
        check(f"the log is exact: {self.last} lines", output == exact)
        kills = self.places.total()
        starts = sum(count for place, count in self.places.items() if place.startswith("next"))
        check(f"each restart is told of once: {restarts} of {kills}, {starts} of them killed at their start",
              kills - starts + self.begun <= restarts <= kills)
        # The main thread may have been there, too, when the log's was killed.
        written = sum(count for place, count in self.places.items()
                      if re.match("(main|next) thread after writev?|log thread (?!idle)", place))
        for reader in self.readers:
            twice, _ = follow(reader.name, reader.stream(line(0)), stream, False)
            check(f"{reader.name}: {twice} pieces twice, {written} kills after a write", twice <= written)
        check("no other child was started", int(open(STARTED).read()) == self.child)
        for place, count in sorted(self.places.items()):
            print(f"     {count} kills, {place}")
        for what, places in (("typed line is lost", self.lost), ("guest is closed", self.refused)):
            for place in +places:
                print(f"     {what}: {place}")
        print(f"     {kills} kills")


def main():
    with open(sys.argv[3]) as names:
        Tracer.names = {int(number): name for number, name in map(str.split, names)}
    checks = Check()
    checks.walk(int(sys.argv[2]))
    checks.end()


if sys.argv[1] == "child":
    child()
else:
    UNIT = sys.argv[1]
    main()
