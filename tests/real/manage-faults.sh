#!/bin/bash
# What doctor, start and attach make of units that do not start, under a real systemd.
. "$(dirname "$0")/lib.sh"
need ps expect
. "$here/machine.bash"

install_tools
for name in no-user no-group no-dir loop fine; do
    printf '[%s]\ncommand = cat\nuser = nobody\n' $name >"$root/etc/procServ.d/$name.conf"
done
sed -i 's/nobody/no-such-user/' "$root/etc/procServ.d/no-user.conf"
echo 'group = no-such-group' >>"$root/etc/procServ.d/no-group.conf"
echo 'chdir = /no/such/directory' >>"$root/etc/procServ.d/no-dir.conf"
echo 'options = --no-such-option' >>"$root/etc/procServ.d/loop.conf"

said() { procs "$@" >"$scratch/said" 2>&1; }
says() { grep -q -e "$1" "$scratch/said"; }
state() { procs status --wide "$1" 2>/dev/null | awk 'NR == 2 { print $2 }'; }
runs() { [ "$(state "$1")" = running ]; }
field() { procs status --json "$1" 2>/dev/null | sed -n "s/^ *\"$2\": \([0-9]*\),*$/\1/p"; }
server() { field "$1" server_pid; }
told() { said doctor; says "$1"; }
diagnosis=$scratch/said

boot
check "start fails if one does" not said start no-user no-group no-dir fine
check "and names the user" says 'no-user: has failed: its user does not exist (217/USER)'
check "the group" says 'no-group: has failed: its group does not exist (216/GROUP)'
check "the condition" says 'no-dir: not started: a condition of its unit does not hold'
check "but not the one that runs" not says '^manage-procs: fine: '
check "which runs" within 10 runs fine
check "doctor tells the user" told '^no-user: there is no user no-such-user'
check "why the unit failed" says '^no-user: .*(217/USER)'
check "the group" says '^no-group: there is no group no-such-group'
check "the directory" says '^no-dir: /no/such/directory: No such file or directory'
said start loop
check "and a server that ends again and again" within 20 told '^loop: its server ends soon after each start'
check "add refuses a user that is not there" not said add -U no-such-user -C / other cat
check "and says so" says 'other: there is no user no-such-user'

check "an instance that add has made" procs add -C / -U nobody linked cat
in_systemd rm /etc/procServ.d/procserv-linked.service
check "whose unit is gone is found" told '^linked: /etc/systemd/system/.* is a link to .*, which is not there'
check "and is started all the same" procs start linked
check "runs" within 10 runs linked
check "the link leads to a unit again" not told 'linked: .*is a link to'

in_systemd kill -STOP "$(server fine)"
check "a stopped server is found" told '^fine: its server (PID [0-9]*) is stopped'
in_systemd kill -CONT "$(server fine)"

# More output than the journal takes.
mkdir -p "$root/etc/systemd/system/procserv-noisy.service.d"
printf '[Service]\nLogRateLimitBurst=100\nLogRateLimitIntervalSec=1s\n' \
    >"$root/etc/systemd/system/procserv-noisy.service.d/rate.conf"
procs add -f -C / -U nobody noisy sh -c 'seq 5000; sleep 2; echo later; exec cat'
procs start noisy
dropped() { procs status --wide noisy | grep -q '! journal dropped [0-9]*,[0-9]* lines'; }
check "what the journal drops is counted" within 20 dropped
check "doctor knows what to do" eval 'told "^noisy: the journal has dropped" && says "LogRateLimitBurst="'
check "others are not concerned" eval 'procs status --json fine | grep -q "\"journal_dropped\": 0"'
check "logs have it in its place" eval 'procs logs -n all noisy | grep -A 1 "Suppressed [0-9]* messages from procserv-noisy" |
    grep -q later'

# The user of an instance writes its info file.
pid=$(server fine)
printf 'pid:%s\nunix:/run/procserv-linked/control\n' "$pid" >"$root/run/procserv-fine/info"
in_systemd sh -c 'printf "\004" | manage-procs --system attach fine' >"$scratch/said" 2>&1
check "root uses the socket of the run directory" says 'Child "fine" started as'

# Terminal: a line each.
TERM=dumb expect -c "set timeout 30; spawn -noecho nsenter -t $init --mount --pid --cgroup --root --wd \
    manage-procs restart fine linked; expect eof" >"$scratch/said" 2>&1
check "on a terminal restart says what it did" eval 'says "^fine: restarted" && says "^linked: restarted"'
in_systemd rm /etc/procServ.d/linked.conf
check "what is in no file is stopped" said stop linked
check "stopped" [ "$(property procserv-linked.service ActiveState)" = inactive ]
finish
