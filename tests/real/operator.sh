#!/bin/bash
# Sick instances under a real systemd, and what an operator is told about each.
. "$(dirname "$0")/lib.sh"
need setpriv
. "$here/machine.bash"

manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"
bin=$root/usr/bin
install "$PROCSERV_BIN" "$bin/procServ"
rm -f "$root/usr/local/bin/procServ"
install "$manage" "$bin/manage-procs"
install "$contrib/links/procServ-launcher" "$bin/"
mkdir -p "$root/opt/iocs"
diagnosis="$scratch/said"
procs() { in_systemd manage-procs "$@"; }
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
check "and says who" eval 'procs doctor | grep -q "port 21000 is in use"'
check "stop ends the attempts" procs stop portbusy
finish
