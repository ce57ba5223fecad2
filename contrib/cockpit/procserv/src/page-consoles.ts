// Consoles, side by side.

import { Connection, whoMayType, type Link } from "./connection";
import { button, fill, h, save, setText } from "./dom";
import { logReason, named, reason, run, type Store } from "./manage";
import type { Instance } from "./model";
import { sourceWord, stateLabel } from "./page-table";
import { Terminal } from "./terminal";
import { _, clean, format } from "./text";

/** So many consoles are open at a time: each has its scrollback in memory. */
const PANES_MAX = 12;
/** Lines of old output that a console begins with, if its server does not keep them itself. */
const HISTORY_LINES = 200;
/** How long the console waits for its old output, in milliseconds. */
const HISTORY_TIMEOUT = 3000;
/** So much of a log is downloaded, in characters. */
const DOWNLOAD_MAX = 64 * 1024 * 1024;
const KEPT_READER = "procserv:screen-reader";

async function copy(text: string): Promise<void> {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        // Without TLS there is no navigator.clipboard.
        const area = h("textarea", { class: "hidden" });
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    }
}

class Pane {
    readonly element: HTMLElement;
    private readonly terminal: Terminal;
    private readonly connection: Connection;
    private readonly status = h("span", { class: "status", role: "status" });
    private readonly attached = h("span", { class: "attached" });
    private readonly visits = h("span", { class: "hidden", role: "log" });
    private readonly label = h("span");
    private readonly take: HTMLButtonElement;
    private readonly searched: HTMLInputElement;
    private users = new Map<number, string>();
    private hadOutput = false;
    private link: Link = "connecting";

    constructor(private instance: Instance, private readonly store: Store, close: () => void) {
        const name = clean(instance.name, 100);
        this.take = button(_("Take control"), () => this.toggleControl(), { class: "button small primary", "data-action": "control", "aria-pressed": "false" });
        this.searched = h("input", {
            type: "search", class: "field small", placeholder: _("Search"), "aria-label": format(_("Search in the output of $0"), name),
            keydown: (event: KeyboardEvent) => {
                if (event.key === "Enter")
                    this.find(event.shiftKey);
                if (event.key === "Escape")
                    this.terminal.xterm.focus();
            },
        });
        const screen = h("div", { class: "screen" });
        const small = (label: string, act: () => void, action: string): HTMLButtonElement =>
            button(label, act, { class: "button small", "data-action": action });
        const where = sourceWord(instance.source);
        this.element = h("section", { class: "pane", "aria-label": format(_("Console of $0"), name), "data-key": instance.key },
            h("header", {},
                h("h2", {}, h("a", { href: "#/" + ["instance", instance.source, instance.name].map(encodeURIComponent).join("/") }, name), where && ` (${where})`),
                this.label,
                this.take,
                this.searched,
                small(_("Find next"), () => this.find(false), "next"),
                small(_("Copy"), () => void this.copy(), "copy"),
                small(_("Download log"), () => void this.download(), "download"),
                button("✕", close, { class: "button small", "data-action": "close", "aria-label": format(_("Close the console of $0"), name) })),
            screen,
            h("footer", {}, this.status, this.attached, this.visits));
        this.connection = new Connection(instance, {
            output: bytes => this.terminal.write(bytes),
            state: (link, text) => this.changed(link, text),
        });
        this.terminal = this.makeTerminal(screen);
        this.update();
    }

    private makeTerminal(screen: HTMLElement): Terminal {
        const terminal = new Terminal(
            screen,
            localStorage.getItem(KEPT_READER) === "yes",
            bytes => this.connection.type(bytes),
            (columns, rows) => this.connection.resize(columns, rows));
        terminal.xterm.attachCustomKeyEventHandler(event => {
            const isLeave = event.ctrlKey && event.shiftKey && event.key === "ArrowUp";
            const isCopy = event.ctrlKey && (event.key === "Insert" || (event.shiftKey && event.key.toLowerCase() === "c"));
            const isSearch = event.ctrlKey && event.shiftKey && event.key.toLowerCase() === "f";
            if (event.type === "keydown" && (isLeave || isCopy || isSearch)) {
                event.preventDefault();
                if (isLeave)
                    this.take.focus();
                else if (isSearch)
                    this.searched.focus();
                else
                    void this.copy();
            }
            if (isLeave || isCopy || isSearch)
                return false;
            if (this.connection.controls)
                terminal.userTyped();
            // Who only watches goes on with Tab as everywhere on a page.
            return this.connection.controls || event.key !== "Tab";
        });
        return terminal;
    }

