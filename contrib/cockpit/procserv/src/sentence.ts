// An event of the events files as a sentence, as `manage-procs events` has it.

import { clientOf, fields } from "./model";
import { _, clean, format } from "./text";

export type Names = (uid: number) => string;

export interface Event {
    time: string;
    instance: string;
    what: string;
    isBad: boolean;
}

function who(client: unknown, names: Names): string {
    const { uid, address, name } = clientOf(client);
    if (uid !== null)
        return name || names(uid);
    if (fields(client).endpoint === "stdin")
        return _("the server's terminal");
    return address || _("somebody");
}

function command(event: Record<string, unknown>, names: Names): string {
    const by = who(event.client, names);
    switch (event.command) {
    case "kill": return format(_("killed by $0"), by);
    case "toggle": return format(_("restart mode changed by $0"), by);
    case "mode": return format(_("restart mode set to $1 by $0"), by, clean(event.mode, 40));
    case "restart": return format(_("started by $0"), by);
    case "reload": return format(_("reloaded by $0"), by);
    case "quit": return format(_("server told to quit by $0"), by);
    case "logout": return format(_("logout by $0"), by);
    default: return format(_("$1 by $0"), by, clean(event.command, 40));
    }
}

// Linux's numbers of signals that end programs.
const SIGNALS: Record<number, string> = {
    1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV",
    13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM",
};

function exit(event: Record<string, unknown>): string {
    if (event.code !== undefined)
        return format(_("child exited with status $0"), clean(event.code, 20));
    if (event.signal !== undefined)
        return format(_("child died of $0"), SIGNALS[Number(event.signal)] ?? format(_("signal $0"), clean(event.signal, 20)));
    return _("child ended, its exit status is unknown");
}

function sentence(event: Record<string, unknown>, names: Names): string {
    const field = (name: string): string => clean(event[name], 300);
    switch (event.event) {
    case "server_start": return _("server started");
    case "server_restart": return _("server started after a crash");
    case "server_upgrade": return format(_("server upgraded from $0 to $1"), field("from"), field("to"));
    case "upgrade_failed": return format(_("server not upgraded: $0"), field("reason"));
    case "server_exit": return format(_("server exited with status $0"), field("status"));
    case "connect": return format(fields(event.client).role === "viewer" ? _("$0 came to watch") : _("$0 attached"), who(event.client, names));
    case "disconnect": return format(_("$0 left"), who(event.client, names));
    case "refuse": return format(_("$0 refused: $1"), field("peer") || _("a client"), field("reason"));
    case "command": return command(event, names);
    case "signal": {
        const sender = event.sender === undefined ? "" : who(event.sender, names);
        return sender ? format(_("server got $0 from $1"), field("signal"), sender) : format(_("server got $0"), field("signal"));
    }
    case "child_start": return _("child started");
    case "child_start_failed": return format(_("child not started: $0"), field("reason"));
    case "child_ready": return _("child ready");
    case "terminal_closed": return _("child closed its terminal, and was killed for that");
    case "child_exit": return exit(event);
    case "input": {
        const what = event.hidden === undefined ? field("text") : format(_("($0 hidden)"), field("hidden"));
        return format(_("input by $0: $1"), who(event.client, names), what);
    }
    case "skipped": return format(_("$0 missed $1 bytes"), who(event.client, names), field("bytes"));
    case "trouble": return format(_("$0 fails: $1"), field("with"), field("reason"));
    case "recovery": return format(_("$0 works again"), field("with"));
    case "accept_failed": return format(_("$0 accepts nobody: $1"), field("endpoint"), field("reason"));
    case "events_lost": return format(_("$0 events were lost"), field("count"));
    default: return clean(event, 300);
    }
}

const BAD = new Set(["upgrade_failed", "server_restart", "child_start_failed", "terminal_closed", "trouble", "accept_failed", "events_lost"]);

/** Reads a line of `manage-procs events --json`. */
export function eventOf(value: unknown, names: Names): Event {
    const event = fields(value);
    const isBadExit = event.event === "child_exit" && event.code !== 0;
    return {
        time: clean(event.time, 60),
        instance: clean(event.instance, 100),
        what: sentence(event, names),
        isBad: isBadExit || BAD.has(clean(event.event, 40)),
    };
}
