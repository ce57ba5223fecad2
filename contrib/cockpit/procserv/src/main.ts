// The page: which of its parts is shown, its look, and what it knows of the user.

import "@xterm/xterm/css/xterm.css";
import "./procserv.css";
import type { Rights } from "./actions";
import { h } from "./dom";
import { Hosts } from "./hosts";
import { Store } from "./manage";
import { ConsolesPage } from "./page-consoles";
import { DoctorPage } from "./page-doctor";
import { EventsPage } from "./page-events";
import { InstancePage } from "./page-instance";
import { TablePage } from "./page-table";
import { _ } from "./text";

/** A part of the page that is made when it is shown, and closed when another one is. */
interface Part {
    readonly element: HTMLElement;
    update?(): void;
    close?(): void;
}

// The shell keeps the user's choice there, and tells its frames when it changes; so do Cockpit's own pages.
function followStyle(): void {
    const dark = window.matchMedia("(prefers-color-scheme: dark)");
    const apply = (style?: string): void => {
        const chosen = style ?? localStorage.getItem("shell:style") ?? "auto";
        const isDark = chosen === "dark" || (chosen !== "light" && dark.matches);
        document.documentElement.classList.toggle("dark", isDark);
    };
    window.addEventListener("storage", event => {
        if (event.key === "shell:style")
            apply();
    });
    window.addEventListener("cockpit-style", event => apply((event as CustomEvent<{ style?: string }>).detail.style));
    dark.addEventListener("change", () => apply());
    apply();
}

function start(): void {
    const store = new Store(["system", "user"]);
    const rights: Rights = { isAdmin: false, user: { name: "", id: -1 } };
    const open = (keys: string[]): void => {
        cockpit.location.go(["consoles"], { open: [...new Set([...consoles.keys, ...keys])].join("|") });
    };
    const showOnly = (keys: string[]): void => cockpit.location.go(["consoles"], { open: keys.join("|") });
    const table = new TablePage(store, new Hosts(store), open);
    const consoles = new ConsolesPage(store, showOnly);
    const content = h("main", { id: "content", tabindex: -1 }, table.element, consoles.element);
    const tabs: [string, string][] = [["", _("Instances")], ["consoles", _("Consoles")], ["events", _("Events")], ["doctor", _("Doctor")]];
    const links = tabs.map(([path, label]) => h("a", { href: `#/${path}`, "data-page": path }, label));
    document.body.append(
        h("a", { href: "#content", class: "skip", click: (event: Event) => { event.preventDefault(); content.focus(); } }, _("Skip to the content")),
        h("nav", { class: "tabs", "aria-label": _("Pages") }, ...links),
        content);

    let part: Part | null = null;
    let shown = "";
    const route = (): void => {
        const [page = "", ...rest] = cockpit.location.path;
        for (const link of links) {
            link.setAttribute("aria-current", link.dataset.page === (page === "instance" ? "" : page) ? "page" : "false");
        }
        table.element.hidden = page !== "";
        consoles.element.hidden = page !== "consoles";
        const path = JSON.stringify([page, ...rest]);
        if (path !== shown) {
            shown = path;
            part?.close?.();
            part?.element.remove();
            part = page === "events"
                ? new EventsPage(store)
                : page === "doctor"
                    ? new DoctorPage(store)
                    : page === "instance" && rest.length === 2 ? new InstancePage(store, rights, rest.join("/"), open) : null;
            if (part !== null)
                content.append(part.element);
        }
        if (page === "consoles")
            showConsoles();
        update();
    };
    const showConsoles = (): void => {
        const wanted = cockpit.location.options.open;
        // The tab's own link has no list: the consoles that are open stay open.
        consoles.show(typeof wanted === "string" ? wanted.split("|").filter(key => key !== "") : consoles.keys);
    };
    const update = (): void => {
        if (!table.element.hidden)
            table.update();
        if (cockpit.location.path[0] === "consoles" && typeof cockpit.location.options.open === "string")
            showConsoles();
        consoles.update();
        part?.update?.();
        if (store.isReady())
            document.body.dataset.ready = "1";
    };
    store.listen(update);
    cockpit.addEventListener("locationchanged", route);
    setInterval(update, 10000);
    const permission = cockpit.permission({ admin: true });
    const learn = (): void => {
        rights.isAdmin = permission.allowed === true;
        update();
    };
    permission.addEventListener("changed", learn);
    void cockpit.user().then(user => {
        rights.user = user;
        update();
    });
    document.documentElement.lang = cockpit.language || "en";
    document.title = _("procServ consoles");
    // For tests, which can't read a terminal from its elements.
    Object.assign(window, { procservConsoleText: (key: string) => consoles.text(key) });
    learn();
    route();
}

followStyle();
cockpit.transport.wait(start);
