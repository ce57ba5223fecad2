// manage-procs, run by Cockpit as the user who is logged in.

import { fields, Lines, Table, text, type Instance } from "./model";
import { _, clean, format } from "./text";

/** The words before the command of manage-procs that choose a source. */
export function manage(source: string, ...words: string[]): string[] {
    const where = source.startsWith("@") ? ["--system", `--host=${source.slice(1)}`] : [`--${source}`];
    return ["manage-procs", ...where, ...words];
}

/** The words that name an instance. The name comes from a file, and is never read as an option. */
export function named(instance: { name: string }): string[] {
    return ["--", instance.name];
}

/**
 * Runs manage-procs once. For the machine's instances that is as root if the user has taken administrative access, else as the
 * user: files, journal and polkit decide what comes of it.
 */
export function run(source: string, ...words: string[]): CockpitProcess {
    return cockpit.spawn(manage(source, ...words), source === "system" ? { err: "message", superuser: "try" } : { err: "message" });
}

/** Why something failed, and what to do about it. */
export function reason(error: unknown): string {
    const { problem, message } = error as Partial<CockpitProblem>;
    const said = clean(String(message || problem || error).trim().replace(/\s*\n\s*/g, "; "));
    if (problem === "not-found")
        return _("manage-procs is not installed on this machine, or not in the PATH.");
    if (/unrecognized subcommand|invalid choice|unexpected argument/.test(said))
        return format(_("manage-procs is older than this page: $0"), said);
    return said;
}

const REFUSED = /access.denied|permission denied|not permitted|authentication (is )?required|not authorized|interactive authentication/i;

export function isRefusal(error: unknown): boolean {
    const { problem, message } = error as Partial<CockpitProblem>;
    return problem === "access-denied" || REFUSED.test(message ?? "");
}

/** What polkit can let an ordinary user do to a unit. */
export const BY_POLKIT = ["start", "stop", "restart"];

/** Whom to ask for what a user may not do. */
export function whomToAsk(verb: string, instance: Instance): string {
    if (instance.source.startsWith("@"))
        return format(_("Ask the administrator of $0 for it."), clean(instance.source.slice(1), 100));
    const host = cockpit.transport.host === "localhost" ? _("this machine") : cockpit.transport.host;
    return format(BY_POLKIT.includes(verb)
        ? _("Ask the administrator of $0: a polkit rule lets a group start, stop and restart instances. Or take administrative access at the top of the page.")
        : _("Ask the administrator of $0, or take administrative access at the top of the page."), host);
}

/** Why a log could not be read, and whom to ask. */
export function logReason(error: unknown): string {
    const said = reason(error);
    return /insufficient permissions|permission denied/i.test(said)
        ? `${said} ${_("Ask the administrator to add you to the group systemd-journal, whose members may read the output of all services.")}`
        : said;
}

/** The names of users, asked for once. Calls `changed` when a name has become known. */
export class Users {
    private readonly names = new Map<number, string>();
    private readonly missing = new Set<number>();
    private isAsking = false;
    /** Another number after each name that has become known. */
    version = 0;

    constructor(private readonly changed: () => void) {}

    readonly name = (uid: number): string => {
        const name = this.names.get(uid);
        if (name !== undefined)
            return name;
        this.missing.add(uid);
        this.ask();
        return format(_("uid $0"), uid);
    };

    isKnown(uid: number): boolean {
        return this.names.has(uid);
    }

    private ask(): void {
        if (this.isAsking)
            return;
        this.isAsking = true;
        setTimeout(() => {
            const uids = [...this.missing].slice(0, 100);
            this.missing.clear();
            const fill = (output: string): void => {
                for (const line of output.split("\n")) {
                    const [name, , uid] = line.split(":");
                    if (name && uid)
                        this.names.set(Number(uid), clean(name, 100));
                }
                for (const uid of uids.filter(uid => !this.names.has(uid)))
                    this.names.set(uid, format(_("uid $0"), uid));
                this.isAsking = false;
                this.version++;
                this.changed();
                if (this.missing.size > 0)
                    this.ask();
            };
            let output = "";
            // The exit status says no more than that some are not known.
            cockpit.spawn(["getent", "passwd", ...uids.map(String)], { err: "ignore" })
                .stream(piece => { output += piece; })
                .then(rest => fill(output + rest), () => fill(output));
        }, 50);
    }
}

/** A program that prints JSON lines for as long as it is wanted. */
export function follow(argv: string[], each: (value: unknown) => void, ended: (error: unknown) => void): { close(): void } {
    const lines = new Lines();
    let isOpen = true;
    const process = cockpit.spawn(argv, { err: "message" });
    const stop = (error: unknown): void => {
        if (isOpen) {
            isOpen = false;
            ended(error);
        }
    };
    process.stream(piece => {
        if (!isOpen)
            return;
        try {
            for (const line of lines.push(piece))
                each(JSON.parse(line));
        } catch (error) {
            stop(error);
            process.close("cancelled");
        }
    });
    process.then(() => stop(null), stop);
    return {
        close() {
            isOpen = false;
            process.close("cancelled");
        },
    };
}

/** How long to wait before a watch that has ended is started anew, in milliseconds. */
const RESTART_MIN = 1000;
const RESTART_MAX = 30000;

/** Keeps a table up to date, with one `manage-procs watch --json` for each source. */
export class Store {
    readonly table = new Table();
    readonly users = new Users(() => this.announce());
    /** What each source says that can't be read. */
    readonly problems = new Map<string, string>();
    private readonly told = new Set<string>();
    private readonly listeners = new Set<() => void>();
    private isAnnounced = false;

    constructor(readonly sources: string[]) {
        for (const source of sources)
            this.watch(source, RESTART_MIN);
    }

    /** The names of the users of a source. What another host's numbers stand for is not known here. */
    names(source: string): (uid: number) => string {
        return source.startsWith("@") ? uid => format(_("uid $0"), uid) : this.users.name;
    }

    /** Returns true when each source has told its table, or why it can't. */
    isReady(): boolean {
        return this.sources.every(source => this.told.has(source));
    }

    listen(listener: () => void): void {
        this.listeners.add(listener);
    }

    // Many changes within a moment are one for the page.
    announce(): void {
        if (this.isAnnounced)
            return;
        this.isAnnounced = true;
        setTimeout(() => {
            this.isAnnounced = false;
            for (const listener of this.listeners)
                listener();
        }, 100);
    }

    /** A source has told what it has. */
    tell(source: string): void {
        this.told.add(source);
        this.announce();
    }

    private watch(source: string, delay: number): void {
        const started = Date.now();
        follow(
            manage(source, "watch", "--json"),
            message => {
                const { type, problem } = fields(message);
                if (type === "table" || type === "trouble")
                    this.problems.delete(source);
                if (type === "trouble" && text(problem) !== "")
                    this.problems.set(source, clean(problem, 300));
                if (!this.table.apply(source, message))
                    this.problems.set(source, _("manage-procs is newer than this page, which does not know what it says."));
                this.tell(source);
            },
            error => {
                this.problems.set(source, error === null ? _("manage-procs has ended.") : reason(error));
                // What is shown could be old.
                this.table.clear(source);
                this.tell(source);
                const next = Date.now() - started > RESTART_MAX ? RESTART_MIN : Math.min(delay * 2, RESTART_MAX);
                setTimeout(() => this.watch(source, next), delay);
            });
    }
}
