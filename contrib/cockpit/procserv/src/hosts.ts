// The instances of other hosts, which manage-procs asks through the user's ssh.

import { follow, manage, reason, run, type Store } from "./manage";
import { fields, list, text } from "./model";
import { _, clean } from "./text";

/** The hosts of the file procServ-hosts.conf. */
export const ALL_HOSTS = "@@all";
/** How long after an event the hosts are asked, in milliseconds: one event seldom comes alone. */
const SETTLE = 2000;
/** How often they are asked when no event comes, in milliseconds: a host that is lost sends none. */
const INTERVAL = 60000;
const KEPT = "procserv:hosts";

export class Hosts {
    private events: { close(): void } | null = null;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private isOn = localStorage.getItem(KEPT) === "yes";
    private time = 0;
    private isAsking = false;
    private known: string[] = [];

    constructor(private readonly store: Store) {
        if (this.isOn)
            this.start();
    }

    get on(): boolean {
        return this.isOn;
    }

    set(isOn: boolean): void {
        if (isOn === this.isOn)
            return;
        this.isOn = isOn;
        localStorage.setItem(KEPT, isOn ? "yes" : "no");
        if (isOn)
            this.start();
        else
            this.stop();
    }

    private start(): void {
        this.store.sources.push(ALL_HOSTS);
        void this.ask();
        this.follow();
    }

    private follow(): void {
        this.events = follow(manage(ALL_HOSTS, "events", "--json", "--follow"), () => this.soon(SETTLE), () => { this.events = null; });
    }

    private stop(): void {
        clearTimeout(this.timer);
        this.timer = undefined;
        this.events?.close();
        this.events = null;
        this.store.sources.splice(this.store.sources.indexOf(ALL_HOSTS), 1);
        this.forget(this.known);
        this.forget([ALL_HOSTS]);
        this.store.announce();
    }

    private forget(sources: string[]): void {
        for (const source of sources) {
            this.store.table.clear(source);
            this.store.problems.delete(source);
        }
    }

    /** Asks after this time, or earlier if that was to be done already. */
    private soon(delay: number): void {
        const time = Date.now() + delay;
        if (this.timer !== undefined && this.time <= time)
            return;
        clearTimeout(this.timer);
        this.time = time;
        this.timer = setTimeout(() => {
            this.timer = undefined;
            void this.ask();
        }, delay);
    }

    private async ask(): Promise<void> {
        if (!this.isOn)
            return;
        if (this.isAsking) {
            this.soon(SETTLE);
            return;
        }
        this.isAsking = true;
        let output = "";
        let failure: unknown = null;
        try {
            const process = run(ALL_HOSTS, "status", "--json");
            process.stream(piece => { output += piece; });
            await process;
        } catch (error) {
            // A host without an answer is in the exit status, and the others are in the output.
            failure = error;
        }
        this.isAsking = false;
        if (!this.isOn)
            return;
        this.forget([...this.known, ALL_HOSTS]);
        try {
            this.take(list(JSON.parse(output)));
        } catch {
            this.known = [];
            this.store.problems.set(ALL_HOSTS, failure === null ? _("What manage-procs says can't be read.") : reason(failure));
        }
        this.store.tell(ALL_HOSTS);
        if (this.events === null)
            this.follow();
        this.soon(INTERVAL);
    }

    private take(objects: unknown[]): void {
        const byHost = new Map<string, unknown[]>();
        for (const object of objects) {
            const { host, error } = fields(object);
            const source = `@${text(host)}`;
            const found = byHost.get(source) ?? [];
            byHost.set(source, found);
            if (typeof error === "string")
                this.store.problems.set(source, clean(error, 300));
            else
                found.push(object);
        }
        this.known = [...byHost.keys()];
        for (const [source, instances] of byHost)
            this.store.table.apply(source, { type: "table", instances });
    }
}
