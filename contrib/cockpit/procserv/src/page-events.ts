// Events, of one instance or of all.

import { fill, h, setText } from "./dom";
import { follow, manage, named, reason, type Store } from "./manage";
import { fields, text } from "./model";
import { eventOf, type Event } from "./sentence";
import { sourceWord } from "./page-table";
import { _, format, when } from "./text";

/** As many events are kept and shown. */
const EVENTS_MAX = 500;
/** How far back the list goes. */
const SINCE = "-24h";

/** A list of events that grows by itself. */
export class EventList {
    readonly element: HTMLElement;
    private readonly body = h("tbody");
    private readonly note = h("p", { class: "muted", role: "status" });
    private readonly processes: { close(): void }[] = [];
    private events: { source: string; value: unknown }[] = [];
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
        this.events.push({ source: host === "" ? source : `@${host}`, value });
        this.later();
    }

    private ended(source: string, error: unknown): void {
        this.problems.set(source, error === null ? _("manage-procs has ended.") : reason(error));
        this.later();
    }

    // The events of a day come at once, and are drawn once.
    later(): void {
        this.timer ??= setTimeout(() => {
            this.timer = undefined;
            this.draw();
        }, 100);
    }

    private draw(): void {
        const time = ({ value }: { value: unknown }): number => Date.parse(text(fields(value).time)) || 0;
        this.events.sort((one, other) => time(one) - time(other));
        this.events.splice(0, this.events.length - EVENTS_MAX);
        const shown = this.events
            .map(({ source, value }) => ({ source, event: eventOf(value, this.store.names(source)) }))
            .filter(({ event }) => `${event.instance}\n${event.what}`.toLowerCase().includes(this.filter))
            .reverse();
        fill(this.body, ...shown.map(({ source, event }) => this.row(source, event)));
        const told = [...this.problems].filter(([source]) => source !== "user" || this.problems.size > 1).map(([, problem]) => problem);
        setText(this.note, told.length > 0 && shown.length === 0
            ? told.join(" ")
            : shown.length === 0 ? _("Nothing has happened within 24 hours.") : shown.length >= EVENTS_MAX ? format(_("The last $0 events"), EVENTS_MAX) : "");
    }

    private row(source: string, event: Event): HTMLElement {
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
        this.list.later();
    }

    close(): void {
        this.list.close();
    }
}
