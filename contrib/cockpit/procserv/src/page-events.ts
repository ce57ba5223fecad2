// Events, of one instance or of all.

import { h, place, setText } from "./dom";
import { follow, manage, named, reason, type Store } from "./manage";
import { fields, text } from "./model";
import { eventOf, type Event } from "./sentence";
import { sourceWord } from "./page-table";
import { _, format, when } from "./text";

/** As many events are kept and shown. */
const EVENTS_MAX = 500;
/** How far back the list goes. */
const SINCE = "-24h";

interface Entry {
    source: string;
    value: unknown;
    time: number;
    /** What is shown of it, with the names that were known at `version`. */
    event: Event;
    row: HTMLTableRowElement;
    version: number;
}

/** A list of events that grows by itself. */
export class EventList {
    readonly element: HTMLElement;
    private readonly body = h("tbody");
    private readonly note = h("p", { class: "muted", role: "status" });
    private readonly processes: { close(): void }[] = [];
    private entries: Entry[] = [];
    private readonly problems = new Map<string, string>();
    private timer: ReturnType<typeof setTimeout> | undefined;
    private filter = "";

    /** Without `instance`, those of all instances of `sources`. */
    constructor(private readonly store: Store, sources: string[], private readonly instance: { source: string; name: string } | null) {
        this.element = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": _("Events") },
            this.note,
            h("table", { class: "table events" },
                h("thead", {}, h("tr", {},
                    h("th", { scope: "col" }, _("Time")),
                    instance === null && h("th", { scope: "col" }, _("Instance")),
                    h("th", { scope: "col" }, _("What happened")))),
                this.body));
        for (const source of sources) {
            const argv = manage(source, "events", "--json", "--follow", "--since", SINCE, ...(instance === null ? [] : named(instance)));
            this.processes.push(follow(argv, value => this.add(source, value), error => this.ended(source, error)));
        }
        this.later();
    }

    setFilter(filter: string): void {
        this.filter = filter.toLowerCase();
        this.later();
    }

    private add(source: string, value: unknown): void {
        const host = text(fields(value).host);
        const time = Date.parse(text(fields(value).time)) || 0;
        this.entries.push(this.entry(host === "" ? source : `@${host}`, value, time));
        this.later();
    }

    private ended(source: string, error: unknown): void {
        this.problems.set(source, error === null ? _("manage-procs has ended.") : reason(error));
        this.later();
    }

    private entry(source: string, value: unknown, time: number): Entry {
        const version = this.store.users.version;
        const event = eventOf(value, this.store.names(source));
        return { source, value, time, event, row: this.row(source, event), version };
    }

    update(): void {
        if (this.entries.some(entry => entry.version !== this.store.users.version))
            this.later();
    }

    // The events of a day come at once, and are drawn once.
    private later(): void {
        this.timer ??= setTimeout(() => {
            this.timer = undefined;
            this.draw();
        }, 100);
    }

    private draw(): void {
        this.entries.sort((one, other) => one.time - other.time);
        this.entries.splice(0, this.entries.length - EVENTS_MAX);
        const version = this.store.users.version;
        this.entries = this.entries.map(entry => (entry.version === version ? entry : this.entry(entry.source, entry.value, entry.time)));
        const shown = this.entries.filter(({ event }) => `${event.instance}\n${event.what}`.toLowerCase().includes(this.filter)).reverse();
        place(this.body, shown.map(entry => entry.row));
        const told = [...this.problems].filter(([source]) => source !== "user" || this.problems.size > 1).map(([, problem]) => problem);
        setText(this.note, told.length > 0 && shown.length === 0
            ? told.join(" ")
            : shown.length === 0 ? _("Nothing has happened within 24 hours.") : shown.length >= EVENTS_MAX ? format(_("The last $0 events"), EVENTS_MAX) : "");
    }

    private row(source: string, event: Event): HTMLTableRowElement {
        const href = "#/" + ["instance", source, event.instance].map(encodeURIComponent).join("/");
        const where = sourceWord(source);
        return h("tr", { class: event.isBad && "bad" },
            h("td", {}, h("time", { datetime: event.time, title: event.time }, when(event.time))),
            this.instance === null && h("td", {}, h("a", { href }, event.instance), where && ` (${where})`),
            h("td", {}, (event.isBad ? "⚠ " : "") + event.what));
    }

    close(): void {
        clearTimeout(this.timer);
        for (const process of this.processes)
            process.close();
    }
}

export class EventsPage {
    readonly element: HTMLElement;
    private readonly list: EventList;

    constructor(store: Store) {
        this.list = new EventList(store, store.sources, null);
        const filter = h("input", { type: "search", class: "field", placeholder: _("Filter"), "aria-label": _("Filter events"), input: () => this.list.setFilter(filter.value) });
        this.element = h("section", { "aria-labelledby": "events-title" },
            h("h1", { id: "events-title" }, _("Events of all instances")),
            h("div", { class: "toolbar" }, filter),
            this.list.element);
    }

    update(): void {
        this.list.update();
    }

    close(): void {
        this.list.close();
    }
}
