#!/bin/bash
# The upgrade in place under a real systemd, by the command that docs/upgrade.md gives.
. "$(dirname "$0")/lib.sh"
need socat useradd
. "$here/machine.bash"

chroot "$root" useradd --system --user-group ioc
cp "$contrib"/systemd/*.service "$root/etc/systemd/system/"
mkdir -p "$root/etc/ioc"
for ioc in one two journal forking; do
    mkdir -p "$root/opt/iocs/$ioc"
    printf '#!/bin/sh\necho "%s: All initialization complete"\nexec /bin/sh\n' "$ioc" \
        >"$root/opt/iocs/$ioc/st.cmd"
    chmod 755 "$root/opt/iocs/$ioc/st.cmd"
done
chroot "$root" chown -R ioc:ioc /opt/iocs
printf 'CONSOLE_PORT=20001\n' >"$root/etc/ioc/journal.env"
cat >"$root/etc/systemd/system/forking.service" <<'UNIT'
[Service]
Type=forking
User=ioc
RuntimeDirectory=procServ/forking
PIDFile=/run/procServ/forking/pid
ExecStart=procServ -q -n forking -i ^D^C -c /opt/iocs/forking -p /run/procServ/forking/pid \
    -L /run/procServ/forking/log unix:/run/procServ/forking/control ./st.cmd
UNIT

boot
units='ioc@one ioc@two ioc-tcp@journal forking'
# Of a unit's name: its IOC, where its console and its log are.
ioc() { local ioc=${1#*@}; echo "$ioc"; }
console() {
    case $1 in ioc-tcp@*) echo TCP:127.0.0.1:20001 ;; *) echo "UNIX:/run/procServ/$(ioc "$1")/control" ;; esac
}
log() {
    case $1 in
    ioc@*) in_systemd cat "/var/log/procServ/$(ioc "$1")/$(ioc "$1").log" ;;
    forking) in_systemd cat /run/procServ/forking/log ;;
    *) unit=$1 journal ;;
    esac
}
logs() { log "$1" | grep -qa "$2"; }
notices() { log "$1" | grep -ca '@@@ procServ server upgraded in place'; }
noticed() { [ "$(notices "$1")" = "$2" ]; }
children() { in_systemd pgrep -P "$(property "$1" MainPID)"; }

declare -A server child screen keys client
for unit in $units; do
    check "$unit starts" systemctl start "$unit"
    check "its IOC runs" within 10 logs "$unit" "$(ioc "$unit"): All initialization complete"
    server[$unit]=$(property "$unit" MainPID)
    child[$unit]=$(children "$unit")
    screen[$unit]=$scratch/screen-$(ioc "$unit")
    mkfifo "$scratch/keys-$(ioc "$unit")"
    in_systemd socat - "$(console "$unit")" <"$scratch/keys-$(ioc "$unit")" >"${screen[$unit]}" &
    client[$unit]=$!
    exec {descriptor}>"$scratch/keys-$(ioc "$unit")"
    keys[$unit]=$descriptor
done
questions=0
# answers UNIT: the IOC's shell, to whom is connected since the begin; and somebody new is greeted.
answers() {
    questions=$((questions + 1))
    printf 'echo "<%s> $((6 * 7))"\r' $questions >&"${keys[$1]}"
    within 5 grep -qa "^<$questions> 42" "${screen[$1]}" &&
        in_systemd socat -u "$(console "$1"),readbytes=11" - | grep -q '@@@ Welcome'
}
for unit in $units; do check "$unit answers" answers "$unit"; done

for round in 1 2; do
    # As a package manager installs a program.
    install "$PROCSERV_BIN" "$root/usr/local/bin/procServ.new"
    mv "$root/usr/local/bin/procServ.new" "$root/usr/local/bin/procServ"
    check "upgrade $round" systemctl kill --kill-whom=main -s USR1 'ioc@*'
    check "of all others" systemctl kill --kill-whom=main -s USR1 'ioc-tcp@*' forking
    for unit in $units; do
        check "$unit tells it in its log" within 10 noticed "$unit" $round
        check "is the program installed" \
            [ "$(in_systemd readlink "/proc/${server[$unit]}/exe")" = /usr/local/bin/procServ ]
        check "is the same main process" [ "$(property "$unit" MainPID)" = "${server[$unit]}" ]
        check "has the same IOC" [ "$(children "$unit")" = "${child[$unit]}" ]
        check "which answers" answers "$unit"
        check "was not started again" [ "$(property "$unit" NRestarts)" = 0 ]
        check "is active" [ "$(property "$unit" ActiveState)" = active ]
    done
done
check "pidfile is the same" \
    [ "$(in_systemd cat /run/procServ/forking/pid)" = "${server[forking]}" ]

printf 'no program' >"$root/usr/local/bin/procServ.new"
mv "$root/usr/local/bin/procServ.new" "$root/usr/local/bin/procServ"
check "what is no program" systemctl kill --kill-whom=main -s USR1 'ioc@*' 'ioc-tcp@*' forking
for unit in $units; do
    check "$unit does not become" within 10 logs "$unit" '@@@ procServ server not upgraded: '
    check "its IOC answers" answers "$unit"
done
install "$PROCSERV_BIN" "$root/usr/local/bin/procServ.new"
mv "$root/usr/local/bin/procServ.new" "$root/usr/local/bin/procServ"

check "reload" systemctl reload ioc@one
for unit in $units; do
    check "$unit stops" systemctl stop "$unit"
    check "which is a success" \
        [ "$(property "$unit" Result),$(property "$unit" ExecMainStatus)" = success,0 ]
    check "and leaves no IOC" not in_systemd test -e "/proc/${child[$unit]}"
    check "its client sees the end" wait "${client[$unit]}"
done
check "no unit has failed" [ -z "$(systemctl list-units --failed --quiet --no-legend)" ]
finish
