// The table of all instances.

import { button, fill, h, place, setText } from "./dom";
import { ALL_HOSTS, type Hosts } from "./hosts";
import type { Store } from "./manage";
import type { Instance } from "./model";
import { grouped, matches, sorted, type Column, type Group, type View } from "./order";
import { _, clean, format, ngettext, span, stateWord, when } from "./text";

const KEPT = "procserv:view";

function keptView(): View {
    const view: View = { filter: "", onlyWrong: false, column: "name", descending: false, grouped: true };
    try {
        return { ...view, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") as Partial<View>, filter: "" };
    } catch {
        return view;
    }
}

/** The users at a console, for people. */
export function usersOf(instance: Instance, store: Store): string {
    const names = instance.clients.map(client => client.name || (client.uid === null ? client.address : store.names(instance.source)(client.uid)));
    return [...new Set(names.filter(name => name !== ""))].join(", ");
}

/** Where an instance is, if it is not one of the machine itself. */
export function sourceWord(source: string): string {
    if (source === ALL_HOSTS)
        return _("Other hosts");
    return source === "system" ? "" : source === "user" ? _("mine") : clean(source.slice(1), 100);
}

/** A label that tells a state by word, colour and sign. */
export function stateLabel(instance: Instance): HTMLElement {
    const kind = instance.wrong ? "bad" : instance.trouble.length > 0 ? "warn" : instance.state === "running" ? "good" : "plain";
    return h("span", { class: `label ${kind}` }, (kind === "bad" || kind === "warn" ? "⚠ " : "") + stateWord(instance.state));
}

interface Row {
    element: HTMLTableRowElement;
    cells: HTMLElement[];
    /** What the cells show, so that a row that is the same is left alone. */
    shown: string;
}

export class TablePage {
    readonly element: HTMLElement;
    private readonly view = keptView();
    private readonly rows = new Map<string, Row>();
    private readonly closed = new Set<string>();
    private readonly body = h("tbody");
    private readonly count = h("p", { class: "muted", role: "status" });
    private readonly problems = h("div");
    private readonly headers = new Map<Column, HTMLTableCellElement>();
    private groupRows = new Map<string, HTMLTableRowElement>();

    constructor(private readonly store: Store, hosts: Hosts, private readonly open: (keys: string[]) => void) {
        const filter = h("input", {
            type: "search", id: "filter", class: "field", placeholder: _("Filter"),
            "aria-label": _("Filter by name, state, user or trouble"),
            input: () => { this.view.filter = filter.value; this.update(); },
        });
        const check = (label: string, id: string, field: "onlyWrong" | "grouped"): HTMLElement => {
            const box = h("input", { type: "checkbox", id, checked: this.view[field], change: () => { this.view[field] = box.checked; this.keep(); } });
            return h("label", { class: "check" }, box, label);
        };
        const others = h("input", { type: "checkbox", id: "other-hosts", checked: hosts.on, change: () => hosts.set(others.checked) });
        this.element = h("section", { "aria-labelledby": "table-title" },
            h("h1", { id: "table-title" }, _("Instances")),
            this.problems,
            h("div", { class: "toolbar" },
                filter,
                check(_("Only what is wrong"), "only-wrong", "onlyWrong"),
                check(_("Groups"), "grouped", "grouped"),
                h("label", { class: "check", title: _("The hosts of the file procServ-hosts.conf, by your ssh") }, others, _("All hosts")),
                button(_("Consoles of what is shown"), () => this.open(this.shown().slice(0, 4).map(one => one.key)), { id: "open-shown" })),
            this.count,
            h("table", { class: "table", id: "instances", role: "table" },
                h("thead", {}, h("tr", {},
                    this.header("name", _("Name")), this.header("state", _("State")), this.header("up", _("Up")),
                    this.header("restarts", _("Restarts")), this.header("last", _("Last end")), this.header("users", _("Users")),
                    h("th", { scope: "col" }, _("Trouble")), h("th", { scope: "col" }, h("span", { class: "hidden" }, _("Console"))))),
                this.body));
    }

    private keep(): void {
        localStorage.setItem(KEPT, JSON.stringify(this.view));
        this.update();
    }

    private header(column: Column, label: string): HTMLElement {
        const sort = (): void => {
            this.view.descending = this.view.column === column && !this.view.descending;
            this.view.column = column;
            this.keep();
        };
        const cell = h("th", { scope: "col" }, h("button", { type: "button", class: "sort", "data-column": column, click: sort }, label));
        this.headers.set(column, cell);
        return cell;
    }

    private shown(): Instance[] {
        const isShown = (one: Instance): boolean =>
            (!this.view.onlyWrong || one.wrong || one.trouble.length > 0) && matches(one, this.view.filter, this.store.names(one.source));
        return sorted(this.store.table.all().filter(isShown), this.view);
    }

    update(): void {
        const all = this.store.table.all();
        const shown = this.shown();
        const wrong = all.filter(one => one.wrong).length;
        const counts = [
            shown.length === all.length
                ? format(ngettext("$0 instance", "$0 instances", all.length), all.length)
                : format(_("$0 of $1 instances"), shown.length, all.length),
            wrong > 0 ? format(_("something is wrong with $0"), wrong) : _("nothing is wrong"),
        ];
        setText(this.count, this.store.isReady() || all.length > 0 ? all.length === 0 ? _("There are no instances: manage-procs add makes one.") : counts.join(", ") : _("Loading …"));
        this.tellProblems(all.length);
        for (const [column, cell] of this.headers)
            cell.setAttribute("aria-sort", column === this.view.column ? (this.view.descending ? "descending" : "ascending") : "none");
        const groups: Group[] = this.view.grouped ? grouped(shown) : [{ prefix: "", instances: shown }];
        this.placeRows(groups);
    }

    private tellProblems(count: number): void {
        // A user without instances of their own is nothing to complain about.
        const told = [...this.store.problems].filter(([source]) => source !== "user" || (count === 0 && this.store.problems.size === this.store.sources.length));
        const texts = told.map(([source, problem]) => `${sourceWord(source) || _("Instances of the machine")}: ${problem}`);
        if (this.problems.textContent !== texts.join(""))
            fill(this.problems, ...texts.map(text => h("p", { class: "alert bad", role: "alert" }, text)));
    }

    private placeRows(groups: Group[]): void {
        const wanted: HTMLTableRowElement[] = [];
        const groupRows = new Map<string, HTMLTableRowElement>();
        for (const { prefix, instances } of groups) {
            if (prefix !== "") {
                const row = this.groupRow(prefix, instances);
                groupRows.set(prefix, row);
                wanted.push(row);
            }
            if (prefix === "" || !this.closed.has(prefix))
                wanted.push(...instances.map(instance => this.row(instance)));
        }
        this.groupRows = groupRows;
        place(this.body, wanted);
        for (const key of [...this.rows.keys()].filter(key => this.store.table.get(key) === undefined))
            this.rows.delete(key);
    }

    private groupRow(prefix: string, instances: Instance[]): HTMLTableRowElement {
        const wrong = instances.filter(one => one.wrong).length;
        const words = [format(ngettext("$0 instance", "$0 instances", instances.length), instances.length)];
        if (wrong > 0)
            words.push(format(_("$0 wrong"), wrong));
        const isOpen = !this.closed.has(prefix);
        const old = this.groupRows.get(prefix);
        const toggle = old?.querySelector("button") ?? h("button", {
            type: "button", class: "sort",
            click: () => {
                if (!this.closed.delete(prefix))
                    this.closed.add(prefix);
                this.update();
            },
        });
        toggle.setAttribute("aria-expanded", String(isOpen));
        setText(toggle, `${isOpen ? "▾" : "▸"} ${clean(prefix, 60)} (${words.join(", ")})`);
        return old ?? h("tr", { class: "group" }, h("th", { colspan: 8, scope: "rowgroup" }, toggle));
    }

    private row(instance: Instance): HTMLTableRowElement {
        const row = this.rows.get(instance.key) ?? this.newRow(instance);
        const up = instance.childSince === null ? "" : span(Date.now() / 1000 - instance.childSince);
        const restarts = instance.restarts === null ? "" : format(_("$0 ($1 today)"), instance.restarts, instance.restartsOfDay ?? 0);
        const last = instance.last === "" ? "" : `${instance.last}${instance.lastTime === null ? "" : `, ${when(instance.lastTime)}`}`;
        const texts = [up, restarts, last, usersOf(instance, this.store), instance.trouble.join("; ")];
        const shown = JSON.stringify([texts, instance.state, instance.wrong]);
        if (shown === row.shown)
            return row.element;
        row.shown = shown;
        const [state, ...others] = row.cells;
        if (state)
            fill(state, stateLabel(instance));
        others.forEach((cell, index) => setText(cell, texts[index] ?? ""));
        return row.element;
    }

    private newRow(instance: Instance): Row {
        const labels = [_("State"), _("Up"), _("Restarts"), _("Last end"), _("Users"), _("Trouble")];
        const cells = labels.map(label => h("td", { "data-label": label, role: "cell" }));
        const where = sourceWord(instance.source);
        const name = clean(instance.name, 100);
        const link = h("a", { href: "#/" + ["instance", instance.source, instance.name].map(encodeURIComponent).join("/") }, name);
        const element = h("tr", { "data-name": name, "data-key": instance.key, role: "row" },
            h("th", { scope: "row", role: "rowheader" }, link, where && h("span", { class: "label plain" }, where)),
            ...cells,
            h("td", { role: "cell" }, button(_("Console"), () => this.open([instance.key]), { class: "button small open", "aria-label": format(_("Console of $0"), name) })));
        const row = { element, cells, shown: "" };
        this.rows.set(instance.key, row);
        return row;
    }
}
