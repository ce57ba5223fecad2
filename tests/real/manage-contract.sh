#!/bin/bash
# What docs/manage-procs.md promises of files that procServ's own manage-procs reads, under a real
# systemd: as whom instances run, what is started at boot, what the child is told, who may use a console.
. "$(dirname "$0")/lib.sh"
need ps
. "$here/machine.bash"

install_tools
mkdir -p "$root/etc/conserver"
cat >"$root/etc/procServ.conf" <<'CONF'
[by-hand]
command = sh -c 'echo "I am $IOCNAME, $PROCSERV_NAME"; exec cat'
[off]
command = cat
instance = 0
[elsewhere]
command = cat
host = elsewhere.example
[port]
command = cat
port = 0
[tcp]
command = cat
port = 20001
[x@root]
command = cat
user = %%i
[bad]
command = 'cat
CONF

diagnosis=$scratch/said
says() { grep -q -e "$1" "$scratch/said"; }
said() { procs "$@" >"$scratch/said" 2>&1; }
state() { procs status --wide "$1" 2>/dev/null | awk 'NR == 2 { print $2 }'; }
runs() { [ "$(state "$1")" = running ]; }
field() { procs status --json "$1" 2>/dev/null | sed -n "s/^ *\"$2\": \([0-9]*\),*$/\1/p"; }
child() { field "$1" child_pid; }
server() { field "$1" server_pid; }
user() { in_systemd ps -o user= -p "$(server "$1")"; }
group() { in_systemd ps -o group= -p "$(server "$1")"; }
wanted() { [[ " $(property multi-user.target Wants) " == *" procserv-$1.service "* ]]; }
file() { in_systemd cat "$1"; }

# An image is prepared, with an instance that starts at boot and one that doesn't.
for name in boots waits; do
    "$manage" --root "$root" add -C /tmp -U daemon "$name" cat >"$scratch/said" 2>&1 || failed=1
done
check "an image is changed" "$manage" --root "$root" disable waits

boot
### Started at boot
check "one that was added" wanted boots
check "not one that was disabled" not wanted waits
check "not one that was written by hand" not wanted by-hand
check "which has a unit" [ "$(property procserv-by-hand.service LoadState)" = loaded ]
check "and none that is switched off" [ "$(property procserv-off.service LoadState)" = not-found ]
check "nor one that is wrong" [ "$(property procserv-bad.service LoadState)" = not-found ]
check "by hand each starts" procs start by-hand boots waits port tcp
for name in by-hand boots waits port tcp; do check "$name runs" within 10 runs "$name"; done
check "and is not started at boot for that" not wanted by-hand

check "systemctl disables" systemctl disable --quiet procserv-boots.service
check "what is not started at boot then" not wanted boots
check "nor after a restart" procs restart boots
check "of which" not wanted boots
check "enabled again" procs enable boots by-hand
check "it is" wanted boots
check "and one that was written by hand" wanted by-hand
check "disabled" procs disable boots by-hand
check "it is not" not wanted by-hand
check "and runs on" runs by-hand

### As whom
check "nobody without a user" [ "$(user by-hand)" = nobody ]
check "of the group nogroup" [ "$(group by-hand)" = nogroup ]
check "the user's own group" [ "$(group waits)" = daemon ]

check "not root by the name" not procs start x@root
check "which has no unit" [ "$(property procserv-x@root.service LoadState)" = not-found ]
check "nor by the unit of an early version" procs add -C / early cat
sed -i -e /^User=/d -e /^Group=/d "$root/etc/procServ.d/procserv-early.service"
check "which has no user" systemctl daemon-reload
check "doctor finds it" eval '! said doctor && says "^early: .* is not what .* says"'
check "start writes it anew" procs start early
check "and it is nobody's" within 10 eval '[ "$(user early)" = nobody ]'
printf '[Unit]\nDescription=procServ for early\n[Service]\nExecStart=/usr/bin/procServ-launcher --system early\nRuntimeDirectory=procserv-early\nUser=\n' \
    >"$root/etc/procServ.d/procserv-early.service"
check "one of the helper without a user" procs restart early
check "is nobody's, too" within 10 eval '[ "$(user early)" = nobody ]'
printf '[Service]\nExecStart=/bin/cat\n' >"$root/etc/procServ.d/procserv-early.service"
check "a unit of somebody else" eval 'said start early && says "early: .* is not what .* says, and stays"'

