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

### A port that is in use
in_systemd socat TCP-LISTEN:21000,fork EXEC:cat &
within 5 in_systemd socat -u /dev/null TCP:localhost:21000
procs add -C /tmp -U daemon -P 21000 portbusy cat
check "start fails if the server does not start" not procs start portbusy
check "and says who" eval 'procs doctor | grep -q "port 21000 is in use by socat (PID [0-9]*)"'
check "which status shows" is portbusy state failed
check "with the end of the server" is portbusy last "exit 98 (server)"
check "stop ends the attempts" procs stop portbusy

### Children that end, or do nothing
shown() { procs status --json "$1" | grep -q "\"state\": \"$2\""; }
sick() { procs add -f -C /tmp -U daemon --options '--holdoff 0' "$@" 2>>"$scratch/said"; }
sick exit0 sh -c 'sleep 0.1; exit 3'
sick crash1 sh -c 'sleep 0.1; kill -SEGV $$'
sick hang1 sh -c 'kill -STOP $$'
sick wrongcmd ./st.cdm
sick nouser cat
procs set -f nouser user=nobodyhere 2>>"$scratch/said"
sick logdisk sh -c 'echo hello; exec cat'
procs set logdisk 'options=--logfile /dev/full'
procs start exit0 crash1 hang1 wrongcmd logdisk 2>>"$scratch/said"
check "start fails without the user" not procs start nouser
check "an IOC that ends" within 10 shown exit0 looping
check "and how" is exit0 last "exit 3"
check "one that crashes" within 10 shown crash1 looping
check "and how" is crash1 last SIGSEGV
check "one that is stopped" within 10 shown hang1 hung
check "a command that is not there" within 10 shown wrongcmd looping
check "a user that is not there" within 10 shown nouser failed
check "a log that can't be written" within 10 \
    eval 'procs status logdisk | grep -q "! log: No space left on device"'
check "something is wrong" eval 'procs status --check >"$scratch/said"; [ $? = 3 ]'
check "within 80 columns" not grep -q -E ".{81}" "$scratch/said"
check "with six and one" eval '[ "$(procs status --failed exit0 crash1 hang1 wrongcmd nouser logdisk | wc -l)" = 7 ]'

### A child that somebody kills
procs add -C /tmp -U daemon --options '--holdoff 0' killed1 cat
procs start killed1
printf '\030' | in_systemd setpriv --reuid games --clear-groups \
    socat -t 2 - UNIX:/run/procserv-killed1/control >"$scratch/said"
check "who has killed it" within 10 is killed1 last "^X by games"
finish
