// Telnet (RFC 854, 1073), as much as a client of a procServ console needs: its window is told, nothing else.

const IAC = 255;
const DONT = 254;
const DO = 253;
const WONT = 252;
const WILL = 251;
const SB = 250;
const SE = 240;
const ECHO = 1;
const SUPPRESS_GO_AHEAD = 3;
const NAWS = 31;

type State = "data" | "iac" | "verb" | "sub" | "sub-iac";

/** The telnet of one connection. `send` gets what has to be answered. */
export class Telnet {
    private state: State = "data";
    private verb = 0;
    private wantsWindow = false;
    private agreed = new Set<number>();
    private lastTyped = 0;

    constructor(private readonly send: (bytes: Uint8Array) => void, private columns: number, private rows: number) {}

    /** Returns the console's bytes among those that were received. */
    receive(bytes: Uint8Array): Uint8Array {
        if (this.state === "data" && !bytes.includes(IAC))
            return bytes;
        const out = new Uint8Array(bytes.length);
        let length = 0;
        for (const byte of bytes) {
            switch (this.state) {
            case "data":
                if (byte === IAC)
                    this.state = "iac";
                else
                    out[length++] = byte;
                break;
            case "iac":
                if (byte === IAC)
                    out[length++] = byte;
                this.state = byte >= WILL && byte < IAC ? "verb" : byte === SB ? "sub" : "data";
                this.verb = byte;
                break;
            case "verb":
                this.state = "data";
                this.negotiate(this.verb, byte);
                break;
            case "sub":
                if (byte === IAC)
                    this.state = "sub-iac";
                break;
            case "sub-iac":
                this.state = byte === SE ? "data" : "sub";
                break;
            }
        }
        return out.subarray(0, length);
    }

    // Each option is answered once in each direction, so that two programs can't answer each other for ever (RFC 1143).
    private negotiate(verb: number, option: number): void {
        const asked = verb === DO || verb === DONT ? option : option + 256;
        const accepts = verb === DO ? option === NAWS : verb === WILL && (option === ECHO || option === SUPPRESS_GO_AHEAD);
        const isOn = verb === DO || verb === WILL;
        if (this.agreed.has(asked) === isOn && isOn)
            return;
        if (isOn)
            this.agreed.add(asked);
        else if (!this.agreed.delete(asked))
            return;
        const answer = verb === DO || verb === DONT ? (accepts ? WILL : WONT) : (accepts ? DO : DONT);
        this.send(Uint8Array.of(IAC, answer, option));
        if (option === NAWS && (verb === DO || verb === DONT)) {
            this.wantsWindow = accepts;
            this.tellWindow();
        }
    }

    resize(columns: number, rows: number): void {
        if (columns === this.columns && rows === this.rows)
            return;
        this.columns = columns;
        this.rows = rows;
        this.tellWindow();
    }

    private tellWindow(): void {
        if (!this.wantsWindow)
            return;
        const size = [this.columns >> 8, this.columns & 255, this.rows >> 8, this.rows & 255];
        this.send(Uint8Array.from([IAC, SB, NAWS, ...size.flatMap(byte => (byte === IAC ? [IAC, IAC] : [byte])), IAC, SE]));
    }

    /** What has to be sent for what was typed. */
    typed(bytes: Uint8Array): Uint8Array {
        const out: number[] = [];
        for (const byte of bytes) {
            // CR LF would count as one Enter, and CR NUL is a CR.
            if (byte === 10 && this.lastTyped === 13)
                out.push(0);
            this.lastTyped = byte;
            out.push(byte);
            if (byte === IAC)
                out.push(IAC);
        }
        return Uint8Array.from(out);
    }
}
