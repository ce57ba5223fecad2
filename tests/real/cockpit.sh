#!/bin/bash
# The Cockpit page as its package installs it, under a real systemd, in Chromium: logins of an operator and
# of a guest, consoles, upgrades, floods, hostile output. PROCSERV_PICTURES is where screenshots go.
. "$(dirname "$0")/lib.sh"
need node chromium nginx openssl useradd chpasswd dpkg-deb rpmbuild rpm dbus-daemon
for program in /usr/lib/cockpit/cockpit-ws /usr/lib/polkit-1/polkitd; do
    [ -x "$program" ] || missing "$program"
done
[ -d "$here/cockpit/node_modules/playwright-core" ] || missing "npm ci in tests/real/cockpit"
[ -f "$contrib/cockpit/procserv/dist/procserv.js" ] || missing "npm ci && npm run build in contrib/cockpit/procserv"
. "$here/machine.bash"

if [ -n "${PROCSERV_PICTURES:-}" ]; then writable "$PROCSERV_PICTURES"; else PROCSERV_PICTURES=$scratch/pictures; fi
export PROCSERV_PICTURES

### The packages
install_tools
mkdir "$scratch/packages" "$scratch/home"
export HOME=$scratch/home
check "the packages are made" eval '"$contrib/cockpit/package" "$scratch/packages" >"$scratch/package.out" 2>&1'
diagnosis="$scratch/*.out"
files=$(cd "$contrib/cockpit/procserv/dist" && ls -d "$PWD"/* | sed 's,.*/,/usr/share/cockpit/procserv/,')
cp "$scratch"/packages/*.deb "$root/page.deb"
# What it depends on is installed here, though not as a package.
check "dpkg -i" eval 'chroot "$root" env -u TMPDIR dpkg --force-depends -i /page.deb >"$scratch/dpkg.out" 2>&1'
check "the files of the .deb" [ "$(chroot "$root" dpkg -L cockpit-procserv | grep ^/usr/share/cockpit/procserv/)" = "$files" ]
check "with the licences of its parts" grep -q xterm "$root/usr/share/doc/cockpit-procserv/copyright"
check "the files of the .rpm" [ "$(rpm -qpl "$scratch"/packages/*.rpm | grep ^/usr/share/cockpit/procserv/)" = "$files" ]
check "are for all machines" [ "$(rpm -qp --queryformat '%{arch}' "$scratch"/packages/*.rpm)" = noarch ]
check "nothing in the page comes from elsewhere" eval '! grep -E -o "(src|href)=.https?:[^ >]*" "$root"/usr/share/cockpit/procserv/*.html'

### The machine
for unit in dbus.socket systemd-logind.service systemd-user-sessions.service cockpit.socket; do
    ln -s "/lib/systemd/system/$unit" "$root/etc/systemd/system/$unit"
    mkdir -p "$root/etc/systemd/system/check.target.wants"
    ln -s "/lib/systemd/system/$unit" "$root/etc/systemd/system/check.target.wants/$unit"
done
rm -rf "$root/etc/polkit-1/rules.d"
install -D -m 644 "$contrib/polkit/50-procserv.rules" "$root/etc/polkit-1/rules.d/50-procserv.rules"
chroot "$root" groupadd --system operators
for user in oper guest; do
    chroot "$root" useradd --create-home --shell /bin/bash "$user"
    echo "$user:secret of $user" | chroot "$root" chpasswd
done
chroot "$root" gpasswd --add oper operators >"$scratch/gpasswd.out"
mkdir -p "$root/opt/iocs"
# 1 MB in a line, sequences for title, clipboard, links and answers, and what a browser would execute.
cat >"$root/opt/iocs/hostile" <<'HOSTILE'
#!/bin/bash
stty raw -echo
number=0
while sleep 1; do
    number=$((number + 1))
    printf '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\r\n'
    printf '\e]0;HACKED\a\e]2;HACKED\a\e]52;c;SEFDS0VE\a\e]8;;javascript:window.hacked=1\alink\e]8;;\a\r\n'
    printf '\e[6n\e[c\e[>c\e[5n\e[18t\e[21t\eP$qm\e\\\eZ\x05\r\n'
    [ $((number % 5)) -gt 0 ] || { head -c 1000000 /dev/zero | tr '\0' w; printf '\r\n'; }
    printf '\e[?1049h\e[9999;9999H\e[2J\e[999999999b\e[?1049l\r\nEND OF HOSTILE %s\r\n' "$number"
done &
exec cat -v
HOSTILE
chmod 755 "$root/opt/iocs/hostile"
{
    printf '[DEFAULT]\nuser = daemon\ngroup = daemon\nchdir = /tmp\n\n'
    for name in shell1 flood gone; do
        printf '[%s]\ncommand = /bin/sh\ncontrol_group = operators\n\n' "$name"
    done
    printf '[hostile]\ncommand = /opt/iocs/hostile "<img src=x onerror=window.hacked=1>"\ncontrol_group = operators\n\n'
    printf '[closed]\ncommand = /bin/cat\nport = unix:daemon:daemon:0600:/run/procserv-closed/control\n\n'
    printf '[fails]\ncommand = /bin/cat\nchdir = /opt/nowhere\n\n'
    for name in {dia,mag,rf,vac}-{01..50}; do printf '[%s]\ncommand = /bin/cat\ncontrol_group = operators\n\n' "$name"; done
} >"$root/etc/procServ.conf"
printf '[<img src=x onerror=window.hacked=1>]\ncommand = /bin/cat\n' >"$root/etc/procServ.d/name.conf"
printf '[bad]\ncommand = "</script><script>window.hacked=1</script>\n' >"$root/etc/procServ.d/bad.conf"

boot
procs --system start --all >"$scratch/start.out" 2>&1
running() { [ "$(procs status --plain 2>/dev/null | grep -c Running)" -ge 205 ]; }
check "the instances run" within 60 running
export PROCSERV_LAB="nsenter -t $init --mount --pid --cgroup --root --wd"
check "it listens" within 20 eval 'exec 3<>/dev/tcp/127.0.0.1/9090'
if ! node "$here/cockpit/check.mjs" 2>&1; then failed=1; fi

### Behind a reverse proxy, as docs/web.md has it
# block START: the block of the document that starts so.
block() {
    awk -v start="$1" '/^```/ { if (inside && index(text, start) == 1) printf "%s", text; inside = !inside; text = ""; next }
        inside { text = text $0 "\n" }' "$here/../../docs/web.md"
}
block '[WebService]' | in_systemd sh -c 'mkdir -p /etc/cockpit; cat >/etc/cockpit/cockpit.conf'
systemctl stop cockpit.service cockpit-wsinstance-http.socket cockpit-wsinstance-http.service
mkdir "$scratch/nginx"
openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=ioc.example.org \
    -keyout "$scratch/nginx/key" -out "$scratch/nginx/certificate" 2>"$scratch/openssl.out"
{
    printf 'daemon off;\npid nginx.pid;\nevents {}\nhttp {\naccess_log off;\n'
    for kind in client_body proxy fastcgi uwsgi scgi; do printf '%s_temp_path %s;\n' "$kind" "$kind"; done
    printf 'server {\nlisten 127.0.0.1:443 ssl;\nssl_certificate certificate;\nssl_certificate_key key;\n'
    block 'location /'
    printf '}\n}\n'
} >"$scratch/nginx/nginx.conf"
nginx -p "$scratch/nginx" -c nginx.conf -e "$scratch/nginx.out" -g 'user root;' &
proxy=$!
check "nginx takes its part" within 10 eval 'exec 3<>/dev/tcp/127.0.0.1/443'
if ! node "$here/cockpit/proxy.mjs" 2>&1; then failed=1; fi
kill "$proxy"
finish
