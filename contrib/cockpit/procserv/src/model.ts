// The table of instances, as `manage-procs watch --json` tells it.
//
// Parts of an instance come from files that its own user writes: no field is used before its type is known.

import { clean } from "./text";

type Fields = Record<string, unknown>;

/** A client of a console. */
export interface Client {
    id: number;
    role: string;
    address: string;
    uid: number | null;
    name: string;
}

/** An instance, as far as the page needs it. */
export interface Instance {
    /** The source and the name; no other instance has the same. */
    key: string;
    /** Where manage-procs finds it: `system`, `user` or `@HOST`. */
    source: string;
    name: string;
    state: string;
    wrong: boolean;
    childSince: number | null;
    serverPid: number | null;
    restarts: number | null;
    restartsOfDay: number | null;
    last: string;
    lastTime: number | null;
    trouble: string[];
    clients: Client[];
    /** True if new clients get the last output from the server itself (`--history`). */
    hasHistory: boolean;
    /** Paths of sockets: with telnet, without it, and the one to watch at. */
    control: string;
    raw: string;
    view: string;
    /** True if telnet is spoken at `view`. */
    isViewTelnet: boolean;
    /** False if the user's rights are known not to suffice. */
    mayControl: boolean;
    /** Who may: the user of the instance, and the group of its consoles; empty if not known. */
    user: string;
    group: string;
    /** systemd's word for whether it is started at boot; empty if not known. */
    atBoot: string;
}

export function fields(value: unknown): Fields {
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : {};
}

export function list(value: unknown): unknown[] {
    return Array.isArray(value) ? value : [];
}

export function number(value: unknown): number | null {
    return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function text(value: unknown): string {
    return typeof value === "string" ? value : "";
}

function isPath(value: unknown): value is string {
    return typeof value === "string" && value.startsWith("/");
}

/** The path of the first endpoint with this prefix: `PREFIXunix:PATH` or `PREFIXunix:USER:GROUP:MODE:PATH`. */
function socketOf(endpoints: string[], prefix: string): string {
    const start = prefix + "unix:";
    for (const endpoint of endpoints) {
        const path = endpoint.startsWith(start) ? endpoint.slice(start.length).replace(/^[^/:]*:[^/:]*:[^/:]*:/, "") : "";
        if (isPath(path))
            return path;
    }
    return "";
}

export function clientOf(value: unknown): Client {
    const client = fields(value);
    return {
        id: number(client.id) ?? 0,
        role: text(client.role),
        address: clean(client.address, 100),
        uid: number(client.uid),
        name: clean(client.name, 100),
    };
}

/** Reads an object of `status --json` or `watch --json`. Returns null if it has no name. */
export function instanceOf(value: unknown, source: string): Instance | null {
    const object = fields(value);
    const name = text(object.name);
    if (name === "")
        return null;
    const status = fields(object.status);
    const unit = fields(object.unit);
    const endpoints = list(object.endpoints).filter((one): one is string => typeof one === "string");
    const view = socketOf(endpoints, "view:raw:") || socketOf(endpoints, "raw:view:");
    return {
        key: `${source}/${name}`,
        source,
        name,
        state: text(object.state),
        wrong: object.wrong === true,
        childSince: number(object.child_since),
        serverPid: number(object.server_pid),
        restarts: number(status.restarts),
        restartsOfDay: number(status.restarts_24h),
        last: clean(object.last, 200),
        lastTime: number(object.last_time),
        trouble: list(object.trouble).map(one => clean(one, 300)),
        clients: list(status.clients).slice(0, 500).map(clientOf).filter(client => client.role !== "api"),
        hasHistory: list(status.argv).some(one => typeof one === "string" && one.startsWith("--history")),
        control: socketOf(endpoints, ""),
        raw: isPath(object.raw) ? object.raw : socketOf(endpoints, "raw:"),
        view: view || (isPath(object.view) ? object.view : socketOf(endpoints, "view:")),
        isViewTelnet: view === "",
        mayControl: object.may_control !== false || text(object.raw) === "",
        user: clean(object.user, 100),
        group: clean(object.control_group, 100),
        atBoot: text(unit.file_state),
    };
}

/** All instances that the page knows. */
export class Table {
    private readonly instances = new Map<string, Instance>();

    /** Takes one line of `watch --json`. Returns false if the line is of a version that is not known here. */
    apply(source: string, message: unknown): boolean {
        const { type, version, instances, instance, name } = fields(message);
        if (version !== undefined && version !== 1)
            return false;
        if (type === "table") {
            this.clear(source);
            for (const one of list(instances))
                this.put(instanceOf(one, source));
        } else if (type === "changed") {
            this.put(instanceOf(instance, source));
        } else if (type === "removed") {
            this.instances.delete(`${source}/${text(name)}`);
        }
        return true;
    }

    private put(instance: Instance | null): void {
        if (instance !== null)
            this.instances.set(instance.key, instance);
    }

    /** Forgets what a source has told. */
    clear(source: string): void {
        for (const instance of [...this.instances.values()]) {
            if (instance.source === source)
                this.instances.delete(instance.key);
        }
    }

    get(key: string): Instance | undefined {
        return this.instances.get(key);
    }

    all(): Instance[] {
        return [...this.instances.values()];
    }
}

/** Makes lines of the pieces in which output of a program comes. */
export class Lines {
    private rest = "";

    /** `max` is how long a line may become before the reader gives up. */
    constructor(private readonly max = 64 * 1024 * 1024) {}

    /**
     * Returns the lines that are complete now.
     * Throws an error if a line is too long.
     */
    push(piece: string): string[] {
        const parts = (this.rest + piece).split("\n");
        this.rest = parts.pop() ?? "";
        if (this.rest.length > this.max)
            throw new Error("a line is too long");
        return parts.filter(line => line !== "");
    }
}
