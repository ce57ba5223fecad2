"""Tells which status files may have changed, and whether the configuration may: by inotify(7)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

CHANGED = Mask.CREATE | Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.DELETE | Mask.ATTRIB

RUN = Path("/run")
ETC = Path("/etc")
PREFIX = "procserv-"
"""What the name of a run directory begins with."""


def status_file(name: str) -> Path:
    """The status file of an instance of the machine."""
    return RUN / (PREFIX + name) / "status"


class Watcher:
    """Watches the run directories of instances, which come and go, and the configuration."""

    def __init__(self, names: set[str], on_status: Callable[[str], None], on_configuration: Callable[[], None]) -> None:
        self._names = names
        self._on_status = on_status
        self._on_configuration = on_configuration
        self._inotify = Inotify()
        self._inotify.add_watch(RUN, CHANGED)
        self._inotify.add_watch(ETC, CHANGED)
        for name in names:
            self._watch(name)
        self._watch_configuration()

    async def run(self) -> None:
        """Calls back for each change, without end."""
        async for event in self._inotify:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        if event.mask & Mask.Q_OVERFLOW or event.watch is None:
            for name in self._names:
                self._watch(name)
                self._on_status(name)
            self._watch_configuration()
            self._on_configuration()
            return
        directory, file = event.watch.path, os.fspath(event.name or "")
        if directory == RUN:
            name = file[len(PREFIX) :]
            if file.startswith(PREFIX) and name in self._names:
                self._watch(name)
                self._on_status(name)
        elif directory.parent == RUN:
            # Also when the directory is gone: its watch says so, without a name.
            if file in ("", "status"):
                self._on_status(directory.name[len(PREFIX) :])
        elif directory == ETC:
            if file in ("procServ.conf", "procServ.d"):
                self._watch_configuration()
                self._on_configuration()
        else:
            self._on_configuration()

    def _watch(self, name: str) -> None:
        """Watches a run directory, whichever has that name now."""
        self._add(status_file(name).parent)

    def _watch_configuration(self) -> None:
        self._add(ETC / "procServ.d")

    def _add(self, directory: Path) -> None:
        try:
            self._inotify.add_watch(directory, CHANGED | Mask.DELETE_SELF | Mask.ONLYDIR | Mask.DONT_FOLLOW)
        except OSError:
            # Not there, or hidden: the directory above tells when that changes.
            pass


class ServerWatch:
    """Tells when a process ends, by pidfd_open(2): a server that is killed leaves its files."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._pid = 0
        self._descriptor = -1

    def follow(self, pid: int) -> None:
        """Watches that process instead of the one before; none if `pid` is 0."""
        if pid == self._pid and self._descriptor >= 0:
            return
        self._forget()
        if pid == 0:
            return
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError:
            # It has ended already, which is_server() will see.
            return
        self._pid = pid
        asyncio.get_running_loop().add_reader(self._descriptor, self._ended)

    def _ended(self) -> None:
        self._forget()
        self._on_end()

    def _forget(self) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
        self._pid, self._descriptor = 0, -1
