// Translations: po/LANGUAGE.po becomes dist/po.LANGUAGE.js, which Cockpit serves as po.js to who has chosen that language.

const STRING = /"((?:[^"\\]|\\.)*)"/g;

/** The messages of a source: a list of [message, plural or null]. */
export function extractMessages(source) {
    const found = new Map();
    for (const [, kind, rest] of source.matchAll(/\b(_|ngettext)\(\s*((?:"(?:[^"\\]|\\.)*"[\s,]*)+)/g)) {
        const texts = [...rest.matchAll(STRING)].map(match => JSON.parse(match[0]));
        found.set(texts[0], kind === "ngettext" ? texts[1] : null);
    }
    return [...found].sort(([one], [other]) => (one < other ? -1 : 1));
}

/** The template that translators begin with. */
export function toTemplate(messages) {
    const head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n';
    const entry = ([message, plural]) => plural === null
        ? `msgid ${JSON.stringify(message)}\nmsgstr ""\n`
        : `msgid ${JSON.stringify(message)}\nmsgid_plural ${JSON.stringify(plural)}\nmsgstr[0] ""\nmsgstr[1] ""\n`;
    return [head, ...messages.map(entry)].join("\n");
}

/** The entries of a .po file: a map from message to its translations. The header is that of "". */
export function parsePo(text) {
    const entries = new Map();
    for (const block of text.split(/\n\s*\n/)) {
        const fields = {};
        let key = null;
        for (const line of block.split("\n")) {
            const start = /^(msgid|msgid_plural|msgstr(?:\[\d+\])?)\s+"/.exec(line);
            if (start)
                key = start[1];
            if (key === null || !(start || line.startsWith('"')))
                continue;
            for (const [quoted] of line.matchAll(STRING))
                fields[key] = (fields[key] ?? "") + JSON.parse(quoted);
        }
        const translations = Object.keys(fields).filter(name => name.startsWith("msgstr")).sort().map(name => fields[name]);
        if (fields.msgid !== undefined && translations.every(one => one !== ""))
            entries.set(fields.msgid, translations);
    }
    return entries;
}

/** What cockpit.locale() takes. */
export function toScript(language, entries) {
    const header = entries.get("")?.[0] ?? "";
    // The rule is C, of which JavaScript means the same; nothing but its operators is let in, as it becomes code.
    const rule = /plural=([^;\n]*)/.exec(header)?.[1] ?? "n != 1";
    if (!/^[n0-9\s()?:=!<>&|%]*$/.test(rule))
        throw new Error(`${language}: plural rule ${rule}`);
    const fields = [...entries].filter(([message]) => message !== "")
        .map(([message, translations]) => `${JSON.stringify(message)}:${JSON.stringify([null, ...translations])}`);
    const meta = `"":{"plural-forms":n=>${rule},"language":${JSON.stringify(language)},"language-direction":"ltr"}`;
    return `cockpit.locale({${[meta, ...fields].join(",")}});\n`;
}
