#!/bin/bash
# `manage-procs top` in a real terminal, under a real systemd.
. "$(dirname "$0")/lib.sh"
. "$here/machine.bash"
. "$here/terminal.bash"

manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"
install "$PROCSERV_BIN" "$root/usr/bin/procServ"
rm -f "$root/usr/local/bin/procServ"
install "$manage" "$root/usr/bin/manage-procs"
install "$contrib/links/procServ-launcher" "$root/usr/bin/"
diagnosis=$scratch/screen
procs() { in_systemd manage-procs "$@"; }
server() { procs status --json "$1" | grep -o '"server_pid": [0-9]*'; }
# sees DESCRIPTION TEXT: within ten seconds the screen has that. Of a failure the screen is kept.
sees() { check "$1" within 10 has "$2" && { [ "$failed" = 0 ] || screen >"$scratch/screen"; }; }
flag() { [ "$(in_tmux display-message -p "#{$1}")" = "$2" ]; }
resize() { in_tmux resize-window -x "$1" -y "$2"; }
is_sane() {
    types "clear; stty -a | cmp - /tmp/before && echo the"" same"
    within 10 has '^the same' && flag alternate_on 0 && flag cursor_flag 1
}

boot
procs add -C /tmp -U daemon vac1 cat
procs add -C /tmp -U daemon vac2 cat
procs add -C /tmp -U daemon --options '--holdoff 0' rf1 sh -c 'sleep 0.1; exit 3'
check "three instances" procs start --all

terminal 80 24
types 'stty -a >/tmp/before; clear'
types 'manage-procs top'
sees "a table" '^NAME *STATE *UP *24H/ALL *USERS *LAST$'
sees "with what runs" '^vac1 *running '
sees "and with what does not" '^rf1 *looping .* exit 3 '
sees "and how many that are" '^3 instances, 1 wrong '
check "in colour" within 10 eval 'screen -e | grep -q "38;5;1m.*looping"'
check "on the whole screen" [ "$(screen | wc -l)" = 24 ]
check "without cursor" flag cursor_flag 0

keys -l /vac
sees "a filter is typed" '^/vac$'
check "and leaves the others out" within 10 not has '^rf1'
keys Enter
sees "it stays" 'only vac; 2 shown'

resize 40 10
sees "columns go" '^NAME *STATE *UP *LAST$'
check "rows are whole" within 10 has '^vac2 *running '
check "ten lines" [ "$(screen | wc -l)" = 10 ]
resize 1 1
resize 80 24
sees "and come back" '24H/ALL *USERS'

before=$(server vac1)
keys -l rn
sees "a restart can be declined" '^vac1 was not restarted'
check "and is not done then" [ "$(server vac1)" = "$before" ]
keys -l ry
sees "it is done after a yes" '^restart vac1: done'
check "by a new server" [ "$(server vac1)" != "$before" ]
sees "which is shown" '^vac1 *running '

keys -l w
sees "why tells of it" '^why vac1'
keys -l q
keys -l a
sees "the console" 'plus you'
types hello
sees "answers" '^hello'
keys C-]
sees "and is left" '^vac1 *running \|any key'
keys -l x
sees "for the table" '^vac1 *running '

in_systemd kill -KILL "$(server vac2 | grep -o '[0-9]*$')"
sees "a server that was killed is back" '^vac2 *running .*SIGKILL (server)'

keys C-z
sees "it is suspended" Stopped
check "with a sane terminal" is_sane
types fg
sees "and goes on" '^vac1 *running '
keys -l q
within 10 flag alternate_on 0
check "it quits and leaves a sane terminal" is_sane

for signal in TERM INT HUP; do
    types 'clear; manage-procs top'
    sees "again" '^vac1 *running '
    in_systemd pkill --oldest -"$signal" -x manage-procs
    within 10 flag alternate_on 0
    check "so does SIG$signal" is_sane
done
check "no process is left" within 10 not in_systemd pgrep -x manage-procs

types 'clear; NO_COLOR=1 manage-procs top'
sees "without colours" '^rf1 *looping '
check "there is no red" not eval 'screen -e | grep -q "38;5;1m"'
keys -l q
types 'clear; manage-procs top | cat'
sees "a pipe is no terminal" 'manage-procs status prints the same table'
close_terminal
finish
