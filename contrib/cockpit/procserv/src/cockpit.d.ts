// The parts of Cockpit's base1/cockpit.js that the page uses; the same in Cockpit 287 and in later ones.

interface CockpitProblem {
    problem: string | null;
    message: string;
}

interface CockpitChannel {
    readonly valid: boolean;
    send(data: string | Uint8Array): void;
    control(options: object): void;
    close(problem?: string): void;
    addEventListener(type: "message", listener: (event: Event, data: Uint8Array) => void): void;
    addEventListener(type: "close", listener: (event: Event, options: { problem?: string; message?: string }) => void): void;
}

interface CockpitProcess extends Promise<string> {
    stream(listener: (data: string) => void): CockpitProcess;
    close(problem?: string): void;
}

interface CockpitSpawnOptions {
    superuser?: "try" | "require";
    err?: "message" | "ignore";
}

interface CockpitLocation {
    readonly path: string[];
    readonly options: Record<string, string | string[]>;
    go(path: string[], options?: Record<string, string>): void;
}

interface CockpitPermission {
    readonly allowed: boolean | null;
    addEventListener(type: "changed", listener: () => void): void;
}

interface Cockpit {
    readonly location: CockpitLocation;
    readonly transport: { wait(ready: () => void): void; readonly host: string };
    addEventListener(type: "locationchanged", listener: () => void): void;
    channel(options: object): CockpitChannel;
    spawn(argv: string[], options?: CockpitSpawnOptions): CockpitProcess;
    user(): Promise<{ name: string; id: number; groups: string[] }>;
    permission(options: { admin: boolean }): CockpitPermission;
    gettext(message: string): string;
    ngettext(message: string, plural: string, count: number): string;
    readonly language: string;
}

declare const cockpit: Cockpit;