    /** Shows old output, then connects. */
    async start(): Promise<void> {
        this.connection.resize(this.terminal.xterm.cols, this.terminal.xterm.rows);
        setText(this.status, _("Reading old output …"));
        if (!this.instance.hasHistory)
            await this.history();
        this.connection.connect(false);
    }

    private async history(): Promise<void> {
        const process = run(this.instance.source, "logs", "--no-time", "--lines", String(HISTORY_LINES), ...named(this.instance));
        const timer = setTimeout(() => process.close("timeout"), HISTORY_TIMEOUT);
        try {
            const output = await process;
            if (output !== "") {
                this.terminal.write(new TextEncoder().encode(output.replace(/\r?\n/g, "\r\n")));
                this.terminal.note(_("old output ends here"));
            }
        } catch {
            // Who may not read the log gets what comes from now on.
        } finally {
            clearTimeout(timer);
        }
    }

    private changed(link: Link, text: string): void {
        const wasOpen = this.link === "open";
        if (wasOpen && link === "waiting")
            this.terminal.note(text);
        this.link = link;
        this.hadOutput ||= link === "open";
        this.element.dataset.link = link;
        this.element.dataset.control = String(this.connection.controls);
        setText(this.status, link === "open" && this.connection.controls ? `${text} ${_("Ctrl+Shift+↑ leaves the terminal.")}` : text);
        this.terminal.setInput(link === "open" && this.connection.controls);
        setText(this.take, this.connection.controls ? _("Only watch") : _("Take control"));
        this.take.setAttribute("aria-pressed", String(this.connection.controls));
        this.take.disabled = link === "gone";
    }

    private toggleControl(): void {
        const control = !this.connection.controls;
        if (control && !this.instance.mayControl) {
            setText(this.status, `${_("You have no permission to type here.")} ${whoMayType(this.instance)}`);
            return;
        }
        if (this.hadOutput)
            this.terminal.note(control ? _("you take control") : _("you only watch"));
        this.connection.connect(control);
        if (control)
            this.terminal.xterm.focus();
    }

    private find(backward: boolean): void {
        const term = this.searched.value;
        if (term === "")
            return;
        const isFound = backward ? this.terminal.search.findNext(term) : this.terminal.search.findPrevious(term);
        this.searched.setAttribute("aria-invalid", String(!isFound));
        if (!isFound)
            setText(this.status, format(_("“$0” is not in the output."), term));
    }

    private async copy(): Promise<void> {
        const selected = this.terminal.xterm.getSelection();
        await copy(selected || this.terminal.text());
        setText(this.status, selected ? _("The selection is copied.") : _("All output here is copied."));
    }

    private async download(): Promise<void> {
        const parts: string[] = [];
        let size = 0;
        const name = `${this.instance.name}.log`;
        const process = run(this.instance.source, "logs", "--lines", "all", ...named(this.instance));
        process.stream(piece => {
            size += piece.length;
            if (size <= DOWNLOAD_MAX)
                parts.push(piece);
            else
                process.close("too-large");
        });
        try {
            await process;
            setText(this.status, parts.length > 0 ? _("The log is downloaded.") : _("The log is empty: what is shown here is downloaded."));
        } catch (error) {
            setText(this.status, parts.length > 0
                ? format(_("The first part of the log is downloaded: $0"), size > DOWNLOAD_MAX ? _("it is too long") : reason(error))
                : format(_("What is shown here is downloaded, as the log can't be read: $0"), logReason(error)));
        }
        if (parts.length === 0)
            parts.push(this.terminal.text());
        save(name, parts);
    }

