#!/bin/bash
# The Debian package and the RPM, made of the program to check as Cargo.toml says: installed in
# place of Debian's procserv, used and removed, in a root of their own.
. "$(dirname "$0")/lib.sh"
PATH=${CARGO_TARGET_DIR:-$here/../../target}/tools/bin:$PATH
need cargo cargo-deb cargo-generate-rpm dpkg-deb dpkg-shlibdeps rpm rpmbuild strip socat man zcat
dpkg-query -s procserv >/dev/null 2>&1 || missing "Debian's procserv"

cd "$here/../.."
export CARGO_NET_OFFLINE=true
cargo metadata --format-version 1 --locked >/dev/null || missing "what cargo fetch --locked gets"
export CARGO_TARGET_DIR=$scratch/target
install -D --strip "$PROCSERV_BIN" "$CARGO_TARGET_DIR/release/procServ"
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"
install --strip "$manage" "$CARGO_TARGET_DIR/release/manage-procs"
diagnosis="$scratch/*.out"

### .deb
make_root
mount -t proc none "$root/proc"
# Images for containers have dpkg leave out manuals and documentation.
rm -rf "$root/etc/dpkg/dpkg.cfg.d"
in_root() { chroot "${root:?}" env -u TMPDIR HOME=/root LC_ALL=C.UTF-8 "$@"; }
dpkg() { in_root dpkg "$@" >>"$scratch/dpkg.out" 2>&1; }
# is PACKAGE STATE: as dpkg has it.
is() { [ "$(in_root dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = "$2" ]; }
files() { in_root find /etc /usr /var /opt -xdev ! -path '/var/lib/dpkg/*-old' ! -path '/var/cache/*'; }

check "cargo deb makes a package" \
    eval 'cargo deb --no-build --locked --output "$root/ours.deb" >"$scratch/deb.out" 2>&1'
check "without a complaint" not grep -i -e warning -e error "$scratch/deb.out"

# What a site has that needs procServ, as a package.
mkdir -p "$root/theirs/DEBIAN"
cat >"$root/theirs/DEBIAN/control" <<'CONTROL'
Package: site-iocs
Version: 1
Architecture: all
Maintainer: the site
Depends: procserv (>= 2.7)
Description: what runs under procServ
CONTROL
check "a package that needs procserv is there" \
    eval 'in_root dpkg-deb --build /theirs /theirs.deb >"$scratch/theirs.out" && dpkg -i /theirs.deb'
check "as is Debian's procserv" is procserv installed
# Stand-ins for the packages of procServ's helper, with its files.
stand_in() {
    mkdir -p "$root/$1/DEBIAN"
    printf 'Package: %s\nVersion: 2.8.0\nArchitecture: all\nMaintainer: nobody\nDepends: %s\nDescription: a stand-in\n' \
        "$1" "$2" >"$root/$1/DEBIAN/control"
    local file
    for file in "${@:3}"; do
        mkdir -p "$root/$1/${file%/*}"
        printf '#!/usr/bin/python3\n' >"$root/$1/$file"
        chmod 755 "$root/$1/$file"
    done
    in_root dpkg-deb --build "/$1" "/$1.deb" >>"$scratch/theirs.out"
}
helper_files=(usr/bin/manage-procs usr/bin/procServ-launcher usr/share/man/man1/manage-procs.1.gz
    usr/lib/python3/dist-packages/procServUtils.py)
unit_files=(usr/lib/systemd/system-generators/systemd-procserv-generator
    usr/lib/systemd/user-generators/systemd-procserv-generator)
check "so are the packages of its helper" eval '
    stand_in python3-procserv procserv "${helper_files[@]}" && dpkg -i /python3-procserv.deb &&
    stand_in procserv-systemd "procserv, python3-procserv" "${unit_files[@]}" && dpkg -i /procserv-systemd.deb'
check "dpkg -i" dpkg -i /ours.deb
check "ours is installed" is procserv-ng installed
check "Debian's is gone" not is procserv installed
check "the helper's are gone" eval '! is python3-procserv installed && ! is procserv-systemd installed'
check "with their files" eval '
    [ ! -e "$root/usr/lib/systemd/system-generators/systemd-procserv-generator" ] &&
    [ ! -e "$root/usr/lib/python3/dist-packages/procServUtils.py" ]'
check "manage-procs is ours" cmp "$root/usr/bin/manage-procs" "$CARGO_TARGET_DIR/release/manage-procs"
check "the other package has what it needs" eval \
    'is site-iocs installed && [ -z "$(in_root dpkg --audit)" ] && in_root apt-get check >"$scratch/apt.out" 2>&1'

doc=/usr/share/doc/procserv-ng
check "its files" [ "$(in_root dpkg -L procserv-ng |
    while read -r path; do [ -d "$root$path" ] || echo "$path"; done | LC_ALL=C sort)" = "\
/usr/bin/manage-procs
/usr/bin/procServ
/usr/bin/procServ-launcher
/usr/lib/systemd/system-generators/systemd-procserv-generator-system
/usr/lib/systemd/user-generators/systemd-procserv-generator-user
/usr/share/bash-completion/completions/manage-procs
/usr/share/bash-completion/completions/procServ
$doc/README.md
$doc/changelog.gz
$doc/copyright
$doc/docs/README.md
$doc/docs/api.md
$doc/docs/benchmarks.md
$doc/docs/containers.md
$doc/docs/dependencies.md
$doc/docs/differences.md
$doc/docs/epics.md
$doc/docs/events.md
$doc/docs/json.md
$doc/docs/manage-procs.md
$doc/docs/many-hosts.md
$doc/docs/migrating.md
$doc/docs/monitoring.md
$doc/docs/pictures/console.svg
$doc/docs/pictures/status.svg
$doc/docs/pictures/top.svg
$doc/docs/pictures/web-consoles.png
$doc/docs/pictures/web-table.png
$doc/docs/pictures/why.svg
$doc/docs/procserv.md
$doc/docs/security.md
$doc/docs/socketmaster.md
$doc/docs/status.md
$doc/docs/troubleshooting.md
$doc/docs/tutorial.md
$doc/docs/upgrade.md
$doc/docs/web.md
$doc/examples/conserver/conserver.cf
$doc/examples/container/Containerfile
$doc/examples/epics/procserv-pvs.service
$doc/examples/epics/procserv.acf
$doc/examples/epics/procserv.bob
$doc/examples/epics/procserv_ioc.py
$doc/examples/epics/records.py
$doc/examples/epics/requirements.txt
$doc/examples/epics/status.py
$doc/examples/epics/watch.py
$doc/examples/logrotate/procServ
$doc/examples/polkit/50-procserv.rules
$doc/examples/prometheus/procserv-dashboard.json
$doc/examples/prometheus/procserv-metrics.service
$doc/examples/prometheus/procserv-metrics.timer
$doc/examples/prometheus/procserv.rules.yml
$doc/examples/systemd/ioc-fdstore@.service
$doc/examples/systemd/ioc-notify@.service
$doc/examples/systemd/ioc-socket@.service
$doc/examples/systemd/ioc-socket@.socket
$doc/examples/systemd/ioc-tcp@.service
$doc/examples/systemd/ioc@.service
$doc/examples/systemd/telldusd.service
$doc/examples/systemd/web-overlap@.service
/usr/share/fish/vendor_completions.d/manage-procs.fish
/usr/share/fish/vendor_completions.d/procServ.fish
/usr/share/man/man1/manage-procs.1.gz
/usr/share/man/man1/procServ.1.gz
/usr/share/zsh/vendor-completions/_manage-procs
/usr/share/zsh/vendor-completions/_procServ" ]
check "dpkg --verify" [ -z "$(in_root dpkg --verify procserv-ng 2>&1)" ]
check "the examples are those of contrib" eval '
    for part in systemd conserver container epics logrotate polkit prometheus; do
        diff -r "contrib/$part" "$root$doc/examples/$part" || exit 1
    done'
check "the man page is there" eval \
    'in_root man procServ 2>"$scratch/man.out" | grep -q -- "--autorestartcmd" && [ ! -s "$scratch/man.out" ]'
check "the changelog is this version's" eval \
    'zcat "$root$doc/changelog.gz" | grep -q "[ :]$(in_root dpkg-query -W -f "\${Version}" procserv-ng)\b"'
check "bash completes" eval '[ "$(in_root bash -c "
    source /usr/share/bash-completion/completions/procServ
    complete -p procServ")" = "complete -o bashdefault -o default -o nosort -F _procServ procServ" ]'

# The unit that the generator makes, and what it runs, as far as there is no systemd to run it.
printf '[demo]\ncommand = /bin/cat\n' >"$root/etc/procServ.conf"
mkdir -p "$root/run/units" "$root/run/procserv-demo"
in_root /usr/lib/systemd/system-generators/systemd-procserv-generator-system /run/units
check "the generator makes a unit" grep -qx 'ExecStart=/usr/bin/procServ-launcher --system demo' \
    "$root/run/units/procserv-demo.service"
in_root /usr/bin/procServ-launcher --system demo </dev/null >"$scratch/launcher.out" 2>&1 &
launched() { in_root manage-procs --system status --wide demo | grep -q '^demo *running '; }
check "the launcher starts the server" within 10 launched
pid=$(sed -n 's/^pid://p' "$root/run/procserv-demo/info")
kill "$pid"
check "which ends" within 5 is_gone "$pid"
rm "$root/etc/procServ.conf"

greeted() { [ "$(socat -u TCP:127.0.0.1:2000,readbytes=48 -)" = "@@@ Welcome to procServ (procServ Process Server" ]; }
in_root procServ -q -n demo -p /run/demo.pid -L /run/demo.log -P 2000 /bin/cat
check "the server runs as a daemon" within 10 grep -q 'PID of new child "demo"' "$root/run/demo.log"
server=$(cat "$root/run/demo.pid")
check "from /usr/bin" [ "$(readlink "/proc/$server/exe")" = "$root/usr/bin/procServ" ]
check "greets" greeted
check "and answers" eval \
    'echo hello | socat -t 5 - TCP:127.0.0.1:2000 >/dev/null; within 5 eval "[ \$(grep -c ^hello \"$root/run/demo.log\") = 2 ]"'
kill "$server"
check "server ends" within 5 is_gone "$server"

dpkg -P site-iocs
check "dpkg -P" dpkg -P procserv-ng
check "nothing is installed" not is procserv-ng installed
files >"$scratch/before"
check "the program is gone" not grep -x -e /usr/bin/procServ -e $doc "$scratch/before"
check "installed again" dpkg -i /ours.deb
check "and removed" dpkg -r procserv-ng
files >"$scratch/after"
check "leaves no file" diff "$scratch/before" "$scratch/after"

### .rpm, in an empty root: what it needs is Fedora's, not this machine's.
check "cargo generate-rpm makes a package" \
    eval 'cargo generate-rpm --output "$scratch/ours.rpm" >"$scratch/generate-rpm.out" 2>&1'
rpm() { command rpm --root "$scratch/rpm" "$@" 2>>"$scratch/rpm.out"; }
mkdir "$scratch/rpm"
has() { command rpm -qp "$1" "$scratch/ours.rpm" 2>&1 | grep -qx "$2"; }
check "for what needs procServ" has --provides 'procServ = 2.9.0'
check "not beside it" has --conflicts procServ
check "needs the C library" has --requires 'libc\.so\.6()(64bit)'
check "and no shell" not has --requires /bin/sh
for name in procserv procserv-systemd python3-procserv; do
    check "not beside $name" has --conflicts $name
    check "instead of $name" has --obsoletes $name
done
# Stand-ins for the packages of procServ and its helper.
rpm_stand_in() {
    local file spec=$scratch/$1.spec build=$scratch/build-$1
    printf 'Name: %s\nVersion: 2.8.0\nRelease: 1\nSummary: a stand-in\nLicense: none\nBuildArch: noarch\n' "$1" >"$spec"
    printf '%%description\nA stand-in.\n%%install\n' >>"$spec"
    for file in "${@:2}"; do
        printf 'install -D -m 755 /dev/null %%{buildroot}/%s\n' "$file" >>"$spec"
    done
    printf '%%files\n' >>"$spec"
    printf '/%s\n' "${@:2}" >>"$spec"
    rpmbuild -bb --define "_topdir $build" --define "_tmppath $scratch" \
        --define "_dbpath $scratch/rpmdb" "$spec" >>"$scratch/rpmbuild.out" 2>&1 &&
        rpm -i --nodeps "$build"/RPMS/noarch/*.rpm
}
check "theirs are installed" eval '
    rpm_stand_in procServ usr/bin/procServ usr/share/man/man1/procServ.1 &&
    rpm_stand_in python3-procserv "${helper_files[@]}" &&
    rpm_stand_in procserv-systemd "${unit_files[@]}"'
check "rpm -U" rpm -U --nodeps "$scratch/ours.rpm"
check "replaces all of them" [ "$(rpm -qa)" = "$(rpm -q procserv-ng)" ]
check "with their files" [ ! -e "$scratch/rpm/usr/lib/systemd/system-generators/systemd-procserv-generator" ]
doc=/usr/share/doc/procserv-ng
check "its files" [ "$(rpm -ql procserv-ng | LC_ALL=C sort)" = "\
/usr/bin/manage-procs
/usr/bin/procServ
/usr/bin/procServ-launcher
/usr/lib/systemd/system-generators/systemd-procserv-generator-system
/usr/lib/systemd/user-generators/systemd-procserv-generator-user
/usr/share/bash-completion/completions/manage-procs
/usr/share/bash-completion/completions/procServ
$doc/CHANGELOG.md
$doc/README.md
$doc/conserver/conserver.cf
$doc/container/Containerfile
$doc/docs/README.md
$doc/docs/api.md
$doc/docs/benchmarks.md
$doc/docs/containers.md
$doc/docs/dependencies.md
$doc/docs/differences.md
$doc/docs/epics.md
$doc/docs/events.md
$doc/docs/json.md
$doc/docs/manage-procs.md
$doc/docs/many-hosts.md
$doc/docs/migrating.md
$doc/docs/monitoring.md
$doc/docs/pictures/console.svg
$doc/docs/pictures/status.svg
$doc/docs/pictures/top.svg
$doc/docs/pictures/web-consoles.png
$doc/docs/pictures/web-table.png
$doc/docs/pictures/why.svg
$doc/docs/procserv.md
$doc/docs/security.md
$doc/docs/socketmaster.md
$doc/docs/status.md
$doc/docs/troubleshooting.md
$doc/docs/tutorial.md
$doc/docs/upgrade.md
$doc/docs/web.md
$doc/epics/procserv-pvs.service
$doc/epics/procserv.acf
$doc/epics/procserv.bob
$doc/epics/procserv_ioc.py
$doc/epics/records.py
$doc/epics/requirements.txt
$doc/epics/status.py
$doc/epics/watch.py
$doc/logrotate/procServ
$doc/polkit/50-procserv.rules
$doc/prometheus/procserv-dashboard.json
$doc/prometheus/procserv-metrics.service
$doc/prometheus/procserv-metrics.timer
$doc/prometheus/procserv.rules.yml
$doc/systemd/ioc-fdstore@.service
$doc/systemd/ioc-notify@.service
$doc/systemd/ioc-socket@.service
$doc/systemd/ioc-socket@.socket
$doc/systemd/ioc-tcp@.service
$doc/systemd/ioc@.service
$doc/systemd/telldusd.service
$doc/systemd/web-overlap@.service
/usr/share/fish/vendor_completions.d/manage-procs.fish
/usr/share/fish/vendor_completions.d/procServ.fish
/usr/share/licenses/procserv-ng/LICENSE-APACHE
/usr/share/licenses/procserv-ng/LICENSE-MIT
/usr/share/man/man1/manage-procs.1
/usr/share/man/man1/procServ.1
/usr/share/zsh/site-functions/_manage-procs
/usr/share/zsh/site-functions/_procServ" ]
check "rpm -V" rpm -V --nodeps procserv-ng
check "its program is the one to check" \
    cmp "$scratch/rpm/usr/bin/procServ" "$CARGO_TARGET_DIR/release/procServ"
check "manage-procs too" \
    cmp "$scratch/rpm/usr/bin/manage-procs" "$CARGO_TARGET_DIR/release/manage-procs"
check "rpm -e" rpm -e procserv-ng
check "leaves no file" [ -z "$(find "$scratch/rpm" -name '*rocServ*' -o -name '*manage-procs*' -o -name '*-generator-*' -o -name 'LICENSE*')" ]
finish
