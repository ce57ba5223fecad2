#!/bin/bash
# contrib/container/Containerfile and docs/containers.md: the image is built by buildah, and what its
# configuration names is run as PID 1 of a PID namespace with the image as its root. No container engine
# takes part: docker, podman and kubectl need more than a check can have.
. "$(dirname "$0")/lib.sh"
need buildah jq busybox ldd python3 socat nsenter chroot
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"

empty /run
cd "$scratch"
export TMPDIR=$scratch
diagnosis="build.out output errors"
buildah() { command buildah --storage-driver vfs --root "$scratch/storage" --runroot "$scratch/runroot" "$@" 2>>build.out; }

### The image: a base with an IOC, a shell and the libraries of a debug build
mkdir -p programs base/bin base/ioc base/tmp base/proc base/dev base/usr
install "$PROCSERV_BIN" "$manage" programs/
busybox=$(type -P busybox)
install "$busybox" base/bin/busybox
for name in sh cat sleep ps kill; do ln -s busybox "base/bin/$name"; done
ldd "$PROCSERV_BIN" "$manage" "$busybox" | grep -o '/[^ :]*\.so[^ ]*' | sort -u |
    while read -r library; do install -D "$library" "base$library"; done
cat >base/ioc/st.cmd <<'IOC'
#!/bin/sh
echo "ioc of $$"
sh -c 'sleep 0.1 & :'
while read -r line; do
    case $line in
    exit) echo "saved"; exit 0 ;;
    die) exit 3 ;;
    *) echo "got $line" ;;
    esac
done
IOC
chmod 755 base/ioc/st.cmd
base=$(buildah from scratch)
check "a base image" eval 'buildah copy "$base" base / >/dev/null && buildah commit "$base" localhost/your-ioc >/dev/null'
document=$here/../../docs/containers.md
# The command of the document; with names of images that are nowhere else, and without a kernel's help.
build=$(sed -n 's/^    podman build //p' "$document" |
    sed "s=your-ioc=localhost/your-ioc=; s=-t ioc1=-t localhost/ioc1=; s=contrib/=$(realpath "$contrib")/=")
check "the image is built" eval "buildah build --isolation chroot $build >>build.out"
[ "$failed" = 0 ] || finish
buildah inspect --type image localhost/ioc1 >image.json
config() { jq -e "$1" image.json >/dev/null; }
check "stops by SIGTERM" config '.Docker.config.StopSignal == "SIGTERM"'
check "begins in /ioc" config '.Docker.config.WorkingDir == "/ioc"'
readarray -t words < <(jq -r '.Docker.config | (.Entrypoint + .Cmd)[]' image.json)
check "runs what the document says" [ "    ${words[*]}" = "$(grep '^    /usr/local/bin/procServ' "$document")" ]
readarray -t probe < <(jq -r '.Docker.config.Healthcheck.Test[1:][]' image.json)
check "has a probe" [ "${probe[*]}" = "/usr/local/bin/procServ --health /run/procServ/status" ]

### A container of it
container=$(buildah from localhost/ioc1)
cp -a "$(buildah mount "$container")" rootfs
start() {
    rm -f output
    # The file system of a container, with a /proc of its own PID namespace.
    unshare --mount --pid --fork --kill-child sh -c 'mount --bind "$1" "$1" && mount -t proc none "$1/proc" &&
        mount --rbind /dev "$1/dev" && shift && exec chroot "$@"' - \
        "$scratch/rootfs" "$scratch/rootfs" sh -c 'cd /ioc; exec "$@"' - "$@" >output 2>errors </dev/null &
    unshare=$!
    within 10 grep -q '^ioc of' output || return
    pid=$(cat "/proc/$unshare/task/$unshare/children")
    pid=${pid% }
}
inside() { nsenter --target "$pid" --mount --pid chroot "$scratch/rootfs" "$@"; }
says() { inside "${probe[@]}" >said; }
check "it starts" start "${words[@]}"
[ "$failed" = 0 ] || finish
check "procServ is its PID 1" [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$pid/status")" = 1 ]
check "healthy" within 5 says
check "which it says" [ "$(cat said)" = "the child runs and is ready" ]
states() { inside ps -o stat; }
check "processes are seen" eval 'states | grep -q ^S'
check "and no zombie is left" within 5 eval '! states | grep -q ^Z'
console() { grep -o "manage-procs attach [^\`]*unix:/run/procServ/control" "$document" | sort -u; }
check "the console, as the document has it" [ "$(console)" = "manage-procs attach --watch unix:/run/procServ/control
manage-procs attach unix:/run/procServ/control" ]
check "attached" eval '{ echo hello; sleep 1; } | inside manage-procs attach unix:/run/procServ/control >attached 2>>errors; grep -q "got hello" attached'
check "the log is stdout" grep -q '^got hello' output
check "the probe of Kubernetes" python3 - "$document" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
pod = re.search(r"```yaml\n(.*?)```", text, re.S).group(1)
assert "command: [procServ, --health, /run/procServ/status]" in pod
assert int(re.search(r"terminationGracePeriodSeconds: (\d+)", pod).group(1)) > int(re.search(r"--grace-period=(\d+)", text).group(1))
try:
    import yaml
except ImportError:
    sys.exit()
container, = yaml.safe_load(pod)["spec"]["containers"]
assert container["readinessProbe"]["exec"]["command"] == ["procServ", "--health", "/run/procServ/status"]
PYTHON
type_in() { printf "$1" | socat -t 2 - "UNIX-CONNECT:rootfs/run/procServ/control" >/dev/null; }
type_in '\024\030'
check "stopped by hand it is unhealthy" within 5 eval '! says && grep -qx "there is no child until a user starts one" said'
type_in '\022\024\024'
check "and started, healthy" within 5 says

### A stop, as engines do it
begun=$SECONDS
kill -TERM "$pid"
check "is told on the console" within 5 grep -q '^saved' output
wait "$unshare"
check "exit status 0" [ $? = 0 ]
check "before an engine's SIGKILL" [ $((SECONDS - begun)) -lt 10 ]
check "nothing is left" is_gone "$pid"
check "the probe of a container that ended fails" not chroot rootfs "${probe[@]}"

# --oneshot: the engine restarts, and knows the exit status.
check "one-shot" start "${words[@]:0:${#words[@]}-1}" --oneshot ./st.cmd
type_in 'die\r'
wait "$unshare"
check "exit status of the IOC" [ $? = 3 ]

# The longer stop of the document.
options=$(sed -n 's/^    docker run .* --entrypoint procServ ioc1 //p' "$document")
check "with other options" eval "start procServ $options"
kill -TERM "$pid"
check "stops as well" within 5 grep -q '^saved' output
wait "$unshare"

# An IOC that does not know `exit`.
printf '#!/bin/sh\necho ioc of mine\nwhile :; do sleep 1; done\n' >rootfs/ioc/st.cmd
check "a deaf IOC" start "${words[@]}"
begun=$SECONDS
kill -TERM "$pid"
wait "$unshare"
check "ends before SIGKILL, too" [ $((SECONDS - begun)) -lt 10 ]
check "nothing on stderr" [ ! -s errors ]
finish
