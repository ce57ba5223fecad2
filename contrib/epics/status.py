"""The status file of a procServ (docs/status.md), and the text of its console, as values for PVs.

Nothing in here knows EPICS. The files and the console belong to the user of the instance, who may
write anything there: what is not as documented raises an error, and is never half used.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import signal
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

VERSION = 1
"""The version of the status file that is understood here."""

MODES = ("ON", "OFF", "ONESHOT")
"""The restart modes, in the order of the numbers of the PV MODE."""

CHILD_STATES = ("running", "due", "by_hand", "last")

MAX_FILE = 1 << 20
"""Bytes. A status file has one or two kibibytes, and some more for each client."""

MAX_LONG = 2**31 - 1
"""The largest value of a longin record."""

MAX_NAME = 60
"""Characters of a record name, PVNAME_STRINGSZ of EPICS base without the NUL."""

LONGEST_SUFFIX = ":AUTORESTART"

MAX_STRING = 39
"""Bytes of a stringin record, without the NUL."""

MAX_LINE = 400
"""Characters that are shown of one line of a console."""


class StatusError(Exception):
    """A status file that can't be read, or that is not as documented."""


@dataclass(frozen=True)
class Status:
    """What is shown of a status file."""

    server_pid: int
    leaving: bool
    mode: str
    restarts: int
    child_state: str
    child_pid: int
    """0 if no child runs."""
    child_started: datetime | None
    """None if no child runs."""
    ready: bool
    users: int
    """Clients with the role "user"."""
    last_exit: str
    """How the last child ended; empty if none did."""


def prefix_problem(prefix: str) -> str | None:
    """Returns why `prefix` can't begin the names of an instance's PVs; None if it can."""
    if not re.fullmatch(r"[A-Za-z0-9_:-]+", prefix):
        return "a PV name has letters, digits and _ - : only"
    if len(prefix) + len(LONGEST_SUFFIX) > MAX_NAME:
        return f"its PV names would have more than {MAX_NAME} characters"
    return None


def moves_status_file(options: Iterable[str]) -> bool:
    """Returns true if a word may be --status-file, which may be abbreviated."""
    return any(re.match(r"--stat", word) for word in options)


def runs_here(host: str | None, name: str) -> bool:
    """Returns true if the key `host` of a section means the machine with this name, as ConditionHost=."""
    if not host:
        return True
    wanted = host.removeprefix("!")
    identity = Path("/etc/machine-id")
    matches = fnmatch.fnmatchcase(name.lower(), wanted.lower())
    if not matches and re.fullmatch(r"[0-9a-fA-F-]{32,36}", wanted) and identity.exists():
        matches = wanted.replace("-", "").lower() == identity.read_text().strip()
    return matches != host.startswith("!")


def read_file(path: Path) -> bytes | None:
    """Reads a status file; None if there is none.

    Only a regular file is read, of sensible size and not behind a link: who writes the file may not
    have the rights of who reads it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StatusError(str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StatusError(f"{path} is no regular file")
    with open(descriptor, "rb") as file:
        try:
            text = file.read(MAX_FILE + 1)
        except OSError as error:
            raise StatusError(str(error)) from error
    if len(text) > MAX_FILE:
        raise StatusError(f"{path} has more than {MAX_FILE} bytes")
    return text


def parse(text: bytes) -> Status:
    """Reads the content of a status file."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StatusError(f"no JSON: {error}") from error
    version = _field(fields, "v", int)
    if version != VERSION:
        raise StatusError(f"version {version} instead of {VERSION}")
    child = _field(fields, "child", dict)
    state = _choice(child, "state", CHILD_STATES)
    runs = state == "running"
    clients = _field(fields, "clients", list)
    ends = _field(fields, "ends", list)
    return Status(
        server_pid=_count(fields, "pid", 1),
        leaving=_field(fields, "leaving", bool),
        mode=_choice(fields, "mode", MODES),
        restarts=_count(fields, "restarts"),
        child_state=state,
        child_pid=_count(child, "pid", 1) if runs else 0,
        child_started=_time(child, "started") if runs else None,
        ready=runs and _field(child, "ready", bool),
        users=sum(_field(client, "role", str) == "user" for client in clients),
        last_exit=_end(ends[0]) if ends else "",
    )


def _field(fields: Any, name: str, kind: type) -> Any:
    """The field `name` of a JSON object, which has to be of a type: a bool is no int."""
    if not isinstance(fields, dict):
        raise StatusError(f"no object with {name}")
    value = fields.get(name)
    if type(value) is not kind:
        raise StatusError(f"{name} is no {kind.__name__}")
    return value


def _count(fields: Any, name: str, least: int = 0) -> int:
    value: int = _field(fields, name, int)
    if not least <= value <= MAX_LONG:
        raise StatusError(f"{name} is out of range")
    return value


def _choice(fields: Any, name: str, words: tuple[str, ...]) -> str:
    value: str = _field(fields, name, str)
    if value not in words:
        raise StatusError(f"{name} is none of {', '.join(words)}")
    return value


def _time(fields: Any, name: str) -> datetime:
    try:
        time = datetime.fromisoformat(_field(fields, name, str))
    except ValueError as error:
        raise StatusError(f"{name} is no time") from error
    if time.tzinfo is None:
        raise StatusError(f"{name} has no offset")
    return time


def _end(end: Any) -> str:
    """How a child ended, in at most MAX_STRING characters."""
    if not isinstance(end, dict):
        raise StatusError("an end is no object")
    if "signal" in end:
        number = _count(end, "signal", 1)
        try:
            return f"{signal.Signals(number).name} (signal {number})"
        except ValueError:
            return f"signal {number}"
    if "code" in end:
        return f"exit status {_count(end, 'code')}"
    return "unknown"


def is_server(pid: int, status_file: Path) -> bool:
    """Returns true if a process is a procServ with this status file in its command line.

    After a crash the file stays, and another process may have the PID by now.
    """
    process = Path("/proc", str(pid))
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        name = (process / "comm").read_text(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        if _exists(pid):
            raise StatusError(f"process {pid} can't be seen: hidepid") from None
        return False
    except OSError as error:
        raise StatusError(str(error)) from error
    return name == "procServ" and any(os.fsencode(status_file) in word for word in words)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


# Sequences of ECMA-48 (ESC [ ... and the like), and strings such as window titles up to their end.
_ESCAPES = re.compile(
    r"\x1b[PX\]^_].*?(?:\x07|\x1b\\|\x9c|$)|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*.?|\x9b[0-?]*[ -/]*[@-~]?"
)


def plain_line(line: str) -> str:
    """A line of a console as a terminal would leave it, without anything that controls a terminal."""
    # What comes after it would be cut anyway, unless most of it is escape sequences.
    line = _ESCAPES.sub("", line[: 16 * MAX_LINE])
    line = line.rstrip("\r\n").rsplit("\r", 1)[-1].replace("\t", " ")
    return "".join(character for character in line if character.isprintable())[:MAX_LINE]


def last_lines(lines: Iterable[str], limit: int) -> bytes:
    """The last of the lines, as UTF-8 of at most `limit` bytes, each with its line end."""
    kept: list[bytes] = []
    for line in reversed(list(lines)):
        encoded = plain_line(line).encode(errors="replace") + b"\n"
        limit -= len(encoded)
        if limit < 0:
            break
        kept.append(encoded)
    return b"".join(reversed(kept))
