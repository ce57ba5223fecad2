#!/bin/bash
# A real EPICS IOC as the child, and what its users do: its shell by socat and telnet, ^X, exit, and
# reading it over Channel Access all the while.
: "${venv:=$(realpath -m "${CARGO_TARGET_DIR:-$(dirname "$0")/../../target}/real")}"
export venv
# Before the name spaces, which have no network.
[ -n "${scratch:-}" ] || "$(dirname "$0")/ioc/prepare" "$venv" ||
    { echo "missing: python3-venv, gcc, or PyPI"; exit 77; }
. "$(dirname "$0")/lib.sh"
need socat telnet expect python3 gcc pgrep

cd "$scratch"
diagnosis="server.out log"
export EPICS_CA_ADDR_LIST=127.0.0.1 EPICS_CA_AUTO_ADDR_LIST=NO EPICS_CAS_INTF_ADDR_LIST=127.0.0.1
# Newer releases have it in green.
export IOCSH_PS1='epics> '
cat >demo.db <<'DB'
record(ao, "REAL:AO") { field(VAL, "42.5") }
record(calc, "REAL:COUNT") { field(INPA, "REAL:COUNT") field(CALC, "A+1") field(SCAN, ".1 second") }
DB
cat >st.cmd <<COMMANDS
#!$venv/bin/softIoc
dbLoadRecords("demo.db")
iocInit()
COMMANDS
chmod 755 st.cmd

# start OPTION...: the server, as units start it, but for the holdoff.
start() {
    rm -f log
    "$PROCSERV_BIN" --foreground --quiet --name=demo --logfile=log --ignore=^C^D --logoutcmd=^Q \
        --port=unix:control --port=2000 "$@" ./st.cmd >server.out 2>&1 </dev/null &
    server=$!
    runs 1
}
# runs N: the Nth IOC has come up.
runs() { within 30 has_come_up "$1"; }
has_come_up() {
    [ "$(grep -c 'iocRun: All initialization complete' log)" = "$1" ] && [ "$(tail -c 7 log)" = 'epics> ' ]
}
get() { "$venv/bin/python" "$here/ioc/get.py" "$1"; }
child() { pgrep -P "$server"; }
# talk LINE TEXT: that is in the answer to the line.
talk() {
    rm -f talk
    { printf '%s\r' "$1"; within 5 answered "$2"; } | socat -t 5 - UNIX-CONNECT:control >talk
    answered "$2"
}
answered() { [[ $(tr -d '\r' <talk) == *"$1"* ]]; }
starts() { grep -a 'Restarting child' log | cut -d ' ' -f 1; }
seconds_between() { awk -v from="$1" -v to="$2" 'NR == from { start = $1 } NR == to { print $1 - start }' <(starts); }

check "IOC starts" start --holdoff 1
first=$(child)
check "Channel Access reads it" [ "$(get REAL:AO)" = 42.5 ]
check "and what it counts" eval '[ "$(get REAL:COUNT | cut -d . -f 1)" -gt 0 ]'
check "dbl by socat" talk dbl 'dbl
REAL:AO
REAL:COUNT
epics> '
check "a put by socat" talk 'dbpf REAL:AO 7' 'DBF_DOUBLE:         7'
check "Channel Access reads that" [ "$(get REAL:AO)" = 7.0 ]
second=$(expect -f "$here/ioc/telnet.exp" 2000)
check "telnet: dbl, ^D and ^C do nothing, ^X, dbl, ^Q ($second)" [ "$second" = "$(child)" ]
check "the first IOC is gone" is_gone "$first"
check "Channel Access reads the second one" [ "$(get REAL:AO)" = 42.5 ]
leave() { printf 'exit\n' | socat -t 5 - UNIX-CONNECT:control >talk; }
leave
check "exit in the IOC's shell: a third one" runs 3
check "the end had status 0" grep -q "^@@@ Received a sigChild for process $second. Normal exit status = 0" log
check "Channel Access reads the third one" [ "$(get REAL:AO)" = 42.5 ]
last=$(child)
kill "$server"
check "server ends" wait "$server"
check "and the IOC" within 5 is_gone "$last"

# The holdoff as users get it who don't ask for another.
check "IOC starts" start "--logstamp=%s "
leave
check "exit in the IOC's shell" within 5 grep -q 'a new one will be restarted shortly' log
check "somebody who attaches then sees no child" talk typed-too-early '@@@ Child "demo" is SHUT DOWN'
check "and how to start one" answered \
    '@@@ ^R or ^X restarts the child, ^Q quits the server, ^Q closes this connection'
check "the next IOC comes" runs 2
# The stamps are whole seconds.
check "15 s after the one before: $(seconds_between 1 2)" \
    eval '[[ $(seconds_between 1 2) =~ ^1[56]$ ]]'
check "and gets nothing of what was typed before" not grep -q typed-too-early log
leave
check "exit again" within 5 eval '[ "$(grep -c "a new one will be restarted shortly" log)" = 2 ]'
printf '\x12' | socat -t 5 - UNIX-CONNECT:control >talk
check "^R starts one at once" runs 3
check "without a holdoff: $(seconds_between 2 3)" [ "$(seconds_between 2 3)" -lt 15 ]
kill "$server"
check "server ends" wait "$server"
finish
