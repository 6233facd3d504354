/** Puts the parts together: finds the server, starts it, and offers to install it where there is none. */
import { join } from "node:path";
import * as vscode from "vscode";
import { install } from "./installation";
import { findServer } from "./location";
import { showMenu, switchModel, toggleAll, toggleFile, toggleLanguage } from "./menu";
import { Server } from "./server";
import { StatusBar } from "./statusBar";

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
    const log = vscode.window.createOutputChannel("gpt2-assist", { log: true });
    const environment = join(context.globalStorageUri.fsPath, "environment");
    const running = server = new Server(log);
    let turn = Promise.resolve();
    const start = () => turn = turn.then(() => startServer(running, environment, installation)); // never two at once
    const installation = () => installServer(running, environment, log, start);
    const commands: Record<string, () => unknown> = {
        menu: () => showMenu(running),
        toggle: toggleAll,
        toggleLanguage,
        toggleFile: () => toggleFile(running),
        switchModel: () => switchModel(running),
        showLog: () => log.show(),
        showSettings: () => vscode.commands.executeCommand("workbench.action.openSettings", `@ext:${context.extension.id}`),
        restart: start,
        install: installation,
    };
    context.subscriptions.push(
        log, new StatusBar(running),
        ...Object.entries(commands).map(([name, act]) => vscode.commands.registerCommand(`gpt2Assist.${name}`, act)),
        vscode.workspace.onDidChangeConfiguration(change => {
            if (change.affectsConfiguration("gpt2Assist.serverPath")) {
                void start();
            }
        }),
        vscode.workspace.onDidGrantWorkspaceTrust(() => {
            if (running.phase === "missing") {
                void start();
            }
        }));
    await start();
}

export function deactivate(): Promise<void> | undefined {
    return server?.dispose();
}

async function startServer(server: Server, environment: string, installation: () => Promise<void>): Promise<void> {
    const { path, wrong } = await findServer(environment);
    if (path) {
        await server.start(path);
        return;
    }
    await server.stop();
    void (wrong ? tellWrong(wrong) : offer(installation));
}

async function tellWrong(path: string): Promise<void> {
    const sentence = `gpt2-assist: the setting gpt2Assist.serverPath is ${path}, and no program is there.`;
    if (await vscode.window.showErrorMessage(sentence, "Open Settings") === "Open Settings") {
        await vscode.commands.executeCommand("workbench.action.openSettings", "gpt2Assist.serverPath");
    }
}

async function offer(installation: () => Promise<void>): Promise<void> {
    const sentence = "gpt2-assist: the Python package gpt2-assist, which does the work, was not found. It can be " +
        "installed into an environment of the extension's own.";
    if (await vscode.window.showInformationMessage(sentence, "Install", "Not Now") === "Install") {
        await installation();
    }
}

async function installServer(server: Server, environment: string, log: vscode.LogOutputChannel,
                             start: () => Promise<void>): Promise<void> {
    if (server.path.startsWith(environment)) {
        await server.stop(); // its program is about to be replaced
    }
    if (await install(environment, log)) {
        await start();
    }
}
