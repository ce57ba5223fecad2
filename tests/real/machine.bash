# Sourced after lib.sh: a real systemd as PID 1 of a pid namespace, with an overlay of this machine's
# files, $root, as its root. A check puts there what a site has, calls boot, and looks at it with
# in_systemd, systemctl and so on.
need nsenter pivot_root
[ -x /lib/systemd/systemd ] || missing systemd

cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ -n "$cgroups" ] || missing cgroup2
cgroups=$cgroups/procserv-${scratch##*.}
mkdir "$cgroups" || missing "a cgroup2 to write to"
init=
cleanup() {
    show_diagnosis
    [ "$failed" = 0 ] || in_systemd journalctl --no-pager --lines 30
    [ -z "$init" ] || kill -KILL "$init"
    wait
    find "$cgroups" -depth -type d -exec rmdir {} +
}
trap cleanup EXIT

make_root
rm -rf "$root/etc/systemd/system" "$root/var/log/journal" "$root/etc/fstab"
mkdir "$root/etc/systemd/system"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
cat >"$root/etc/systemd/system/check.target" <<'UNIT'
[Unit]
Requires=basic.target
After=basic.target
AllowIsolate=yes
UNIT

install "$PROCSERV_BIN" "$root/usr/local/bin/procServ"

# install_tools: the programs as packages install them, with the links and generators of manage-procs.
# $manage is the one that is not installed.
install_tools() {
    local kind
    manage=$(dirname "$PROCSERV_BIN")/manage-procs
    [ -x "$manage" ] || missing "$manage"
    PATH=/usr/local/bin:$PATH
    rm "$root/usr/local/bin/procServ"
    install "$PROCSERV_BIN" "$manage" "$contrib/links/procServ-launcher" "$root/usr/bin/"
    for kind in system user; do
        install -D "$contrib/links/systemd-procserv-generator-$kind" \
            "$root/usr/lib/systemd/$kind-generators/systemd-procserv-generator-$kind"
    done
    mkdir -p "$root/etc/procServ.d"
}
procs() { in_systemd manage-procs "$@"; }

in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd "$@"; }
is_up() {
    init=$(cat "/proc/$unshare/task/$unshare/children") && init=${init%% *} &&
        [ "$(cat "/proc/$init/comm")" = systemd ] &&
        in_systemd systemctl is-system-running | grep -E 'running|degraded'
}

property() { in_systemd systemctl show --property "$2" --value "$1"; }
systemctl() { in_systemd systemctl --no-pager "$@"; }
in_file() { in_systemd grep -q "$@"; }
# The unit's processes. Its control group goes with the last one, and the property then, too.
processes() { in_systemd cat "/sys/fs/cgroup$group/cgroup.procs" 2>/dev/null; }
in_journal() { journal | grep -q "$1"; }
journal() { in_systemd journalctl --no-pager --output cat --unit "$unit"; }

# boot OPTION...: with more namespaces, as options of unshare(1).
boot() {
    (
        echo 0 >"$cgroups/cgroup.procs"
        exec unshare "$@" --mount --pid --cgroup --fork --kill-child bash -c '
            mount -t proc none "$1/proc"
            mount -t cgroup2 none "$1/sys/fs/cgroup"
            cd "$1"
            mkdir old
            pivot_root . old
            umount --lazy old
            exec env -i PATH="$PATH" container=check \
                /lib/systemd/systemd --system --unit=check.target' - "$root"
    ) >"$scratch/boot.out" 2>&1 &
    unshare=$!
    within 20 is_up || missing "a systemd that boots here: $(cat "$scratch/boot.out")"
}
