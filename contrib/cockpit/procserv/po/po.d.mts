export function extractMessages(source: string): [string, string | null][];
export function toTemplate(messages: [string, string | null][]): string;
export function parsePo(text: string): Map<string, string[]>;
export function toScript(language: string, entries: Map<string, string[]>): string;
