#!/bin/bash
# A server under a real systemd's store that is killed before and after the system calls of its turns
# (output, typed input, a log, clients that come and go), of an upgrade, and of the start of the next
# one. Nothing is missing. CALLS: one of how many such places (3); 1 is all of them.
. "$(dirname "$0")/lib.sh"
need python3 gcc
. "$here/machine.bash"

mkdir -p "$root/opt/calls"
diagnosis=$root/opt/calls/log
cp "$here/calls.py" "$here/tracer.py" "$here/kill_checks.py" "$root/opt/"
gcc -E -dM -include sys/syscall.h - </dev/null | sed -n 's/^#define __NR_\(\w*\) \([0-9]*\)$/\2 \1/p' \
    >"$root/opt/calls/names"
unit=calls.service
cat >"$root/etc/systemd/system/$unit" <<'UNIT'
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
FileDescriptorStoreMax=512
RuntimeDirectory=calls
RuntimeDirectoryPreserve=restart
WorkingDirectory=/opt/calls
# The file has it wait for a tracer.
ExecStart=/bin/sh -c '[ ! -e hold ] || kill -STOP $$$$; exec "$@"' - \
    procServ --foreground --quiet --fdstore --ignore=^C^D^S --logfile=/opt/calls/log \
    --port=unix:/run/calls/control --port=127.0.0.1:20001 --port=raw:unix:/run/calls/raw \
    --logport=20002 /usr/bin/python3 /opt/calls.py child
Restart=always
RestartSec=0
KillMode=process
UNIT

boot
check "start" systemctl start $unit
in_systemd python3 /opt/calls.py $unit "${CALLS:-3}" /opt/calls/names || failed=1
check "stop" systemctl stop $unit
finish
