"""get.py PV: prints its value, read over Channel Access."""

import sys

import epicscorelibs.path.pyepics  # Where libca is.
import epics

value = epics.caget(sys.argv[1], timeout=10)
if value is None:
    sys.exit(f"{sys.argv[1]}: no answer")
print(value)
