#!/bin/bash
# ioc-fdstore@.service under a real systemd: procServ is killed, its IOC and its clients live on.
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
check "stop" systemctl stop $unit
finish
