"""Stops a server at its system calls, by ptrace(2), and kills it there."""

import ctypes
import os
import re
import signal
import struct
import time

from kill_checks import TIMEOUT, check


class Tracer:
    """Has a thread of the server stop at each system call (ptrace(2))."""

    # PTRACE_CONT and so on, PTRACE_O_TRACESYSGOOD, PTRACE_O_TRACEEXEC, PTRACE_EVENT_EXEC, __WALL.
    CONT, SYSCALL, SEIZE, INTERRUPT, SYSCALL_INFO = 7, 24, 0x4206, 0x4207, 0x420E
    TRACE_SYSGOOD, TRACE_EXEC, EVENT_EXEC, WALL = 1, 0x10, 4, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    names = {}

    def __init__(self, pid, thread):
        self.pid, self.thread = pid, thread
        # The call that began last, and where the thread stopped so far.
        self.call, self.places = "", []
        self.request(self.SEIZE, data=self.TRACE_SYSGOOD | self.TRACE_EXEC)

    @classmethod
    def attach(cls, pid, is_main):
        """For the main thread of a server that runs, or that of its log. Returns when the server is idle."""
        threads = [int(thread) for thread in os.listdir(f"/proc/{pid}/task")]
        if len(threads) != 2:
            check(f"there are a main thread and one for the log: {threads}", False)
        tracer = cls(pid, next(thread for thread in threads if (thread == pid) == is_main))
        tracer.request(cls.INTERRUPT)
        tracer.go_on(None, lambda: True)
        return tracer

    @classmethod
    def attach_held(cls, pid):
        """For a process that was stopped by a signal. Returns when it executes a program."""
        tracer = cls(pid, pid)
        os.kill(pid, signal.SIGCONT)
        while True:
            _, status = os.waitpid(pid, cls.WALL)
            if not os.WIFSTOPPED(status):
                check(f"a program is executed: {status:#x}", False)
            if status >> 16 == cls.EVENT_EXEC:
                break
            tracer.request(cls.CONT, data=0 if status >> 16 else os.WSTOPSIG(status))
        tracer.call = "execve"
        tracer.request(cls.SYSCALL)
        return tracer

    def request(self, request, address=None, data=None):
        result = self.libc.ptrace(request, self.thread, address, data)
        if result < 0:
            check(f"ptrace: {os.strerror(ctypes.get_errno())}", False)
        return result

    def is_idle(self):
        """Returns true if all threads sleep; twice, as one may wake the other between two looks."""
        state = lambda thread: open(f"/proc/{self.pid}/task/{thread}/stat").read().rpartition(")")[2].split()[0]
        return all(state(thread) == "S" for thread in os.listdir(f"/proc/{self.pid}/task") * 2)

    def go_on(self, count, is_over):
        """Goes on to begin or end number `count` of a call. Returns false if the server is idle before, and
        what it was to do is over."""
        self.places = []
        deadline = time.monotonic() + TIMEOUT
        while True:
            thread, status = os.waitpid(self.thread, self.WALL | os.WNOHANG)
            if thread == 0:
                if is_over() and self.is_idle():
                    return False
                if time.monotonic() > deadline:
                    check("what is asked of the server is done", False)
                time.sleep(0.0002)
                continue
            if not os.WIFSTOPPED(status):
                check(f"the server lives: {status:#x}", False)
            number = os.WSTOPSIG(status)
            if number == signal.SIGTRAP | 0x80:
                self.places.append(self.place())
                if len(self.places) - 1 == count:
                    return True
                number = 0
            elif status >> 16:
                number = 0
            self.request(self.SYSCALL, data=number)

    def place(self):
        """The call that begins or has ended, with the file that its first argument names."""
        info = ctypes.create_string_buffer(88)
        self.request(self.SYSCALL_INFO, len(info), ctypes.addressof(info))
        if info.raw[0] == 1:
            number, first = struct.unpack_from("=QQ", info.raw, 24)
            self.call = self.names.get(number, str(number))
            try:
                # The thread of the log has descriptors of its own.
                file = os.readlink(f"/proc/{self.pid}/task/{self.thread}/fd/{first}")
                self.call += f" of {re.sub('[0-9]+', '', file)}"
            except OSError:
                pass
            return f"before {self.call}"
        return f"after {self.call}"

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while True:
            _, status = os.waitpid(self.thread, self.WALL)
            if not os.WIFSTOPPED(status):
                return
