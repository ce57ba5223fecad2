#!/bin/bash
# Two machines and the network between them: which endpoints the other machine can reach.
. "$(dirname "$0")/lib.sh"
need ip socat ss

# The other machine. This one is 10.77.0.1 there.
mount -t tmpfs none /run
ip netns add other
ip link add here type veth peer name there netns other
ip address add 10.77.0.1/24 dev here
ip -netns other address add 10.77.0.2/24 dev there
ip link set here up
ip -netns other link set there up
cd "$scratch"
diagnosis=server.out

# start OPTION...: a server on new endpoints.
start() {
    rm -f log
    "$PROCSERV_BIN" -f -n kid --holdoff 1 -L log "$@" /bin/cat >server.out 2>&1 </dev/null &
    server=$!
    within 10 grep -q 'PID of new child' log
}
stop() { kill "$server" && wait "$server"; }

# What a connection from here or from there brings within the time that a greeting takes at most;
# `refused` if there is none.
ask() { timeout 5 socat -T 1 - "TCP:$1,connect-timeout=3" <<<"$2" 2>&1 | sed 's/.*Connection refused$/refused/'; }
here() { ask "$@"; }
there() { ip netns exec other bash -c "$(declare -f ask)"'; ask "$@"' - "$@"; }
controls() { "$1" "$2" "line from $1 to $2" | grep -aq '^@@@ Welcome' && within 5 grep -q "line from $1 to $2" log; }
watches() {
    local seen
    seen=$("$1" "$2" "line from $1 to $2") && grep -aq '^@@@ procServ server PID' <<<"$seen" &&
        not grep -aq '^@@@ Welcome' <<<"$seen" && not grep -q "line from $1 to $2" log
}
refuses() { [ "$("$1" "$2" x)" = refused ]; }
listens() { [ "$(ss -Hltn | awk '{ print $4 }' | sort | xargs)" = "$*" ]; }

check "the other machine is there" refuses there 10.77.0.1:9

check "server starts" start -P 7001 -P 10.77.0.1:7003 -l 7002
check "control ports are on localhost, the log port is anywhere" \
    listens 0.0.0.0:7002 127.0.0.1:7001 127.0.0.1:7003
check "control from here" controls here 127.0.0.1:7001
check "not from there" refuses there 10.77.0.1:7001
check "nor here by the other address" refuses here 10.77.0.1:7001
check "an interface without --allow is not that interface" refuses there 10.77.0.1:7003
check "but localhost" controls here 127.0.0.1:7003
check "log from here" watches here 127.0.0.1:7002
check "and from there" watches there 10.77.0.1:7002
ip netns exec other socat -u TCP:10.77.0.1:7002 CREATE:watched &
watcher=$!
check "a log client there" within 5 grep -q 'server PID' watched
check "control from here" controls here 127.0.0.1:7001
check "shows there" within 5 grep -q 'line from here to 127.0.0.1:7001' watched
check "server ends" stop
check "and so does the log client there" wait "$watcher"
check "it saw the news" grep -q '^@@@ Child process is shutting down' watched

check "server starts with --allow" start --allow -P 7001 -P 10.77.0.1:7003 -l 7002
check "everything is where it was asked for" listens 0.0.0.0:7001 0.0.0.0:7002 10.77.0.1:7003
check "control from there" controls there 10.77.0.1:7001
check "control from there on an explicit interface" controls there 10.77.0.1:7003
check "which is not localhost" refuses here 127.0.0.1:7003
check "server ends" stop

check "server starts with --restrict" start --restrict -P 7001 -l 7002
check "everything is on localhost" listens 127.0.0.1:7001 127.0.0.1:7002
check "log from here" watches here 127.0.0.1:7002
check "not from there" refuses there 10.77.0.1:7002
check "control neither" refuses there 10.77.0.1:7001
check "server ends" stop

check "server starts with --restrict and an explicit interface" \
    start --restrict -P 7001 -l 10.77.0.1:7002
check "which is localhost, too" listens 127.0.0.1:7001 127.0.0.1:7002
check "server ends" stop

check "server starts with an explicit interface for the log" start -P 7001 -l 10.77.0.1:7002
check "which is that" listens 10.77.0.1:7002 127.0.0.1:7001
check "log from there" watches there 10.77.0.1:7002
check "server ends" stop

"$PROCSERV_BIN" -f -P 7001 -l 10.99.0.1:7002 /bin/cat >server.out 2>&1 </dev/null
check "an address of another machine is an error: 99" [ $? = 99 ]
check "that says so" grep -q 'creating the initial log telnet port: Cannot assign requested address' server.out
finish
