// One instance: what `why` says, what can be done, and its events.

import { actionButtons, type Rights } from "./actions";
import { button, fill, h, setText, type Child } from "./dom";
import { logReason, named, reason, run, type Store } from "./manage";
import { clientOf, fields, list, number, text } from "./model";
import { EventList } from "./page-events";
import { stateLabel, sourceWord } from "./page-table";
import { _, clean, format, span, when } from "./text";

/** How long the page waits after a change before it asks why, in milliseconds: one change seldom comes alone. */
const SETTLE = 1000;

function term(name: string, ...value: Child[]): Child[] {
    return value.every(one => one === "" || one === null || one === undefined || one === false) ? [] : [h("dt", {}, name), h("dd", {}, ...value)];
}

function since(value: unknown): string {
    return value === null || value === undefined ? "" : format(_("since $0"), when(value));
}

function process(value: unknown): string {
    const it = fields(value);
    const pid = number(it.pid);
    return pid === null ? "" : `PID ${pid} ${since(it.since)}${it.stopped === true ? `, ${_("stopped by a signal or a debugger")}` : ""}`;
}

function endOf(value: unknown): HTMLElement {
    const end = fields(value);
    const life = number(end.life);
    const how = number(end.code) !== null ? format(_("exit status $0"), String(end.code)) : clean(end.signal_name) || _("exit status not known");
    const core = fields(end.core);
    const lines = list(end.lines).map(line => clean(line, 500));
    return h("li", {},
        h("strong", {}, end.of === "server" ? _("Server ended") : _("Child ended")), " ",
        end.time === null ? "" : h("time", { datetime: clean(end.time, 60) }, when(end.time)), `: ${how}`,
        life === null ? "" : `, ${format(_("after $0"), span(life))}`,
        h("br"), clean(end.cause_text), end.core !== null && end.core !== undefined && ` ${format(_("It left a core dump (PID $0)."), clean(core.pid, 20))}`,
        lines.length > 0 && h("pre", { class: "lines", tabindex: 0, "aria-label": _("The last lines before this end") }, lines.join("\n")));
}

export class InstancePage {
    readonly element: HTMLElement;
    private readonly facts = h("div", { class: "facts" });
    private readonly title = h("h1", { tabindex: -1 });
    private readonly label = h("span");
    private readonly buttons = h("div", { class: "toolbar" });
    private readonly message = h("p", { role: "status" });
    private readonly last = h("pre", { class: "lines", tabindex: 0, "aria-label": _("The last lines of the console") });
    private readonly eventsPlace = h("div", {}, h("h2", {}, _("Events")));
    private events: EventList | null = null;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private isClosed = false;
    private shown = "";
    private why = "";

    constructor(private readonly store: Store, private readonly rights: Rights, private readonly key: string, open: (keys: string[]) => void) {
        const slash = key.indexOf("/");
        const instance = { source: key.slice(0, slash), name: key.slice(slash + 1) };
        const where = sourceWord(instance.source);
        fill(this.title, clean(instance.name, 200), where && ` (${where})`);
        this.element = h("section", { "aria-label": clean(instance.name, 200) },
            h("nav", { "aria-label": _("Path") }, h("a", { href: "#/" }, _("Instances")), " / ", clean(instance.name, 100)),
            h("div", { class: "toolbar" }, this.title, this.label, button(_("Console"), () => open([key]), { class: "button primary", id: "open-console" })),
            this.buttons,
            this.message,
            h("div", { class: "columns" },
                h("div", {},
                    h("h2", {}, _("Why")), this.facts,
                    h("h2", {}, _("Last lines")), this.last),
                this.eventsPlace));
        this.update();
    }

    private tell(words: string, isError: boolean): void {
        this.message.className = isError ? "alert bad" : "alert";
        setText(this.message, words);
    }

    update(): void {
        this.events?.update();
        const instance = this.store.table.get(this.key);
        const shown = JSON.stringify([instance, this.rights, this.store.isReady()]);
        if (shown === this.shown)
            return;
        this.shown = shown;
        if (instance === undefined) {
            fill(this.label);
            fill(this.buttons);
            if (this.store.isReady())
                this.tell(_("This instance is not there, or not any longer."), true);
            return;
        }
        if (this.message.textContent === _("This instance is not there, or not any longer."))
            this.tell("", false);
        // The name is part of the address, which anybody can write: nothing is run for one that is not in the table.
        if (this.events === null) {
            this.events = new EventList(this.store, [instance.source], instance);
            this.eventsPlace.append(this.events.element);
        }
        fill(this.label, stateLabel(instance));
        this.updateButtons();
        this.timer ??= setTimeout(() => void this.ask(), this.facts.childElementCount === 0 ? 0 : SETTLE);
    }

