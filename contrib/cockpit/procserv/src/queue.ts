// Output that waits for the terminal.

/** Bytes in their order, with a bound: what is oldest is left out when too much waits. */
export class OutputQueue {
    private readonly pieces: Uint8Array[] = [];
    private waiting = 0;
    private lost = 0;

    /** `max` bytes may wait. */
    constructor(private readonly max: number) {}

    push(piece: Uint8Array): void {
        if (piece.length === 0)
            return;
        this.pieces.push(piece);
        this.waiting += piece.length;
        while (this.waiting > this.max) {
            const size = this.pieces.shift()?.length ?? 0;
            this.waiting -= size;
            this.lost += size;
        }
    }

    get length(): number {
        return this.waiting;
    }

    /** How many bytes were left out since the last call. */
    takeLost(): number {
        const lost = this.lost;
        this.lost = 0;
        return lost;
    }

    /** Takes up to `max` bytes. */
    take(max: number): Uint8Array {
        const out = new Uint8Array(Math.min(max, this.waiting));
        let length = 0;
        while (length < out.length) {
            const piece = this.pieces[0]?.subarray(0, out.length - length);
            if (piece === undefined)
                break;
            out.set(piece, length);
            length += piece.length;
            this.drop(piece.length);
        }
        return out;
    }

    /** Takes bytes away from the first piece. */
    private drop(count: number): void {
        const first = this.pieces[0];
        if (first === undefined)
            return;
        this.waiting -= count;
        if (count >= first.length)
            this.pieces.shift();
        else
            this.pieces[0] = first.subarray(count);
    }
}
