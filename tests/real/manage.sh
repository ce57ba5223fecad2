#!/bin/bash
# What docs/tutorial.md tells people to type, word for word, under a real systemd; and what lives on
# meanwhile.
. "$(dirname "$0")/lib.sh"
need expect socat useradd conserver setpriv
. "$here/machine.bash"

tutorial=$here/../../docs/tutorial.md
install_tools
mkdir -p "$root/etc/conserver"
# One that nobody has added: the generator makes its unit.
printf '[by-hand]\ncommand = cat\nuser = daemon\n' >"$root/etc/procServ.conf"

# Each block is a command of its own, in a file of the name of its section and its number there.
mkdir "$scratch/blocks"
awk -v directory="$scratch/blocks/" '
    /^## / { section = substr($0, 4); count = 0; inside = 0; next }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(directory section " " count); next }
    { inside = 0 }' "$tutorial"
left() { ls "$scratch/blocks"; }
# Runs a block, which is taken away; its output is in $scratch/said.
run() {
    local text
    text=$(cat "$scratch/blocks/$1") && rm "$scratch/blocks/$1" || return
    in_systemd bash -e -c "$text" </dev/null >"$scratch/said" 2>"$scratch/complaints"
    local status=$?
    cat "$scratch/complaints" >>"$scratch/all.out"
    return $status
}
diagnosis="$scratch/said $scratch/all.out"
says() { grep -q -e "$1" "$scratch/said"; }
quiet() { [ ! -s "$scratch/complaints" ]; }
# state NAME...: as status has it.
states() { procs status --wide "$@" | awk 'NR > 1 { print $2 }' | sort | uniq -c | awk '{ print $2 $1 }' | tr '\n' ' '; }
are() { [ "$(states "${@:2}")" = "$1 " ]; }
field() { procs status --json "$1" | sed -n "s/^ *\"$2\": \([0-9]*\),*$/\1/p"; }
child() { field "$1" child_pid; }
server() { field "$1" server_pid; }

boot
check "the generator's unit is there" [ "$(property procserv-by-hand.service LoadState)" = loaded ]
check "and starts" procs start by-hand
check "its server" within 10 are running1 by-hand

printf '[late]\ncommand = cat\n' >"$root/etc/procServ.d/late.conf"
check "one that came since starts, too" procs start late
printf 'user = daemon\n' >>"$root/etc/procServ.d/late.conf"
check "doctor sees what has changed" eval 'procs doctor | grep -q "^late: systemd has not read"'
check "and is restarted" procs restart late
check "as its user" within 10 eval '[ "$(in_systemd ps -o user= -p "$(child late)")" = daemon ]'
check "and is gone" procs remove late

in_systemd chmod 700 /run/procserv-by-hand
check "what others hide is not called stopped" eval 'in_systemd setpriv --reuid nobody --clear-groups \
    manage-procs --system status --wide by-hand | grep -q "^by-hand *hidden"'
in_systemd chmod 755 /run/procserv-by-hand
in_systemd mount -o remount,hidepid=invisible /proc
check "nor dead, whose process is hidden" eval 'in_systemd setpriv --reuid nobody --regid nogroup --clear-groups \
    manage-procs --system status --wide by-hand | grep -q "^by-hand *hidden"'
in_systemd mount -o remount,hidepid=off /proc

check "a name with a colon" procs add -A -C /tmp LI20:IOC-1 cat
check "and another" procs add -A -C /tmp LI20:IOC-2 cat
check "run apart" within 10 are running2 'LI20:*'
check "and are gone" eval 'procs remove LI20:IOC-1 && procs remove LI20:IOC-2'

### One IOC
check "an IOC" run "One IOC 1"
check "its user" run "One IOC 2"
check "add and start" run "One IOC 3"
check "without a complaint" quiet
check "the IOC runs" within 10 are running1 ioc1
check "its unit is enabled" [ "$(systemctl is-enabled procserv-ioc1.service)" = enabled ]
check "as its user" [ "$(in_systemd ps -o user= -p "$(child ioc1)")" = ioc ]
check "list and status" run "One IOC 4"
check "show it" says '^ioc1 *running '
check "both run" are running2

# A person at a terminal: a line, a kill, and the key that leaves.
dialogue() { TERM=vt100 expect -f "$here/dialogue.exp" "$@" >>"$scratch/dialogue.out" 2>&1; }
attach=$(cat "$scratch/blocks/One IOC 5") && rm "$scratch/blocks/One IOC 5"
before=$(child ioc1)
check "$attach" dialogue \
    '"Welcome to procServ" hello\r "hello\r\nhello" \x18 "Received a sigChild" \x1d "keeps running"' \
    nsenter -t "$init" --mount --pid --cgroup --root --wd $attach
renewed() { [ "$(child ioc1)" != "$before" ] && are running1 ioc1; }
check "^X has restarted the IOC" within 30 renewed
in_log() { procs logs ioc1 | grep -q "$1"; }
check "logs" run "Logs 1"
check "have its first words" says ' ioc1: All initialization complete'
check "and what was typed" within 10 in_log ' hello'

### A hundred IOCs
check "99 more" run "A hundred IOCs 1"
check "not running yet" are stopped99 'ioc[2-9]*' 'ioc1?*'
check "start, status" run "A hundred IOCs 2"
check "all run" within 60 are running101
check "on ports of their own" eval \
    'in_systemd socat -u TCP:localhost:20077,readbytes=11 - | grep -q "@@@ Welcome"'
