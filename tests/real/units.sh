#!/bin/bash
# Units as sites have them for procServ, under a real systemd: units/*.service have the command lines
# of tests/fixtures/cmdlines.txt, and what belongs to them.
. "$(dirname "$0")/lib.sh"
need socat useradd groupadd
. "$here/machine.bash"

# The sites. The child of each does what it is told, one line at a time, and ends of SIGTERM.
chroot "$root" groupadd --system iocgroup
chroot "$root" useradd --system --no-create-home --gid iocgroup iocuser
cp "$here"/units/*.service "$root/etc/systemd/system/"
ln -sf /usr/local/bin/procServ "$root/usr/bin/procServ"
for child in epics/bin/iocsh.bash epics/iocs/example/st.cmd usr/local/lib/iocapps/testioc/st.cmd \
    nix/store/x/st.cmd rtlsdr-ogn/ogn-rf; do
    mkdir -p "$root/${child%/*}"
    cat >"$root/$child" <<'CHILD'
#!/bin/sh
echo "$0 $*: all initialized"
while read -r line; do eval "$line"; done
CHILD
    chmod 755 "$root/$child"
done
mkdir -p "$root/opt/iocs/e3-ioc-a"
boot

# say LINE; ask LINE TEXT: waits until that is the answer, or the end.
say() { printf '%s\n' "$1" | in_systemd socat -t 5 - "$console" >/dev/null; }
ask() {
    { printf '%s\n' "$1"; within 5 grep -aq "$2" "$scratch/seen"; } | in_systemd socat - "$console" >"$scratch/seen"
}
# answers COMMAND TEXT: the child does, on the console.
questions=0
answers() {
    questions=$((questions + 1))
    : >"$scratch/seen"
    ask "echo \"<$questions> \$($1) <>\"" "^<$questions> $2 <>"
    grep -aq "^<$questions> $2 <>.\$" "$scratch/seen"
}
# logs_out OCTAL: on that key the connection ends, although the client would go on.
logs_out() {
    in_systemd timeout 10 socat - "$console" < <(printf "\\$1"; exec sleep 15) >/dev/null
}
# The child is, so the greeting: `PID` or `is SHUT DOWN`.
child() { in_systemd socat -u -T 0.3 "$console" - 2>/dev/null | grep -aq "^@@@ Child .*$1"; }
child_runs() { child 'PID: '; }

# starts UNIT CONSOLE...
starts() {
    unit=$1
    console=$2
    systemctl start "$unit" && within 10 child_runs || return
    server=$(property "$unit" MainPID)
    group=$(property "$unit" ControlGroup)
}
restarted() { [ "$(property "$unit" NRestarts)" = "$1" ] && child_runs; }
# stops: and nothing is left.
stops() {
    systemctl stop "$unit" && [ "$(property "$unit" Result),$(property "$unit" ExecMainStatus)" = success,0 ] &&
        [ -z "$(processes)" ]
}
# ^X makes a new child, not a new server. A second one doesn't wait for the holdoff.
kills() {
    local before after
    before=$(processes)
    say $'\x18'
    within 5 child "is SHUT DOWN"
    say $'\x18'
    within 5 child_runs && after=$(processes) && [ "$before" != "$after" ] &&
        [ "$(property "$unit" MainPID)" = "$server" ]
}

### ESS
check "ESS starts" starts ess@a.service UNIX-CONNECT:/run/procServ/a/control
check "directory" answers pwd '.*/run/procServ/a'
check "user and group" answers 'echo $(id -un; id -gn)' 'iocuser iocgroup'
check "arguments" in_file '^/epics/bin/iocsh.bash /opt/iocs/e3-ioc-a/st.cmd: all init' /var/log/procServ/a/out.log
check "info file" [ "$(in_systemd cat /run/procServ/a/info)" = "pid:$server
unix:/var/run/procServ/a/control" ]
check "^Q logs out" logs_out 021
check "the child stays" child_runs
in_systemd mv /var/log/procServ/a/out.log /var/log/procServ/a/out.1
check "reload" systemctl reload "$unit"
check "makes a new log" answers 'echo reloaded' reloaded
check "which is written" in_file reloaded /var/log/procServ/a/out.log
check "^X" kills
in_systemd kill -KILL "$server"
check "SIGKILL: systemd restarts it, over its old socket" within 20 restarted 1
check "which answers" answers 'echo back' back
check "nothing but server and child runs" [ "$(processes | wc -l)" = 2 ]
check "stops, nothing is left" stops
check "but the log and the directories" in_systemd test -f /var/log/procServ/a/out.log -a -d /run/procServ/a
check "no socket and no info file" [ -z "$(in_systemd ls /run/procServ/a)" ]
check "starts again" starts ess@a.service UNIX-CONNECT:/run/procServ/a/control
check "stops again" stops

### NSLS-II
check "NSLS-II starts" starts nsls.service TCP:127.0.0.1:4050
check "directory" answers pwd /epics/iocs/example

check "the pidfile is no reason to fail" in_journal 'procServ: unable to open PID file /var/run/softioc-example.pid'
check "^] does nothing" answers $'echo \x1dx' x
check "log" in_file 'st.cmd : all init' /var/log/softioc/example/example.log
check "^X" kills
check "stops, nothing is left" stops

### FRIB
check "FRIB starts" starts frib.service TCP:127.0.0.1:4051
check "core files" answers 'ulimit -c' 19531
check "control on TCP" answers 'echo tcp' tcp
console=UNIX-CONNECT:/run/softioc-testioc/procServ.sock
check "control on the Unix socket" answers 'echo unix' unix
check "^X" kills
in_systemd kill -KILL "$server"
check "SIGKILL is a failure: systemd restarts it" within 20 restarted 1
check "which answers" answers 'echo back' back
check "stops, nothing is left" stops
check "not in /run either" not in_systemd test -e /run/softioc-testioc

### EPNix
check "EPNix starts" starts epnix.service TCP:127.0.0.1:2000
check "a user of its own" answers 'id -un' epnix
check "no capabilities" answers "sed -n 's/^CapEff:.//p' /proc/self/status" 0000000000000000
check "nothing can be written" answers 'touch /usr/x 2>&1 | grep -c Read-only' 1
check "the log is the journal" in_journal '^./st.cmd : all init'
say 'exit 0'
check "exit 0: the server ends, systemd starts it again" within 20 restarted 1
check "the journal says so" in_journal 'Normal exit status = 0'
say 'exit 3'
check "exit 3: again" within 20 restarted 2
check "with the child's status" eval '[[ $(in_systemd journalctl --no-pager --unit epnix.service) == *"code=exited, status=3"* ]]'
say $'\x18'
check "^X: again" within 20 restarted 3
in_systemd kill -KILL "$(property "$unit" MainPID)"
check "SIGKILL: again" within 20 restarted 4
check "which answers" answers 'echo back' back
check "stops, nothing is left" stops

### OGN
check "OGN starts" starts ogn.service TCP:127.0.0.1:50000
check "user" answers 'id -un' root
check "^X is SIGTERM" kills
check "as the journal doesn't say" not in_journal '@@@'
check "^C logs out" logs_out 003
check "the child stays" child_runs
in_systemd kill -KILL "$(property "$unit" MainPID)"
check "SIGKILL: systemd restarts it" within 20 restarted 1
check "stops, nothing is left" stops

check "no unit has failed" [ -z "$(systemctl list-units --failed --quiet --no-legend)" ]
finish
