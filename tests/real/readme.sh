#!/bin/bash
# What README.md tells people to type and to put into files, word for word.
. "$(dirname "$0")/lib.sh"
need cargo expect telnet socat nc conserver console useradd
# Without its $root the files below would be this machine's.
. "$here/machine.bash" || exit
diagnosis="$scratch/*.out"

readme=$here/../../README.md
# Each block goes into a file of the name of its section and its number there; taken away when used.
mkdir "$scratch/blocks"
awk -v directory="$scratch/blocks/" '
    /^## / { section = substr($0, 4); count = 0; inside = 0; next }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(directory section " " count); next }
    { inside = 0 }' "$readme"
block() { cat "$scratch/blocks/$1" && rm "$scratch/blocks/$1"; }

# The build that .ci/run has made before; there is no network here.
cd "$here/../.."
writable "${CARGO_TARGET_DIR:-target}"
export CARGO_NET_OFFLINE=true
empty /usr/local/{bin,share}
PATH=/usr/local/bin:$PATH

### Two commands
block "Two commands 1" >"$scratch/two"
command=$(sed -n 1p "$scratch/two")
# dialogue STEPS COMMAND...: what dialogue.exp says.
dialogue() { TERM=vt100 expect -f "$here/dialogue.exp" "$@" >>"$scratch/dialogue.out" 2>&1; }
# The child says 42 to whom started it and 49 to the telnet client, which both see, and 56 when the
# latter has left.
dialogue '"PID of new child" "echo =\$((6*7))=\r" =42= "" =49= "" =56= \x14 "to OFF" \x18 "@@@ @@@ @@@" \x11' \
    bash -c "$command" &
shell=$!
answers_telnet() {
    within 200 socat -u TCP:localhost:2000,readbytes=4 OPEN:/dev/null &&
        dialogue '"Welcome to procServ" "echo =\$((7*7))=\r" =49= \x1d "telnet> " quit\r' \
            telnet localhost 2000 &&
        socat -t 5 - TCP:localhost:2000 <<<'echo =$((7*8))=' >/dev/null
}
ends() { wait "$shell"; }
check "telnet localhost 2000" answers_telnet
check "$command" ends
command=$(sed -n 2p "$scratch/two")
# Once more would be minutes: .ci/run has this very line.
check "$command" grep -qx "${command%%  *}" .ci/run
check "no third command" [ "$(wc -l <"$scratch/two")" = 2 ]

### Install
block "Install 1" >"$scratch/install"
check "$(tr '\n' ';' <"$scratch/install")" eval 'bash -e "$scratch/install" >"$scratch/install.out" 2>&1'
check "procServ is there" [ "$(type -P procServ)" = /usr/local/bin/procServ ]
check "and its man page" [ -e /usr/local/share/man/man1/procServ.1 ]
check "and manage-procs with its own" \
    [ "$(type -P manage-procs)" = /usr/local/bin/manage-procs -a -e /usr/local/share/man/man1/manage-procs.1 ]

### Use it
chroot "$root" useradd --system --user-group ioc
install /usr/local/bin/procServ "$root/usr/local/bin/procServ"
mkdir -p "$root/opt/ioc1"
printf '#!/bin/sh\nexec /bin/sh\n' >"$root/opt/ioc1/st.cmd"
chmod 755 "$root/opt/ioc1/st.cmd"
for file in "$(grep -o '/etc/systemd/system/[^`]*' "$readme")" "$(grep -o '/etc/conserver/[^`]*' "$readme")"; do
    count=$((${count:-0} + 1))
    block "Use it $count" >"$root$file"
    check "$file in five lines" [ "$(wc -l <"$root$file")" = 5 ]
done
boot
check "unit has nothing wrong" [ -z "$(in_systemd systemd-analyze verify ioc1.service 2>&1)" ]
check "unit starts" systemctl start ioc1
up() { in_systemd journalctl --unit ioc1 | grep 'PID of new child "ioc1"'; }
check "IOC runs" within 10 up

in_systemd conserver -S >"$scratch/conserver-check.out" 2>&1
check "conserver accepts its file" [ $? = 0 ]
check "conserver starts" systemctl start conserver-server
up() { [ "$(in_systemd console -u | grep -c ' up ')" = 1 ]; }
check "its console comes up" within 10 up

attached() { dialogue "$2" nsenter -t "$init" --mount --pid --cgroup --root --wd bash -c "$1"; }
welcome='"Welcome to procServ"'
speaks='"echo =\$((6*7))=\r" =42='
command=$(block "Use it 3")
check "$command" attached "$command" "$welcome $speaks \x1d"
rows() { sed -n '/^## Use it/,/^## U.* in place/s/^| `\([^`]*\)` |.*/\1/p' "$readme"; }
count=0
while read -r command <&3; do
    count=$((count + 1))
    case $command in
    telnet*) steps="$welcome $speaks \x1d {telnet> } quit\r" ;;
    nc*) steps="$welcome $speaks \x03" ;;
    'socat -u'*) steps="$welcome \x03" ;;
    console*) steps="{Enter \`} $speaks \x05c." ;;
    esac
    check "$command" attached "$command" "$steps"
done 3< <(rows)
check "four other ways to attach" [ $count = 4 ]
check "both stop" systemctl stop conserver-server ioc1

command=$(block "Upgrade a running site 1")
check "upgrade.sh does: $command" grep -qF "$command" "$here/upgrade.sh"
notice=$(block "Upgrade a running site 2")
check "log would say: $notice" \
    [ "$notice" = "@@@ procServ server upgraded in place ($("$PROCSERV_BIN" -V))" ]

### Many of them
install /usr/local/bin/manage-procs "$root/usr/local/bin/manage-procs"
block "Many of them 1" >"$scratch/many"
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
while read -r command <&3; do
    case $command in
    *attach*)
        check "$command" within 10 attached "$command" "$welcome $speaks \x1d {keeps running}"
        ;;
    *) check "$command" eval "in_systemd $command >>\"\$scratch/many.out\"" ;;
    esac
done 3<"$scratch/many"
check "status shows it" grep -q '^ioc1 ' "$scratch/many.out"
check "it stops" in_systemd manage-procs stop ioc1

check "no block of README.md is left out" [ -z "$(ls "$scratch/blocks")" ]
finish