### [DEFAULT] of procServ.conf for procServ.d, and a merged section
printf '[DEFAULT]\nuser = daemon\nchdir = /var\n' >"$root/etc/procServ.d/00.conf"
printf '[named]\ncommand = cat\n' >"$root/etc/procServ.d/named.conf"
printf '[by-hand]\nchdir = /usr\n' >"$root/etc/procServ.d/more.conf"
check "defaults" procs restart named by-hand
check "count" within 10 eval '[ "$(user named)" = daemon ]'
check "for all files" within 10 eval '[ "$(user by-hand)" = daemon ]'
cwd() { in_systemd readlink "/proc/$(server "$1")/cwd"; }
check "the directory, too" [ "$(cwd named)" = /var ]
check "and a section's second file" [ "$(cwd by-hand)" = /usr ]

### instance, host
check "what is switched off is no instance" not procs start off
check "what is another machine's" eval 'procs start elsewhere; [ "$(property procserv-elsewhere.service ActiveState)" = inactive ]'
check "is skipped, and has not failed" [ "$(property procserv-elsewhere.service ConditionResult)" = no ]

### What the child is told, where it listens
check "its name" within 10 eval 'procs logs by-hand | grep -q "I am by-hand, by-hand"'
check "no TCP" eval '! file /run/procserv-port/info | grep -q tcp:'
check "a port beside the socket" eval 'file /run/procserv-tcp/info | grep -q ":20001$"'
check "which is the group's" [ "$(in_systemd stat -c %a:%G /run/procserv-tcp/control)" = 660:nogroup ]
check "write-procs-cf" procs write-procs-cf
check "gives nobody access" eval '! file /etc/conserver/procs.cf | grep -qw -e rw -e ro'

### A server that is killed, and one that is told to quit
before=$(server port)
in_systemd kill -KILL "$before"
renewed() { runs port && [ "$(server port)" != "$before" ]; }
check "the killed one is started again" within 20 renewed
in_systemd kill -TERM "$(server port)"
check "the other is not" within 10 eval '[ "$(property procserv-port.service ActiveState)" = inactive ]'

### An instance that is switched off
check "an instance" procs add -C / once cat
check "that is enabled" wanted once
check "switched off" procs set once instance=0
check "has no unit" [ "$(property procserv-once.service LoadState)" = not-found ]
check "and is not started at boot" not wanted once

### A unit that is lost
check "an instance" procs add -A -C /tmp lost cat
check "whose unit" rm "$root/etc/procServ.d/procserv-lost.service"
check "is lost" systemctl daemon-reload
check "restarts" procs restart lost
check "and runs" within 10 runs lost
rm "$root/etc/procServ.d/procserv-lost.service"
systemctl daemon-reload
check "or is stopped" procs stop lost
check "and removed" procs remove lost
check "without a trace" [ -z "$(in_systemd find /etc/systemd /etc/procServ.d -name 'procserv-lost*' -o -name lost.conf)" ]

### Many at once
for n in $(seq 200); do printf '[many-%s]\ncommand = cat\n' "$n"; done >"$root/tmp/many"
check "200" procs add --from /tmp/many
check "are known" [ "$(property procserv-many-200.service LoadState)" = loaded ]
check "and wanted" wanted many-1
finish

### A group controls, and everybody watches
printf '[roles]\ncommand = sh\ncontrol_group = daemon\n' >"$root/etc/procServ.d/roles.conf"
check "an instance for a group" procs start roles
rights() { in_systemd stat -c %a:%G /run/procserv-roles/control /run/procserv-roles/raw /run/procserv-roles/api | sort -u; }
check "gives it the sockets" within 10 eval '[ "$(rights)" = 660:daemon ]'
check "but that to watch" [ "$(in_systemd stat -c %a /run/procserv-roles/view)" = 666 ]
as_group() { in_systemd setpriv --reuid daemon --regid "$1" --clear-groups manage-procs --system "${@:2}"; }
check "a member types" eval 'printf "echo $((40 + 2))1\r\4" | as_group daemon attach roles | grep -q 421'
check "nobody else does" eval '! as_group nogroup send roles "echo no" </dev/null'
check "nor by a pipe" eval '! as_group nogroup attach roles </dev/null'
watched() { in_systemd timeout 3 setpriv --reuid daemon --regid nogroup --clear-groups \
    script -qec "manage-procs --system attach roles" /dev/null </dev/null; }
check "everybody watches" eval 'watched | grep -q "you may watch, but have no permission to type"'
check "doctor has nothing to say" eval '! procs doctor | grep -q "^roles:"'
