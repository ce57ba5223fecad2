// What is pure: texts, the table, its order, telnet, the queue of output, events and translations.

import assert from "node:assert/strict";
import { test } from "node:test";
import { extractMessages, parsePo, toScript } from "../po/po.mjs";
import { instanceOf, Lines, Table, type Instance } from "../src/model";
import { grouped, matches, prefixOf, sorted, type View } from "../src/order";
import { OutputQueue } from "../src/queue";
import { eventOf } from "../src/sentence";
import { Telnet } from "../src/telnet";
import { clean, format, span } from "../src/text";

const names = (uid: number): string => `user${uid}`;
const view: View = { filter: "", onlyWrong: false, column: "name", descending: false, grouped: true };

function instance(name: string, more: object = {}): Instance {
    const made = instanceOf({ name, state: "running", ...more }, "system");
    assert.ok(made);
    return made;
}

test("a hostile text is shown in one line, without control and direction characters", () => {
    assert.equal(clean("a\u001b]0;x\u0007\nb\u202ec\u2066d\u0085"), "a\ufffd]0;x\ufffd\ufffdb\ufffdc\ufffdd\ufffd");
    assert.equal(clean("</script><b>"), "</script><b>");
    assert.equal(clean("x".repeat(5000), 10), "xxxxxxxxxx…");
    assert.equal(clean(null), "");
    assert.equal(clean({ a: "\u0001" }), "{\"a\":\"\\u0001\"}");
});

test("a value that looks like a place is not replaced", () => {
    assert.equal(format("$0 by $1", "$1", "x"), "$1 by x");
    assert.equal(format("$0 $2", "a"), "a $2");
});

test("spans of time", () => {
    assert.deepEqual([0, 59, 60, 3600, 90000].map(span), ["0 s", "59 s", "1 min", "1 h 0 min", "1 d 1 h"]);
    assert.equal(span(-5), "0 s");
});

test("fields of other types than expected are left out", () => {
    const made = instance("x", { status: "no object", endpoints: [1, null], trouble: "no list", child_since: "now", unit: [] });
    assert.deepEqual([made.clients, made.trouble, made.childSince, made.raw, made.view], [[], [], null, "", ""]);
    assert.equal(instanceOf({ name: 5 }, "system"), null);
    assert.equal(instanceOf(null, "system"), null);
});

test("sockets come from the endpoints, and from fields of their own", () => {
    const endpoints = ["view:unix:/run/x/view", "raw:unix:ioc:ioc:0660:/run/x/raw", "unix:::0660:/run/x/control", "tcp:127.0.0.1:1"];
    const made = instance("x", { endpoints });
    assert.deepEqual([made.control, made.raw, made.view, made.isViewTelnet], ["/run/x/control", "/run/x/raw", "/run/x/view", true]);
    const other = instance("x", { endpoints: ["view:raw:unix:/a", "unix:relative"], raw: "/b" });
    assert.deepEqual([other.control, other.raw, other.view, other.isViewTelnet], ["", "/b", "/a", false]);
});

test("programs are no users", () => {
    const clients = [{ id: 1, role: "api", uid: 0 }, { id: 2, role: "viewer", uid: 7 }];
    assert.deepEqual(instance("x", { status: { clients } }).clients.map(client => client.id), [2]);
});

test("the table follows changes", () => {
    const table = new Table();
    const keys = (): string[] => table.all().map(one => `${one.key}=${one.state}`).sort();
    assert.ok(table.apply("system", { version: 1, type: "table", instances: [{ name: "a", state: "running" }, { name: "b", state: "dead" }, 7] }));
    assert.ok(table.apply("user", { version: 1, type: "table", instances: [{ name: "a", state: "stopped" }] }));
    assert.deepEqual(keys(), ["system/a=running", "system/b=dead", "user/a=stopped"]);
    assert.ok(table.apply("system", { type: "changed", instance: { name: "b", state: "running" } }));
    assert.ok(table.apply("system", { type: "changed", instance: { name: "c", state: "running" } }));
    assert.ok(table.apply("system", { type: "removed", name: "a" }));
    assert.ok(table.apply("system", { type: "something new" }));
    assert.deepEqual(keys(), ["system/b=running", "system/c=running", "user/a=stopped"]);
    assert.equal(table.apply("system", { version: 2, type: "table", instances: [] }), false);
    assert.ok(table.apply("system", { version: 1, type: "table", instances: [] }));
    assert.deepEqual(keys(), ["user/a=stopped"]);
});

test("lines come whole, however they are cut", () => {
    const lines = new Lines(10);
    assert.deepEqual(lines.push("{\"a\""), []);
    assert.deepEqual(lines.push(":1}\n\n{}\n["), ["{\"a\":1}", "{}"]);
    assert.throws(() => lines.push("x".repeat(20)));
});

test("what is wrong stands first, whatever the order", () => {
    const all = [instance("a10"), instance("a9"), instance("z", { state: "dead", wrong: true }), instance("t", { trouble: ["log"] }), instance("b", { state: "stopped" })];
    const order = (change: Partial<View>): string => sorted(all, { ...view, ...change }).map(one => one.name).join(" ");
    assert.equal(order({}), "t z a9 a10 b");
    assert.equal(order({ descending: true }), "z t b a10 a9");
    assert.equal(order({ column: "state" }), "z t a9 a10 b");
});

