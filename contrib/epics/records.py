"""The records of one instance: what docs/epics.md lists, made by pythonSoftIOC's builder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from softioc import alarm, builder

from status import MAX_STRING, MODES, Status, last_lines

# The first three as in procServControl, whose 3 is a console that does not answer: that can't be here,
# and the number stays free.
RUNNING, SHUTDOWN, STOPPED, _, HOLDOFF, NOT_READY, LEAVING = range(7)
STATES = (
    ("Running", "NO_ALARM"),
    ("Shutdown", "MAJOR"),
    ("procServ Stopped", "MAJOR"),
    ("", "INVALID"),
    ("Holdoff", "MINOR"),
    ("Not Ready", "MINOR"),
    ("Leaving", "MINOR"),
)

COMMANDS = ("START", "STOP", "RESTART", "TOGGLE")

MAX_LINES = 5120
"""Bytes of LASTLINES, as many as of procServControl's IOCOUT."""

MAX_MESSAGE = 256

# Who may write these is the matter of procserv.acf. Nobody may write another field or record.
CONTROL = "CONTROL"

Command = Callable[[str], Awaitable[None]]
"""Called with one of COMMANDS, or with "MODE ON" and so on."""


class Records:
    """The records whose names begin with `prefix`. Each is set only if its value or alarm changes."""

    def __init__(self, prefix: str, name: str, command: Command) -> None:
        builder.SetDeviceName(prefix)
        self._shown: dict[Any, tuple[Any, int]] = {}
        self._started: datetime | None = None
        self.status = builder.mbbIn("STATUS", *STATES, DESC="State of the IOC")
        self.pid = builder.longIn("PID", DESC="PID of the IOC")
        self.server_pid = builder.longIn("SERVERPID", DESC="PID of procServ")
        self.restarts = builder.longIn("RESTARTS", DESC="Starts after the first")
        self.users = builder.longIn("USERS", DESC="Users on the console")
        self.uptime = builder.aIn("UPTIME", EGU="s", PREC=0, DESC="Time since the start of the IOC")
        self.since = builder.stringIn("SINCE", DESC="When the IOC was started")
        self.last_exit = builder.stringIn("LASTEXIT", DESC="How the last IOC ended")
        self.autorestart = builder.boolIn("AUTORESTART", ZNAM="Off", ONAM="On", DESC="Restart mode is ON")
        self.name = builder.stringIn("IOCNAME", DESC="Instance of manage-procs")
        self.lines = builder.longStringIn("LASTLINES", length=MAX_LINES, DESC="Last lines of the console")
        self.lines.add_alias(f"{prefix}:IOCOUT")
        self.message = builder.longStringIn("MESSAGE", length=MAX_MESSAGE, DESC="What the last command said")

        async def mode_written(value: int) -> None:
            await command(f"MODE {MODES[value]}")

        self.mode = builder.mbbOut(
            "MODE",
            *MODES,
            initial_value=0,
            ASG=CONTROL,
            DESC="Restart mode",
            validate=lambda _, value: 0 <= value < len(MODES),
            on_update=mode_written,
        )
        for word in COMMANDS:
            self._make_button(word, command)
        self._set(self.name, name.encode()[:MAX_STRING].decode())
        self._set(self.message, "")
        self.show_lines([])
        self.show(None)

    def _make_button(self, word: str, command: Command) -> None:
        async def written(value: int) -> None:
            if not value:
                return
            try:
                await command(word)
            finally:
                button.set(0)

        button = builder.boolOut(
            word,
            ZNAM="Done",
            ONAM=word.capitalize(),
            initial_value=0,
            ASG=CONTROL,
            DESC="1: " + word.lower(),
            always_update=True,
            on_update=written,
        )

    def show(self, status: Status | None) -> None:
        """Shows a status, or that there is no server."""
        if status is None:
            self._started = None
            self._set(self.status, STOPPED)
            for record in (self.pid, self.server_pid, self.users, self.uptime):
                self._set(record, 0)
            self._set(self.since, "")
            # They belong to a server: nobody knows them now.
            self._set_invalid(self.restarts, self.last_exit, self.autorestart, self.mode)
            return
        self._started = status.child_started
        self._set(self.status, _state(status))
        self._set(self.pid, status.child_pid)
        self._set(self.server_pid, status.server_pid)
        self._set(self.restarts, status.restarts)
        self._set(self.users, status.users)
        self._set(self.last_exit, status.last_exit)
        self._set(self.autorestart, int(status.mode == "ON"))
        self._set(self.mode, MODES.index(status.mode))
        started = status.child_started
        self._set(self.since, started.isoformat(timespec="seconds") if started else "")
        self.show_uptime()

    def show_invalid(self) -> None:
        """Shows that the state is not known: all values stay, with the severity INVALID."""
        self._started = None
        self._set_invalid(
            self.status, self.pid, self.server_pid, self.restarts, self.users, self.uptime,
            self.since, self.last_exit, self.autorestart, self.mode,
        )  # fmt: skip

    def show_uptime(self) -> None:
        """Brings UPTIME up to date."""
        if self._started is not None:
            seconds = (datetime.now(timezone.utc) - self._started).total_seconds()
            self._set(self.uptime, max(0, int(seconds)))
        elif self._shown.get(self.uptime, (0, 0))[1] == alarm.NO_ALARM:
            self._set(self.uptime, 0)

    def show_lines(self, lines: Iterable[str]) -> None:
        """Shows lines of the console."""
        self._set(self.lines, last_lines(lines, MAX_LINES - 1).decode())

    def show_no_lines(self) -> None:
        """Shows that the console's lines can't be read."""
        self._set_invalid(self.lines)

    def show_message(self, text: str) -> None:
        """Shows what became of a command."""
        self._set(self.message, last_lines([text], MAX_MESSAGE - 1).decode().strip())

    def mode_shown(self) -> str | None:
        """The restart mode that was shown last; None if it is not known."""
        value, severity = self._shown[self.mode]
        return MODES[value] if severity == alarm.NO_ALARM else None

    def refresh_mode(self) -> None:
        """Has MODE show the mode again, after somebody wrote a mode that was not set."""
        value, severity = self._shown.pop(self.mode)
        self._set(self.mode, value, severity)

    def _set_invalid(self, *records: Any) -> None:
        for record in records:
            self._set(record, record.get(), alarm.INVALID_ALARM)

    def _set(self, record: Any, value: Any, severity: int = alarm.NO_ALARM) -> None:
        if self._shown.get(record) == (value, severity):
            return
        self._shown[record] = (value, severity)
        status = alarm.READ_ALARM if severity else alarm.NO_ALARM
        if record is not self.mode:
            record.set(value, severity=severity, alarm=status)
            return
        # Processed afterwards: the value is no news then, which would be taken for a client's.
        record.set(value, process=False, severity=severity, alarm=status)
        if hasattr(record, "_record"):
            record.set_field("PROC", 1)


def _state(status: Status) -> int:
    if status.leaving:
        return LEAVING
    if status.child_state == "running":
        return RUNNING if status.ready else NOT_READY
    return SHUTDOWN if status.child_state == "by_hand" else HOLDOFF
