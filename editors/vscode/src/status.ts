/** What the server says about itself: docs/language-server.md has the meanings. */
export interface Status {
    state: "ready" | "loading" | "off" | "error";
    reason: string;
    model: string;
    latencyMs: number | null;
    enabled: boolean;
    message: string;
}

const SENTENCES: Record<string, string> = {
    "off": "Completions are off.",
    "off in this language": "Completions are off in this language.",
    "off in this file": "Completions are off in this file.",
    "excluded": "This file is never read",
    "too large": "This file is left alone",
    "loading": "The model is being loaded",
    "superseded": "Newer typing replaced the last question.",
    "nothing confident": "The model had nothing to say that is likely enough.",
    "inside a word": "Inside a word nothing is completed.",
    "failed": "The last completion failed",
};

/** A reason without what follows its colon. */
export function kindOf(reason: string): string {
    return reason.split(":", 1)[0];
}

/** Whether a reason stays until the user does something else than type. */
export function lasts(reason: string): boolean {
    return !["", "nothing confident", "inside a word", "superseded"].includes(kindOf(reason));
}

/** Why nothing is shown, as a sentence; empty where there is no reason. */
export function sentenceOf(status: Status): string {
    if (status.message) {
        return status.message;
    }
    const kind = kindOf(status.reason);
    const sentence = SENTENCES[kind] ?? status.reason;
    const more = status.reason.slice(kind.length + 1).trim();
    return !sentence || /[.!?]$/.test(sentence) ? sentence : `${sentence}${more ? `: ${more}` : ""}`.replace(/[.]?$/, ".");
}

/** A model's name as one shows it: of a folder the last part. */
export function shortName(model: string): string {
    return model.split(/[\\/]/).filter(Boolean).pop() ?? "";
}
