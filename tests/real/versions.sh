#!/bin/bash
# Upgrades and downgrades between the program to check and two others, made of the same source: one
# that hands over more than it, and one that hands over less.
. "$(dirname "$0")/lib.sh"
need cargo socat sed cp

cd "$here/../.."
export CARGO_NET_OFFLINE=true
cargo metadata --format-version 1 --locked >/dev/null || missing "what cargo fetch --locked gets"
export CARGO_TARGET_DIR=$scratch/target
diagnosis="$scratch/*.out $scratch/log"

# patch FILE EXPRESSION...: each has to change the file.
patch() {
    local file=$source/$1 expression
    shift
    for expression; do
        cp "$file" "$scratch/before"
        sed -i -E "$expression" "$file"
        ! cmp -s "$file" "$scratch/before" || missing "what '$expression' changes in $file"
    done
}
# variant NAME VERSION: a copy of the source, to be patched. built: makes the program of it.
variant() {
    source=$scratch/$1
    mkdir "$source"
    cp -a Cargo.toml Cargo.lock src tests benches "$source"
    patch Cargo.toml "s/^version = .*/version = \"$2\"/"
}
built() {
    (cd "$source" && cargo build --quiet --bin procServ) >"$source.out" 2>&1 &&
        cp "$CARGO_TARGET_DIR/debug/procServ" "$source/program"
}

variant newer 7.8.9
patch src/handover/state.rs \
    '/^pub struct State \{/a #[n(99)] pub extra: Option<u64>,' \
    '/^pub struct ChildState \{/a #[n(99)] pub extra: Option<u64>,'
patch src/server/event_loop/takeover.rs 's/^( *)Ok\(State \{/&\n extra: Some(7),/'
patch src/server/event_loop/child.rs 's/^( *)Ok\(ChildState \{/&\n extra: Some(7),/'
check "a program that hands over more can be made" built

variant older 0.0.1
patch src/handover/state.rs \
    '/^    #\[cbor\(n\(11\), default\)\]/,/^    pub dir: Text,/d' \
    's/dir: self\.dir\.clone\(\)/dir: Text(Vec::new())/'
patch src/server/event_loop/takeover.rs '/^ *dir: self\.identity\.dir\.clone\(\),/d'
check "a program that hands over less can be made" built

mkdir "$scratch/today"
cp "$PROCSERV_BIN" "$scratch/today/program"

cd "$scratch"
# installs NAME: as a package manager does.
installs() { cp "$1/program" new && mv new procServ; }
installs today
./procServ -f -n demo -L log -P unix:control /bin/cat >stdout.out 2>stderr.out </dev/null &
server=$!
child() { cat "/proc/$server/task/$server/children"; }
within 5 test -S control
child=$(child)
mkfifo keys
socat - UNIX-CONNECT:control <keys >screen &
exec 5>keys
said=0
# talks: what is typed arrives at the connection that was there from the begin, and at a new one.
talks() {
    said=$((said + 1))
    echo "word-$said" >&5
    within 5 grep -a "^word-$said" screen &&
        socat -u UNIX-CONNECT:control,readbytes=11 - | grep -q '@@@ Welcome'
}
check "a client talks to the child" talks

count=0
# version NAME: as -V says it.
version() { "./$1/program" -V; }
has_upgraded() {
    [ "$(grep -ac '@@@ procServ server upgraded in place' log)" = "$count" ] &&
        [ "$(grep -a 'upgraded in place' log | tail -n 1)" = \
            "@@@ procServ server upgraded in place ($(version "$1"))"$'\r' ]
}
# Each to each.
from=today
for to in newer today older today newer older newer newer older older today; do
    installs $to
    count=$((count + 1))
    kill -USR1 $server
    check "from $from to $to" within 10 has_upgraded $to
    check "which is the process" cmp -s "/proc/$server/exe" $to/program
    check "has the same child" [ "$(child)" = "$child" ]
    check "and the same clients" talks
    from=$to
done
greeting=$(socat -u -T 1 UNIX-CONNECT:control - | head -n 5)
check "what the older one did not know is missing, and that is all" \
    [ "$(grep -c '^@@@ Server startup directory: .$' <<<"$greeting")" = 1 ]
check "nothing was complained of" [ ! -s stderr.out ]
kill $server
wait $server
check "SIGTERM ends it well" [ $? = 0 ]
check "with its socket" [ ! -e control ]
finish
