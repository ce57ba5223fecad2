#!/bin/bash
# docs/monitoring.md from top to its chapter about the journal, with what contrib/prometheus has: real node_exporter, Prometheus
# and promtool under a real systemd.
. "$(dirname "$0")/lib.sh"
need curl jq prometheus prometheus-node-exporter promtool socat useradd
. "$here/machine.bash"
manage=$(dirname "$PROCSERV_BIN")/manage-procs
[ -x "$manage" ] || missing "$manage"

install "$manage" "$root/usr/local/bin/manage-procs"
ln -s manage-procs "$root/usr/local/bin/procServ-launcher"
chroot "$root" useradd --system --user-group ioc
cp -r "$contrib" "$root/contrib"
rm -rf "$root"/var/lib/prometheus/metrics2/* "$root"/etc/procServ.d
sed -i 's/\(scrape_interval\|evaluation_interval\): *15s/\1: 1s/; s/^rule_files:/# &/' "$root/etc/prometheus/prometheus.yml"

# Each indented block of the document, by its number.
mkdir "$scratch/blocks"
awk -v place="$scratch/blocks/" '
    /^## The journal/ { exit }
    /^    / { if (!inside) count++; inside = 1; print substr($0, 5) >(place count); next }
    { inside = 0 }' "$here/../../docs/monitoring.md"
in_systemd() { nsenter -t "$init" --mount --pid --cgroup --root --wd env PATH=/usr/local/bin:"$PATH" "$@"; }
diagnosis="$scratch/said"
block() { cat "$scratch/blocks/$1" && rm "$scratch/blocks/$1"; }
run() { in_systemd bash -e -o pipefail -c "$(block "$1")" </dev/null >"$scratch/said" 2>&1; }
procs() { in_systemd manage-procs "$@"; }
text=$root/var/lib/prometheus/node-exporter/procserv.prom
exported() { in_systemd curl -s http://localhost:9100/metrics; }
has() { exported | grep -qxF "$1"; }

boot
### Instances in several states
procs add -C /tmp -U ioc --options '--holdoff 0' runs cat
procs add -C /tmp -U ioc --options '--holdoff 0' loops false
procs add -C /tmp -U ioc --options '--holdoff 0 --logfile /dev/full' full cat
procs add -C /tmp -U ioc never cat
check "instances start" procs start runs loops full
within 10 procs mode runs off

### On each host
check "a node_exporter" systemctl start prometheus-node-exporter.service
check "what the file gets" run 1
check "is known of all" eval '[ "$(grep -c "^procserv_info{" "$scratch/said")" = 4 ]'
check "promtool has nothing to say" eval '[ -z "$(procs metrics | in_systemd promtool check metrics 2>&1)" ]'
check "the timer" run 2
check "writes the file" within 10 test -s "$text"
check "which all may read" [ "$(stat -c %a "$text")" = 644 ]
check "the exporter has it" within 10 has 'procserv_up{name="runs"} 1'
check "as the document asks" run 3
check "it has no error" has 'node_textfile_scrape_error 0'
before=$(stat -c %i "$text")
check "and writes it again" within 25 eval '[ "$(stat -c %i "$text")" != "$before" ]'
check "nothing lies beside it" [ "$(ls -A "$root/var/lib/prometheus/node-exporter" | grep -c procserv)" = 1 ]
check "the journal is silent" eval '! in_systemd journalctl --no-pager -o cat -u procserv-metrics.service | grep .'
check "what to ask if not" run 4
check "a crash loop is seen" within 30 has 'procserv_state{name="loops",state="looping"} 1'
check "trouble, too" within 30 has 'procserv_trouble{name="full",what="log"} 1'
check "and the mode" within 30 has 'procserv_mode{mode="OFF",name="runs"} 1'

### Prometheus
check "rules" run 5
block 6 >>"$root/etc/prometheus/prometheus.yml"
sed -i 's/for: .*/for: 1s/' "$root/etc/prometheus/rules/procserv.rules.yml"
check "Prometheus" systemctl start prometheus.service
query() { in_systemd curl -s --get --data-urlencode "query=$1" http://localhost:9090/api/v1/query; }
check "is ready" within 20 in_systemd curl -sf http://localhost:9090/-/ready
check "loads them" run 7
is() { [ "$(query "$1" | jq -r '[.data.result[] | .metric.name + " " + .value[1]] | sort | join(",")')" = "$2" ]; }
check "who runs" within 20 is 'procserv_state{state="running"} == 1' "full 1,runs 1"
check "who does not" is 'procserv_state{state="stopped"} == 1' "never 1"
check "since when" eval 'query "time() - procserv_child_start_time_seconds{name=\"runs\"}" |
    jq -e ".data.result[0].value[1] | tonumber | . > 0 and . < 300" >/dev/null'
firing() { in_systemd curl -s http://localhost:9090/api/v1/alerts |
    jq -e --arg alert "$1" --arg name "$2" '.data.alerts[] | select(.labels.alertname == $alert and .labels.name == $name and .state == "firing")'; }
check "the crash loop is an alert" within 30 firing ProcServLooping loops
check "the full disk, too" within 30 firing ProcServTrouble full
check "and the mode" within 30 firing ProcServModeOff runs
check "the others are none" not firing ProcServDown never

### The queries of document and dashboard
grep '^| .* | `.*` |$' "$here/../../docs/monitoring.md" | sed -n 's/.* | `\(.*\)` |$/\1/p' | sed 's/\\|/|/g' | grep procserv_ >"$scratch/queries"
jq -r '.panels[].targets[].expr' "$contrib/prometheus/procserv-dashboard.json" |
    sed 's/\$instance\|\$name/.*/g' >>"$scratch/queries"
check "there are some" [ "$(wc -l <"$scratch/queries")" -gt 20 ]
while read -r expression; do
    check "understood: ${expression:0:70}" eval 'query "$expression" | jq -e ".status == \"success\"" >/dev/null'
done <"$scratch/queries"
known=$(cut -d' ' -f3 <(grep '^# TYPE' "$text") | sort -u)
used=$(grep -oh 'procserv_[a-z_]*' "$scratch/queries" "$contrib/prometheus/procserv.rules.yml" | sort -u)
check "of metrics that there are" [ -z "$(comm -13 <(echo "$known") <(echo "$used"))" ]
check "alerts, each at its time" eval 'cp "$here/prometheus-rules.yml" "$contrib/prometheus/procserv.rules.yml" "$scratch/" &&
    promtool test rules "$scratch/prometheus-rules.yml" >"$scratch/said" 2>&1'

### Hostile
evil=$'1"} 1\nprocserv_up{name="never"} 1\n\033[2J\\'
in_systemd kill -STOP "$(procs status --json runs | jq '.[0].server_pid')"
status=$root/run/procserv-runs/status
forge() { jq --arg evil "$evil" "$1" "$status" >"$scratch/forged" && cat "$scratch/forged" >"$status" && systemctl start procserv-metrics.service; }
check "a status file that forges" forge \
    '.version = $evil | .restarts = "7" | .trouble = [{what: $evil}] | .log = {written: -1, lost: 1e99}'
check "is written" within 5 grep -q 'procserv_trouble{name="runs",what="other"} 1' "$text"
check "promtool has nothing to say" eval '[ -z "$(promtool check metrics <"$text" 2>&1)" ]'
check "the exporter neither" has 'node_textfile_scrape_error 0'
check "no sample is forged" has 'procserv_up{name="never"} 0'
check "nor is a number made of it" eval '! grep -q -e "restarts_total{name=\"runs\"" -e "log_.*{name=\"runs\"" "$text"'
check "a server that is stopped is hung" has 'procserv_state{name="runs",state="hung"} 1'
check "a file of another version" forge '.v = 2'
check "is none" within 5 has 'procserv_status_file_ok{name="runs"} 0'
head -c 300 "$scratch/forged" >"$status"
systemctl start procserv-metrics.service
check "half of it, too" has 'procserv_status_file_ok{name="runs"} 0'
check "and the exporter has all the rest" has 'procserv_up{name="full"} 1'
# As its user does with a link to what the user may not read.
ln -sf /etc/shadow "$status"
systemctl start procserv-metrics.service
check "a link to another file is no status" has 'procserv_status_file_ok{name="runs"} 0'

### Without permission
as_ioc() { in_systemd setpriv --reuid ioc --regid ioc --clear-groups "$@"; }
check "an ordinary user cannot write there" eval '! as_ioc manage-procs --system metrics --textfile "${text#"$root"}" 2>"$scratch/said"'
check "and is told" grep -q 'Permission denied' "$scratch/said"
chmod 700 "$root/run/procserv-full"
chown root: "$root/run/procserv-full"
as_ioc manage-procs --system metrics >"$scratch/said"
check "what that user may not see is hidden" grep -qxF 'procserv_state{name="full",state="hidden"} 1' "$scratch/said"
check "and nothing is said of it" eval '! grep -q "^procserv_\(up\|server_up\|mode\|child_.*\|log_.*\){name=\"full\"" "$scratch/said"'

### When nobody writes
systemctl stop procserv-metrics.timer
touch -d '10 minutes ago' "$text"
stale() { in_systemd curl -s http://localhost:9090/api/v1/alerts | jq -e '.data.alerts[] | select(.labels.alertname == "ProcServMetricsStale")'; }
check "the age is an alert" within 20 stale
check "every command of the document was run" [ -z "$(ls "$scratch/blocks")" ]
finish
