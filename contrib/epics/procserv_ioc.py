"""A soft IOC with the state of all procServ instances of this machine: see docs/epics.md.

The state comes from the servers' status files, which are watched; no console is opened. Commands are
given by manage-procs, with the rights of this program's user.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import socket
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path

from softioc import asyncio_dispatcher, builder, imports, softioc

from records import Records
from status import (
    MAX_LINE,
    StatusError,
    is_server,
    moves_status_file,
    parse,
    prefix_problem,
    read_file,
    runs_here,
)
from watch import ServerWatch, Watcher, status_file

LINES = 20
"""Lines of a console in LASTLINES, as in procServControl's IOCOUT."""

LINES_PERIOD = 0.5
"""Seconds between two values of LASTLINES, however fast an IOC prints."""

UPTIME_PERIOD = 5.0
"""Seconds between two values of UPTIME."""

SETTLE = 1.0
"""Seconds after a change of the configuration until it is read: several files may change at once."""

RETRY = 5.0
"""Seconds until the console output is followed again after manage-procs has failed."""

COMMAND_LIMIT = 120.0
"""Seconds until a command is no longer waited for."""

ENTRY_LIMIT = 1 << 20
"""Bytes of a line of `manage-procs logs --json`; longer ones are left out."""

log = logging.getLogger("procserv-ioc")


class CommandError(Exception):
    """manage-procs has failed; its words."""


