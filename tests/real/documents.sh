#!/bin/bash
# What docs/security.md, migrating.md, troubleshooting.md and upgrade.md tell people to type and to put
# into files, word for word, under a real systemd. README.md is run by readme.sh, docs/tutorial.md by
# manage.sh, monitoring.md by prometheus.sh, containers.md by image.sh,
# many-hosts.md by hosts.sh, and epics.md by epics.sh.
. "$(dirname "$0")/lib.sh"
need python3 expect socat useradd setpriv ss conserver console openssl ssh sshd dbus-daemon /usr/bin/procServ
[ -x /usr/lib/polkit-1/polkitd ] || missing polkitd
. "$here/machine.bash"
docs=$here/../../docs
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"

install "$manage" "$root/usr/local/bin/manage-procs"
chroot "$root" useradd --system --user-group ioc
chroot "$root" groupadd operators
for user in anna ben; do chroot "$root" useradd --create-home $user; done
for directory in ioc1 iocs/ioc3; do
    mkdir -p "$root/opt/$directory"
    printf '#!/bin/sh\nexec /bin/sh\n' >"$root/opt/$directory/st.cmd"
    chmod 755 "$root/opt/$directory/st.cmd"
done
rm -rf "$root/etc/polkit-1/rules.d"
mkdir -p "$root/etc/procServ.d" "$root/etc/polkit-1/rules.d"

# Each block goes into a file of the name of its document, its section and its number there; taken
# away when used.
mkdir "$scratch/blocks"
for document in security migrating troubleshooting upgrade; do
    awk -v place="$scratch/blocks/$document: " '
        /^#+ / { sub(/^#+ /, ""); section = $0; while (section in seen) section = section "+"; seen[section]; count = 0; inside = 0; next }
        /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(place section " " count); next }
        { inside = 0 }' "$docs/$document.md"
done
block() { cat "$scratch/blocks/$1" && rm "$scratch/blocks/$1"; }
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
# Runs a block; its output is in $scratch/said.
diagnosis="$scratch/said $scratch/all.out"
run() {
    in_systemd bash -e -c "$(block "$1")" </dev/null >"$scratch/said" 2>"$scratch/complaints"
    local status=$?
    cat "$scratch/complaints" >>"$scratch/all.out"
    return $status
}
says() { grep -q -e "$1" "$scratch/said"; }
procs() { in_systemd manage-procs "$@"; }
runs() { procs status --wide "$1" | grep -q "^$1 *running "; }
# A person at a terminal.
dialogue() { TERM=vt100 expect -f "$here/dialogue.exp" "$@" >>"$scratch/dialogue.out" 2>&1; }
typed() { dialogue "$2" nsenter -t "$init" --mount --pid --cgroup --root --wd env HOME=/root bash -c "$1"; }
welcome='"Welcome to procServ"'
speaks='"echo =\$((6*7))=\r" =42='
as() { in_systemd setpriv --reuid "$1" --regid "$1" --init-groups env HOME="/home/$1" "${@:2}"; }

check "all links between documents lead somewhere" python3 "$here/links.py" "$here/../.."

boot

### migrating.md: scripts and units of one's own, with Debian's procServ at first
cat >"$root/etc/systemd/system/ioc1.service" <<'UNIT'
[Service]
User=ioc
RuntimeDirectory=ioc1
ExecStart=procServ -f -q -n ioc1 -c /opt/ioc1 -i ^D^C -L - -P 2000 -P unix:/run/ioc1/console /opt/ioc1/st.cmd
Restart=always
[Install]
WantedBy=multi-user.target
UNIT
rm "$root/usr/local/bin/procServ"
in_systemd systemctl daemon-reload
check "a unit of procServ" in_systemd systemctl enable --now ioc1
greets() { in_systemd timeout 5 socat -u TCP:localhost:2000,readbytes=99 - | grep -qF "$1"; }
check "runs" within 10 greets "$(/usr/bin/procServ -V)"
install "$PROCSERV_BIN" "$root/usr/local/bin/procServ"
check "restart, look" run "migrating: From procServ in scripts or units of your own 1"
check "is ours" within 10 greets "$("$PROCSERV_BIN" -V)"
check "and back" run "migrating: And back 1"
check "is procServ" within 10 greets "$(/usr/bin/procServ -V)"
install "$PROCSERV_BIN" "$root/usr/local/bin/procServ"

