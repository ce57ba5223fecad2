# What systemd does for SystemCallFilter=~@privileged @resources, on x86_64: becomes the program
# argv[1], which dies of any of these system calls.
import ctypes, os, struct, sys

DENIED = [
    92, 93, 94, 260,  # chown and the like
    105, 106, 113, 114, 116, 117, 119, 122, 126,  # setuid ... setgroups ... capset
    155, 161, 164, 165, 166, 169, 172, 173, 175, 227, 304, 308, 321,  # pivot_root ... bpf
    141, 142, 144, 160, 203, 237, 238, 251, 256, 279, 314,  # @resources
]
code = [(0x20, 0, 0, 0)]  # the number of the call
for number in DENIED:
    code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x80000000)]
code.append((0x06, 0, 0, 0x7FFF0000))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))


class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
given = Filter(len(code), ctypes.addressof(program))
assert libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0
os.execv(sys.argv[1], ["procServ"] + sys.argv[2:])
