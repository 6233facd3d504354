/** Where the server is: a setting, the PATH, an environment of the workspace, or the extension's own. */
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import * as vscode from "vscode";
import { selectedInterpreterFolder } from "./python";

const WINDOWS = process.platform === "win32";
const PROGRAM = WINDOWS ? "gpt2-lsp.exe" : "gpt2-lsp";
const SCRIPTS = WINDOWS ? "Scripts" : "bin";

export interface Location {
    /** The program; undefined where there is none. */
    path?: string;
    /** The setting's path, where it names no program. */
    wrong?: string;
}

/** The program called `name` in an environment. */
export function inEnvironment(folder: string, name: string): string {
    return join(folder, SCRIPTS, WINDOWS ? `${name}.exe` : name);
}

/** Looks in this order; `ownEnvironment` comes last. The setting isn't overruled by others where it is wrong. */
export async function findServer(ownEnvironment: string): Promise<Location> {
    const wanted = vscode.workspace.getConfiguration("gpt2Assist").get("serverPath", "").trim();
    if (wanted) {
        const path = expanded(wanted);
        return await runs(path) ? { path } : { wrong: path };
    }
    const candidates = (process.env.PATH ?? "").split(delimiter).filter(Boolean).map(folder => join(folder, PROGRAM));
    if (vscode.workspace.isTrusted) {
        for (const folder of vscode.workspace.workspaceFolders ?? []) {
            candidates.push(...[".venv", "venv"].map(name => inEnvironment(join(folder.uri.fsPath, name), "gpt2-lsp")));
        }
        const selected = await selectedInterpreterFolder();
        if (selected) {
            candidates.push(join(selected, PROGRAM));
        }
    }
    candidates.push(inEnvironment(ownEnvironment, "gpt2-lsp"));
    for (const path of candidates) {
        if (await runs(path)) {
            return { path };
        }
    }
    return {};
}

function expanded(path: string): string {
    const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? "";
    return path.replace(/^~(?=[\\/]|$)/, () => homedir()).replace(/^\$\{workspaceFolder\}/, () => folder);
}

async function runs(path: string): Promise<boolean> {
    try {
        await access(path, constants.X_OK);
        return true;
    } catch {
        return false;
    }
}
