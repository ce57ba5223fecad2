// What `manage-procs doctor` finds.

import { button, fill, h, setText } from "./dom";
import { reason, run, type Store } from "./manage";
import { fields, list } from "./model";
import { sourceWord } from "./page-table";
import { _, clean, format, ngettext } from "./text";

export class DoctorPage {
    readonly element: HTMLElement;
    private readonly results = h("div");
    private readonly note = h("p", { class: "muted", role: "status" });
    private readonly again: HTMLButtonElement;

    constructor(private readonly store: Store) {
        this.again = button(_("Check again"), () => void this.check(), { "data-action": "check" });
        this.element = h("section", { "aria-labelledby": "doctor-title" },
            h("h1", { id: "doctor-title" }, _("Doctor")),
            h("p", {}, _("What keeps instances from working, and what to do about it.")),
            h("div", { class: "toolbar" }, this.again, this.note),
            this.results);
        void this.check();
    }

    private async check(): Promise<void> {
        this.again.disabled = true;
        setText(this.note, _("Checking …"));
        const parts = await Promise.all(this.store.sources.map(source => this.ask(source)));
        fill(this.results, ...parts.flatMap(part => part.elements));
        const count = parts.reduce((sum, part) => sum + part.count, 0);
        setText(this.note, count === 0 ? _("No problems.") : format(ngettext("$0 problem", "$0 problems", count), count));
        this.again.disabled = false;
    }

    private async ask(source: string): Promise<{ elements: HTMLElement[]; count: number }> {
        let output = "";
        try {
            const process = run(source, "doctor", "--json");
            process.stream(piece => { output += piece; });
            const rest = await process;
            output += rest;
        } catch (error) {
            // Exit status 1 says that there are findings.
            if (output === "")
                return { elements: source === "user" ? [] : [h("p", { class: "alert bad", role: "alert" }, reason(error))], count: 0 };
        }
        let found: unknown[];
        try {
            found = list(JSON.parse(output));
        } catch {
            return { elements: [h("p", { class: "alert bad", role: "alert" }, _("What manage-procs says can't be read."))], count: 0 };
        }
        const rows = found.map(one => fields(one)).sort((one, other) => Number(one.hint === true) - Number(other.hint === true));
        const table = h("table", { class: "table" },
            h("caption", {}, sourceWord(source) || _("Instances of the machine")),
            h("thead", {}, h("tr", {}, h("th", { scope: "col" }, _("Instance or file")), h("th", { scope: "col" }, _("Problem")), h("th", { scope: "col" }, _("What to do")))),
            h("tbody", {}, ...rows.map(row => h("tr", { class: row.hint === true ? "" : "bad" },
                h("th", { scope: "row" }, [row.host, row.subject].map(one => clean(one, 300)).filter(one => one !== "").join(": ")),
                h("td", { "data-label": _("Problem") }, (row.hint === true ? `${_("Hint:")} ` : "⚠ ") + clean(row.problem ?? row.error)),
                h("td", { "data-label": _("What to do") }, clean(row.advice))))));
        return { elements: rows.length > 0 ? [table] : [], count: rows.filter(row => row.hint !== true).length };
    }
}