    update(): void {
        const instance = this.store.table.get(this.instance.key);
        // After the start of manage-procs itself there is no table for a moment.
        if (instance === undefined && this.store.problems.has(this.instance.source))
            return;
        this.connection.update(instance);
        if (instance !== undefined)
            this.instance = instance;
        fill(this.label, stateLabel(this.instance));
        this.take.setAttribute("aria-disabled", String(!this.instance.mayControl));
        this.take.title = this.instance.mayControl ? "" : whoMayType(this.instance);
        const users = new Map(this.instance.clients.map(client => {
            const name = client.name || (client.uid === null ? client.address || _("somebody") : this.store.names(this.instance.source)(client.uid));
            return [client.id, client.role === "user" ? name : format(_("$0 (watches)"), name)];
        }));
        // Who comes is told with the name, as soon as it is known.
        if (this.instance.clients.some(client => client.name === "" && client.uid !== null && !this.instance.source.startsWith("@") && !this.store.users.isKnown(client.uid)))
            return;
        const came = [...users].filter(([id]) => !this.users.has(id)).map(([, name]) => format(_("$0 came"), name));
        const left = [...this.users].filter(([id]) => !users.has(id)).map(([, name]) => format(_("$0 left"), name));
        this.users = users;
        setText(this.attached, users.size === 0 ? _("Nobody is attached.") : format(_("Attached: $0"), [...users.values()].join(", ")));
        if (came.length + left.length > 0)
            setText(this.visits, [...came, ...left].join(", "));
    }

    /** For tests: the text of the terminal. */
    get text(): string {
        return this.terminal.text();
    }

    close(): void {
        this.connection.close();
        this.terminal.dispose();
        this.element.remove();
    }
}

export class ConsolesPage {
    readonly element: HTMLElement;
    private readonly panes = new Map<string, Pane>();
    private readonly grid = h("div", { class: "panes" });
    private readonly chooser: HTMLSelectElement;
    private readonly note = h("p", { class: "muted", role: "status" });
    private offered = "";

    constructor(private readonly store: Store, private readonly go: (keys: string[]) => void) {
        this.chooser = h("select", { class: "field", "aria-label": _("Open another console"), id: "add-console", change: () => this.add() });
        const reader = h("input", { type: "checkbox", id: "screen-reader", checked: localStorage.getItem(KEPT_READER) === "yes", change: () => this.readAloud(reader.checked) });
        this.element = h("section", { "aria-labelledby": "consoles-title" },
            h("div", { class: "toolbar" },
                h("h1", { id: "consoles-title" }, _("Consoles")),
                this.chooser,
                h("label", { class: "check" }, reader, _("Output for screen readers"))),
            this.note,
            this.grid);
    }

    private readAloud(isOn: boolean): void {
        localStorage.setItem(KEPT_READER, isOn ? "yes" : "no");
        setText(this.note, _("Consoles that are opened from now on have it."));
    }

    private add(): void {
        const key = this.chooser.value;
        this.chooser.value = "";
        if (key !== "")
            this.go([...this.panes.keys(), key]);
    }

    get keys(): string[] {
        return [...this.panes.keys()];
    }

    /** Opens these consoles, and closes the others. */
    show(keys: string[]): void {
        const wanted = new Set(keys.slice(0, PANES_MAX));
        for (const [key, pane] of [...this.panes].filter(([key]) => !wanted.has(key))) {
            pane.close();
            this.panes.delete(key);
        }
        for (const key of wanted) {
            const instance = this.store.table.get(key);
            if (this.panes.has(key) || instance === undefined)
                continue;
            const pane = new Pane(instance, this.store, () => this.go(this.keys.filter(one => one !== key)));
            this.panes.set(key, pane);
            this.grid.append(pane.element);
            void pane.start();
        }
        this.update();
        if (keys.length > PANES_MAX)
            setText(this.note, format(_("No more than $0 consoles are open at a time."), PANES_MAX));
        else
            setText(this.note, this.panes.size > 0 ? "" : this.store.isReady() ? _("Choose an instance to open its console.") : _("Loading …"));
        this.grid.dataset.count = String(this.panes.size);
    }

    update(): void {
        for (const pane of this.panes.values())
            pane.update();
        const names = this.store.table.all().filter(one => !this.panes.has(one.key)).sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
        const offered = names.map(one => one.key).join("\n");
        if (offered === this.offered && this.chooser.options.length > 0)
            return;
        this.offered = offered;
        fill(this.chooser, h("option", { value: "" }, _("Open another console …")), ...names.map(one => h("option", { value: one.key }, clean(one.name, 100))));
    }

    /** For tests: the text of a console. */
    text(key: string): string {
        return this.panes.get(key)?.text ?? "";
    }
}