### migrating.md: procServ's manage-procs, and a unit as that makes them
printf '[ioc2]\ncommand = cat\n' >"$root/etc/procServ.d/ioc2.conf"
ln -s manage-procs "$root/usr/local/bin/procServ-launcher"
cat >"$root/etc/procServ.d/procserv-ioc2.service" <<'UNIT'
[Unit]
Description=procServ for ioc2
After=network.target remote-fs.target
ConditionPathIsDirectory=/

[Service]
Type=simple
ExecStart=/usr/local/bin/procServ-launcher --system ioc2
RuntimeDirectory=procserv-ioc2
StandardOutput=syslog
StandardError=inherit
SyslogIdentifier=procserv-ioc2
User=nobody
Group=nogroup

[Install]
WantedBy=multi-user.target
UNIT
in_systemd systemctl enable --quiet /etc/procServ.d/procserv-ioc2.service
check "list, doctor" run "migrating: From procServ's manage-procs 1"
check "nothing to do" says '^no problems found'
check "the helper's unit is told" says '^hint: ioc2: .* is a unit of procServ.s helper'
check "restart, status" run "migrating: From procServ's manage-procs 2"
check "it runs" within 10 runs ioc2
check "as nobody" [ "$(in_systemd ps -o user= -p "$(in_systemd sed -n 's/^pid://p' /run/procserv-ioc2/info)")" = nobody ]

### migrating.md: from one's own unit to manage-procs and to contrib
check "to an instance" run "migrating: From units of your own to manage-procs 1"
check "runs" within 10 runs ioc1
check "on the same port" within 10 greets "$("$PROCSERV_BIN" -V)"
check "and back" run "migrating: And back++ 1"
check "runs" within 10 greets "$("$PROCSERV_BIN" -V)"
check "is no instance" eval '! procs list ioc1 2>/dev/null'
cp -r "$contrib" "$root/contrib"
check "to a unit of contrib" run "migrating: From units of your own to those of contrib 1"
check "runs" within 10 in_systemd test -S /run/procServ/ioc3/control
command=$(grep -o 'manage-procs attach [^ ]*' "$contrib/systemd/ioc@.service" | sed 's/NAME/ioc3/')
check "its comment: $command" typed "$command" "$welcome $speaks \x1d {keeps running}"
check "and stops" in_systemd systemctl disable --quiet --now ioc@ioc3

### security.md
restarts() { as "$1" manage-procs --system restart ioc2 2>>"$scratch/all.out"; }
in_systemd systemctl start dbus.socket dbus.service polkit
check "an ordinary user may not restart" not restarts anna
check "a rule" run "security: Operators without root 1"
check "groups" run "security: Operators without root 2"
check "an operator may" within 10 restarts anna
check "others may not" not restarts ben
check "nor anything else" not as anna systemctl restart ioc1
check "status, as the user has none of that name" eval 'as anna manage-procs status --wide ioc2 2>"$scratch/complaints" | grep -q "^ioc2 "'
check "which is said" grep -q 'user anna has no instance ioc2: --system is assumed' "$scratch/complaints"
check "nor another verb" not as anna systemctl kill procserv-ioc2
check "status" eval 'as anna manage-procs --system status | grep -q "^ioc2 "'
check "and logs" eval 'as anna manage-procs --system logs -n 1 ioc2 | grep -q .'
check "not for others" not as ben manage-procs --system logs -n 1 ioc2

