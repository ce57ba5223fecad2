#!/bin/bash
# The server as PID 1 of a PID namespace, as in a container: with the log on stdout.
. "$(dirname "$0")/lib.sh"
need unshare nsenter socat ps pgrep script

cd "$scratch"
diagnosis="output errors"
cat >child <<'CHILD'
#!/bin/bash
echo "child is $$"
while read -r line; do
    case $line in
    # Each is nobody's child as soon as the one between has ended.
    orphans) for i in 1 2 3 4 5; do (bash -c 'echo "orphan $$"; exec sleep 0.2' &); done ;;
    lasting) (setsid sleep 1000 &) ;;
    exit*) exit "${line#exit }" ;;
    *) echo "child got $line" ;;
    esac
done
CHILD
chmod 755 child

# start OPTION...: $container is the namespace's first process, as seen from here.
start() {
    # The output of the last one would be taken for this one's.
    rm -f control output
    unshare --pid --fork --mount --mount-proc --kill-child \
        "$PROCSERV_BIN" --holdoff 1 -n kid -P unix:control "$@" ./child >output 2>errors </dev/null &
    unshare=$!
    within 10 grep -q '^child is' output || return
    container=$(cat "/proc/$unshare/task/$unshare/children")
    container=${container% }
}
inside() { nsenter --target "$container" --pid --mount "$@"; }
say() { printf '%s\n' "$1" | socat -t 5 - UNIX-CONNECT:control >said; }
nothing_runs() { not pgrep -x child && not pgrep -x sleep && not pgrep -x procServ; }
zombies() { inside ps -eo stat= | grep -c ^Z; }

check "container starts" start -f -L -
check "server is its PID 1" [ "$(awk '/^NSpid:/ { print $NF }' "/proc/$container/status")" = 1 ]
check "output is on stdout, from the first message" \
    [ "$(head -n 2 output | tr -d '\r')" = '@@@ Restarting child "kid"
@@@    (as ./child)' ]
check "nothing on stderr" [ ! -s errors ]
say hello
check "child answers on stdout" within 5 grep -q '^child got hello' output
check "greeting says PID 1" grep -q '^@@@ procServ server PID: 1.$' said

say orphans
check "orphans run" within 5 eval '[ "$(grep -c "^orphan [0-9]" output)" = 5 ]'
check "and end" within 5 not inside pgrep sleep
check "no zombie is left" within 5 eval '[ "$(zombies)" = 0 ]'
check "their ends are nobody's news" not grep -q 'sigChild' output
say still
check "the child is the same" within 5 grep -q '^child got still' output

say 'exit 7'
check "child's end is told" within 5 grep -q '^@@@ Received a sigChild for process [0-9]*. Normal exit status = 7.$' output
check "and it is started again" within 10 eval '[ "$(grep -c "^child is" output)" = 2 ]'

say lasting
check "a process leaves the child's group" within 5 inside pgrep sleep
kill -TERM "$container"
wait "$unshare"
check "SIGTERM: exit status 0" [ $? = 0 ]
check "container is gone" is_gone "$container"
check "nothing of it runs" nothing_runs
check "clients' socket file is removed" [ ! -e control ]
check "last words are on stdout" \
    [ "$(tail -n 2 output | tr -d '\r')" = \
    '@@@ Child process is shutting down, a new one will be restarted shortly
@@@ ^R or ^X restarts the child, ^Q quits the server' ]

check "container starts" start -f -L -
kill -INT "$container"
kill -QUIT "$container"
say still
check "SIGINT and SIGQUIT are ignored with -f" within 5 grep -q '^child got still' output
kill -KILL "$container"
wait "$unshare"
check "SIGKILL ends everything" within 5 nothing_runs

check "a one-shot container starts" start -f -L - --oneshot
say 'exit 5'
wait "$unshare"
check "its exit status is the child's" [ $? = 5 ]

# With a terminal, as docker run -it gives one: its user has the console, and there is no log on it.
on_terminal() {
    local server="$PROCSERV_BIN --console -L - --logstamp --holdoff 1 --oneshot -n kid -f -P unix:control ./child"
    rm -f control screen
    {
        within 10 grep -aq '^child is' screen && printf 'word\r'
        within 10 grep -aq '^child got word' screen && printf 'exit 5\r'
        within 10 grep -aq 'exit status = 5' screen
    } | script -qfec "unshare --pid --fork --mount --mount-proc --kill-child $server" screen >output 2>errors
}
on_terminal
check "on a terminal: exit status of the child" [ $? = 5 ]
check "the terminal has a greeting" grep -aq '^@@@ Welcome to procServ' screen
check "what is typed reaches the child" [ "$(grep -ac '^child got word' screen)" = 1 ]
check "no line has a stamp" not grep -aq '^\[' screen
finish
