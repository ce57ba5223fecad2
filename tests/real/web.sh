#!/bin/bash
# web-overlap@.service under a real systemd: a web service that is updated under load.
. "$(dirname "$0")/lib.sh"
need systemd-analyze socat useradd python3
. "$here/machine.bash"

chroot "$root" useradd --system --user-group web
cp "$contrib/systemd/web-overlap@.service" "$root/etc/systemd/system/"
mkdir -p "$root/opt/web/demo"
cp "$here/../blackbox/child/web.py" "$root/opt/web/demo/"
# serve VERSION
serve() {
    cat >"$scratch/serve" <<SERVE
#!/bin/sh
echo "this is version $1"
[ $1 != broken ] || exit 9
exec python3 web.py 0.05
SERVE
    in_systemd tee /opt/web/demo/serve <"$scratch/serve" >/dev/null
    in_systemd chmod 755 /opt/web/demo/serve
}
touch "$root/opt/web/demo/serve"
chmod 755 "$root/opt/web/demo/serve"
boot

unit=web-overlap@demo.service
console=/run/web-overlap/demo/control
is() { [ "$(property $unit "$1")" = "$2" ]; }
answer() { printf 'GET / HTTP/1.0\r\n\r\n' | in_systemd socat -t 20 - TCP:127.0.0.1:8080 | tail -n 1; }
serve one
check "systemd-analyze verify has nothing to say" \
    [ -z "$(in_systemd systemd-analyze verify $unit 2>&1)" ]
check "it starts" systemctl start $unit
check "and serves" eval '[ "$(answer)" -gt 1 ]'
server=$(property $unit MainPID)
first=$(answer)

# A load that counts what goes wrong.
cat >"$root/tmp/load.py" <<'LOAD'
import os, socket, threading, time
bad, good = [], []
def load():
    while not os.path.exists("/tmp/over"):
        try:
            with socket.create_connection(("127.0.0.1", 8080), 20) as s:
                s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                text = b""
                while part := s.recv(4096):
                    text += part
            good.append(int(text.split()[-1]))
            open("/tmp/begun", "w")
        except Exception as error:
            bad.append(repr(error))
threads = [threading.Thread(target=load) for _ in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(good), "good", len(set(good)), "processes", len(bad), "bad", set(bad))
LOAD
in_systemd python3 /tmp/load.py >"$scratch/load" &
load=$!
check "the load begins" within 10 in_systemd test -e /tmp/begun
for version in two three four; do
    serve $version
    check "reload to version $version" systemctl reload $unit
    check "returns when it serves" in_journal "this is version $version"
    last=$(answer)
done
check "another process answers" [ "$last" != "$first" ]
check "of the same server" is MainPID "$server"
check "the old ones have finished" within 15 eval '[ "$(journal | grep -c "Normal exit status = 0")" = 3 ]'
serve broken
check "reload to a version that fails" systemctl reload $unit
check "the old one stays" within 10 in_journal 'is not replaced'
check "and answers" [ "$(answer)" = "$last" ]
in_systemd touch /tmp/over
wait $load
cat "$scratch/load"
check "nothing was refused or broken" grep -q ' 0 bad' "$scratch/load"
check "four versions answered" grep -q ' 4 processes' "$scratch/load"
check "stop" systemctl stop $unit
check "in order" [ "$(property $unit Result),$(property $unit ExecMainStatus)" = success,0 ]
check "the last one has finished, too" eval '[ "$(journal | grep -c finished)" = 4 ]'
check "nothing is left" not in_systemd test -e $console

# The server is killed in the middle of an overlap: the new child is taken over, the old one killed.
in_systemd mkdir -p "/etc/systemd/system/web-overlap@.service.d"
{
    printf '[Service]\nRestartSec=0\nKillMode=process\nFileDescriptorStoreMax=20\n'
    printf 'RuntimeDirectoryPreserve=restart\nExecStart=\n'
    sed -n '/^ExecStart=/,/[^\\]$/p' "$contrib/systemd/web-overlap@.service" |
        sed 's/--notify/--fdstore/; s/--overlap=10000/--overlap=60000/'
} | in_systemd tee "/etc/systemd/system/web-overlap@.service.d/store.conf" >/dev/null
systemctl daemon-reload
serve five
check "it starts with a store" systemctl start $unit
first=$(answer)
check "state, terminal, child, its messages, endpoint and socket are stored" within 5 eval \
    '[ "$(property $unit NFileDescriptorStore)" = 6 ]'
# One that is never ready.
printf '#!/bin/sh\necho "this is version six"\nexec sleep 1000\n' |
    in_systemd tee /opt/web/demo/serve >/dev/null
in_systemd kill -USR2 "$(property $unit MainPID)"
check "another one is started beside it" within 10 in_journal 'this is version six'
check "all of it is stored" within 5 eval '[ "$(property $unit NFileDescriptorStore)" = 9 ]'
new=$(journal | sed -n 's/.*new child "demo" is: //p' | tail -n 1)
server=$(property $unit MainPID)
in_systemd kill -KILL "$server"
check "another server comes" within 10 in_journal 'server restarted'
check "it is another" within 10 eval '[ "$(property $unit MainPID)" != "$server" ]'
check "the old child is killed" within 10 in_journal \
    "sigChild for process $first. The process was killed by signal 9"
check "the new one runs on" in_systemd kill -0 "$new"
check "nothing of the old one is stored" within 5 eval \
    '[ "$(property $unit NFileDescriptorStore)" = 6 ]'
serve seven
in_systemd kill -USR2 "$(property $unit MainPID)"
check "a working one takes the same socket" eval '[ "$(answer)" -gt 1 ]'
check "the one that was taken over ends" within 15 in_journal "sigChild for process $new"
check "stop" systemctl stop $unit
check "nothing is stored" [ "$(property $unit NFileDescriptorStore)" = 0 ]
finish
