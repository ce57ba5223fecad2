#!/bin/bash
# docs/monitoring.md about the journal of another host: two machines, each with a real systemd and a network
# of its own, with systemd-journal-upload on the one and systemd-journal-remote on the other.
# PROCSERV_JOURNAL_REMOTE is a directory with the unpacked packages systemd-journal-remote and
# libmicrohttpd12: to install them could replace this machine's systemd.
. "$(dirname "$0")/lib.sh" || exit
need jq ss useradd
: "${PROCSERV_JOURNAL_REMOTE:=$here/../../target/journal-remote}"
[ -x "$PROCSERV_JOURNAL_REMOTE/lib/systemd/systemd-journal-remote" ] || missing "systemd-journal-remote"
. "$here/machine.bash" || exit
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"

mkdir "$scratch/blocks"
awk -v place="$scratch/blocks/" '
    /^### To another host/ { reads = 1 }
    !reads { next }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(place count); next }
    { inside = 0 }' "$here/../../docs/monitoring.md"
diagnosis="$scratch/said"
run() { in_systemd bash -e -o pipefail -c "$(cat "$scratch/blocks/$1")" </dev/null >"$scratch/said" 2>&1 && rm "$scratch/blocks/$1"; }

# prepare NAME: $root becomes the machine of this name.
prepare() {
    local part
    for part in etc usr; do cp -a "$PROCSERV_JOURNAL_REMOTE/$part/." "${root:?}/$part/"; done
    cp -a "$PROCSERV_JOURNAL_REMOTE/lib/." "${root:?}/usr/lib/"
    chroot "${root:?}" useradd --system --no-create-home systemd-journal-remote
    mkdir -p "${root:?}/var/log/journal/remote"
    chroot "${root:?}" chown systemd-journal-remote: /var/log/journal/remote
    rm -f "${root:?}"/etc/{machine-id,hostname,hosts}
    md5sum <<<"$1" | cut -c -32 >"${root:?}/etc/machine-id"
    echo "$1" >"${root:?}/etc/hostname"
    printf '127.0.0.1 localhost\n10.79.0.1 first\n10.79.0.2 collector\n' >"${root:?}/etc/hosts"
}

install "$manage" "${root:?}/usr/local/bin/manage-procs"
ln -s manage-procs "${root:?}/usr/local/bin/procServ-launcher"
chroot "${root:?}" useradd --system --user-group ioc
rm -rf "${root:?}/etc/procServ.d" "${root:?}/etc/procServ.conf"
prepare first
boot --net --uts
first=$init first_root=$root first_cgroups=$cgroups

# The second one, which cleanup ends; the first one is ended here.
both() {
    kill -KILL "$first"
    cleanup
    find "$first_cgroups" -depth -type d -exec rmdir {} +
}
mkdir "$scratch/collector"
first_scratch=$scratch
scratch=$scratch/collector
make_root
scratch=$first_scratch
[ "$root" != "$first_root" ] || exit 1
rm -rf "${root:?}/etc/systemd/system" "${root:?}/var/log/journal" "${root:?}/etc/fstab"
mkdir "${root:?}/etc/systemd/system"
cp "$first_root/etc/systemd/system/check.target" "${root:?}/etc/systemd/system/"
prepare collector
cgroups=$first_cgroups-2
mkdir "$cgroups" || missing "a second control group"
trap both EXIT
init=
boot --net --uts
collector=$init

ip link add to-collector netns "$first" type veth peer name to-first netns "$collector"
nsenter -t "$first" --net sh -c \
    'ip address add 10.79.0.1/24 dev to-collector; ip link set to-collector up; ip link set lo up'
nsenter -t "$collector" --net sh -c \
    'ip address add 10.79.0.2/24 dev to-first; ip link set to-first up; ip link set lo up'
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --net --uts --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
procs() { in_systemd manage-procs "$@"; }

init=$collector
check "the collector" run 1
listens() { in_systemd ss -Hltn | grep :19532; }
check "listens" within 10 listens
init=$first
check "a host that sends" run 2
procs add -C /tmp -U ioc --options '--holdoff 0' vac1 cat
procs set vac1 events=journal
check "an instance" procs start vac1
check "is killed" within 10 procs kill vac1

init=$collector
remote() { in_systemd journalctl --quiet --no-pager --output json --directory /var/log/journal/remote "$@"; }
has() { remote "$@" | grep .; }
check "the kill is on the other host" within 30 has PROCSERV_EVENT=command PROCSERV_COMMAND=kill
check "as the document asks" run 3
check "in a sentence" grep -q 'vac1: killed by root (uid 0) at unix:' "$scratch/said"
entry=$(remote PROCSERV_EVENT=command | tail -n 1)
is() { jq -e --arg value "$2" ".$1 == \$value" <<<"$entry" >/dev/null; }
check "from this host" is _HOSTNAME first
check "of this unit" is _SYSTEMD_UNIT procserv-vac1.service
check "by this user" is PROCSERV_CLIENT_UID 0
check "of this kind" is MESSAGE_ID f291ea57694a4f1381a87f0f13257cc2
check "every command of the chapter was run" [ -z "$(ls "$scratch/blocks")" ]
finish
