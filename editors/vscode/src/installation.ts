/** Installs the Python package into an environment of the extension's own. */
import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import * as vscode from "vscode";
import { inEnvironment } from "./location";
import { findPython, LEAST_VERSION, type Pythons } from "./python";

/** Something that a user can meet, as a sentence. */
class InstallationError extends Error {}

/** Whether the package is installed afterwards. The user sees progress, may stop it, and is told what went wrong. */
export async function install(environment: string, log: vscode.LogOutputChannel): Promise<boolean> {
    const options = { location: vscode.ProgressLocation.Notification, title: "gpt2-assist", cancellable: true };
    try {
        await vscode.window.withProgress(options, (progress, stopped) =>
            steps(environment, log, words => progress.report({ message: words }), stopped));
        return true;
    } catch (error) {
        if (error instanceof vscode.CancellationError) {
            return false;
        }
        if (!(error instanceof InstallationError)) {
            log.error(error as Error);
        }
        const sentence = error instanceof InstallationError ? error.message : `The installation failed: ${error}`;
        if (await vscode.window.showErrorMessage(`gpt2-assist: ${sentence}`, "Show Log") === "Show Log") {
            log.show();
        }
        return false;
    }
}

async function steps(environment: string, log: vscode.LogOutputChannel, say: (words: string) => void,
                     stopped: vscode.CancellationToken): Promise<void> {
    const source = vscode.workspace.getConfiguration("gpt2Assist").get("installSource", "").trim();
    if (!source) { // a bare name would be looked up in an index in which anybody may have taken it
        throw new InstallationError("Say what to install: set gpt2Assist.installSource to the folder of your clone of " +
            "gpt2-assist, then run the command “Install or Update Server”.");
    }
    say("Looking for Python…");
    const pythons = await findPython();
    if (!pythons.usable) {
        throw new InstallationError(whyNone(pythons));
    }
    const [program, ...first] = pythons.usable;
    say("Making an environment…");
    try {
        await run(program, [...first, "-m", "venv", "--clear", environment], log, stopped, "The environment couldn't be made");
        say(`Installing ${source}. With PyTorch this is a large download…`);
        const pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--", source];
        await run(inEnvironment(environment, "python"), pip, log, stopped, `pip couldn't install ${source}`);
    } catch (error) {
        await rm(environment, { recursive: true, force: true }); // half an environment would be taken for a whole one
        throw error;
    }
}

function whyNone(pythons: Pythons): string {
    const least = LEAST_VERSION.join(".");
    if (pythons.withoutVenv) {
        return `Python ${pythons.withoutVenv} is here, but not its module venv. On Debian and Ubuntu the package ` +
            "python3-venv brings it; then run the command “Install or Update Server”.";
    }
    const instead = pythons.tooOld ? `only ${pythons.tooOld} was found` : "none was found";
    return `Python ${least} or later is needed, and ${instead}. Install it, then run the command “Install or Update Server”.`;
}

/** Runs a program to its end. Its output goes to the log, its last line into the error if it fails. */
function run(program: string, args: string[], log: vscode.LogOutputChannel, stopped: vscode.CancellationToken,
             failure: string): Promise<void> {
    return new Promise((resolve, reject) => {
        log.info(`${program} ${args.join(" ")}`);
        const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
        const stopping = stopped.onCancellationRequested(() => child.kill());
        let rest = "", last = "";
        const hear = (data: Buffer) => {
            const lines = (rest + data.toString()).split(/\r?\n/);
            rest = lines.pop() ?? "";
            for (const line of lines.filter(line => line.trim())) {
                log.info(line);
                last = line.trim();
            }
        };
        child.stdout.on("data", hear);
        child.stderr.on("data", hear);
        child.on("error", error => reject(new InstallationError(`${failure}: ${error.message}`)));
        child.on("close", code => {
            stopping.dispose();
            if (stopped.isCancellationRequested) {
                reject(new vscode.CancellationError());
            } else if (code === 0) {
                resolve();
            } else {
                last = rest.trim() || last;
                reject(new InstallationError(`${failure}${last ? `: ${last.replace(/[.]?$/, ".")}` : "."}`));
            }
        });
    });
}
