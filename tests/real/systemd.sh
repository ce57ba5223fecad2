#!/bin/bash
# The units of contrib/systemd as they are, and one of the forking kind, under a real systemd.
. "$(dirname "$0")/lib.sh"
need systemd-analyze socat useradd setpriv
. "$here/machine.bash"

# The site: an IOC, the user that the units want, two people, and what a site installs.
chroot "$root" useradd --system --user-group ioc
chroot "$root" useradd --groups ioc visitor
chroot "$root" useradd stranger
cp "$contrib"/systemd/*.service "$root/etc/systemd/system/"
mkdir -p "$root/opt/iocs/demo" "$root/srv/ioc" "$root/etc/ioc" "$root/etc/systemd/journald.conf.d"
# Less than what the flood below writes; the default grows with the size of the disk.
printf '[Journal]\nRateLimitBurst=1000\n' >"$root/etc/systemd/journald.conf.d/burst.conf"
cat >"$root/opt/iocs/demo/st.cmd" <<'IOC'
#!/bin/sh
echo "demo: All initialization complete"
exec /bin/sh
IOC
chmod 755 "$root/opt/iocs/demo/st.cmd"
chroot "$root" chown -R ioc:ioc /opt/iocs/demo /srv/ioc
printf 'CONSOLE_PORT=20001\nCONSOLE_OPTIONS=--holdoff=1 --logport=30001\nDEMO=from-env\n' \
    >"$root/etc/ioc/demo.env"

boot
check "systemd-analyze verify has nothing to say" \
    [ -z "$(in_systemd systemd-analyze verify ioc@demo.service ioc-tcp@demo.service 2>&1)" ]

### ioc@.service
unit=ioc@demo.service
log=/var/log/procServ/demo/demo.log
console=/run/procServ/demo/control
say() { printf '%s\r' "$1" | in_systemd socat -t 5 - "UNIX-CONNECT:$console" >/dev/null; }
# answers COMMAND TEXT: the IOC's shell does, in the log.
questions=0
answers() {
    questions=$((questions + 1))
    say "echo \"<$questions> \$($1) <>\""
    within 5 in_file "<$questions> $2 <>.\$" $log
}
starts() { in_systemd grep -c 'PID of new child "demo"' $log; }
has_started() { [ "$(starts)" = "$1" ]; }

check "ioc@demo starts" systemctl start $unit
check "IOC runs" within 10 in_file 'demo: All initialization complete' $log
server=$(property $unit MainPID)
group=$(property $unit ControlGroup)
check "procServ is the one of /usr/local/bin" \
    [ "$(in_systemd readlink "/proc/$server/exe")" = /usr/local/bin/procServ ]
check "info file" [ "$(in_systemd cat /run/procServ/demo/info)" = "pid:$server
unix:$console" ]
check "console is the group's" [ "$(in_systemd stat -c '%U:%G %a' $console)" = 'ioc:ioc 660' ]
greets() {
    in_systemd setpriv --reuid "$1" --regid "$1" --init-groups \
        socat -u UNIX-CONNECT:$console,readbytes=11 - 2>/dev/null | grep -q '@@@ Welcome'
}
check "greets a member of the group" greets visitor
check "and nobody else" not greets stranger
check "log lines have time stamps" \
    in_file '^20[0-9][0-9]-[01][0-9]-[0-3][0-9] [0-9:]\{8\} demo: All' $log

check "user" answers 'id -un' ioc
check "directory" answers pwd /opt/iocs/demo
check "own directory can be written (autosave)" answers 'echo saved >x.sav; cat x.sav' saved
check "/tmp can be written" answers 'echo temporary >/tmp/x; cat /tmp/x' temporary
check "which is private" not in_systemd test -e /tmp/x
check "nothing else can, its own or not" answers 'touch /srv/ioc/x 2>&1 | grep -c Read-only' 1
check "/proc/stat is there (iocStats)" answers 'grep -c ^btime /proc/stat' 1
check "no new privileges" answers "sed -n 's/^NoNewPrivs:.//p' /proc/self/status" 1
check "no capabilities" answers "sed -n 's/^CapBnd:.//p' /proc/self/status" 0000000000000000
check "system calls are filtered" answers "sed -n 's/^Seccomp:.//p' /proc/self/status" 2
check "UDP" answers 'echo x | socat -u - UDP:127.0.0.1:9 2>&1; echo $?' 0
check "TCP" answers 'socat -u TCP:127.0.0.1:9 - 2>&1 | grep -c refused' 1
check "list of interfaces" answers 'ip -o address show lo | grep -c 127.0.0.1' 1
check "no other kind of socket" answers 'socat -u INTERFACE:lo - 2>&1 | grep -c "Address family not supported"' 1

children=$(processes)
in_systemd mv $log $log.1
check "reload" systemctl reload $unit
check "makes a new log file" within 5 in_systemd test -e $log
check "which is written" answers 'echo reloaded' reloaded
check "and changes no process" [ "$(processes)" = "$children" ]

count=$(starts)
say $'\x18'
check "^X restarts the IOC" within 20 has_started $((count + 1))
check "not procServ" [ "$(property $unit MainPID)" = "$server" ]

count=$(starts)
in_systemd kill -KILL "$server"
restarted() { [ "$(property $unit NRestarts)" = 1 ] && has_started $((count + 1)); }
check "SIGKILL of procServ: systemd starts it again" within 20 restarted
check "which answers" answers 'echo "back"' back
check "the old IOC is gone" [ "$(processes | wc -l)" = 2 ]

say 'setsid sleep 1000 &'
check "a process leaves the IOC's group" within 5 eval '[ "$(processes | wc -l)" = 3 ]'
check "stop" systemctl stop $unit
check "is a success" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]
check "leaves no process" [ -z "$(processes)" ]
check "and no file in /run" not in_systemd test -e /run/procServ/demo
check "but the log" in_systemd test -e $log

### ioc-tcp@.service
unit=ioc-tcp@demo.service
say() { printf '%s\r' "$1" | socat -t 5 - TCP:127.0.0.1:20001 >/dev/null; }
starts() { journal | grep -c 'PID of new child "demo"'; }

check "ioc@demo starts" systemctl start ioc@demo.service
check "ioc-tcp@demo starts" systemctl start $unit
check "in place of ioc@demo" [ "$(property ioc@demo.service ActiveState)" = inactive ]
check "IOC runs, the log is the journal" within 10 in_journal 'demo: All initialization complete'
server=$(property $unit MainPID)
group=$(property $unit ControlGroup)
check "two processes are in it" [ "$(processes | wc -l)" = 2 ]
check "port and options are from the file" [ "$(in_systemd cat /run/procServ/demo/info)" = "pid:$server
tcp:0.0.0.0:30001
tcp:127.0.0.1:20001" ]
say 'echo "= $DEMO ="'
check "as is the IOC's environment" within 5 in_journal '^= from-env ='
say 'seq -f flood-%.0f 30000; echo over'
check "a flood of output gets into the journal" within 60 in_journal '^over'
check "all of it" [ "$(journal | grep -c '^flood-')" = 30000 ]
check "reload" systemctl reload $unit
check "changes nothing" [ "$(property $unit MainPID)" = "$server" ]

count=$(starts)
# Restart mode OFF, kill, and quit once the child is gone.
say $'\x14'
say $'\x18'
check "^T ^X: the IOC stays down" within 5 in_journal 'auto restart is disabled'
say $'\x11'
restarted() { [ "$(property $unit NRestarts)" = 1 ] && has_started $((count + 1)); }
check "^Q ends procServ: systemd starts it again" within 20 restarted
check "stop" systemctl stop $unit
check "leaves no process" [ -z "$(processes)" ]

### A unit as sites have them for procServ: it becomes a daemon, and writes a pidfile.
unit=forking.service
in_systemd sh -c 'cat >/run/systemd/system/forking.service' <<'UNIT'
[Service]
Type=forking
User=ioc
RuntimeDirectory=forking
PIDFile=/run/forking/pid
Restart=always
ExecReload=kill -HUP $MAINPID
ExecStart=procServ -q -n demo -i ^D^C -c /opt/iocs/demo -p /run/forking/pid -L /run/forking/log \
    unix:/run/forking/control ./st.cmd
UNIT
systemctl daemon-reload
check "forking unit starts" systemctl start $unit
check "main process is the one in the pidfile" \
    [ "$(property $unit MainPID)" = "$(in_systemd cat /run/forking/pid)" ]
check "IOC runs" within 10 in_file 'demo: All initialization complete' /run/forking/log
group=$(property $unit ControlGroup)
children=$(processes)
in_systemd mv /run/forking/log /run/forking/log.1
check "reload" systemctl reload $unit
check "makes a new log file" within 5 in_systemd test -e /run/forking/log
check "and changes no process" [ "$(processes)" = "$children" ]
in_systemd kill -KILL "$(property $unit MainPID)"
# /run/forking is made anew.
restarted() { [ "$(property $unit NRestarts)" = 1 ] && in_file 'demo: All' /run/forking/log; }
check "SIGKILL of procServ: systemd starts it again" within 20 restarted
check "with a new pidfile" [ "$(property $unit MainPID)" = "$(in_systemd cat /run/forking/pid)" ]
check "the old IOC is gone" [ "$(processes | wc -l)" = 2 ]
check "stop" systemctl stop $unit
check "leaves no process" [ -z "$(processes)" ]

check "no unit has failed" [ -z "$(systemctl list-units --failed --quiet --no-legend)" ]
finish
