#!/bin/bash
# docs/epics.md from top to bottom, with what contrib/epics has: the soft IOC under a real systemd, read and
# written by one client of Channel Access and PV Access.
: "${venv:=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/epics")}"
export venv
# Before the name spaces, which have no network.
[ -n "${scratch:-}" ] || "$(dirname "$0")/epics/prepare" "$venv" || { echo "missing: python3-venv, or PyPI"; exit 77; }
. "$(dirname "$0")/lib.sh"
need jq socat useradd setpriv
# The python3 of all users.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
. "$here/machine.bash"
install_tools

### What is not of EPICS
check "unit tests" eval 'PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$contrib/epics "$venv/bin/python" -m unittest discover --quiet --start-directory "$here/epics" >"$scratch/said" 2>&1'
diagnosis="$scratch/said $scratch/ask"

mkdir "$scratch/blocks"
awk -v place="$scratch/blocks/" '
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(place count); next }
    { inside = 0 }' "$here/../../docs/epics.md"
block() { cat "$scratch/blocks/$1" && rm "$scratch/blocks/$1"; }
run() { in_systemd bash -e -o pipefail -c "$(block "$1")" </dev/null >"$scratch/said" 2>&1; }
says() { grep -q -- "$1" "$scratch/said"; }

cp -r "$contrib" "$root/contrib"
# There, so that pip has nothing to fetch.
mkdir -p "$root/opt"
cp -a "$venv" "$root/opt/procserv-epics"
chroot "$root" useradd --system --user-group ioc
chroot "$root" groupadd --system operators
install -D -m 644 "$contrib/polkit/50-procserv.rules" "$root/etc/polkit-1/rules.d/50-procserv.rules"
rm -f "$root"/etc/procServ.conf "$root"/etc/procServ.d/*

boot
in_systemd systemctl start dbus.socket dbus.service polkit
### Instances
add() { procs add -C /tmp -U ioc "$@"; }
cat >"$root/opt/ioc" <<'IOC'
#!/bin/bash
printf '\033[31mred\033[0m \033]0;title\a%s\n' hello
head -c 120000 /dev/zero | tr '\0' x
printf '\n"quoted\\ \303\244\377\342\200\256end\n'
exec cat
IOC
chmod 755 "$root/opt/ioc"
add --options '--holdoff 0' vac1 /opt/ioc
add never cat
add no.pv cat
add --options '--status-file /tmp/elsewhere' moved cat
add theirs cat
procs set theirs host=another-host >/dev/null
check "an instance starts" procs start vac1

### Installed as the document says
export EPICS_CA_ADDR_LIST=127.0.0.1 EPICS_CA_AUTO_ADDR_LIST=NO EPICS_PVA_ADDR_LIST=127.0.0.1 EPICS_PVA_AUTO_ADDR_LIST=NO
printf 'EPICS_%s\n' {CAS,PVAS}_INTF_ADDR_LIST=127.0.0.1 {CAS,PVAS}_BEACON_ADDR_LIST=127.0.0.1 \
    {CAS,PVAS}_AUTO_BEACON_ADDR_LIST=NO >"$root/etc/default/procserv-pvs"
check "its files" run 1
check "user and unit" run 2
coproc CLIENT { exec "$venv/bin/python" "$here/epics/client.py" 2>"$scratch/ask"; }
exec 5>&"${CLIENT[1]}" 6<&"${CLIENT[0]}"
client=$CLIENT_PID
trap 'kill "$client"; cleanup' EXIT
# ask REQUEST: prints its answer.
ask() { echo "$*" >&5 && IFS= read -r -t 30 answer <&6 && echo "$answer" && echo "$*: $answer" >>"$scratch/ask"; }
# is PV VALUE: over Channel Access, of the instance vac1.
is() { [[ $(ask get "procServ:vac1:$1") == $2 ]]; }
ready() { in_systemd journalctl --no-pager -o cat -u procserv-pvs | grep -c '^ready: '; }
check "the IOC is ready" within 30 eval '[ "$(ready)" = 1 ]'
check "what it says" run 3
check "two instances have PVs" says 'ready: 2 instances'
check "a name that can't" says 'no.pv has no PVs: a PV name has letters'
check "a status file elsewhere" says 'moved has no PVs: its status file'
caget() { for name in "${@#-S}"; do [ -z "$name" ] || ask get "$name"; done; }
pvget() { ask pvget "$1"; }
caput() { ask put "$1" "$2"; }
check "it is read" eval 'eval "$(block 4)" >"$scratch/said"'
check "over both protocols" [ "$(grep -c '^Running NO_ALARM$' "$scratch/said")" = 2 ]
check "nobody else's" eval '! ask get procServ:theirs:STATUS | grep -q ALARM'

### The state
server=$(in_systemd systemctl show --property MainPID --value procserv-vac1)
check "PID" is PID "$(procs status --json vac1 | jq '.[0].child_pid') NO_ALARM"
check "SERVERPID" is SERVERPID "$server NO_ALARM"
check "IOCNAME" is IOCNAME "vac1 NO_ALARM"
check "MODE" is MODE "ON NO_ALARM"
check "AUTORESTART" is AUTORESTART "On NO_ALARM"
check "RESTARTS" is RESTARTS "0 NO_ALARM"
check "LASTEXIT" is LASTEXIT " NO_ALARM"
check "USERS" is USERS "0 NO_ALARM"
user=$(in_systemd bash -c 'socat -u UNIX-CONNECT:/run/procserv-vac1/control OPEN:/dev/null >/dev/null & echo $!')
check "a user comes" within 5 is USERS "1 NO_ALARM"
in_systemd kill "$user"
check "and goes" within 5 is USERS "0 NO_ALARM"
check "UPTIME" eval 'before=$(ask get procServ:vac1:UPTIME); within 10 eval "[ \"\$(ask get procServ:vac1:UPTIME)\" != \"$before\" ]"'
check "who does not run" [ "$(ask get procServ:never:STATUS)" = "procServ Stopped MAJOR" ]
check "has no process" [ "$(ask get procServ:never:PID)" = "0 NO_ALARM" ]
check "and no mode" [ "$(ask get procServ:never:MODE)" = "ON INVALID" ]

### The console
check "LASTLINES" within 10 eval 'ask get procServ:vac1:LASTLINES | grep -q "end NO_ALARM"'
lines=$(ask get procServ:vac1:LASTLINES)
check "without escape sequences" eval 'grep -q "red hello /" <<<"$lines"'
check "cut" eval '! grep -q "x\{500\}" <<<"$lines" && grep -q "xxx /" <<<"$lines"'
check "the same as IOCOUT" [ "$(ask get procServ:vac1:IOCOUT)" = "$lines" ]

### Commands
check "the names of operators" run 5
check "the IOC is ready again" within 30 eval '[ "$(ready)" = 2 ]'
check "are in the file" in_file 'root, anna, ben' /opt/procserv-epics/procserv.acf
check "rights" run 6
check "the IOC is ready again" within 30 eval '[ "$(ready)" = 3 ]'
wait_for() { [[ $(ask await "procServ:vac1:$1" "\"$2\"") == "$2 $3" ]]; }
check "is Running" wait_for STATUS Running NO_ALARM
check "commands of the document" eval 'eval "$(block 7)" >"$scratch/said"'
check "are taken" [ "$(grep -c '^done$' "$scratch/said")" = 2 ]
check "restarted" within 10 is SERVERPID '[!0]* NO_ALARM'
check "by another server" within 10 not is SERVERPID "$server NO_ALARM"
check "MESSAGE" within 10 is MESSAGE "RESTART: done NO_ALARM"
check "RESTART is done" within 5 is RESTART "Done NO_ALARM"
check "MODE OFF" [ "$(ask put procServ:vac1:MODE OFF)" = done ]
check "AUTORESTART is Off" within 5 is AUTORESTART "Off NO_ALARM"
check "in the server" eval 'in_systemd jq -e ".mode == \"OFF\"" /run/procserv-vac1/status >/dev/null'
check "MODE 7 is none" eval 'ask put procServ:vac1:MODE 7; is MODE "OFF NO_ALARM"'
check "a child is killed" procs kill vac1
check "Shutdown" wait_for STATUS Shutdown MAJOR
check "LASTEXIT" is LASTEXIT "SIGKILL (signal 9) NO_ALARM"
check "START" [ "$(ask put procServ:vac1:START 1)" = done ]
check "Running" wait_for STATUS Running NO_ALARM
check "TOGGLE" [ "$(ask put procServ:vac1:TOGGLE 1)" = done ]
check "sets the mode OFF" within 5 is MODE "OFF NO_ALARM"
check "over PV Access" [ "$(ask pvput procServ:vac1:MODE 0)" = done ]
check "ON" within 5 is AUTORESTART "On NO_ALARM"
check "a child is killed" procs kill vac1
check "RESTARTS" within 5 is RESTARTS "1 NO_ALARM"
check "STOP" [ "$(ask put procServ:vac1:STOP 1)" = done ]
check "procServ Stopped" wait_for STATUS "procServ Stopped" MAJOR
check "START again" [ "$(ask put procServ:vac1:START 1)" = done ]
check "Running again" wait_for STATUS Running NO_ALARM
check "a command that fails" eval 'ask put procServ:never:MODE OFF; within 5 eval "ask get procServ:never:MESSAGE | grep -q \"MODE OFF: .*never\""'
check "sets no mode" within 5 eval '[ "$(ask get procServ:never:MODE)" = "ON INVALID" ]'
check "other fields are nobody's" eval 'ask put procServ:vac1:STATUS.DESC x | grep -q "no permission"'
other() { echo "$2 procServ:vac1:$1 1" | setpriv --reuid 29991 --clear-groups "$venv/bin/python" "$here/epics/client.py" 2>>"$scratch/ask"; }
check "nor is STOP another user's" eval 'other STOP put | tee "$scratch/said" | grep -q "no permission"'
check "over PV Access" eval '! other STOP pvput >"$scratch/said"; ! grep -q done "$scratch/said"'
check "still Running" is STATUS "Running NO_ALARM"
check "who did it" eval 'in_systemd journalctl --no-pager -o cat -u procserv-pvs | grep -q "^root@.* procServ:vac1:STOP.VAL"'
check "the events say it, too" eval 'procs events vac1 | grep -q "procserv-pvs"'

### Files that are none
status=$root/run/procserv-vac1/status
server=$(in_systemd systemctl show --property MainPID --value procserv-vac1)
in_systemd kill -STOP "$server"
cp "$status" "$scratch/status"
invalid() { is STATUS "* INVALID" && is PID "* INVALID" && is MODE "* INVALID" && is RESTARTS "0 INVALID"; }
# forge COMMAND...: its output becomes the status file.
forge() { "$@" "$scratch/status" >"$root/run/procserv-vac1/new" && mv "$root/run/procserv-vac1/new" "$status"; }
check "another version" eval 'forge jq ".v = 2 | .restarts = 7"; within 5 invalid'
check "the file again" eval 'forge cat; within 5 is STATUS "Running NO_ALARM"'
check "half of it" eval 'forge head -c 300; within 5 invalid'
check "numbers that are none" eval 'forge cat; within 5 is RESTARTS "0 NO_ALARM"; forge jq ".restarts = 1e30"; within 5 invalid'
check "a link" eval 'forge cat; within 5 is STATUS "Running NO_ALARM"; ln -sf /etc/shadow "$status"; within 5 invalid'
check "a FIFO" eval 'forge cat; within 5 is STATUS "Running NO_ALARM"; mkfifo "$scratch/fifo"; mv "$scratch/fifo" "$status"; within 5 invalid'
check "another process" eval 'forge jq ".pid = 1"; within 5 is STATUS "procServ Stopped MAJOR"'
check "an evil name" eval 'forge jq ".name = \"\\u001b]0;x\\u0007\" | .ends = [{signal: 99}]"; within 5 is LASTEXIT "signal 99 NO_ALARM"'
forge cat
check "and all is well" within 5 is STATUS "Running NO_ALARM"
echo "await procServ:vac1:STATUS 'procServ Stopped'" >&5
in_systemd kill -KILL "$server"
check "a server that is killed" eval 'IFS= read -r -t 20 answer <&6; [ "$answer" = "procServ Stopped MAJOR" ]'
check "systemd starts another one" wait_for STATUS Running NO_ALARM

### Instances and the IOC come and go
check "a new instance" add -A vac2 cat
check "has PVs" within 20 eval '[ "$(ask get procServ:vac2:STATUS)" = "Running NO_ALARM" ]'
check "those of the others are there again" within 20 is STATUS "Running NO_ALARM"
check "it is removed" procs remove -f vac2
check "with its PVs" [ "$(ask gone procServ:vac2:STATUS)" = gone ]
check "not those of others" within 20 is STATUS "Running NO_ALARM"
in_systemd systemctl kill -s KILL procserv-pvs
check "an IOC that is killed" within 20 is STATUS "Running NO_ALARM"

### The screen
readarray -t names < <("$venv/bin/python" - "$contrib/epics/procserv.bob" <<'PY'
import sys, xml.etree.ElementTree
for name in sorted({it.text for it in xml.etree.ElementTree.parse(sys.argv[1]).iter("pv_name")}):
    print(name.replace("$(P)", "procServ:vac1"))
PY
)
check "the screen has PVs" [ ${#names[@]} -gt 10 ]
for name in "${names[@]}"; do check "there is $name" eval 'ask get "$name" | grep -q NO_ALARM'; done
check "phoebus is told that screen" eval 'block 8 | grep -q "procserv.bob?P=procServ:vac1"'
check "the names for an alarm tree" run 9
check "are those of the IOC" says '^procServ:vac1:STATUS$'
check "nothing went wrong" eval '! in_systemd journalctl --no-pager -o cat -u procserv-pvs | grep -i -e traceback -e exception'
check "every command of the document was run" [ -z "$(ls "$scratch/blocks")" ]
finish
