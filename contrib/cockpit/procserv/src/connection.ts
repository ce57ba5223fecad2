// The connection of a console pane to a server, made anew whenever it ends.

import { manage, named } from "./manage";
import type { Instance } from "./model";
import { Telnet } from "./telnet";
import { _, clean, format } from "./text";

/** How a connection is. */
export type Link = "connecting" | "open" | "waiting" | "refused" | "gone";

export interface Listener {
    /** Output of the console. */
    output(bytes: Uint8Array): void;
    /** Something has changed; `text` says what to people. */
    state(link: Link, text: string): void;
}

/** How long until the next try, in milliseconds. */
const RETRY_MIN = 300;
const RETRY_MAX = 5000;
/** For another host, where each try is an ssh. */
const RETRY_MAX_HOST = 30000;
/** A connection that has lasted so long was a good one: the next try comes soon. */
const GOOD = 5000;

// Cockpit 287 has a problem for each cause; the bridge of later versions says "terminated" for all but a connection that was
// refused, and the cause in the message.
function isDenied(options: { problem?: string; message?: string }): boolean {
    return options.problem === "access-denied" || /permission denied/i.test(options.message ?? "");
}

/** Who may type at a console, and what to ask the administrator for. */
export function whoMayType(instance: Instance): string {
    if (instance.group !== "")
        return format(_("Members of the group $0 may: ask the administrator to add you."), instance.group);
    return instance.user === ""
        ? _("Ask the administrator to give the instance the key control_group, with a group that you are in.")
        : format(_("The user $0 may. Ask the administrator to give the instance the key control_group, with a group that you are in."), instance.user);
}

export class Connection {
    private channel: CockpitChannel | null = null;
    private telnet: Telnet | null = null;
    private timer: ReturnType<typeof setTimeout> | undefined;
    private delay = RETRY_MIN;
    private opened = 0;
    private link: Link = "connecting";
    private triedServer: number | null = null;
    private isClosed = false;
    private hasControl = false;
    private columns = 80;
    private rows = 24;

    constructor(private instance: Instance, private readonly listener: Listener) {}

    get controls(): boolean {
        return this.hasControl;
    }

    /** Connects anew, to type or to watch. */
    connect(control: boolean): void {
        this.hasControl = control;
        this.delay = RETRY_MIN;
        this.open();
    }

    /** The instance has changed; undefined: it is not there any longer. */
    update(instance: Instance | undefined): void {
        if (instance === undefined) {
            if (this.link !== "gone")
                this.drop("gone", _("This instance is not there any longer."));
            return;
        }
        const isNew = instance.serverPid !== null && instance.serverPid !== this.triedServer;
        this.instance = instance;
        if (this.link === "gone" || (this.link === "waiting" && isNew))
            this.open();
    }

    private drop(link: Link, text: string): void {
        clearTimeout(this.timer);
        const channel = this.channel;
        this.channel = null;
        this.telnet = null;
        // Without a problem Cockpit ends the input only: the server goes on sending what somebody watches, and an
        // ssh to another host goes on, too.
        channel?.close("terminated");
        this.tell(link, text);
    }

    private tell(link: Link, text: string): void {
        this.link = link;
        this.listener.state(link, text);
    }

    private retry(text: string): void {
        this.drop("waiting", text);
        this.timer = setTimeout(() => this.open(), this.delay);
        this.delay = Math.min(this.delay * 2, this.instance.source.startsWith("@") ? RETRY_MAX_HOST : RETRY_MAX);
    }

    private options(): { channel: object; isTelnet: boolean } | null {
        if (this.instance.source.startsWith("@")) {
            const watch = this.hasControl ? [] : ["--watch"];
            return {
                isTelnet: false,
                channel: {
                    payload: "stream", binary: true, pty: true, environ: ["TERM=xterm-256color"],
                    spawn: manage(this.instance.source, "attach", ...watch, ...named(this.instance)),
                    window: { rows: this.rows, cols: this.columns },
                },
            };
        }
        // With telnet the server is told the size of the window.
        const { control, raw, view, isViewTelnet } = this.instance;
        const [path, isTelnet] = this.hasControl ? [control || raw, control !== ""] : [view, isViewTelnet];
        // No "superuser": the socket's rights decide, and the server's events name the user.
        return path === "" ? null : { channel: { payload: "stream", binary: true, unix: path }, isTelnet };
    }

    private open(): void {
        if (this.isClosed)
            return;
        this.drop("connecting", _("Connecting …"));
        this.triedServer = this.instance.serverPid;
        const options = this.options();
        if (options === null) {
            this.retry(this.instance.serverPid === null
                ? _("No server runs. The console comes back when it does.")
                : this.hasControl ? _("This server has no console on a Unix socket.") : _("This server has no endpoint to watch at."));
            return;
        }
        const channel = cockpit.channel(options.channel);
        this.channel = channel;
        this.telnet = options.isTelnet ? new Telnet(bytes => this.raw(bytes), this.columns, this.rows) : null;
        channel.addEventListener("message", (_event, data) => {
            if (this.channel !== channel)
                return;
            if (this.link !== "open") {
                this.opened = Date.now();
                this.tell("open", this.hasControl ? _("You have control.") : _("You are watching."));
            }
            this.listener.output(this.telnet === null ? data : this.telnet.receive(data));
        });
        channel.addEventListener("close", (_event, closed) => {
            if (this.channel !== channel)
                return;
            this.channel = null;
            if (this.link === "open" && Date.now() - this.opened > GOOD)
                this.delay = RETRY_MIN;
            if (isDenied(closed))
                this.drop("refused", `${this.hasControl ? _("You have no permission to type here.") : _("You have no permission to watch this console.")} ${whoMayType(this.instance)}`);
            else
                this.retry(this.link === "open" ? _("The server has ended, or the connection is lost. Trying again …") : this.failure(closed));
        });
    }

    private failure(closed: { problem?: string; message?: string }): string {
        if (closed.problem === "not-found" || /no such file|connection refused/i.test(closed.message ?? "") || closed.problem === undefined)
            return _("No server answers. The console comes back when it does.");
        return format(_("No connection: $0"), clean(closed.message || closed.problem, 300));
    }

    private raw(bytes: Uint8Array): void {
        if (this.channel?.valid)
            this.channel.send(bytes);
    }

    /** Types; nothing happens for who watches. */
    type(bytes: Uint8Array): void {
        if (this.hasControl && this.link === "open")
            this.raw(this.telnet === null ? bytes : this.telnet.typed(bytes));
    }

    resize(columns: number, rows: number): void {
        this.columns = columns;
        this.rows = rows;
        this.telnet?.resize(columns, rows);
        if (this.channel?.valid && this.instance.source.startsWith("@"))
            this.channel.control({ command: "options", window: { rows, cols: columns } });
    }

    close(): void {
        this.isClosed = true;
        this.drop("gone", "");
    }
}
