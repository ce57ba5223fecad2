"""Kills procServ under systemd again and again, and looks at what its clients see of it.

fdstore.py UNIT KILLS; the check beside it runs it where systemd is.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time

UNIT, KILLS = sys.argv[1], int(sys.argv[2])
TIMEOUT = 10


def show(name):
    command = ["systemctl", "show", "--property", name, "--value", UNIT]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check(what, holds):
    print("ok   " if holds else "FAIL ", what, flush=True)
    if not holds:
        sys.exit(1)


def wait_for(what, condition):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            check(what, False)
        time.sleep(0.005)


class Client:
    """A connection, and what came over it that was not yet looked for."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(address)
        self.seen = b""
        self.until(b"(plus you)\r\n")

    def send(self, text):
        self.socket.sendall(text)

    def until(self, wanted):
        """What came up to the end of a match of the pattern, and the match."""
        pattern = re.compile(wanted if b"\\" in wanted else re.escape(wanted))
        while not (match := pattern.search(self.seen)):
            more = self.socket.recv(65536)
            if not more:
                check(f"connected, waiting for {wanted}: {self.seen[-300:]}", False)
            self.seen += more
        before, self.seen = self.seen[: match.end()], self.seen[match.end() :]
        return before, match


def kill_server():
    """Returns when the next one has taken over, by systemd's word."""
    server, restarts = int(show("MainPID")), show("NRestarts")
    os.kill(server, signal.SIGKILL)
    another = lambda: show("NRestarts") != restarts and show("MainPID") not in ("0", str(server))
    wait_for("systemd starts another", another)
    return time.monotonic()


def ask(client, text):
    """Has the shell print something that its echo does not hold."""
    client.send(b"echo '<''%s''>'\r" % text)
    client.until(b"<%s>" % text)


unix, tcp = Client("/run/procServ/demo/control"), Client(("127.0.0.1", 20001))
both = (unix, tcp)
ask(unix, b"first")
unix.send(b"echo \"pid=\"$$\r")
child = int(unix.until(rb"pid=(\d+)\r\n")[1][1])
check("the child runs", os.path.exists(f"/proc/{child}"))

slowest = 0
for number in range(KILLS):
    restarted = kill_server()
    for client in both:
        client.until(b"@@@ procServ server restarted\r\n")
    for client in both:
        ask(client, b"alive %d" % number)
    slowest = max(slowest, time.monotonic() - restarted)
    check(f"kill {number + 1}: the same child", os.path.exists(f"/proc/{child}"))
print(f"     {KILLS} kills; slowest console after systemd's restart: {slowest:.3f} s")
# What the next server does with the child of the last one.
new = Client(("127.0.0.1", 20001))
check("a new client is greeted", True)
new.send(b"\x14")
unix.until(b"@@@ Toggled auto restart mode to OFF\r\n")
kill_server()
unix.until(b"restarted\r\n")
unix.send(b"exit 7\r")
before, _ = unix.until(rb"Child process is shutting down[^\r]*\r\n")
# Linux before 6.15 tells nobody but the parent.
told = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 15)
status = b"Normal exit status = %d\r\n" % (7 if told else 255)
check(f"its end is noticed: {before[-300:]}", status in before)
unix.send(b"\x12")
unix.until(rb"The PID of new child \"demo\" is: (\d+)\r\n")
unix.send(b"\x14\x14")
unix.until(b"auto restart mode to ON\r\n")
ask(unix, b"second")

kill_server()
unix.until(b"restarted\r\n")
unix.send(b"\x18")
before, _ = unix.until(rb"The PID of new child \"demo\" is: (\d+)\r\n")
check("^X kills it, and it is restarted", b"killed by signal 9" in before)
ask(unix, b"third")

# Both die at once.
unix.send(b"echo \"pid=\"$$\r")
child = int(unix.until(rb"pid=(\d+)\r\n")[1][1])
server = int(show("MainPID"))
os.kill(server, signal.SIGSTOP)
os.kill(child, signal.SIGKILL)
os.kill(server, signal.SIGKILL)
before, _ = unix.until(rb"The PID of new child \"demo\" is: (\d+)\r\n")
check("a child that died with its server is told of and restarted", b"Received a sigChild" in before)
ask(unix, b"fourth")

# An upgrade of a server that was restarted.
server = int(show("MainPID"))
kill_server()
unix.until(b"restarted\r\n")
server = int(show("MainPID"))
os.kill(server, signal.SIGUSR1)
log = "/var/log/procServ/demo/demo.log"
wait_for("it can be upgraded", lambda: b"upgraded in place" in open(log, "rb").read())
check("it stays the same process", int(show("MainPID")) == server)
ask(unix, b"fifth")
kill_server()
unix.until(b"restarted\r\n")
ask(unix, b"sixth")
check("after an upgrade it is survived too", True)
