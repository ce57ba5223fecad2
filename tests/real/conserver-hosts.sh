#!/bin/bash
# Two machines, each with a server and a conserver that knows of the other one: any console is
# reached from either.
. "$(dirname "$0")/lib.sh"
need conserver console expect ip

# The other machine, as far as its network goes.
empty /run /var/log
ip netns add other
ip link add here type veth peer name there netns other
ip address add 10.77.0.1/24 dev here
ip -netns other address add 10.77.0.2/24 dev there
ip link set here up
ip -netns other link set lo up
ip -netns other link set there up
export HOME=$scratch LC_ALL=C

cd "$scratch"
diagnosis="*.out *.log"
# The same file on both: each conserver serves the consoles whose master it is, and sends those who
# ask for others to their master.
cat >conserver.cf <<CONF
config * { passwdfile $scratch/none; }
default ioc { rw *; logfile $scratch/&.clog; timestamp ""; options reinitoncc; }
console ioc-here { include ioc; master 10.77.0.1; type uds; uds $scratch/control; }
console ioc-there { include ioc; master 10.77.0.2; type host; host 127.0.0.1; port 20001; protocol telnet; }
access * { trusted 127.0.0.1, 10.77.0.1, 10.77.0.2; }
CONF

"$PROCSERV_BIN" -f -n ioc-here --holdoff 1 -L here.log -P unix:control /bin/cat >here.out 2>&1 </dev/null &
here_server=$!
start_there() {
    rm -f there.log
    ip netns exec other "$PROCSERV_BIN" -f -n ioc-there --holdoff 1 -L there.log -P 20001 /bin/cat \
        >there.out 2>&1 </dev/null &
    there_server=$!
    within 10 grep -q 'PID of new child' there.log
}
check "server there starts" start_there
check "server here, too" within 10 grep -q 'PID of new child' here.log
conserver -C conserver.cf -p 3109 -M 10.77.0.1 >conserver-here.out 2>&1 &
conserver_here=$!
ip netns exec other conserver -C conserver.cf -p 3109 -M 10.77.0.2 >conserver-there.out 2>&1 &
conserver_there=$!

# ask MACHINE OPTION...: conserver's client, first with the conserver of that machine.
ask() { console -p 3109 -M "$@"; }
both_up() { [ "$(ask "$1" -u | awk '{ print $1, $2 }' | sort | xargs)" = 'ioc-here up ioc-there up' ]; }
check "the conserver here lists both consoles" within 20 both_up 10.77.0.1
check "the one there, too" within 20 both_up 10.77.0.2

from=()
# attach MACHINE CONSOLE
attach() {
    "${from[@]}" expect -f "$here/console.exp" '.Enter `.Ec.. for help.\r\n' raw yes '\x05c.' "$2" \
        console -p 3109 -M "$1" "$2"
}
for console in ioc-here ioc-there; do
    check "$console from here" attach 10.77.0.1 $console
    check "$console through the conserver there" attach 10.77.0.2 $console
done
from=(ip netns exec other)
check "ioc-here by somebody there" attach 10.77.0.2 ioc-here
from=()

kill "$there_server"
check "server there ends" wait "$there_server"
check "which is seen here" within 10 eval 'ask 10.77.0.1 -u | grep -q "^ *ioc-there *down"'
check "and starts again" start_there
check "attaching from here brings its console up again" attach 10.77.0.1 ioc-there

kill "$conserver_there"
wait "$conserver_there"
check "without the conserver there, the console here is served" attach 10.77.0.1 ioc-here
check "and the one there is not" not attach 10.77.0.1 ioc-there >/dev/null
kill "$conserver_here" "$here_server" "$there_server"
check "servers end" wait "$here_server" "$there_server"
finish