check "status for programs" run "A hundred IOCs 3"
check "is JSON" eval 'python3 -c "import json, sys; assert json.load(sys.stdin)[0][\"state\"] == \"running\"" <"$scratch/said"'
check "logs of several" run "Logs 2"
check "have their names" says ' ioc1[0-9]  *| ioc1[0-9]: All'
check "an edited file" run "A hundred IOCs 4"
is_there() { [ "$(in_systemd readlink "/proc/$(child ioc7)/cwd")" = /opt/iocs/ioc1 ]; }
check "counts" within 10 is_there
check "without a complaint" quiet

### Logs
earlier() { in_systemd sh -c 'printf "\004" | manage-procs attach ioc1' | grep -q '^ioc1: All init'; }
check "nothing of it is told" not earlier
check "a history" run "Logs 3"
check "tells it" within 10 earlier

### Permissions: who may use a console
may() { in_systemd setpriv --reuid "$1" --regid "$2" --clear-groups manage-procs --system attach ioc1 </dev/null; }
check "everybody may" may nobody nogroup
check "a drop-in" run "Permissions: who may use a console 1"
check "the IOC runs" within 10 are running1 ioc1
check "keeps others out" not may nobody nogroup
check "and lets its group in" may nobody ioc
in_systemd rm /etc/systemd/system/procserv-.service.d/console.conf
in_systemd systemctl daemon-reload
check "a group that controls" run "Permissions: who may use a console 2"
check "the IOC runs" within 10 are running1 ioc1
as_member() { in_systemd setpriv --reuid nobody --regid "$1" --clear-groups manage-procs --system "${@:2}"; }
check "whoever is no member may watch" dialogue \
    '"you may watch" "typed by others\r" "Welcome to procServ" \x1d "keeps running"' nsenter -t "$init" \
    --mount --pid --cgroup --root --wd setpriv --reuid nobody --regid nogroup --clear-groups manage-procs --system attach ioc1
check "and may not send" eval '! as_member nogroup send ioc1 "sent by others" 2>>"$scratch/all.out"'
check "its group may" as_member ioc send ioc1 "sent by the group"
check "which arrives" within 10 in_log 'sent by the group'
check "alone" not in_log 'by others'

### Limits, restart, dependencies: change the unit
check "another drop-in" run "Limits, restart, dependencies: change the unit 1"
check "the IOC runs" within 10 are running1 ioc1
check "as the drop-in has it" [ "$(in_systemd systemctl show procserv-ioc1 -P LimitRTPRIO -P LimitMEMLOCK \
    -P OOMPolicy -P Restart | sort | xargs)" = "99 always continue infinity" ]
in_systemd rm /etc/systemd/system/procserv-.service.d/site.conf
in_systemd systemctl daemon-reload

### What is wrong
check "doctor finds nothing" run "What is wrong 1"
in_systemd kill -STOP "$(server ioc8)"
in_systemd kill -KILL "$(server ioc8)"
check "it is started again after a kill" within 20 are running1 ioc8
check "and systemd has tidied up" procs doctor
procs stop ioc8

### Upgrade to a new version
# Somebody is attached meanwhile.
mkfifo "$scratch/keys"
procs attach unix:/run/procserv-ioc1/control <"$scratch/keys" >"$scratch/console" 2>&1 &
attached=$!
exec 7>"$scratch/keys"
check "attached" within 10 grep -q 'plus you' "$scratch/console"
before=$(server ioc1),$(child ioc1)
cp "$root/usr/bin/procServ" "$root/usr/bin/procServ.new"
mv "$root/usr/bin/procServ.new" "$root/usr/bin/procServ"
check "upgrade" run "Upgrade to a new version 1"
check "all but the one that is down" says '^ioc99: upgraded: '
check "one is down" says '^ioc8: stopped: '
check "PIDs are what they were" [ "$(server ioc1),$(child ioc1)" = "$before" ]
check "the program is the new one" \
    [ "$(in_systemd stat -Lc %i "/proc/${before%,*}/exe")" = "$(in_systemd stat -c %i /usr/bin/procServ)" ]
echo typed >&7
check "who is attached still is" within 10 grep -q '^typed' "$scratch/console"
exec 7>&-
check "and leaves" wait $attached

### conserver
check "write-procs-cf" run "conserver 1"
printf '#include /etc/conserver/procs.cf\naccess * { trusted 127.0.0.1; }\n' >"$root/etc/conserver/conserver.cf"
check "conserver takes it" in_systemd conserver -S -C /etc/conserver/conserver.cf
check "with all consoles" [ "$(in_systemd grep -c '^console ' /etc/conserver/procs.cf)" = 101 ]

### Remove an IOC, or go back
check "stop, remove" run "Remove an IOC, or go back 1"
check "stopped" are stopped11 'ioc9*'
check "it is gone" eval '! procs list ioc100 2>/dev/null && [ ! -e "$root/etc/procServ.d/ioc100.conf" ]'
check "systemd has forgotten it" [ "$(property procserv-ioc100.service LoadState)" = not-found ]
check "nothing of it runs" [ -z "$(in_systemd pgrep -f 'name ioc100 ')" ]
check "nothing of the tutorial is left" [ -z "$(left)" ]
finish
