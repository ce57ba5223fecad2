#!/bin/bash
# A server under a real systemd's store that is killed again and again, while its child writes 5 MB/s
# and ten clients are connected: nothing is missing. KILLS: how often (30).
. "$(dirname "$0")/lib.sh"
need python3
. "$here/machine.bash"

mkdir -p "$root/opt/kills"
cp "$here/kills.py" "$here/kill_checks.py" "$root/opt/"
unit=kills.service
cat >"$root/etc/systemd/system/$unit" <<'UNIT'
[Unit]
StartLimitIntervalSec=0
[Service]
Type=notify
FileDescriptorStoreMax=512
RuntimeDirectory=kills
RuntimeDirectoryPreserve=restart
WorkingDirectory=/opt/kills
ExecStart=procServ --foreground --quiet --fdstore --ignore=^C^D^S --logfile=/opt/kills/log \
    --port=unix:/run/kills/control --port=127.0.0.1:20001 --port=raw:unix:/run/kills/raw \
    --logport=20002 /usr/bin/python3 /opt/kills.py child
Restart=always
RestartSec=0
KillMode=process
UNIT

boot
check "start" systemctl start $unit
in_systemd python3 /opt/kills.py $unit "${KILLS:-30}" || failed=1
check "stop" systemctl stop $unit
finish
