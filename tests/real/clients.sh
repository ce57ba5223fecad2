#!/bin/bash
# The clients that people attach with: each on a terminal, in tmux, and in a pipe, as scripts have
# them. What they show is compared with what it must be, all of it.
. "$(dirname "$0")/lib.sh"
need expect telnet plink socat nc.openbsd ncat busybox tmux

cd "$scratch"
diagnosis="server.out console.log difference"
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
# It sets up the terminal when the server has answered its DO SGA, which may be after the greeting.
check "plink -telnet, ^Q" on_terminal late yes '\x11' plink -telnet -P 2000 127.0.0.1
check "plink -raw, ^Q and ^D" \
    on_terminal cooked no '\x16\x11\x04 {\^Q} \x04' plink -raw -P 2000 127.0.0.1

# In tmux: the screen, but for empty lines and what clients themselves say.
windows=0
tmux() { TERM=vt100 command tmux -u -S "$scratch/tmux$windows" -f /dev/null "$@"; }
screen() {
    tmux capture-pane -p -t kid | LC_ALL=C tr -cd '\n -~' | masked |
        sed -E 's/^"//; /^$/d; /^(Trying|Connected to|Escape character is|Entering character mode)/d'
}
shows() { diff <(echo "$1") <(screen) >difference; }
in_tmux() {
    session "$@" && return
    cat difference
    tmux kill-server
    return 1
}
# session TTY LEAVE COMMAND...: TTY as console.exp has it, LEAVE is what tmux calls the keys.
session() {
    local tty=$1 leave=$2 quote='' flush='' lines=2 expected
    shift 2
    windows=$((windows + 1))
    tmux new-session -d -s kid -x 150 -y 50 "$@"
    expected=$(greeting kid console.log 0 logout | tr -d '\r')
    within 5 shows "$expected" || return
    tmux resize-window -t kid -x 120 -y 60
    tmux send-keys -t kid hello Enter
    expected+=$'\nhello\nhello'
    if [ "$tty" = cooked ]; then
        expected+=$'\nhello\n^X'
        lines=3 quote=C-v flush=C-d
    fi
    within 5 eval '[ "$(screen | grep -c "hello$")" = $lines ]' || return
    tmux send-keys -t kid $quote C-x $flush
    expected+=$'\n'$(killed kid logout | tr -d '\r' | sed '/^$/d')
    within 10 shows "$expected" || return
    tmux send-keys -t kid $leave
    within 5 not tmux has-session -t kid
}
# But for busybox's telnet, which puts its notice about the mode anywhere in the greeting.
check "in tmux: telnet, ^Q" in_tmux raw C-q telnet 127.0.0.1 2000
check "telnet -8, ^Q" in_tmux raw C-q telnet -8 127.0.0.1 2000
check "socat raw, ^Q" in_tmux raw C-q socat -,raw,echo=0 UNIX-CONNECT:console
check "socat, ^D" in_tmux cooked C-d socat - UNIX-CONNECT:console
check "nc -U, ^D" in_tmux cooked 'C-v C-q C-d' nc.openbsd -U console
check "ncat, ^D" in_tmux cooked C-d ncat 127.0.0.1 2000
check "ncat -t, ^D" in_tmux cooked C-d ncat -t 127.0.0.1 2000
check "plink -telnet, ^Q" in_tmux raw C-q plink -telnet -P 2000 127.0.0.1
check "plink -raw, ^D" in_tmux cooked C-d plink -raw -P 2000 127.0.0.1

# In a pipe: greeting, negotiation unless the client speaks telnet, the line and the reply.
lines=0
expected() {
    greeting kid console.log 0 logout
    [ "$1" = yes ] || printf '\xff\xfb\x01\xff\xfd"'
    printf 'line-%d\r\nline-%d\r\n' $lines $lines
}
replied() { [ "$(grep -ac "line-$lines.\$" piped)" = 2 ]; }
# piped TELNET COMMAND...: its input ends when the reply is there.
piped() {
    local telnet=$1
    shift
    lines=$((lines + 1))
    : >piped
    { printf 'line-%d\n' $lines; within 5 replied; } | timeout 10 "$@" >piped || return
    cmp <(sed '/^Trying/d; /^Connected to/d; /^Escape character/d' piped | masked) <(expected "$telnet")
}
check "in a pipe: socat on the Unix socket" piped no socat - UNIX-CONNECT:console
check "socat on TCP" piped no socat - TCP:127.0.0.1:2000
check "nc -N -U" piped no nc.openbsd -N -U console
check "nc -N" piped no nc.openbsd -N 127.0.0.1 2000
check "ncat -U" piped no ncat -U console
check "ncat" piped no ncat 127.0.0.1 2000
check "ncat -t" piped no ncat -t 127.0.0.1 2000
check "plink -raw" piped no plink -raw -P 2000 127.0.0.1
# It ends its lines with CR LF, which the child's terminal takes for two ends, and shows LF.
check "telnet" piped yes bash -c \
    '{ telnet 127.0.0.1 2000 2>/dev/null || [ $? = 1 ]; } | sed "/^$/d; /^\r$/d; s/\r*$/\r/"'

# What is sent before the end arrives also when nobody waits for the reply.
sent() {
    printf 'sent-%d\n' "$1" | timeout 10 "${@:2}" >/dev/null &&
        within 5 eval '[ "$(grep -c ^sent-'"$1"' console.log)" = 2 ]'
}
check "at once: socat" sent 1 socat - UNIX-CONNECT:console
check "nc -N" sent 2 nc.openbsd -N -U console
check "ncat" sent 3 ncat 127.0.0.1 2000
check "plink -raw" sent 4 plink -raw -P 2000 127.0.0.1

socat -u UNIX-CONNECT:console CREATE:monitor &
monitor=$!
check "socat -u monitors" within 5 grep -q 'plus you' monitor
lines=$((lines + 1))
: >piped
{ printf 'line-%d\n' $lines; within 5 replied; } | socat - TCP:127.0.0.1:2000 >piped
check "another client sees it" grep -q '^@@@ 1 user(s) and 0 logger(s)' piped

kill "$server"
check "server ends" wait "$server"
check "clients see the end" wait "$monitor"
check "socat -u has seen it all" cmp <(masked monitor) <(expected no; last_words logout)
check "socket file is removed" [ ! -e console ]

# At a raw endpoint the answer comes after the end of the input.
"$PROCSERV_BIN" -f -n kid -L raw.log -P raw:unix:raw -P raw:2001 /bin/cat >>server.out 2>&1 </dev/null &
server=$!
check "child of raw endpoints is up" within 10 grep -q 'PID of new child' raw.log
answered() {
    printf 'ask-%d\n' "$1" | timeout 10 "${@:2}" >answer
    [ "$(grep -ac "ask-$1.\$" answer)" = 2 ]
}
check "answered: nc -N -w 2 -U" answered 1 nc.openbsd -N -w 2 -U raw
check "nc -N -w 2" answered 2 nc.openbsd -N -w 2 127.0.0.1 2001
check "socat -t2 on the Unix socket" answered 3 socat -t2 - UNIX-CONNECT:raw
check "socat -t2 on TCP" answered 4 socat -t2 - TCP:127.0.0.1:2001
check "ncat -i 2" answered 5 ncat -i 2 127.0.0.1 2001
check "manage-procs attach" answered 6 "$(dirname "$PROCSERV_BIN")/manage-procs" attach raw:2001
kill "$server"
check "its server ends" wait "$server"
finish
