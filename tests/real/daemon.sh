#!/bin/bash
# telldusd.service under a real systemd, with a stand-in that forks twice and leaves its terminal.
# KILLS: how often it is killed (5).
. "$(dirname "$0")/lib.sh"
need systemd-analyze python3
. "$here/machine.bash"

cp "$contrib"/systemd/telldusd.service "$root/etc/systemd/system/"
cat >"$root/usr/sbin/telldusd" <<'DAEMON'
#!/usr/bin/python3
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.chdir("/")
null = os.open("/dev/null", os.O_RDWR)
for fd in 0, 1, 2:
    os.dup2(null, fd)
# A helper that leaves the process group.
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(10000)
    os._exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with open("/run/telldusd.pid", "w") as file:
    file.write(f"{os.getpid()}\n")
time.sleep(10000)
DAEMON
chmod 755 "$root/usr/sbin/telldusd"
mkdir -p "$root/etc/systemd/system/telldusd.service.d"
# No time to wait for the next one.
{
    echo '[Service]'
    echo ExecStart=
    sed -n '/^ExecStart=/,/[^\\]$/p' "$contrib/systemd/telldusd.service" |
        sed 's,--holdoff=5 --holdoff-max=600,--holdoff=0,; s,--grace-period=10,--grace-period=1,'
} >"$root/etc/systemd/system/telldusd.service.d/fast.conf"

boot
unit=telldusd.service
pid() { in_systemd cat /run/telldusd.pid 2>/dev/null; }
runs() { [ -n "$(pid)" ] && [ "$(property $unit StatusText)" = "Child telldusd running, PID $(pid)" ]; }
check "systemd-analyze verify has nothing to say" \
    [ -z "$(in_systemd systemd-analyze verify $unit 2>&1)" ]
check "start" systemctl start $unit
check "the daemon is the child" within 5 runs
group=$(property $unit ControlGroup)
for _ in $(seq "${KILLS:-5}"); do
    before=$(pid)
    in_systemd kill -KILL "$before"
    back() { [ "$(pid)" != "$before" ] && runs; }
    check "it is back" within 10 back
done
check "one server, one daemon and one helper are there" within 5 eval '[ "$(processes | wc -l)" = 3 ]'
check "stop" systemctl stop $unit
check "is a success" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]
check "nothing is left" [ -z "$(processes)" ]

# A server that is killed leaves the daemon to the next one, but not what is no longer its kin.
{
    cat <<'UNIT'
KillMode=process
FileDescriptorStoreMax=16
RuntimeDirectoryPreserve=restart
RestartSec=100ms
ExecStart=
UNIT
    sed -n '/^ExecStart=.../,/[^\\]$/p' "$root/etc/systemd/system/telldusd.service.d/fast.conf" |
        sed 's,--notify,--fdstore,'
} >>"$root/etc/systemd/system/telldusd.service.d/fast.conf"
check "reload" systemctl daemon-reload
check "start with --fdstore" systemctl start $unit
check "the daemon is the child" within 5 runs
group=$(property $unit ControlGroup)
daemon=$(pid)
server=$(property $unit MainPID)
check "terminal, child, endpoint and state are stored" within 5 \
    eval '[ "$(property $unit NFileDescriptorStore)" = 4 ]'
in_systemd kill -KILL "$server"
other() { ! [[ $(property $unit MainPID) =~ ^(0|$server)$ ]]; }
check "the server is killed: there is another one" within 10 other
check "with the same daemon" within 5 runs
check "that lives on" [ "$(pid)" = "$daemon" ]
in_systemd kill -KILL "$daemon"
back() { [ "$(pid)" != "$daemon" ] && runs; }
check "the daemon is killed: it is back" within 10 back
check "its end was announced" in_journal "sigChild for process $daemon\\."
check "its helper was left alone" within 5 eval '[ "$(processes | wc -l)" = 4 ]'
check "stop" systemctl stop $unit
check "is a success" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]
check "only that is left" [ "$(processes | wc -l)" = 1 ]
finish
