#!/bin/bash
# What README.md tells people to type and to put into files, word for word.
. "$(dirname "$0")/lib.sh"
need cargo expect fish telnet socat nc useradd
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
# Its commands are root's own here.
mkdir "$scratch/sudo"
printf '#!/bin/sh\nexec "$@"\n' >"$scratch/sudo/sudo"
chmod 755 "$scratch/sudo/sudo"

# The build that .ci/run has made before; there is no network here.
cd "$here/../.."
writable "${CARGO_TARGET_DIR:-target}"
export CARGO_NET_OFFLINE=true
empty /usr/local/{bin,share} /etc/fish
PATH=/usr/local/bin:$scratch/sudo:$PATH

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

### Install and uninstall
block "Install and uninstall 1" >"$scratch/install"
installed() { find /etc/fish /usr/local/bin /usr/local/share -type f | LC_ALL=C sort; }
check "$(tr '\n' ';' <"$scratch/install")" eval 'bash -e "$scratch/install" >"$scratch/install.out" 2>&1'
check "programs, man pages and completions are there" [ "$(installed)" = "\
/etc/fish/completions/manage-procs.fish
/etc/fish/completions/procServ.fish
/usr/local/bin/manage-procs
/usr/local/bin/procServ
/usr/local/share/bash-completion/completions/manage-procs.bash
/usr/local/share/bash-completion/completions/procServ.bash
/usr/local/share/man/man1/manage-procs.1
/usr/local/share/man/man1/procServ.1
/usr/local/share/zsh/site-functions/_manage-procs
/usr/local/share/zsh/site-functions/_procServ" ]
check "procServ is the one that is found" [ "$(type -P procServ)" = /usr/local/bin/procServ ]
for program in procServ manage-procs; do install "/usr/local/bin/$program" "$root/usr/local/bin/$program"; done
block "Install and uninstall 2" >"$scratch/uninstall"
check "$(tr '\n' ';' <"$scratch/uninstall")" bash -e "$scratch/uninstall"
check "leaves nothing" [ -z "$(installed)" ]

### Quick start for EPICS
install "$scratch/sudo/sudo" "$root/usr/local/bin/sudo"
for directory in iocs/ioc1 ioc1; do
    mkdir -p "$root/opt/$directory"
    printf '#!/bin/sh\nexec /bin/sh\n' >"$root/opt/$directory/st.cmd"
    chmod 755 "$root/opt/$directory/st.cmd"
done
boot
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
attached() { dialogue "$2" nsenter -t "$init" --mount --pid --cgroup --root --wd bash -c "$1"; }
welcome='"Welcome to procServ"'
speaks='"echo =\$((6*7))=\r" =42='
block "Quick start for EPICS 1" | sed 's/  *#.*//' >"$scratch/quick"
check "six lines" [ "$(wc -l <"$scratch/quick")" = 6 ]
while read -r command <&3; do
    case $command in
    *top*) check "$command" attached "$command" '"1 instance" q' ;;
    *attach*) check "$command" within 10 attached "$command" "$welcome $speaks \x1d {keeps running}" ;;
    *) check "$command" eval "in_systemd $command >>\"\$scratch/quick.out\"" ;;
    esac
done 3<"$scratch/quick"
check "status shows it" grep -q '^ioc1 ' "$scratch/quick.out"
check "it stops" in_systemd manage-procs stop ioc1

### One IOC with a unit of your own
unit=$(grep -o '/etc/systemd/system/[^`]*' "$readme")
block "One IOC with a unit of your own 1" >"$root$unit"
check "unit has nothing wrong" [ -z "$(in_systemd systemd-analyze verify ioc1.service 2>&1)" ]
block "One IOC with a unit of your own 2" >"$scratch/three"
while read -r command <&3; do
    check "$command" eval "in_systemd $command >>\"\$scratch/three.out\" 2>&1"
done 3<"$scratch/three"
check "three commands" [ "$(wc -l <"$scratch/three")" = 3 ]
check "the unit starts at boot" [ "$(in_systemd systemctl is-enabled ioc1)" = enabled ]
check "and runs" grep -q 'Active: active (running)' "$scratch/three.out"
up() { in_systemd journalctl --unit ioc1 | grep 'PID of new child "ioc1"'; }
check "IOC runs" within 10 up

# The table of clients.
rows() { sed -n '/^## One IOC with/,/^## Compared/s/^| `\([^`]*\)` |.*/\1/p' "$readme"; }
count=0
while read -r command <&3; do
    count=$((count + 1))
    case $command in
    'socat -,'*) steps="$welcome $speaks \x1d" ;;
    telnet*) steps="$welcome $speaks \x1d {telnet> } quit\r" ;;
    manage-procs*) steps="$welcome $speaks \x1d {keeps running}" ;;
    nc*) steps="$welcome $speaks \x03" ;;
    'socat -u'*) steps="$welcome \x03" ;;
    esac
    check "$command" attached "$command" "$steps"
done 3< <(rows)
check "five ways to attach" [ $count = 5 ]
# The IOC is a shell, which knows no dbl.
block "One IOC with a unit of your own 3" >"$scratch/scripts"
answers() { in_systemd bash -c "$1" >"$scratch/answer.out" 2>&1; grep -q 'dbl.*not found' "$scratch/answer.out"; }
while read -r command <&3; do
    check "$command" within 10 answers "$command"
done 3<"$scratch/scripts"
check "two ways for scripts" [ "$(wc -l <"$scratch/scripts")" = 2 ]
check "it stops" systemctl stop ioc1

check "no block of README.md is left out" [ -z "$(ls "$scratch/blocks")" ]
finish
