#!/bin/bash
# docs/monitoring.md about the journal, with a real journald: entries, who may read them, journald that is
# stopped, an upgrade and a crash. journal-hosts.sh does the rest of the chapter.
. "$(dirname "$0")/lib.sh"
need jq socat useradd
. "$here/machine.bash"
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"

install "$manage" "$root/usr/local/bin/manage-procs"
ln -s manage-procs "$root/usr/local/bin/procServ-launcher"
for user in ioc other; do chroot "$root" useradd --system --user-group "$user"; done
chroot "$root" useradd --system --groups systemd-journal reader
rm -rf "${root:?}/etc/procServ.d" "$root/etc/procServ.conf"

# Each indented block of the chapter, by its number.
mkdir "$scratch/blocks"
awk -v place="$scratch/blocks/" '
    /^## The journal/ { reads = 1 }
    !reads { next }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(place count); next }
    /^### To another host/ { exit }
    { inside = 0 }' "$here/../../docs/monitoring.md"
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
diagnosis="$scratch/said"
run() { in_systemd bash -e -o pipefail -c "$(cat "$scratch/blocks/$1")" </dev/null >"$scratch/said" 2>&1 && rm "$scratch/blocks/$1"; }
procs() { in_systemd manage-procs "$@"; }
# entries MATCH...: what the journal has of vac1, as JSON.
entries() { in_systemd journalctl --quiet --no-pager --all --output json SYSLOG_IDENTIFIER=procServ "$@"; }
has() { entries "$@" | grep -q .; }
counted() { jq -e ".journal.$1" "$root/run/procserv-vac1/status"; }

boot
### From top to bottom
procs add -C /tmp -U ioc --options '--holdoff 0' vac1 cat
check "an instance" procs start vac1
check "sends its events to the journal" run 1
check "which has them" within 10 has PROCSERV_EVENT=child_start
killed() { [ "$(entries PROCSERV_EVENT=child_start _SYSTEMD_UNIT=procserv-vac1.service | wc -l)" -ge 2 ]; }
check "a kill" procs kill vac1
check "and a new child" within 10 killed
check "the questions" run 2
check "and their answers" grep -qx $'kill\t0' "$scratch/said"
check "in a sentence" grep -q 'procServ\[.*\]: vac1: killed by root (uid 0) at unix:/run/procserv-vac1/' "$scratch/said"
entry=$(entries PROCSERV_EVENT=command)
check "one entry" [ "$(wc -l <<<"$entry")" = 1 ]
is() { jq -e --arg value "$2" ".$1 == \$value" <<<"$entry" >/dev/null; }
check "of its kind" is MESSAGE_ID f291ea57694a4f1381a87f0f13257cc2
check "with a severity" is PRIORITY 5
check "of this instance" is PROCSERV_INSTANCE vac1
check "by this unit" is _SYSTEMD_UNIT procserv-vac1.service
check "whose user journald knows" is _UID "$(chroot "$root" id -u ioc)"
check "as the file has it" grep -qxF "$(jq -r .PROCSERV_JSON <<<"$entry")" "$root/var/log/procserv-vac1/events"
check "both are read" run 3
check "what is in both is there once" [ "$(grep -c 'killed by root' "$scratch/said")" = 1 ]
# The last entry comes from a process that has ended.
procs stop vac1
check "the end of the server is an entry of the unit" within 10 has PROCSERV_EVENT=server_exit _SYSTEMD_UNIT=procserv-vac1.service
procs set vac1 events=journal
procs start vac1
within 10 killed
events() { procs events --json vac1 | jq -r .event | grep -c "^$1$"; }
check "without the file, the journal has all" [ "$(events server_start)" = 2 ]

