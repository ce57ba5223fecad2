# Sourced after machine.bash: a terminal (tmux) with root's shell of the machine in it.
need tmux

# terminal COLUMNS ROWS
terminals=0
terminal() {
    # A socket of its own, as the server of the terminal before may still be ending.
    terminals=$((terminals + 1))
    in_tmux -f /dev/null new-session -d -x "$1" -y "$2" \
        "nsenter -t $init --mount --pid --cgroup --root --wd env -i TERM=screen-256color HOME=/root \
            PATH=/usr/local/bin:/usr/bin:/bin PS1='# ' bash --norc --noprofile"
    shows '#'
}
in_tmux() { tmux -S "$scratch/tmux$terminals" "$@"; }
close_terminal() { in_tmux kill-server; }
screen() { in_tmux capture-pane -p "$@"; }
keys() { in_tmux send-keys "$@"; }
# types COMMAND
types() { keys -l "$1" && keys Enter; }
# has TEXT: a regular expression.
has() { screen | grep -q -e "$1"; }
# shows TEXT: the last line that is not empty is this, but for blanks at its end, which tmux drops.
shows() { within 30 eval '[ "$(screen | grep . | tail -n 1)" = "'"$1"'" ]' || { screen; exit 1; }; }