async def manage_procs(*words: str) -> str:
    """Runs `manage-procs --system` and returns its standard output."""
    process = await asyncio.create_subprocess_exec(
        "manage-procs", "--system", *words,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(process.communicate(), COMMAND_LIMIT)
    except asyncio.TimeoutError:
        raise CommandError(f"not done after {COMMAND_LIMIT:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        said = errors.decode(errors="replace").strip()
        raise CommandError(said or f"exit status {process.returncode}")
    return output.decode(errors="replace")


async def configured(prefix: str) -> dict[str, str | None]:
    """The instances that this machine may run, and why one has no PVs; None if it has."""
    names: dict[str, str | None] = {}
    for instance in json.loads(await manage_procs("list", "--json")):
        name = instance["name"]
        if not runs_here(instance["host"], socket.gethostname()):
            continue
        names[name] = prefix_problem(prefix + name)
        if moves_status_file(instance["options"]):
            names[name] = "its status file is not where it is watched"
    return names


class Instance:
    """An instance with its records."""

    def __init__(self, name: str, prefix: str) -> None:
        self.name = name
        self.records = Records(prefix, name, self._command)
        self.lines: deque[str] = deque(maxlen=LINES)
        self._server = ServerWatch(self.read)
        self._problem = ""
        self._child_is_down = False
        self._commands: set[str] = set()

    def read(self) -> None:
        """Shows what the status file says now."""
        path = status_file(self.name)
        problem = ""
        self._child_is_down = False
        try:
            text = read_file(path)
            status = parse(text) if text is not None else None
            # Before the look at the process: that is the one which is watched then.
            self._server.follow(status.server_pid if status else 0)
            if status and not is_server(status.server_pid, path):
                status = None
            self._child_is_down = status is not None and not status.child_pid
            self.records.show(status)
        except StatusError as error:
            problem = str(error)
            self.records.show_invalid()
        if problem and problem != self._problem:
            log.warning("%s: INVALID: %s", self.name, problem)
        self._problem = problem

    async def _command(self, command: str) -> None:
        """Does what a client has asked for: the same only once at a time, others beside it."""
        if command in self._commands:
            return
        self._commands.add(command)
        try:
            await manage_procs(*self._words(command))
            self.records.show_message(f"{command}: done")
        except (CommandError, OSError) as error:
            log.warning("%s: %s: %s", self.name, command, error)
            self.records.show_message(f"{command}: {error}")
        finally:
            self._commands.discard(command)
        if command.startswith("MODE"):
            # By now the status file has the new mode, if there is one.
            await asyncio.sleep(SETTLE)
            self.records.refresh_mode()

    def _words(self, command: str) -> list[str]:
        if command == "TOGGLE":
            command = "MODE OFF" if self.records.mode_shown() == "ON" else "MODE ON"
        if command == "START" and self._child_is_down:
            # systemd has nothing to start: the server runs, and has no child.
            command = "RESTART"
        verb, *words = command.lower().split()
        return [verb, self.name, *words]


async def follow_consoles(instances: dict[str, Instance]) -> None:
    """Collects the last lines of all consoles, without end."""
    while True:
        for instance in instances.values():
            instance.lines.clear()
        changed = set(instances)
        process = await asyncio.create_subprocess_exec(
            "manage-procs", "--system", "logs", "--json", "--follow", f"--lines={LINES * len(instances)}", *instances,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=ENTRY_LIMIT,
        )  # fmt: skip
        assert process.stdout is not None
        publisher = asyncio.create_task(publish_lines(instances, changed))
        try:
            await collect_lines(process.stdout, instances, changed)
        finally:
            publisher.cancel()
            if process.returncode is None:
                process.terminate()
            await process.wait()
        log.warning("manage-procs logs has ended with status %s", process.returncode)
        for instance in instances.values():
            instance.records.show_no_lines()
        await asyncio.sleep(RETRY)


async def collect_lines(output: asyncio.StreamReader, instances: dict[str, Instance], changed: set[str]) -> None:
    """Reads the output of `manage-procs logs --json` to its end."""
    while True:
        try:
            line = await output.readline()
        except ValueError:
            # Longer than ENTRY_LIMIT. What is left of it is no JSON.
            continue
        if not line:
            return
        try:
            entry = json.loads(line)
            name, message = entry["name"], entry["message"]
            instance = instances[name]
            # More than MAX_LINE characters may be left of so many when escape sequences are gone.
            instance.lines.extend(text[: 16 * MAX_LINE] for text in message.split("\n")[-LINES:])
            changed.add(name)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue


async def publish_lines(instances: dict[str, Instance], changed: set[str]) -> None:
    """Shows the lines that were collected, a few times a second."""
    while True:
        await asyncio.sleep(LINES_PERIOD)
        for name in changed:
            instances[name].records.show_lines(instances[name].lines)
        changed.clear()


async def tick(instances: dict[str, Instance]) -> None:
    """Keeps UPTIME up to date."""
    while True:
        await asyncio.sleep(UPTIME_PERIOD)
        for instance in instances.values():
            instance.records.show_uptime()


async def wait_for_other_names(prefix: str, known: dict[str, str | None], changed: asyncio.Event) -> None:
    """Returns when the configuration has other instances: an IOC gets no records once it runs."""
    while True:
        await changed.wait()
        await asyncio.sleep(SETTLE)
        changed.clear()
        try:
            if await configured(prefix) != known:
                return
        except (CommandError, OSError, ValueError) as error:
            log.warning("manage-procs list: %s", error)


def make_instances(names: dict[str, str | None], prefix: str) -> dict[str, Instance]:
    """Makes the records of all instances that can have some."""
    instances = {}
    for name, problem in names.items():
        if problem:
            log.warning("%s has no PVs: %s", name, problem)
        else:
            instances[name] = Instance(name, prefix + name)
    return instances


async def run(prefix: str, access: Path) -> int:
    """Runs the IOC until it is told to end, or until it has to begin again."""
    names = await configured(prefix)
    instances = make_instances(names, prefix)
    builder.LoadDatabase()
    # Who wrote what is printed, and so goes to the journal.
    imports.install_pv_logging(str(access))
    changed = asyncio.Event()
    watcher = Watcher(set(instances), lambda name: instances[name].read(), changed.set)
    for instance in instances.values():
        instance.read()
    loop = asyncio.get_running_loop()
    softioc.iocInit(asyncio_dispatcher.AsyncioDispatcher(loop))
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    log.info("ready: %d instances", len(instances))
    tasks = [
        asyncio.create_task(job)
        for job in (
            told.wait(),
            wait_for_other_names(prefix, names, changed),
            watcher.run(),
            tick(instances),
            *([follow_consoles(instances)] if instances else []),
        )
    ]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*rest)
    for task in done:
        task.result()
    if not told.is_set():
        log.info("the configuration has other instances: ends, to be started again")
    return 0


def main() -> int:
    """Parses the command line and runs the IOC."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--prefix", default="procServ:", help="what stands before an instance's name (default: procServ:)"
    )
    parser.add_argument(
        "--access",
        type=Path,
        default=Path(__file__).with_name("procserv.acf"),
        help="the access security file (default: procserv.acf beside this program)",
    )
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options.access.read_bytes()
        return asyncio.run(run(options.prefix, options.access))
    except (CommandError, OSError, ValueError) as error:
        log.error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