    // The focus of who uses the keyboard stays on the button that was used.
    private updateButtons(): void {
        const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.verb : undefined;
        fill(this.buttons, ...actionButtons(this.store, this.key, this.rights, (words, isError) => this.tell(words, isError)));
        if (focused !== undefined) {
            const again = this.buttons.querySelector<HTMLElement>(`[data-verb="${focused}"]`) ?? this.buttons.querySelector<HTMLElement>("button");
            again?.focus();
        }
    }

    private async ask(): Promise<void> {
        const instance = this.store.table.get(this.key);
        if (instance !== undefined) {
            const why = run(instance.source, "why", "--json", ...named(instance)).then(output => this.showWhy(output))
                .catch(error => fill(this.facts, h("p", { class: "alert bad" }, reason(error))));
            const lines = run(instance.source, "logs", "--no-time", "--lines", "20", ...named(instance)).then(
                output => setText(this.last, output.split("\n").slice(-21).map(line => clean(line, 500)).join("\n").trim() || _("No output yet.")),
                error => setText(this.last, format(_("The log can't be read: $0"), logReason(error))));
            await Promise.all([why, lines]);
        }
        this.timer = undefined;
        if (!this.isClosed && this.store.table.get(this.key) !== instance)
            this.timer = setTimeout(() => void this.ask(), SETTLE);
    }

    private showWhy(output: string): void {
        if (output === this.why)
            return;
        this.why = output;
        const why = fields(JSON.parse(output));
        if (why.v !== 1) {
            fill(this.facts, h("p", { class: "alert bad" }, _("manage-procs is newer than this page, which does not know what it says.")));
            return;
        }
        const next = fields(why.next);
        const change = fields(why.mode_change);
        const unit = fields(why.unit);
        const clients = list(why.clients).map(client => `${clean(fields(client).name, 100) || clientOf(client).address}${fields(client).role === "viewer" ? ` ${_("(watches)")}` : ""}`);
        const problems = list(why.problems).map(one => h("li", {}, clean(fields(one).problem), h("br"), h("em", {}, clean(fields(one).advice))));
        const log = fields(why.log);
        fill(this.facts,
            text(next.text) !== "" && h("p", { class: why.wrong === true ? "alert bad" : "alert" }, h("strong", {}, _("What to try: ")), clean(next.text),
                text(next.command) !== "" && h("code", { class: "command" }, clean(next.command))),
            h("dl", {},
                ...term(_("State"), `${clean(why.state).replace(/_/g, " ")} ${since(why.since)}`),
                ...term(_("Trouble"), list(why.trouble).map(one => clean(one)).join("; ")),
                ...term(_("Server"), process(why.server)),
                ...term(_("Child"), process(why.child)),
                ...term(_("Restarts"), number(why.restarts) === null ? "" : format(_("$0, $1 of them within 24 hours"), String(why.restarts), String(number(why.restarts_24h) ?? 0))),
                ...term(_("Mode"), clean(why.mode, 40), text(change.by) !== "" && ` ${format(_("set by $0, $1"), clean(change.by, 100), when(change.time))}`),
                ...term(_("Attached"), clients.join(", ")),
                ...term(_("Unit"), [unit.name, unit.active_state, unit.sub_state].map(one => clean(one, 100)).filter(one => one !== "").join(", ")),
                ...term(_("Log"), clean(log.path)),
                ...term(_("Console"), clean(why.console_problem))),
            problems.length > 0 && h("h3", {}, _("What would keep it from starting")),
            problems.length > 0 && h("ul", {}, ...problems),
            list(why.ends).length > 0 && h("h3", {}, _("Last ends")),
            list(why.ends).length > 0 && h("ul", {}, ...list(why.ends).slice(0, 3).map(endOf)));
    }

    close(): void {
        this.isClosed = true;
        clearTimeout(this.timer);
        this.events?.close();
    }
}
