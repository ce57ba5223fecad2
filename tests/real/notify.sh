#!/bin/bash
# The units of contrib/systemd to which procServ talks, and that pass it its sockets, under a real
# systemd.
. "$(dirname "$0")/lib.sh"
need systemd-analyze socat useradd
. "$here/machine.bash"

# The site: an IOC that comes up when it is told to, and the user that the units want.
chroot "$root" useradd --system --user-group ioc
cp "$contrib"/systemd/*.service "$contrib"/systemd/*.socket "$root/etc/systemd/system/"
mkdir -p "$root/opt/iocs/demo"
cat >"$root/opt/iocs/demo/st.cmd" <<'IOC'
#!/bin/sh
echo "NOTIFY_SOCKET=$NOTIFY_SOCKET WATCHDOG_USEC=$WATCHDOG_USEC LISTEN_FDS=$LISTEN_FDS."
until [ -e go ]; do sleep 0.1; done
echo "iocRun: All initialization complete"
exec /bin/sh
IOC
chmod 755 "$root/opt/iocs/demo/st.cmd"
chroot "$root" chown -R ioc:ioc /opt/iocs/demo
# A unit that wants a working IOC.
cat >"$root/etc/systemd/system/after.service" <<'UNIT'
[Unit]
Requires=ioc-notify@demo.service
After=ioc-notify@demo.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=grep iocRun /var/log/procServ/demo/demo.log
UNIT
mkdir "$root/etc/systemd/system/ioc-notify@.service.d" "$root/etc/systemd/system/ioc-socket@.socket.d"
printf '[Service]\nWatchdogSec=2\nRestartSec=0\n' \
    >"$root/etc/systemd/system/ioc-notify@.service.d/soon.conf"
printf '[Socket]\nListenStream=127.0.0.1:20001\n' \
    >"$root/etc/systemd/system/ioc-socket@.socket.d/port.conf"

boot
check "systemd-analyze verify has nothing to say" [ -z "$(in_systemd systemd-analyze verify \
    ioc-notify@demo.service ioc-socket@demo.service ioc-socket@demo.socket 2>&1)" ]

### ioc-notify@.service
unit=ioc-notify@demo.service
log=/var/log/procServ/demo/demo.log
console=/run/procServ/demo/control
is() { [ "$(property $unit "$1")" = "$2" ]; }
say() { printf '%s\r' "$1" | in_systemd socat -t 5 - "$2" >/dev/null; }
status_is() { [[ $(property $unit StatusText) == $1 ]]; }
# The PID of the child.
child() { in_systemd grep -o 'child "demo" is: [0-9]*' $log | tail -n 1 | grep -o '[0-9]*$'; }

systemctl start --no-block after.service
check "the IOC is started" within 10 in_file 'NOTIFY_SOCKET=' $log
check "it knows nothing of systemd" \
    in_file 'NOTIFY_SOCKET= WATCHDOG_USEC= LISTEN_FDS=\.' $log
check "the unit isn't yet" is ActiveState activating
check "as its status says" status_is "Child demo starting, PID $(child)"
check "nor is what comes after it" [ "$(property after.service ActiveState)" = inactive ]
in_systemd touch /opt/iocs/demo/go
check "the IOC is up: the unit is started" within 5 is ActiveState active
check "as its status says" status_is "Child demo running, PID $(child)"
check "and is to be read in systemctl status" \
    eval '[[ $(systemctl status $unit) == *"Status: \"Child demo running, PID "* ]]'
check "what comes after it has found a working IOC" within 5 eval \
    '[ "$(property after.service ActiveState)" = active ]'

server=$(property $unit MainPID)
# Longer than the watchdog's time.
sleep 3
check "the watchdog is content" [ "$(property $unit NRestarts),$(property $unit MainPID)" = "0,$server" ]
in_systemd mv $log $log.1
check "reload" systemctl reload $unit
check "is over when the new log is open" within 2 in_systemd test -e $log
check "the unit is running again" within 5 is SubState running
check "with the same server" is MainPID "$server"

say $'\x14' UNIX-CONNECT:$console
check "the status has the restart mode" within 5 status_is "Child demo running, PID *, auto restart OFF"
say $'\x18' UNIX-CONNECT:$console
check "and that the IOC is down" within 5 status_is "Child demo down until started by hand"
check "the unit is not" is ActiveState active
say $'\x11' UNIX-CONNECT:$console
check "^Q ends procServ: systemd starts it again" within 20 is NRestarts 1
check "and the IOC" within 20 status_is "Child demo running, PID *"

server=$(property $unit MainPID)
in_systemd kill -STOP "$server"
check "a server that hangs is found by the watchdog, and started again" within 20 is NRestarts 2
check "by the watchdog" in_journal 'Watchdog timeout'
check "it is up again" within 20 is ActiveState active
check "it is another" not is MainPID "$server"
group=$(property $unit ControlGroup)
check "the old IOC is gone" [ "$(processes | wc -l)" = 2 ]
check "stop" systemctl stop $unit
check "is a success" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]

### Type=notify-reload
if [ "$(systemctl --version | sed -n 's/^systemd \([0-9]*\).*/\1/p')" -ge 253 ]; then
    printf '[Service]\nType=notify-reload\nExecReload=\n' |
        in_systemd tee /etc/systemd/system/ioc-notify@.service.d/reload.conf >/dev/null
    systemctl daemon-reload
    check "a unit of Type=notify-reload starts" systemctl start $unit
    in_systemd mv $log $log.2
    check "reload" systemctl reload $unit
    check "is over when the new log is open" in_systemd test -e $log
    check "stop" systemctl stop $unit
else
    echo "not run: this systemd has no Type=notify-reload"
fi

### ioc-socket@.socket
unit=ioc-socket@demo.service
console=/run/procServ/demo.console
in_systemd rm $log
check "the socket is opened" systemctl start ioc-socket@demo.socket
check "for the group" [ "$(in_systemd stat -c '%U:%G %a' $console)" = 'ioc:ioc 660' ]
check "nothing runs" is ActiveState inactive
greets() { in_systemd socat -u "$1",readbytes=11 - | grep -q '@@@ Welcome'; }
check "the first client starts the IOC and is served" greets UNIX-CONNECT:$console
check "the unit is started" within 5 is ActiveState active
check "a client of the other socket is served too" greets TCP:127.0.0.1:20001
check "info file" [ "$(in_systemd cat /run/procServ/demo/info)" = "pid:$(property $unit MainPID)
tcp:127.0.0.1:20001
unix:$console" ]
check "the IOC has nothing of it" within 5 in_file 'LISTEN_FDS=\.' $log
say 'echo "<$PROCSERV_INFO>"' UNIX-CONNECT:$console
check "but that" within 5 in_file "<PID=.*;CTL=tcp:127.0.0.1:20001;CTL=unix:$console>" $log

server=$(property $unit MainPID)
in_systemd kill -KILL "$server"
check "after SIGKILL of procServ who connects waits and is served" greets UNIX-CONNECT:$console
check "by another" not is MainPID "$server"
check "stop" systemctl stop $unit
check "leaves the socket" in_systemd test -S $console
check "whose next client starts it again" greets UNIX-CONNECT:$console
check "stop both" systemctl stop ioc-socket@demo.socket $unit
check "leaves nothing" not in_systemd test -e $console
check "the service alone brings its socket" systemctl start $unit
check "which is served" greets UNIX-CONNECT:$console

check "no unit has failed" [ -z "$(systemctl list-units --failed --quiet --no-legend)" ]
finish
