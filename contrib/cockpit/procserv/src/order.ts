// Which instances are shown, and in which order.

import type { Instance } from "./model";
import { stateWord } from "./text";

export type Column = "name" | "state" | "up" | "restarts" | "last" | "users";

export interface View {
    filter: string;
    onlyWrong: boolean;
    column: Column;
    descending: boolean;
    grouped: boolean;
}

export interface Group {
    /** The common prefix of the names; empty for instances that stand alone. */
    prefix: string;
    instances: Instance[];
}

/** The part of a name that others may share: what is before the first separator, or before the digits at its end. */
export function prefixOf(name: string): string {
    const separated = /^[^-_.:@]+(?=[-_.:@])/.exec(name)?.[0];
    return separated ?? name.replace(/\d+$/, "");
}

/** Returns true if each word of the filter is in something that the table shows of the instance. */
export function matches(instance: Instance, filter: string, names: (uid: number) => string): boolean {
    const words = filter.toLowerCase().split(/\s+/).filter(word => word !== "");
    if (words.length === 0)
        return true;
    const clients = instance.clients.map(one => one.name || (one.uid === null ? one.address : names(one.uid)));
    const shown = [instance.name, instance.state, stateWord(instance.state), instance.source, instance.last, ...instance.trouble, ...clients]
        .join("\n")
        .toLowerCase();
    return words.every(word => shown.includes(word));
}

/** Lower stands first: what is wrong, then what changes, what runs, and what is stopped. */
function rank(instance: Instance): number {
    if (instance.wrong)
        return 0;
    if (instance.trouble.length > 0)
        return 1;
    return instance.state === "running" ? 3 : instance.state === "stopped" ? 4 : 2;
}

const byName = new Intl.Collator("en", { numeric: true }).compare;

function compareBy(column: Column, one: Instance, other: Instance): number {
    switch (column) {
    case "name": return byName(one.name, other.name);
    case "state": return rank(one) - rank(other) || byName(one.state, other.state);
    case "up": return (other.childSince ?? 0) - (one.childSince ?? 0);
    case "restarts": return (one.restartsOfDay ?? -1) - (other.restartsOfDay ?? -1) || (one.restarts ?? -1) - (other.restarts ?? -1);
    case "last": return (one.lastTime ?? 0) - (other.lastTime ?? 0);
    case "users": return one.clients.length - other.clients.length;
    }
}

/** The instances in their order. What is wrong stands first, whatever the column. */
export function sorted(instances: Instance[], view: View): Instance[] {
    const sign = view.descending ? -1 : 1;
    const isUrgent = (instance: Instance): number => (rank(instance) <= 1 ? 0 : 1);
    return [...instances].sort((one, other) =>
        isUrgent(one) - isUrgent(other)
        || sign * compareBy(view.column, one, other)
        || byName(one.name, other.name)
        || byName(one.source, other.source));
}

/** Groups of at least two names with a prefix; a group stands where its first instance stood. */
export function grouped(instances: Instance[]): Group[] {
    const groups = new Map<string, Group>();
    for (const instance of instances) {
        const prefix = prefixOf(instance.name);
        const group = groups.get(prefix) ?? { prefix, instances: [] };
        group.instances.push(instance);
        groups.set(prefix, group);
    }
    return [...groups.values()].map(group => (group.instances.length > 1 ? group : { ...group, prefix: "" }));
}
