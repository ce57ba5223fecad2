#!/bin/bash
# The clients that people attach with, each on a terminal, and those that scripts use, each in a pipe.
. "$(dirname "$0")/lib.sh"
need expect telnet socat nc.openbsd ncat busybox tmux

cd "$scratch"
diagnosis="server.out console.log"
"$PROCSERV_BIN" -f -n kid --holdoff 1 -i ^D^C -x ^Q -L console.log \
    -P unix:console -P 2000 /bin/cat >server.out 2>&1 </dev/null &
server=$!
check "child is up" within 10 grep -q 'PID of new child' console.log

# on_terminal TTY TELNET LEAVE COMMAND...
on_terminal() { LC_ALL=C TERM=vt100 expect -f "$here/console.exp" server "$1" "$2" "$3" kid "${@:4}"; }

check "telnet, ^Q" on_terminal raw yes '\x11' telnet 127.0.0.1 2000
check "telnet -8, ^Q" on_terminal raw yes '\x11' telnet -8 127.0.0.1 2000
check "telnet, its own ^] and quit" on_terminal raw yes '\x1d {telnet> } quit\r' telnet 127.0.0.1 2000
check "busybox telnet, ^Q" on_terminal crlf yes '\x11' busybox telnet 127.0.0.1 2000
check "busybox telnet, its own ^] and e" \
    on_terminal crlf yes '\x1d {e\s+exit telnet} e\r' busybox telnet 127.0.0.1 2000
check "socat raw on the Unix socket, ^Q" \
    on_terminal raw no '\x11' socat -,raw,echo=0 UNIX-CONNECT:console
check "socat raw on the Unix socket, its escape" \
    on_terminal raw no '\x1d' socat -,raw,echo=0,escape=0x1d UNIX-CONNECT:console
check "socat raw on TCP, ^Q" on_terminal raw no '\x11' socat -,raw,echo=0 TCP:127.0.0.1:2000
check "socat, ^D" on_terminal cooked no '\x04' socat - UNIX-CONNECT:console
check "nc -U, ^Q" on_terminal cooked no '\x16\x11\x04' nc.openbsd -U console
check "nc on TCP, ^Q and ^D" on_terminal cooked no '\x16\x11\x04 {\^Q} \x04' nc.openbsd 127.0.0.1 2000
check "ncat -U, ^D" on_terminal cooked no '\x04' ncat -U console
check "ncat -t, ^D" on_terminal cooked no '\x04' ncat -t 127.0.0.1 2000
# A window of tmux, with the size changed under the telnet in it.
tmux() { TERM=vt100 command tmux -S "$scratch/tmux" -f /dev/null "$@"; }
window_shows() { tmux capture-pane -p -t kid | grep -q "$1"; }
tmux new-session -d -s kid -x 80 -y 24 telnet 127.0.0.1 2000
check "telnet in tmux: greeting" within 5 window_shows '0 user(s) and 0 logger(s) connected (plus you)$'
tmux resize-window -t kid -x 100 -y 30
tmux send-keys -t kid hello-from-tmux Enter
check "line and reply" within 5 eval '[ "$(tmux capture-pane -p -t kid | grep -c ^hello-from-tmux\$)" = 2 ]'
tmux send-keys -t kid C-x
check "^X" within 10 window_shows '^@@@ The PID of new child "kid" is: '
tmux send-keys -t kid C-q
check "^Q ends the session" within 5 not tmux has-session -t kid

# Programs: greeting and answer in a pipe, the end of their input ends the connection.
# piped COMMAND...: a line is sent, then the end; the child must get the line.
lines=0
piped() {
    lines=$((lines + 1))
    printf 'line-%d\n' $lines | timeout 10 "$@" >piped.out &&
        grep -aq '^@@@ Welcome to procServ (procServ Process Server .*).$' piped.out &&
        within 5 eval '[ "$(grep -c ^line-$lines console.log)" = 2 ]'
}
check "socat in a pipe" piped socat -t 5 - UNIX-CONNECT:console
check "nc -N in a pipe" piped nc.openbsd -N -U console
check "ncat in a pipe" piped ncat 127.0.0.1 2000

socat -u UNIX-CONNECT:console CREATE:monitor.out &
monitor=$!
check "socat -u monitors" within 5 grep -q '^@@@ Welcome' monitor.out
check "another client speaks" piped socat -t 5 - TCP:127.0.0.1:2000
check "and the monitor sees it" within 5 grep -q "^line-$lines" monitor.out

kill "$server"
check "server ends" wait "$server"
check "clients see the end" wait "$monitor"
check "socket file is removed" [ ! -e console ]
finish
