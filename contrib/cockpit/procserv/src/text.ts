// Words, names and messages for people. No function here touches the page.

// A unit test has no Cockpit: the texts are then in English.
const translator = typeof cockpit === "undefined"
    ? { gettext: (text: string) => text, ngettext: (one: string, many: string, count: number) => (count === 1 ? one : many) }
    : cockpit;

export const _ = (message: string): string => translator.gettext(message);
export const ngettext = (one: string, many: string, count: number): string => translator.ngettext(one, many, count);

/** Puts values in the places of $0, $1 and so on. */
export function format(message: string, ...values: (string | number)[]): string {
    return message.replace(/\$(\d)/g, (place, index) => String(values[Number(index)] ?? place));
}

// Control characters, and characters that change the direction of the text after them.
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
/** As many characters of a text from elsewhere are shown. */
const TEXT_MAX = 2000;

/** A text that comes from files, servers or users, fit to be shown in one line. */
export function clean(value: unknown, max = TEXT_MAX): string {
    if (value === null || value === undefined)
        return "";
    const text = typeof value === "string" ? value : typeof value === "object" ? JSON.stringify(value) : String(value);
    const short = text.length > max ? text.slice(0, max) + "…" : text;
    return short.replace(UNSAFE, "\ufffd");
}

/** A span of time in seconds with its two largest units. */
export function span(seconds: number): string {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60)
        return format(_("$0 s"), s);
    if (s < 3600)
        return format(_("$0 min"), Math.floor(s / 60));
    if (s < 86400)
        return format(_("$0 h $1 min"), Math.floor(s / 3600), Math.floor(s % 3600 / 60));
    return format(_("$0 d $1 h"), Math.floor(s / 86400), Math.floor(s % 86400 / 3600));
}

/** A time as the browser's user writes times; `value` is RFC 3339 or seconds since 1970. */
export function when(value: unknown): string {
    const date = typeof value === "number" ? new Date(value * 1000) : new Date(String(value));
    if (Number.isNaN(date.getTime()))
        return clean(value);
    const isToday = date.toDateString() === new Date().toDateString();
    const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
    return isToday
        ? date.toLocaleTimeString(undefined, time)
        : date.toLocaleString(undefined, { ...time, year: "numeric", month: "short", day: "numeric" });
}

// Each word stands here as a text, so that it is found for translations.
const STATES: Record<string, string> = {
    running: _("running"), starting: _("starting"), held_off: _("held off"), exiting: _("exiting"), stopped: _("stopped"), hidden: _("hidden"),
    broken: _("broken"), failed: _("failed"), dead: _("dead"), no_answer: _("no answer"), looping: _("looping"), hung: _("hung"),
    orphan: _("orphan"), down: _("down"),
};

/** The word for a state of `manage-procs status --json`. */
export function stateWord(state: string): string {
    return new Map(Object.entries(STATES)).get(state) ?? clean(state, 40);
}
