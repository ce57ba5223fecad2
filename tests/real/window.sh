#!/bin/bash
# Programs that draw a screen, in the child: they have the window of who typed last. The windows are
# those of tmux, which are resized, with inetutils telnet and with manage-procs attach in them.
. "$(dirname "$0")/lib.sh"
need tmux telnet vi bash stty socat

manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"
cd "$scratch"
diagnosis="server.out console.log shown"
"$PROCSERV_BIN" -f -n kid -i ^D -x ^Q -L console.log --window follow --term xterm-256color \
    -P 2000 -P unix:console bash --norc -i >server.out 2>&1 </dev/null &
server=$!
check "child is up" within 10 grep -q 'PID of new child' console.log

tmux() { TERM=xterm-256color command tmux -u -S "$scratch/tmux" -f /dev/null "$@"; }
window() { tmux new-session -d -s "$1" -x "$2" -y "$3" "${@:4}"; }
resize() { tmux resize-window -t "$1" -x "$2" -y "$3"; }
keys() { tmux send-keys -t "$@"; }
screen() { tmux capture-pane -p -t "$1" >shown; }
shows() { screen "$1" && grep -q -e "$2" shown; }
child() { sed -n 's/.*PID of new child .* is: \([0-9]*\).*/\1/p' console.log | tail -n 1; }
# size "ROWS COLUMNS": of the terminal of the present child.
size() { [ "$(stty -F "$(readlink "/proc/$(child)/fd/0")" size)" = "$1" ]; }

window telnet 100 30 telnet 127.0.0.1 2000
check "telnet is greeted" within 10 shows telnet 'connected (plus you)'
keys telnet Enter
check "bash has the window of telnet" within 10 size "30 100"
resize telnet 90 25
check "and the next one without a key" within 10 size "25 90"
keys telnet 'echo $TERM; stty size' Enter
check "TERM is what was asked for" within 10 shows telnet '^xterm-256color'
check "stty size is, too" within 10 shows telnet '^25 90'

window attach 70 20 "$manage" attach "unix:$scratch/console"
check "attach is greeted" within 10 shows attach 'connected (plus you)'
check "nobody has typed there" size "25 90"
keys attach Enter
check "bash has the window of who types" within 10 size "20 70"
resize attach 60 18
check "and its changes" within 10 size "18 60"
keys telnet Enter
check "who types again has it again" within 10 size "25 90"

# readline breaks lines where the window ends.
keys telnet "PS1='> '" Enter
check "a prompt" within 10 shows telnet '^>$'
keys telnet "echo $(printf 'x%.0s' {1..100})"
check "readline breaks a line at the edge" within 10 eval 'screen telnet; grep -qx "> echo x\{83\}" shown'
resize telnet 50 25
keys telnet y
check "and at the new one" within 10 eval 'screen telnet; grep -qx "x\{50\}" shown || grep -qx "> echo x\{43\}" shown'
keys telnet C-u

# vi fills the window, and draws anew when that changes.
resize telnet 80 24
seq -f 'line %g' 100 >text
keys telnet 'vi text' Enter
check "vi shows what has room" within 10 eval 'screen telnet; grep -qx "line 20" shown && ! grep -qx "line 24" shown'
resize telnet 80 40
check "vi draws anew" within 10 eval 'screen telnet; grep -qx "line 38" shown'
check "down to the last line" [ "$(sed -n '39p' shown)" = "line 39" ]
resize telnet 80 12
check "and in a small window" within 10 eval 'screen telnet; grep -qx "line 10" shown && [ "$(grep -c "^line" shown)" -le 11 ]'
keys telnet ':q!' Enter
check "vi ends" within 10 eval '[ -z "$(cat /proc/$(child)/task/*/children)" ]'

# A storm of sizes: the last one is set.
for columns in {81..140}; do resize telnet "$columns" 33; done
check "after many sizes the last one counts" within 10 size "33 140"

# It outlives the program, the child, and the client.
kill -USR1 "$server"
check "upgraded" within 10 grep -q 'upgraded in place' console.log
keys telnet 'stty size' Enter
check "the size is kept over an upgrade" within 10 shows telnet '^33 140'
resize telnet 130 31
check "and is followed after it" within 10 size "31 130"
keys telnet C-x
check "another child is started" within 30 eval '[ "$(grep -c "PID of new child" console.log)" = 2 ]'
check "and has it" within 10 size "31 130"
keys telnet C-q
check "who typed before gets his window back" within 10 size "18 60"

# Without the option nobody is asked, and procServ does the same.
same() { printf '\377\373\037\377\372\037\000\120\000\030\377\360\377\375\143' |
    timeout 5 socat -t2 - "TCP:127.0.0.1:$1" | LC_ALL=C tail -c 12 | od -An -tx1; }
"$PROCSERV_BIN" -f -n kid -w -P 2001 /bin/cat >/dev/null 2>&1 </dev/null &
check "the bytes of a server without it" within 10 eval '[ "$(same 2001)" = " ff fb 01 ff fd 22 ff fe 1f ff fc 63" ]'
if [ -x /usr/bin/procServ ]; then
    /usr/bin/procServ -f -n kid -w -P 2002 /bin/cat >/dev/null 2>&1 </dev/null &
    check "are procServ's" within 10 eval '[ "$(same 2002)" = "$(same 2001)" ]'
fi
finish
