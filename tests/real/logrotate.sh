#!/bin/bash
# contrib/logrotate/procServ as it is, with the real logrotate: rotated files are complete, the
# server writes to the new one, and its child doesn't notice.
. "$(dirname "$0")/lib.sh"
need logrotate pkill setpriv socat zgrep

empty /var/log /run
add_user ioc
rules=$contrib/logrotate/procServ
logs=/var/log/procServ/demo
mkdir -p $logs /run/procServ/demo
chown -R ioc:ioc /var/log/procServ /run/procServ
log=$logs/demo.log
diagnosis="$log* $scratch/*.out"

setpriv --reuid ioc --regid ioc --clear-groups "$PROCSERV_BIN" -f -n demo --holdoff 1 \
    -L $log -P unix:/run/procServ/demo/control /bin/cat >"$scratch/server.out" 2>&1 </dev/null &
server=$!
# Another user's server, with a log that the rule is not for.
"$PROCSERV_BIN" -f -n other --holdoff 1 -L "$scratch/other.log" \
    -P unix:/run/other /bin/cat >"$scratch/other.out" 2>&1 </dev/null &
other=$!

say() { printf '%s\n' "$1" | socat -t 5 - UNIX-CONNECT:/run/procServ/demo/control >/dev/null; }
rotate() { logrotate --force --state "$scratch/state" "$rules" >"$scratch/logrotate.out" 2>&1; }
# The log is open in the descriptor table of the thread that writes it.
reopened() { ls -l /proc/"$server"/task/*/fd | grep -q " $log\$"; }

check "child is up" within 10 grep -q 'PID of new child' $log
child=$(sed -n 's/.*new child "demo" is: \([0-9]*\).*/\1/p' $log)
within 10 grep -q 'PID of new child' "$scratch/other.log"

logrotate --debug --state "$scratch/none" "$rules" >"$scratch/debug.out" 2>&1
check "logrotate has no complaint about the rule" not grep -i error "$scratch/debug.out"
check "it finds the log" grep -q "considering log $log" "$scratch/debug.out"

say before
check "first line is logged" within 5 grep -q before $log
mv "$scratch/other.log" "$scratch/other.log.1"
check "forced rotation" rotate
check "server has opened a new log" within 5 reopened
say between
check "it writes there" within 5 grep -q between $log
check "what was logged before is in the rotated file" grep -q before $log.1
check "and what was logged after is not" not grep -q between $log.1

check "second rotation" rotate
check "server has opened a new log again" within 5 reopened
say after
check "it writes there" within 5 grep -q after $log
check "older files are compressed and whole" zgrep -q before $log.2.gz
check "log belongs to ioc" [ "$(stat -c %U:%G $log)" = ioc:ioc ]
check "same server" kill -0 "$server"
check "same child" kill -0 "$child"
check "other users' servers are not signalled" [ ! -e "$scratch/other.log" ]

kill "$server" "$other"
check "servers end" wait "$server" "$other"
check "children too" within 5 is_gone "$child"
finish
