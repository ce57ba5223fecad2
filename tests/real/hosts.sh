#!/bin/bash
# Twenty hosts, each a network namespace with a real sshd and files of its own, and one that hangs: all
# commands of manage-procs on them, and what docs/many-hosts.md tells people to type, word for word.
. "$(dirname "$0")/lib.sh"
need ip ssh sshd ssh-keygen expect jq nsenter setsid
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"
count=20
cd "$scratch"
diagnosis="said complaints dialogue.out"

### what is the same on all hosts
mkdir bin layers
mount -t tmpfs none layers
mkdir layers/{upper,work}
mount -t overlay -o "lowerdir=/etc,upperdir=$scratch/layers/upper,workdir=$scratch/layers/work" none /etc
empty /run /root /var/log
mkdir -m 755 /run/sshd
mkdir -m 700 /root/.ssh
mkdir -p /etc/procServ.d
install "$PROCSERV_BIN" "$manage" bin
ln -s manage-procs bin/procServ-launcher
# No systemd runs here.
printf '#!/bin/sh\necho "$(hostname) $*" >>%s/systemctl\n' "$scratch" >bin/systemctl
chmod 755 bin/systemctl
ssh-keygen -q -N '' -t ed25519 -f host_key
ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/id_ed25519
# All hosts are this machine, whose time is not to go into encryption.
fast='Host *
    KexAlgorithms curve25519-sha256'
echo "$fast" >/root/.ssh/config
echo "* $(cut -d' ' -f 1,2 host_key.pub)" >/root/.ssh/known_hosts
cat >sshd_config <<CONF
HostKey $scratch/host_key
AuthorizedKeysFile /root/.ssh/id_ed25519.pub
PermitRootLogin yes
UsePAM no
StrictModes no
UseDNS no
PidFile /run/sshd.pid
SetEnv PATH=$scratch/bin:/usr/sbin:/usr/bin:/sbin:/bin
CONF
export PATH=$scratch/bin:$PATH HOME=/root LC_ALL=C TERM=vt100

### the hosts
ip link add bridge type bridge
ip address add 10.78.0.254/24 dev bridge
ip link set bridge up
for n in $(seq $count); do
    echo "10.78.0.$n ioc-host$n" >>/etc/hosts
    ip netns add host$n
    ip link add port$n type veth peer name eth0 netns host$n
    ip link set port$n master bridge up
    ip -netns host$n address add 10.78.0.$n/24 dev eth0
    ip -netns host$n link set lo up
    ip -netns host$n link set eth0 up
done
# start NUMBER NAME: a host with an instance. Its processes have a file with the PID of the first one.
start() {
    nsenter --net=/run/netns/host$1 unshare --mount --uts setsid bash -c '
        hostname "ioc-host$1"
        mount -t tmpfs none /run
        mount -t tmpfs none /var/log
        mount -t tmpfs none /etc/procServ.d
        mkdir -m 755 /run/sshd "/run/procserv-$2" "/var/log/procserv-$2"
        printf "[%s]\ncommand = /bin/cat\noptions = --holdoff 0 --logstamp --logfile /var/log/procserv-%s/log\n" \
            "$2" "$2" >"/etc/procServ.d/$2.conf"
        procServ-launcher --system "$2" </dev/null >/dev/null 2>&1 &
        echo "$!" >"$scratch/server$1"
        echo "$$" >"$scratch/host$1"
        exec /usr/sbin/sshd -D -e -f "$scratch/sshd_config"' - "$1" "$2" >"sshd$1.out" 2>&1 </dev/null &
}
name() { [ "$1" = 3 ] && echo rf1 || echo "vac$1"; }
for n in $(seq $count); do start "$n" "$(name "$n")"; done
answers() { ssh -o BatchMode=yes -o ConnectTimeout=2 "ioc-host$1" test -s "/run/procserv-$(name "$1")/status"; }
for n in $(seq $count); do check "host $n is up" within 20 answers "$n"; done

### the document
mkdir blocks
awk '/^#+ / { sub(/^#+ /, ""); section = $0; count = 0; inside = 0; next }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >("blocks/" section " " count); next }
    { inside = 0 }' "$here/../../docs/many-hosts.md"
block() { cat "blocks/$1" && rm "blocks/$1"; }
run() {
    command=$(block "$1")
    timeout 60 bash -c "$command" </dev/null >said 2>complaints
    status=$?
    return $status
}
says() { grep -q -e "$1" said; }
dialogue() { expect -f "$here/dialogue.exp" "$@" >>dialogue.out 2>&1; }

