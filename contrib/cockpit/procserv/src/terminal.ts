// An xterm.js terminal that shows hostile output, and a lot of it.

import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Terminal as Xterm } from "@xterm/xterm";
import { OutputQueue } from "./queue";
import { _, format } from "./text";

/** Lines that can be scrolled back to. */
const SCROLLBACK = 5000;
/** Bytes that may wait for the terminal. */
const WAITING_MAX = 4 * 1024 * 1024;
/** Bytes that the terminal gets at once: a fraction of a frame's work, after which the browser does other things. */
const CHUNK = 16 * 1024;

const utf8 = new TextEncoder();

export class Terminal {
    readonly xterm: Xterm;
    readonly search = new SearchAddon();
    private readonly fit = new FitAddon();
    private readonly queue = new OutputQueue(WAITING_MAX);
    private isWriting = false;
    /** Has the next chunk wait until the browser has done other things; timers in a row wait 4 ms longer. */
    private readonly next = new MessageChannel();
    private isDisposed = false;
    /** False while the terminal may answer nothing: what asks could be old output, and the answer would be typed. */
    private mayAnswer = false;
    private readonly observer: ResizeObserver;

    constructor(readonly element: HTMLElement, screenReader: boolean, typed: (bytes: Uint8Array) => void, resized: (columns: number, rows: number) => void) {
        this.xterm = new Xterm({
            scrollback: SCROLLBACK, fontFamily: "'Red Hat Mono', 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace",
            fontSize: 13, screenReaderMode: screenReader, convertEol: false, logLevel: "off", disableStdin: true,
            theme: { background: "#151515", foreground: "#f0f0f0", selectionBackground: "#0066cc" },
        });
        this.xterm.loadAddon(this.fit);
        this.xterm.loadAddon(this.search);
        this.refuseSequences();
        this.xterm.open(element);
        this.xterm.onData(text => typed(utf8.encode(text)));
        this.xterm.onBinary(text => typed(Uint8Array.from(text, character => character.charCodeAt(0))));
        this.xterm.onResize(({ cols, rows }) => resized(cols, rows));
        this.observer = new ResizeObserver(() => requestAnimationFrame(() => this.fitNow()));
        this.observer.observe(element);
        this.fitNow();
        this.next.port1.onmessage = () => {
            this.isWriting = false;
            this.pump();
        };
    }

    private fitNow(): void {
        if (!this.isDisposed && this.element.offsetParent !== null)
            this.fit.fit();
    }

    /** Output may not set titles, the clipboard, links or colours, nor have the terminal type something by itself. */
    private refuseSequences(): void {
        const parser = this.xterm.parser;
        for (const command of [0, 1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 52, 104, 110, 111, 112, 777, 1337])
            parser.registerOscHandler(command, () => true);
        const isSilent = (): boolean => !this.mayAnswer;
        for (const prefix of ["", ">", "="])
            parser.registerCsiHandler(prefix === "" ? { final: "c" } : { prefix, final: "c" }, isSilent);
        for (const id of [{ final: "n" }, { prefix: "?", final: "n" }, { final: "t" }, { final: "x" },
            { intermediates: "$", final: "p" }, { prefix: "?", intermediates: "$", final: "p" }, { prefix: ">", final: "q" }])
            parser.registerCsiHandler(id, isSilent);
        parser.registerDcsHandler({ intermediates: "$", final: "q" }, isSilent);
        parser.registerDcsHandler({ intermediates: "+", final: "q" }, isSilent);
    }

    /** Lets the user type, or only look. */
    setInput(isOn: boolean): void {
        this.xterm.options.disableStdin = !isOn;
        this.xterm.options.cursorBlink = isOn;
        this.mayAnswer = false;
    }

    /** The user has pressed a key: from now on a program that asks the terminal is one that the user runs. */
    userTyped(): void {
        this.mayAnswer = true;
    }

    write(bytes: Uint8Array): void {
        this.queue.push(bytes);
        this.pump();
    }

    /** Adds a line of the page's own among the output. */
    note(text: string): void {
        this.write(utf8.encode(`\x18\x1b[0m\r\n\x1b[2m--- ${text} ---\x1b[0m\r\n`));
    }

    private pump(): void {
        if (this.isWriting || this.isDisposed || this.queue.length === 0)
            return;
        const lost = this.queue.takeLost();
        if (lost > 0)
            this.xterm.write(`\x18\x1b[0m\r\n\x1b[2m--- ${format(_("$0 bytes are left out here: they came faster than this page can show them"), lost)} ---\x1b[0m\r\n`);
        this.isWriting = true;
        this.xterm.write(this.queue.take(CHUNK), () => {
            this.next.port2.postMessage(null);
        });
    }

    /** What can be scrolled back to, as text. */
    text(): string {
        const buffer = this.xterm.buffer.active;
        const lines: string[] = [];
        for (let row = 0; row < buffer.length; row++) {
            const line = buffer.getLine(row);
            const text = line?.translateToString(true) ?? "";
            if (line?.isWrapped && lines.length > 0)
                lines[lines.length - 1] += text;
            else
                lines.push(text);
        }
        return lines.join("\n").trimEnd() + "\n";
    }

    dispose(): void {
        this.isDisposed = true;
        this.observer.disconnect();
        this.next.port1.close();
        this.xterm.dispose();
    }
}
