#!/bin/bash
# ioc-fdstore@.service under a real systemd: procServ is killed, its IOC and its clients live on. So does
# that of an instance of manage-procs, whose doctor finds units that let nothing live on.
# KILLS: how often (10).
. "$(dirname "$0")/lib.sh"
need systemd-analyze python3 useradd
. "$here/machine.bash"

chroot "$root" useradd --system --user-group ioc
cp "$contrib"/systemd/*.service "$root/etc/systemd/system/"
mkdir -p "$root/opt/iocs/demo" "$root/etc/systemd/system/ioc-fdstore@.service.d"
printf '#!/bin/sh\nexec /bin/sh\n' >"$root/opt/iocs/demo/st.cmd"
chmod 755 "$root/opt/iocs/demo/st.cmd"
chroot "$root" chown -R ioc:ioc /opt/iocs/demo
# A TCP endpoint too, and no time to wait for the next IOC.
{
    echo '[Service]'
    echo ExecStart=
    sed -n '/^ExecStart=/,/[^\\]$/p' "$contrib/systemd/ioc-fdstore@.service" |
        sed 's,./st.cmd,--port=127.0.0.1:20001 --holdoff=1 ./st.cmd,'
} >"$root/etc/systemd/system/ioc-fdstore@.service.d/port.conf"
cp "$here/fdstore.py" "$root/opt/fdstore.py"
install "$(dirname "$PROCSERV_BIN")/manage-procs" "$root/usr/local/bin/"
mkdir -p "$root/etc/procServ.d"

boot
unit=ioc-fdstore@demo.service
is() { [ "$(property $unit "$1")" = "$2" ]; }
stored() { property $unit NFileDescriptorStore; }
check "systemd-analyze verify has nothing to say" \
    [ -z "$(in_systemd systemd-analyze verify $unit 2>&1)" ]
check "start" systemctl start $unit
check "state, terminal, child and two endpoints are stored" within 5 eval '[ "$(stored)" = 5 ]'

in_systemd python3 /opt/fdstore.py $unit "${KILLS:-10}" || failed=1

check "the clients' connections are gone from the store" within 5 eval '[ "$(stored)" = 5 ]'
group=$(property $unit ControlGroup)
check "one server and one child are there" [ "$(processes | wc -l)" = 2 ]
check "stop" systemctl stop $unit
check "is a success" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]
check "nothing is left" [ -z "$(processes)" ]
check "nothing is stored" [ "$(stored)" = 0 ]
check "start" systemctl start $unit
check "all is stored again" within 5 eval '[ "$(stored)" = 5 ]'

# What systemd makes of a unit, and of a file of systemctl edit, is what doctor reads.
doctor() { procs --system doctor; }
finds() { doctor | grep -q "^$unit: $unit has $1=$2: " && doctor | grep -q "$1=$3 (systemctl edit $unit)"; }
check "doctor finds nothing about the unit" eval '! doctor | grep "$unit"'
printf '[Service]\nKillMode=mixed\nFileDescriptorStoreMax=0\nRuntimeDirectoryPreserve=no\n' \
    >"$root/etc/systemd/system/ioc-fdstore@.service.d/wrong.conf"
check "reload" systemctl daemon-reload
check "doctor finds KillMode=" finds KillMode mixed process
check "doctor finds FileDescriptorStoreMax=" finds FileDescriptorStoreMax 0 512
check "doctor finds RuntimeDirectoryPreserve=" finds RuntimeDirectoryPreserve no restart
check "stop" systemctl stop $unit

# The same with an instance of manage-procs.
unit=procserv-kept.service
check "add" procs --system add -C / kept /bin/cat
check "set" procs --system set kept fdstore=yes
check "start" systemctl start $unit
check "state, terminal, child and its endpoints are stored" within 5 eval '[ "$(stored)" -ge 5 ]'
child() { procs --system status --json kept | grep -o '"child_pid": *[0-9]*' | tr -dc 0-9; }
server=$(property $unit MainPID)
within 5 eval '[ -n "$(child)" ]'
before=$(child)
check "its child runs" [ -n "$before" ]
check "kill" systemctl kill --kill-who=main --signal=KILL $unit
check "another server" within 10 eval \
    '[ "$(property $unit MainPID)" != 0 ] && [ "$(property $unit MainPID)" != "$server" ]'
check "has the same child" within 5 eval '[ "$(child)" = "$before" ]'
check "doctor finds nothing about its unit" eval '! doctor | grep "has FileDesc\|has KillMode\|has Runtime"'
check "stop" systemctl stop $unit
finish
