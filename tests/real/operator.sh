#!/bin/bash
# Sick instances under a real systemd, and what an operator is told about each.
. "$(dirname "$0")/lib.sh"
need socat setpriv
. "$here/machine.bash"

install_tools
mkdir -p "$root/opt/iocs"
diagnosis="$scratch/said"
field() { procs status --json "$1" | python3 -c 'import json, sys
value = json.load(sys.stdin)[0]
for key in sys.argv[1].split("."): value = value and value[int(key) if key.isdigit() else key]
print(value)' "$2"; }
is() { [ "$(field "$1" "$2")" = "$3" ]; }
events() { in_systemd cat "/var/log/procserv-$1/events"; }

boot

### A server that is killed
procs add -C /tmp -U daemon srvkill cat
check "a server starts" procs start srvkill
check "start returns when there is a child" is srvkill state running
before=$(field srvkill child_pid)
in_systemd kill -KILL "$(field srvkill server_pid)"
back() { is srvkill state running && [ "$(field srvkill child_pid)" != "$before" ]; }
check "killed, it is back within 3 s" within 3 back
check "which it knows of" is srvkill status.crashes 1
check "and how" within 5 is srvkill last "SIGKILL (server)"
check "and has recorded" eval '[ "$(events srvkill | grep -c server_start)" = 2 ]'

procs add -C /tmp -U daemon lives cat
procs set lives fdstore=yes
check "an IOC that outlives its server" procs start lives
before=$(field lives child_pid)
killed=$(field lives server_pid)
in_systemd kill -KILL "$killed"
back() { is lives state running && [ "$(field lives server_pid)" != "$killed" ]; }
check "its server is back" within 3 back
check "and the IOC has run on" is lives child_pid "$before"
check "which is recorded" eval 'events lives | grep -q server_restart'

### Fifteen instances, each sick in its own way
# said NAME COMMAND PATTERN: the command says that of the instance.
said() {
    case $2 in
    status) procs status | grep "^$1 " ;;
    doctor) procs doctor | grep -A 1 -E "^(hint: )?$1: " ;;
    *) procs "$2" "$1" ;;
    esac >"$scratch/said" 2>&1
    grep -q -E -e "$3" "$scratch/said"
}
# told NAME COMMAND PATTERN...: the same as a check, of several commands.
told() {
    local name=$1
    shift
    while [ $# -gt 0 ]; do
        check "$1 tells of $name: $2" within 10 said "$name" "$1" "$2"
        shift 2
    done
}
sick() { procs add -f -C /tmp -U daemon --options '--holdoff 0' "$@" 2>>"$scratch/said"; }
# types NAME TEXT: as the user games, on the console.
types() {
    printf "$2" | in_systemd setpriv --reuid games --clear-groups \
        socat -t 2 - "UNIX:/run/procserv-$1/control" >"$scratch/said"
}

for name in vac1 vac2 two1 killed1; do sick "$name" cat; done
procs set vac1 options=
mkdir -p "$root/opt/iocs"
printf '#!/opt/nowhere/softIoc\n' >"$root/opt/iocs/st.cmd"
chmod 755 "$root/opt/iocs/st.cmd"
sick -C /opt/iocs badexec ./st.cmd
sick -C /opt/iocs wrongcmd ./st.cdm
sick -C /opt/iocs/nodir nodir cat
sick nouser cat
procs set -f nouser user=nobodyhere 2>>"$scratch/said"
sick exit0 sh -c 'echo cannot open database; sleep 0.1; exit 3'
sick crash1 sh -c 'echo address 0; sleep 0.1; kill -SEGV $$'
sick hang1 sh -c 'kill -STOP $$; exec cat'
sick logdisk sh -c 'echo hello; exec cat'
procs set logdisk 'options=--logfile /var/tiny/logdisk.log'
mkdir -p "$root/var/tiny"
sick noisy1 sh -c 'yes flood | head -n 3000; sleep 3; echo more; exec cat'
mkdir -p "$root/etc/systemd/system/procserv-noisy1.service.d"
printf '[Service]\nLogRateLimitIntervalSec=2s\nLogRateLimitBurst=100\n' \
    >"$root/etc/systemd/system/procserv-noisy1.service.d/rate.conf"
in_systemd mount -t tmpfs -o size=64k none /var/tiny
in_systemd sh -c 'chown daemon /var/tiny; cat /dev/zero >/var/tiny/full' 2>>"$scratch/said"
systemctl daemon-reload
in_systemd socat TCP-LISTEN:21000,fork EXEC:cat &
within 5 in_systemd socat -u /dev/null TCP:localhost:21000
sick -P 21000 portbusy cat

check "start fails if the server does not start" not procs start portbusy
check "start fails without the user" not procs start nouser
check "start fails without the directory" not procs start nodir
check "the others start" procs start vac1 vac2 two1 killed1 exit0 crash1 hang1 badexec wrongcmd \
    logdisk noisy1

types vac1 '\024'
types vac2 '\024\030'
types killed1 '\030'
in_systemd setpriv --reuid games --clear-groups \
    socat -u UNIX:/run/procserv-two1/control - >"$scratch/two1" &
in_systemd setpriv --reuid man --clear-groups \
    socat -u UNIX:/run/procserv-two1/control - >"$scratch/two1" &

by="games \\(uid $(id -u games)\\)"
told vac1 status 'running .* OFF by games' \
    doctor "the mode is OFF.*games" \
    why 'mode +OFF, auto-restart mode changed by '"$by" \
    why 'next +manage-procs --system mode vac1 on undoes' \
    events "auto-restart mode changed by $by"
told vac2 status 'down .* OFF by games; \^X by games' \
    doctor 'no child runs.* OFF.*games' \
    why '^vac2: down since' why "SIGKILL after .*; killed by $by" \
    why 'next +manage-procs --system mode vac2 on starts the child' \
    events "killed by $by"
told two1 status 'running +[^ ]+ +0/0 +2 ' \
    why "attached +$by since" why "attached +man .* since" \
    why 'next +manage-procs --system attach --watch two1' \
    events "$by attached"
told killed1 status 'running .* \^X by games' \
    why "SIGKILL after .*; killed by $by" why 'next +manage-procs --system events .* killed1' \
    events "killed by $by"
told srvkill status 'running .* SIGKILL \(server\)' \
    doctor 'its server .* killed or crashed' \
    why 'server: SIGKILL; who killed it is not recorded' why 'next +journalctl -k .*fdstore=yes' \
    events 'server started'
told portbusy status 'failed .* exit 98 \(server\)' \
    doctor 'port 21000 is in use by socat \(PID [0-9]*\)' \
    why 'server: exit 98' why 'next +port 21000 is in use by socat \(PID [0-9]*\): stop that'
told logdisk status 'running .* ! log: No space left on device' \
    doctor 'the disk of its log /var/tiny/logdisk.log is full' \
    why 'trouble +log: No space left on device, [0-9]+ bytes lost, since' \
    why 'log +/var/tiny/logdisk.log, [0-9]+ bytes' why 'next +df -h /var/tiny/logdisk.log' \
    events 'log file fails: No space left on device'
told crash1 status 'looping .* SIGSEGV' doctor 'ends soon after each start.*SIGSEGV' \
    why '^crash1: looping since' why 'SIGSEGV after 0s; nobody asked' why '\| address 0' \
    why 'next +manage-procs --system logs -n 100 crash1 .*mode crash1 off' \
    events 'died of SIGSEGV'
told exit0 status 'looping .* exit 3' doctor 'ends soon after each start.*exit 3' \
    why 'exit 3 after 0s; nobody asked' why '\| cannot open database' \
    why 'next +manage-procs --system logs -n 100 exit0' events 'exited with status 3'
told hang1 status 'hung' doctor 'is stopped, by a signal or a debugger' \
    why 'child +PID .* stopped' why 'next +kill -CONT [0-9]+ lets it run on' events 'child started'
told badexec status 'looping' doctor 'interpreter /opt/nowhere/softIoc is not there' \
    why 'next +.*interpreter /opt/nowhere/softIoc is not there' events 'child exited'
told wrongcmd status 'looping' doctor 'command not found: /opt/iocs/st.cdm' \
    why 'next +command not found: /opt/iocs/st.cdm' why '\| .*st.cdm' events 'child exited'
told nodir status 'stopped .*! /opt/iocs/nodir: No such file' \
    doctor '/opt/iocs/nodir: No such file or directory' \
    why 'next +/opt/iocs/nodir: No such file or directory: make the directory'
told nouser status 'failed .* exit 217' doctor 'there is no user nobodyhere' \
    why 'unit .*its user does not exist' why 'next +there is no user nobodyhere: make the user'
told noisy1 status 'running .* ! journal dropped [0-9,]+ lines' \
    doctor 'the journal has dropped [0-9,]+ lines' \
    why 'trouble +journal dropped [0-9,]+ lines' \
    why "next +manage-procs --system set noisy1 'options=--logfile FILE' gives" \
    events 'child started'

check "status of one is the same page" \
    eval '[ "$(procs status exit0 | head -n 1 | cut -c 1-20)" = "exit0: looping since" ]'
check "something is wrong" eval 'procs status --check >"$scratch/said"; [ $? = 3 ]'
check "within 80 columns" not grep -q -E ".{81}" "$scratch/said"
check "with six and one" eval '[ "$(procs status --failed exit0 crash1 hang1 wrongcmd nouser logdisk | wc -l)" = 7 ]'

### What is tried next helps
in_systemd kill -CONT "$(field hang1 child_pid)"
check "one that was stopped runs on" within 10 is hang1 state running
procs mode vac2 on >"$scratch/said"
check "one that was down has a child" within 30 is vac2 state running
in_systemd rm /var/tiny/full
check "with room, the log is written again" within 10 \
    eval '[ "$(field logdisk trouble)" = "[]" ]'
check "stop ends the attempts" procs stop portbusy
finish