### Who may read
as() { in_systemd setpriv --reuid "$1" --regid "$1" --init-groups "${@:2}"; }
check "the group systemd-journal" eval 'as reader journalctl -q --no-pager -t procServ | grep -q killed'
check "others not" eval '! as other journalctl -q --no-pager -t procServ | grep -q .'
as other socat -u - UNIX-SENDTO:/run/systemd/journal/socket <<ENTRY
MESSAGE=forged
SYSLOG_IDENTIFIER=procServ
PROCSERV_INSTANCE=vac1
PROCSERV_EVENT=command
_SYSTEMD_UNIT=procserv-vac1.service
PROCSERV_JSON={"v":1,"time":"$(date -Iseconds)","event":"command","command":"forged"}
ENTRY
check "what another user forges is in the journal" within 10 has MESSAGE=forged
check "and not among the events" eval '! procs events --json vac1 | grep -q forged'

### Hostile
printf '\033]0;title\007"=MESSAGE\0\n\r' | in_systemd timeout 5 socat -t1 - UNIX-CONNECT:/run/procserv-vac1/raw >/dev/null
in_systemd mkdir -p /tmp/evil
evil=$'evil\nPROCSERV_EVENT=forged\n\033[2J'
in_systemd systemd-run --quiet --unit evil --uid ioc procServ --foreground -w --name "$evil" --events journal --port unix:/tmp/evil/ctl cat
forms() { entries _SYSTEMD_UNIT=evil.service PROCSERV_EVENT=server_start | jq -e --arg name "$evil" '(.PROCSERV_INSTANCE | if type == "array" then implode else . end) == $name'; }
check "a name with line ends and escape sequences is a value" within 10 forms
check "it adds no field" not has PROCSERV_EVENT=forged
check "and the message has no control character" eval 'entries _SYSTEMD_UNIT=evil.service | jq -e "select(.MESSAGE | type == \"array\")" | not grep -q .'
systemctl stop evil

### journald that does not read
journald=$(property systemd-journald.service MainPID)
before=$(counted sent)
in_systemd kill -STOP "$journald"
trouble() { grep -q '"journal"' <(jq -e '.trouble[].what' "$root/run/procserv-vac1/status"); }
fill() {
    local count
    for ((count = 0; count < 1500; count++)); do
        ! trouble || return 0
        socat -u /dev/null "UNIX-CONNECT:$root/run/procserv-vac1/view"
    done
    return 1
}
check "after some hundred events" fill
check "the server tells" within 5 trouble
echo "      $(($(counted sent || echo 0) - before)) were taken"
check "and goes on" eval 'printf "x\n" | in_systemd timeout 5 socat -t2 - UNIX-CONNECT:/run/procserv-vac1/raw | grep x >/dev/null'
check "an upgrade in place works" in_systemd kill -USR1 "$(jq .pid "$root/run/procserv-vac1/status")"
check "of the same server" within 10 eval '[ "$(jq .upgrades "$root/run/procserv-vac1/status")" = 1 ]'
in_systemd kill -CONT "$journald"
check "then the journal gets the number" within 20 has PROCSERV_EVENT=events_lost
check "and what comes after" within 20 has PROCSERV_EVENT=recovery PROCSERV_WITH=journal
lost() { [ "$(entries PROCSERV_EVENT=events_lost | jq -rs 'map(.PROCSERV_COUNT | tonumber) | add')" = "$(counted lost)" ]; }
check "all that are lost are told" within 20 lost
check "all that were taken are there" within 20 eval '[ "$(entries _PID="$(jq .pid "$root/run/procserv-vac1/status")" | jq -r "select(.PROCSERV_EVENT != \"events_lost\") | .PROCSERV_EVENT" | wc -l)" = "$(counted sent)" ]'

### A crash
procs set vac1 fdstore=yes
check "with the descriptor store" procs restart vac1
check "its child is ready" within 10 eval 'jq -e .child.ready "$root/run/procserv-vac1/status"'
in_systemd kill -KILL "$(jq .pid "$root/run/procserv-vac1/status")"
check "the next server goes on" within 10 has PROCSERV_EVENT=server_restart

check "every command of the chapter was run" [ -z "$(ls "$scratch/blocks")" ]
finish
