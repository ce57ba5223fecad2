# Sourced first by the checks beside it: `bash tests/real/NAME.sh`, as root. PROCSERV_BIN is the
# program to check, by default the debug build. Exit status: 0 passed, 1 failed, 77 something that
# is needed is missing, and named.
#
# A check runs in namespaces of its own: ports, processes and what it mounts are nobody else's, and
# nothing of it is left when its shell ends. This machine's files can't be written to from there.
# $scratch is a directory that can, and is removed after that.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
contrib=$here/../../contrib
: "${PROCSERV_BIN:=$here/../../target/debug/procServ}"

missing() { echo "missing: $*"; exit 77; }

# need COMMAND...
need() {
    local command
    for command; do type -P "$command" >/dev/null || missing "$command"; done
}

if [ -z "${scratch:-}" ]; then
    [ "$(id -u)" = 0 ] || missing "root's rights"
    need unshare realpath ip
    [ -x "$PROCSERV_BIN" ] || missing "$PROCSERV_BIN"
    PROCSERV_BIN=$(realpath "$PROCSERV_BIN")
    scratch=$(mktemp -d)
    chmod 755 "$scratch"
    export PROCSERV_BIN scratch
    trap 'rm -rf --one-file-system "$scratch"' EXIT
    trap 'exit 1' INT TERM
    unshare --mount --net --pid --ipc --uts --fork --kill-child --mount-proc \
        bash "$(realpath "$0")" </dev/null
    exit
fi

# writable DIRECTORY...: for this check again.
writable() {
    local directory
    for directory; do
        mount --bind "$directory" "$directory" && mount -o remount,bind,rw "$directory" || exit
    done
}

while read -r _ directory _; do
    # Blanks and the like are \NNN there.
    directory=$(printf %b "$directory")
    case $directory/ in /proc/* | /sys/* | /dev/*) continue ;; esac
    mount -o remount,bind,ro "$directory" || missing "$directory that can be made read-only"
done </proc/self/mounts
writable "$scratch"
export TMPDIR=$scratch

ip link set lo up
trap show_diagnosis EXIT
trap 'exit 1' INT TERM
failed=0

# What a failed check leaves for its reader: the files named in $diagnosis.
show_diagnosis() {
    [ "$failed" -eq 0 ] || tail -n 30 ${diagnosis:-/dev/null}
}

# check DESCRIPTION COMMAND...
check() {
    local description=$1
    shift
    if "$@"; then
        echo "ok    $description"
    else
        echo "FAIL  $description"
        failed=1
    fi
}

not() { ! "$@"; }

# within SECONDS COMMAND...: asks again and again, until the command succeeds or time is up.
within() {
    local deadline=$((SECONDS + $1 + 1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.05
    done
}

finish() {
    echo "$(basename "$0" .sh): $([ "$failed" = 0 ] && echo passed || echo FAILED) ($PROCSERV_BIN)"
    exit "$failed"
}

# empty DIRECTORY...: hides what is there, for this check alone.
empty() {
    local directory
    for directory; do mount -t tmpfs -o mode=755 none "$directory"; done
}

# add_user NAME: a user and a group of that name, known to this check alone. $PROCSERV_BIN becomes a
# copy that others than root can reach, wherever this clone is.
add_user() {
    local file
    install -m 755 "$PROCSERV_BIN" "$scratch/procServ"
    PROCSERV_BIN=$scratch/procServ
    for file in passwd group; do cp "/etc/$file" "$scratch/$file"; done
    echo "$1:x:29990:29990::/:/bin/sh" >>"$scratch/passwd"
    echo "$1:x:29990:" >>"$scratch/group"
    for file in passwd group; do mount --bind "$scratch/$file" "/etc/$file"; done
}

# is_gone PID: no such process, or a dead one that nobody waited for yet.
is_gone() {
    case $(sed -n 's/^State:\s*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) in
    '' | Z) ;;
    *) return 1 ;;
    esac
}

# make_root: $root, an overlay of this machine's files, which stay as they are.
make_root() {
    need chroot
    mkdir "$scratch/overlay"
    mount -t tmpfs none "$scratch/overlay"
    mkdir "$scratch"/overlay/{upper,work,root}
    root=$scratch/overlay/root
    mount -t overlay -o "lowerdir=/,upperdir=$scratch/overlay/upper,workdir=$scratch/overlay/work" \
        none "$root"
    mount -t sysfs -o ro none "$root/sys"
    mount -t tmpfs -o mode=755 none "$root/dev"
    mkdir "$root"/dev/{pts,shm}
    mount -t devpts -o newinstance,mode=620,ptmxmode=666 none "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    for device in null zero full random urandom tty; do cp -a "/dev/$device" "$root/dev/"; done
    mount -t tmpfs -o mode=755 none "$root/run"
    mount -t tmpfs none "$root/tmp"
}

# masked FILE...: without times and process numbers.
masked() {
    LC_ALL=C sed -E 's/(PID: |new child ".*" is: |for process )[0-9]+/\1N/
        s/((started at|Current time): )[^\r]*/\1T/' "$@"
}

# What servers say, masked, in lines that end in CR LF. Those of NAME, with /bin/cat as the child and
# the logout key ^Q, if LOGOUT says so.
crlf() { sed 's/$/\r/'; }
# greeting NAME LOG USERS [LOGOUT]
greeting() {
    crlf <<GREETING
@@@ Welcome to procServ ($("$PROCSERV_BIN" -V))
@@@ Use ^X to kill the child, auto restart mode is ON, use ^T to toggle auto restart${4:+
@@@ Use ^Q to logout from procServ server}
@@@ procServ server PID: N
@@@ Server startup directory: $PWD
@@@ Child startup directory: $PWD
@@@ Child "$1" started as: /bin/cat
@@@ Child log file: $2
@@@ Child "$1" PID: N
@@@ procServ server started at: T
@@@ Child "$1" started at: T
@@@ $3 user(s) and 0 logger(s) connected (plus you)
GREETING
}
# last_words [LOGOUT]
last_words() {
    crlf <<WORDS
@@@ Current time: T
@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server${1:+, ^Q closes this connection}
WORDS
}
# killed NAME [LOGOUT]: by ^X, and started again.
killed() {
    crlf <<NEWS

@@@ Got a kill command

@@@ @@@ @@@ @@@ @@@
@@@ Received a sigChild for process N. The process was killed by signal 9
NEWS
    last_words "${2:-}"
    crlf <<NEWS
@@@ Restarting child "$1"
@@@    (as /bin/cat)
@@@ The PID of new child "$1" is: N
@@@ @@@ @@@ @@@ @@@
NEWS
}