test("the shortest time up stands first", () => {
    const all = [instance("old", { child_since: 10 }), instance("none"), instance("new", { child_since: 20 })];
    assert.deepEqual(sorted(all, { ...view, column: "up" }).map(one => one.name), ["new", "old", "none"]);
});

test("groups of names", () => {
    assert.deepEqual(["vac-01", "mot12", "a_b_c", "x", "7"].map(prefixOf), ["vac", "mot", "a", "x", ""]);
    const groups = grouped(["mot1", "vac-01", "x", "vac-02", "mot2"].map(name => instance(name)));
    assert.deepEqual(groups.map(group => [group.prefix, group.instances.length]), [["mot", 2], ["vac", 2], ["", 1]]);
});

test("the filter looks at all that is shown", () => {
    const one = instance("vac-01", { state: "no_answer", trouble: ["log: disk full"], status: { clients: [{ id: 1, role: "user", uid: 5 }] } });
    for (const filter of ["", "VAC", "no answer", "disk vac", "user5"])
        assert.ok(matches(one, filter, names), filter);
    assert.ok(!matches(one, "vac other", names));
});

test("telnet tells the window when it is asked, and is taken out of the output", () => {
    const sent: number[][] = [];
    const telnet = new Telnet(bytes => sent.push([...bytes]), 80, 255);
    const text = (...bytes: number[]): string => String.fromCharCode(...telnet.receive(Uint8Array.from(bytes)));
    assert.equal(text(65, 255, 251, 1, 66, 255), "AB");
    assert.equal(text(253), "");
    assert.equal(text(34, 67), "C");
    telnet.resize(81, 255);
    assert.equal(text(255, 253, 31, 255, 253, 31), "");
    telnet.resize(300, 50);
    telnet.resize(300, 50);
    assert.equal(text(255, 255, 255, 250, 24, 1, 255, 240, 68), "\u00ffD");
    assert.deepEqual(sent, [
        [255, 253, 1], [255, 252, 34], [255, 251, 31], [255, 250, 31, 0, 81, 0, 255, 255, 255, 240], [255, 250, 31, 1, 44, 0, 50, 255, 240],
    ]);
    assert.deepEqual([...telnet.typed(Uint8Array.of(13, 10, 255, 10))], [13, 0, 10, 255, 255, 10]);
});

test("the queue keeps the order, and drops what is oldest", () => {
    const queue = new OutputQueue(10);
    queue.push(Uint8Array.of(1, 2, 3));
    queue.push(Uint8Array.of(4, 5));
    assert.deepEqual([...queue.take(4)], [1, 2, 3, 4]);
    assert.deepEqual([...queue.take(4)], [5]);
    assert.deepEqual([...queue.take(4)], []);
    queue.push(new Uint8Array(8));
    queue.push(Uint8Array.of(1, 2, 3));
    assert.deepEqual([queue.takeLost(), queue.takeLost(), queue.length], [8, 0, 3]);
    queue.push(new Uint8Array(1000));
    assert.deepEqual([queue.takeLost(), queue.length, queue.take(5).length], [1003, 0, 0]);
});

test("events are sentences", () => {
    const what = (event: object): string => eventOf({ instance: "x", time: "t", ...event }, names).what;
    assert.equal(what({ event: "command", command: "kill", client: { uid: 4 } }), "killed by user4");
    assert.equal(what({ event: "child_exit", signal: 9 }), "child died of SIGKILL");
    assert.equal(what({ event: "child_exit", code: 0 }), "child exited with status 0");
    assert.equal(what({ event: "disconnect", client: { address: "[::1]:5" } }), "[::1]:5 left");
    assert.equal(what({ event: "connect", client: null }), "somebody attached");
    assert.equal(what({ event: "input", client: { uid: 1 }, text: "a\u001b[1m" }), "input by user1: a\ufffd[1m");
    assert.ok(eventOf({ event: "child_exit", code: 1 }, names).isBad);
    assert.ok(!eventOf({ event: "child_exit", code: 0 }, names).isBad);
    assert.match(what({ event: "of another version", a: 1 }), /of another version/);
});

test("translations", () => {
    assert.deepEqual(extractMessages("_(\"b\") ngettext(\"$0 a\", \"$0 as\", n) x(_(\"b\"))"), [["$0 a", "$0 as"], ["b", null]]);
    const po = "msgid \"\"\nmsgstr \"\"\n\"Plural-Forms: nplurals=2; plural=n != 1;\\n\"\n\nmsgid \"a \\\"b\\\"\"\nmsgstr \"c\"\n\nmsgid \"d\"\nmsgstr \"\"\n\nmsgid \"$0 x\"\nmsgid_plural \"$0 xs\"\nmsgstr[0] \"$0 y\"\nmsgstr[1] \"$0 ys\"\n";
    const script = toScript("de", parsePo(po));
    let got: Record<string, unknown> = {};
    new Function("cockpit", script)({ locale: (value: Record<string, unknown>) => { got = value; } });
    assert.deepEqual(got["a \"b\""], [null, "c"]);
    assert.deepEqual(got["$0 x"], [null, "$0 y", "$0 ys"]);
    assert.equal(got.d, undefined);
    assert.throws(() => toScript("de", parsePo("msgid \"\"\nmsgstr \"plural=alert(1);\"")));
});