check "a list from one host" run "What it needs 1"
check "is that host's" says '^vac1 '
check "two hosts" run "Hosts and groups 1"
check "have a row each" [ "$(awk '{ print $1, $2, $3 }' said | xargs)" = "HOST NAME STATE ioc-host1 vac1 running ioc-host2 vac2 running" ]
check "the option behind the command" run "Hosts and groups 2"
check "says the same" [ "$(wc -l <said)" = 3 ]
block "Hosts and groups 3" >/etc/procServ-hosts.conf
check "a group" run "Hosts and groups 4"
check "has two hosts" [ "$(awk 'NR > 1 { print $1, $2 }' said | xargs)" = "ioc-host1 vac1 ioc-host2 vac2" ]
check "all groups" run "Hosts and groups 5"
check "have three" [ "$(awk 'NR > 1 { print $1, $3 }' said | xargs)" = "ioc-host1 running ioc-host2 running ioc-host3 running" ]
check "what is wrong" run "Look 1"
check "is nothing" says '^nothing is wrong$'
run "Look 2"
check "doctor is about all hosts" eval '[ $status -le 1 ] && [ ! -s complaints ] && { says "^no problems found (3 hosts)" || says "^ioc-host"; }'
command=$(block "Look 3")
check "top" dialogue 'rf1 w {next} q {quit} q' bash -c "$command"
check "events" run "Look 4"
check "of all hosts" [ "$(grep -c 'child started' said)" = 3 ]
check "in order" eval 'awk "{ print \$1 }" said | sort -C'
(block "Look 5" && echo) >follow
timeout 60 bash -c "$(sed 's/^/exec /' follow)" >followed 2>complaints </dev/null &
follower=$!
send() { manage-procs send --wait 0 "ioc-host$1:vac$1" "line from $1"; }
followed() { grep -q "ioc-host$1 vac$1 | line from $1" followed; }
check "the logs of two hosts are followed" eval 'within 20 eval "send 1; sleep 1; followed 1" && within 20 eval "send 2; sleep 1; followed 2"'
kill "$follower"
wait "$follower" 2>/dev/null
check "and the processes of ssh end" within 10 not pgrep -f "ssh .*'--follow'"
command=$(block "One instance 1")
check "$command" dialogue '"Welcome to procServ" "typed here\r" "typed here\r\ntyped here" "\x1d" {keeps running}' bash -c "$command"
check "why" run "One instance 2"
check "is about the instance" says 'vac1'
check "a line" run "One instance 3"
check "comes back" says '^hello$'
check "whichever host has it" run "One instance 4"
check "is asked" says 'vac2'
check "upgrade" run "Do something 1"
check "of both" [ "$(awk 'NR > 1 { print $1, $2, $3 }' said | xargs)" = "ioc-host1 vac1 upgraded ioc-host2 vac2 upgraded" ]
check "restart" run "Do something 2"
check "is systemd's on each host" [ "$(grep -o '^ioc-host[0-9]* .*restart.*' systemctl | sort | xargs)" = \
    "ioc-host1 --system restart procserv-vac1.service ioc-host2 --system restart procserv-vac2.service" ]
check "mode" run "Do something 3"
check "is told behind the host" says '^ioc-host3: rf1: auto restart mode is OFF$'
{ block "Faster, and kinder to the hosts 1" && echo "$fast"; } >/root/.ssh/config
check "JSON, over connections that stay" run "In scripts 1"
check "names nothing" [ ! -s said ]
check "again" eval 'manage-procs -H @all --json status >said && [ "$(jq length said)" = 3 ]'
check "the connections are shared" [ "$(find /root/.ssh -type s | wc -l)" = 3 ]
check "for a check" run "In scripts 2"
check "nothing is wrong" says '^nothing is wrong$'
check "no block is left out" [ -z "$(ls blocks)" ]

### twenty hosts, one of them hung
for n in $(seq $count); do echo "ioc-host$n"; done >/etc/procServ-hosts.conf
all() {
    timeout 40 manage-procs -H @all "$@" >said 2>complaints
    status=$?
    [ $status != 124 ]
}
# running NUMBER: so many instances run. The machine is slow if it has other things to do, too.
running() { all status && [ "$(awk '$3 == "running"' said | wc -l)" = "$1" ]; }
twenty() { running 20 && [ $status = 0 ] && [ ! -s complaints ]; }
check "twenty hosts" within 20 twenty
# One that accepts connections and says nothing, and one with a connection that is shared.
stop_host() { kill -STOP "$(cat "host$1")"; pkill -STOP -P "$(cat "host$1")"; }
echo "$fast" >/root/.ssh/config
stop_host 7
check "a host that hangs costs the others nothing" within 20 running 19
check "and is a row" eval '[ $status = 1 ] && says "^ioc-host7  *-  *no_answer .*no answer within 5 s$"'
json() { all --json status && [ "$(jq -c '[length, (map(select(.error)) | length)]' said)" = '[20,1]' ]; }
check "as JSON" within 20 json
all doctor
check "doctor names it" eval '[ $status = 1 ] && says "^ioc-host7 .*no answer within 5 s"'
events() { all events && [ "$(awk '/child started/ { print $2 }' said | sort -u | wc -l)" = 19 ]; }
check "events of the others" within 20 events
check "with the reason" eval '[ "$(cat complaints)" = "manage-procs: ioc-host7: no answer within 5 s" ]'
logs() { all logs -n 1000 && [ "$(awk '{ print $2 }' said | sort -u | wc -l)" = 19 ]; }
check "logs of the others" within 20 logs
check "one is killed, wherever it is" within 20 eval 'all kill vac9; says "^ioc-host9: vac9: sent the kill signal"'
printf '%s\nHost ioc-host8\n ControlMaster auto\n ControlPath ~/.ssh/%%C\n ControlPersist 1m\n' "$fast" >/root/.ssh/config
check "a shared connection" ssh ioc-host8 true
stop_host 8
check "to a host that hangs then, is no better" within 20 running 18
check "and is a row, too" says "^ioc-host8  *-  *no_answer"
pkill -CONT -P "$(cat host7)"; kill -CONT "$(cat host7)"
pkill -CONT -P "$(cat host8)"; kill -CONT "$(cat host8)"
check "and both are back" within 20 twenty
ssh -O exit ioc-host8 2>/dev/null
finish