# A console on another machine, which is this one under another name.
in_systemd ip link set lo up
printf '127.0.0.1 localhost ioc-host\n' >"$root/etc/hosts"
mkdir -p "$root/root/.ssh" "$root/run/sshd"
rm -rf "$root/etc/ssh" "$root/root/.ssh/"*
mkdir "$root/etc/ssh"
ssh-keygen -q -N '' -t ed25519 -f "$root/etc/ssh/ssh_host_ed25519_key"
ssh-keygen -q -N '' -t ed25519 -f "$root/root/.ssh/id_ed25519"
cp "$root/root/.ssh/id_ed25519.pub" "$root/root/.ssh/authorized_keys"
sed 's/^\S* \S*/ioc-host &/' "$root/etc/ssh/ssh_host_ed25519_key.pub" >"$root/root/.ssh/known_hosts"
echo 'UsePAM no' >"$root/etc/ssh/sshd_config"
in_systemd /usr/sbin/sshd
command=$(block "security: How consoles leave a host 1")
check "$command" typed "$command" "$welcome $speaks \x1d"
command=$(block "security: How consoles leave a host 2")
check "$command" in_systemd env HOME=/root $command
check "brings the socket here" typed 'socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:/tmp/ioc1' "$welcome $speaks \x1d"

rm -rf "$root/etc/conserver"
mkdir "$root/etc/conserver"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ioc-host \
    -keyout "$scratch/key.pem" -out "$root/etc/conserver/ca.pem" 2>>"$scratch/all.out"
cat "$scratch/key.pem" "$root/etc/conserver/ca.pem" >"$root/etc/conserver/server.pem"
echo "anna:$(openssl passwd -1 secret)" >"$root/etc/conserver/conserver.passwd"
block "security: How consoles leave a host 3" >"$root/etc/conserver/conserver.cf"
block "security: How consoles leave a host 4" >"$root/etc/conserver/console.cf"
check "conserver accepts its file" in_systemd conserver -S
in_systemd conserver -d -p 3109 >>"$scratch/all.out" 2>&1
with_tls() { typed 'console -C /etc/conserver/console.cf -p 3109 -M ioc-host -l anna ioc1' "{assword:} secret\r help\] {} {} $speaks \x05c."; }
check "conserver asks for a password" within 10 with_tls
without_tls() { in_systemd console -C <(echo 'config * { sslenabled no; }') -p 3109 -M ioc-host -u 2>&1; }
check "and refuses who does not encrypt" eval 'without_tls | grep -q "encryption required"'

### troubleshooting.md
in_systemd systemctl stop ioc1
check "an instance" procs add -A -C /opt/ioc1 -U ioc -G ioc -P 2000 --options '--holdoff 1' ioc1 ./st.cmd
check "who listens" eval 'within 10 greets ioc1; run "troubleshooting: Starting and stopping 1" && says procServ'
block "troubleshooting: On the console 1" >"$scratch/size"
sized() {
    { sleep 0.5; cat "$scratch/size"; echo stty size; sleep 1; } |
        in_systemd manage-procs attach ioc1 | tee -a "$scratch/all.out" | grep -q '^40 120'
}
check "$(cat "$scratch/size")" within 20 sized
check "a unit that restarts" run "troubleshooting: Starting and stopping 2"
killed() { in_systemd systemctl kill --kill-whom=main -s KILL procserv-ioc1; }
check "its server is killed" killed
check "and runs again" within 20 runs ioc1
check "looking for what the journal dropped" eval 'run "troubleshooting: Logs 1"; [ ! -s "$scratch/complaints" ]'
check "a larger limit" run "troubleshooting: Logs 2"
check "is the unit's" [ "$(property procserv-ioc1 LogRateLimitBurst)" = 100000000 ]
in_systemd systemctl disable --quiet --now procserv-ioc1
check "after systemctl disable, restart" procs restart ioc1
check "makes it known again" within 10 runs ioc1

### upgrade.md, whose command upgrade.sh runs
command=$(block "upgrade: Upgrade a running site 1")
check "upgrade.sh does: $command" grep -qF "$command" "$here/upgrade.sh"
notice=$(block "upgrade: Upgrade a running site 2")
check "log would say: $notice" \
    [ "$notice" = "@@@ procServ server upgraded in place ($("$PROCSERV_BIN" -V))" ]

check "no block is left out" [ -z "$(ls "$scratch/blocks")" ]
finish
