"""A client of Channel Access and PV Access. Each line of standard input is a request, which gets one line.

get PV, pvget PV: its value and severity.
put PV VALUE, pvput PV VALUE: "done", or why not.
await PV VALUE: waits for up to 15 s for a monitor's value and says "VALUE SEVERITY".
gone PV: waits for up to 15 s until it is disconnected.
"""

import shlex
import sys
import threading

import epicscorelibs.path.pyepics  # noqa: F401  Where libca is.
import epics
from p4p.client.thread import Context

SEVERITIES = ("NO_ALARM", "MINOR", "MAJOR", "INVALID")
LIMIT = 15
pvs: dict[str, epics.PV] = {}
pva = Context("pva", nt=False)


def connected(name):
    if name not in pvs:
        pvs[name] = epics.PV(name, form="time", auto_monitor=False)
    if not pvs[name].wait_for_connection(timeout=1):
        raise TimeoutError(f"{name}: no answer")
    return pvs[name]


def get(name):
    pv = connected(name)
    value = pv.get(as_string=True, use_monitor=False, timeout=5)
    return f"{value} {SEVERITIES[pv.severity]}"


def put(name, value):
    pv = connected(name)
    if not pv.write_access:
        return "no permission"
    return "done" if pv.put(int(value) if value.isdigit() else value, wait=True, timeout=5) == 1 else "refused"


def pvget(name):
    found = pva.get(name, timeout=5)
    value = found.value
    if "choices" in value:
        value = value.choices[value.index]
    return f"{value} {SEVERITIES[found.alarm.severity]}"


def pvput(name, value):
    pva.put(name, {"value.index": int(value)}, timeout=5)
    return "done"


def await_value(name, wanted):
    there = threading.Event()
    pv = epics.PV(name, form="time", auto_monitor=True)
    if not pv.wait_for_connection(timeout=5):
        return "no answer"
    # Asked for before: a callback may not ask.
    names = pv.get_ctrlvars(timeout=5)["enum_strs"]
    pv.add_callback(lambda value=None, **_: there.set() if names[value] == wanted else None)
    if pv.value is not None and names[pv.value] == wanted:
        there.set()
    there.wait(LIMIT)
    seen = f"{names[pv.value]} {SEVERITIES[pv.severity]}"
    pv.disconnect()
    return seen


def gone(name):
    pv = epics.PV(name)
    there = threading.Event()
    pv.connection_callbacks.append(lambda conn=None, **_: conn or there.set())
    if not pv.wait_for_connection(timeout=1):
        return "gone"
    return "gone" if there.wait(LIMIT) else "still there"


requests = {"get": get, "put": put, "pvget": pvget, "pvput": pvput, "await": await_value, "gone": gone}
for line in sys.stdin:
    word, *arguments = shlex.split(line)
    try:
        answer = requests[word](*arguments)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(" / ".join(answer.split("\n")), flush=True)
