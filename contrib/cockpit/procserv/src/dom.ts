// Elements of the page. Texts become text nodes: nothing that comes from elsewhere is read as HTML.

type Attributes = Record<string, string | number | boolean | ((event: never) => void) | undefined>;
export type Child = Node | string | null | undefined | false;

/** Makes an element; functions are listeners. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Attributes = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (typeof value === "function")
            element.addEventListener(name, value as EventListener);
        else if (value === true)
            element.setAttribute(name, "");
        else if (value !== undefined && value !== false)
            element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
    return element;
}

/** Replaces what an element contains. */
export function fill(element: Element, ...children: Child[]): void {
    element.replaceChildren(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
}

/** Has a body of a table show these rows, and moves only those that stand elsewhere: the focus stays where it is. */
export function place(body: HTMLTableSectionElement, rows: HTMLTableRowElement[]): void {
    const isWanted = new Set(rows);
    for (const row of [...body.rows].filter(row => !isWanted.has(row)))
        row.remove();
    let next = body.rows[0] ?? null;
    for (const row of rows) {
        if (row === next)
            next = next.nextElementSibling as HTMLTableRowElement | null;
        else
            body.insertBefore(row, next);
    }
}

/** Sets the text of an element if it is another one: screen readers tell each change. */
export function setText(element: Element, text: string): void {
    if (element.textContent !== text)
        element.textContent = text;
}

export function button(label: string, act: () => void, attributes: Attributes = {}): HTMLButtonElement {
    return h("button", { type: "button", class: "button", click: act, ...attributes }, label);
}

/** Asks before something is done. Resolves to true if the user agrees. */
export function confirm(title: string, text: string, action: string): Promise<boolean> {
    return new Promise(resolve => {
        const answer = (value: boolean) => () => {
            dialog.close();
            resolve(value);
        };
        const dialog = h("dialog", { "aria-labelledby": "dialog-title", "aria-describedby": "dialog-text" },
            h("h2", { id: "dialog-title" }, title),
            h("p", { id: "dialog-text" }, text),
            h("div", { class: "actions" },
                button(action, answer(true), { class: "button danger", "data-action": "confirm" }),
                button(cockpit.gettext("Cancel"), answer(false), { "data-action": "cancel", autofocus: true })));
        dialog.addEventListener("close", () => {
            dialog.remove();
            resolve(false);
        });
        document.body.append(dialog);
        dialog.showModal();
    });
}

/** Saves bytes or text as a file of the browser's user. */
export function save(name: string, parts: BlobPart[]): void {
    const url = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
    const link = h("a", { href: url, download: name.replace(/[^A-Za-z0-9._-]/g, "_") });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
}
