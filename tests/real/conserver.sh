#!/bin/bash
# contrib/conserver/conserver.cf as it is, with the real conserver and its client, before a server
# on a Unix socket, one on a Unix socket without telnet and one on a TCP port.
. "$(dirname "$0")/lib.sh"
need conserver console expect setpriv

empty /run /var/log
add_user ioc
run=/run/procServ/example
raw_run=/run/procServ/example-raw
clog=/var/log/conserver
mkdir -p $run $raw_run $clog "$scratch/home"
chown -R ioc:ioc $run $raw_run $clog
# A copy that the user ioc can reach wherever this clone is.
config=$scratch/conserver.cf
cp "$contrib/conserver/conserver.cf" "$config"
diagnosis="$scratch/*.log $scratch/*.out $clog/*"

as_ioc() { exec setpriv --reuid ioc --regid ioc --clear-groups "$@"; }
start_servers() {
    rm -f "$scratch/unix.log" "$scratch/raw.log" "$scratch/tcp.log"
    "$PROCSERV_BIN" -f -n example --holdoff 1 -L "$scratch/unix.log" \
        -P "unix::ioc:0660:$run/control" /bin/cat >"$scratch/unix.out" 2>&1 </dev/null &
    unix=$!
    "$PROCSERV_BIN" -f -n example-raw --holdoff 1 -L "$scratch/raw.log" \
        -P "raw:unix::ioc:0660:$raw_run/raw" /bin/cat >"$scratch/raw.out" 2>&1 </dev/null &
    raw=$!
    "$PROCSERV_BIN" -f -n example-tcp --holdoff 1 -L "$scratch/tcp.log" \
        -P 20001 /bin/cat >"$scratch/tcp.out" 2>&1 </dev/null &
    tcp=$!
    within 10 grep -q 'PID of new child' "$scratch/unix.log" &&
        within 10 grep -q 'PID of new child' "$scratch/raw.log" &&
        within 10 grep -q 'PID of new child' "$scratch/tcp.log"
}
# consoles UP-OR-DOWN: whether all are.
consoles() { [ "$(HOME=$scratch/home console -p 3109 -M localhost -u | grep -c " $1 ")" = 3 ]; }

# attach CONSOLE: conserver's own client, left with ^Ec.
attach() {
    HOME=$scratch/home LC_ALL=C expect -f "$here/console.exp" '.Enter `.Ec.. for help.\r\n' raw yes '\x05c.' "$1" \
        console -p 3109 -M localhost "$1"
}

users() { HOME=$scratch/home LC_ALL=C expect -f "$here/users.exp" console -p 3109 -M localhost "$1"; }

conserver -S -C "$config" >"$scratch/syntax.out" 2>&1
check "conserver accepts the configuration" [ $? = 0 ]
check "without a complaint" not grep -iE 'error|unknown|ignor' "$scratch/syntax.out"

check "servers and children start" start_servers
as_ioc conserver -C "$config" -p 3109 -M 127.0.0.1 >"$scratch/conserver.out" 2>&1 &
conserver=$!
check "all consoles come up" within 10 consoles up
check "console on a Unix socket" attach example
check "console without telnet" attach example-raw
check "console on a TCP port" attach example-tcp

check "two users on it" users example
check "on the one without telnet" users example-raw
check "and on the one on TCP" users example-tcp

kill "$unix" "$raw" "$tcp"
wait "$unix" "$raw" "$tcp"
check "conserver sees the servers end" within 10 consoles down
check "servers and children start again" start_servers
check "attaching brings the Unix console up again" attach example
check "attaching brings the one without telnet up again" attach example-raw
check "attaching brings the TCP console up again" attach example-tcp

# conserver's logs, but for its own lines about the console and the hour.
echoed() { printf '%s\r\n%s\r\n' "$1" "$1"; }
toggled() { printf '\r\n@@@ Toggled auto restart mode to %s\r\n' OFF ONESHOT ON; }
# logged NAME LOG NEGOTIATION
logged() {
    greeting "$1" "$2" 0
    printf "$3"
    echoed hello
    toggled
    killed "$1"
    echoed again
}
# log_is NAME LOG NEGOTIATION
log_is() {
    cmp <(sed '/^\[-- .* --.*\]\r$/d' "$clog/$1.log" | masked) <(
        logged "$@"
        echoed 'from anna'
        echoed again
        killed "$1"
        echoed 'ben now'
        last_words
        logged "$@"
    )
}
# It speaks no telnet on Unix sockets.
check "log of the Unix console, all of it" log_is example "$scratch/unix.log" '\xff\xfb\x01\xff\xfd"'
# And need not with this one.
check "log of the one without telnet is clean" log_is example-raw "$scratch/raw.log" ''
# On TCP conserver sometimes orders its own answers and the first lines otherwise, so not as a whole.
tcp_log_has() {
    local line
    for line in hello 'from anna' again 'ben now' '@@@ Got a kill command' \
        '@@@ Child process is shutting down, a new one will be restarted shortly'; do
        grep -qF "$line" "$clog/example-tcp.log" || return
    done
    ! grep -q "$(printf '\377')" "$clog/example-tcp.log"
}
check "log of the TCP console has it all, and no telnet" tcp_log_has
check "all begin as the consoles come up" \
    [ "$(head -qn 1 $clog/example.log $clog/example-raw.log $clog/example-tcp.log | grep -c '^\[-- Console up -- ')" = 3 ]

kill "$conserver" "$unix" "$raw" "$tcp"
check "servers end" wait "$unix" "$raw" "$tcp"
finish
