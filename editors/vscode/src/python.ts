/** Python interpreters: the one selected for the workspace, and those that can make an environment. */
import { execFile } from "node:child_process";
import { dirname } from "node:path";
import * as vscode from "vscode";

export const LEAST_VERSION = [3, 11];
const NAMES = ["python3.14", "python3.13", "python3.12", "python3.11", "python3", "python"];
const QUESTION = [
    "-c",
    "import sys; print(*sys.version_info[:2])\ntry: import ensurepip, venv; print('venv')\nexcept ImportError: pass",
];

/** What was found of Python on this machine. */
export interface Pythons {
    /** A command that is new enough and can make environments. */
    usable?: string[];
    /** The newest version seen that is too old, such as "3.9". */
    tooOld?: string;
    /** A version that is new enough but lacks venv, as on Debian without python3-venv. */
    withoutVenv?: string;
}

/** The folder of the interpreter that the Python extension has selected; undefined without that extension. */
export async function selectedInterpreterFolder(): Promise<string | undefined> {
    const extension = vscode.extensions.getExtension("ms-python.python");
    if (!extension) {
        return undefined;
    }
    try {
        const api = extension.isActive ? extension.exports : await extension.activate();
        const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
        const environment = await api.environments.resolveEnvironment(api.environments.getActiveEnvironmentPath(folder));
        const program = environment?.executable?.uri?.fsPath;
        return program && dirname(program);
    } catch {
        return undefined; // another version of that extension, or none of its environments works
    }
}

/** Looks for a Python of at least LEAST_VERSION. */
export async function findPython(): Promise<Pythons> {
    const commands = NAMES.map(name => [name]);
    if (process.platform === "win32") {
        commands.unshift(["py", "-3"]);
    }
    const found: Pythons = {};
    for (const command of commands) {
        const answer = await output(command, QUESTION);
        const version = answer?.match(/^(\d+) (\d+)/)?.slice(1).map(Number);
        if (!answer || !version) {
            continue;
        }
        const words = version.join(".");
        if (older(version, LEAST_VERSION)) {
            if (!found.tooOld || older(found.tooOld.split(".").map(Number), version)) {
                found.tooOld = words;
            }
        } else if (answer.includes("venv")) {
            return { usable: command };
        } else {
            found.withoutVenv ??= words;
        }
    }
    return found;
}

function older(version: number[], other: number[]): boolean {
    return version[0] !== other[0] ? version[0] < other[0] : version[1] < other[1];
}

/** A program's standard output; undefined if it isn't there, fails or takes too long. */
function output([program, ...first]: string[], rest: string[]): Promise<string | undefined> {
    return new Promise(resolve => {
        execFile(program, [...first, ...rest], { timeout: 10_000 }, (error, stdout) => resolve(error ? undefined : stdout));
    });
}
