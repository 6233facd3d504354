/** What a click on the status bar offers, and the commands behind it. */
import * as vscode from "vscode";
import { SELECTOR, type Server } from "./server";
import { kindOf, sentenceOf } from "./status";

type Entry = vscode.QuickPickItem & { command?: string };

const settings = () => vscode.workspace.getConfiguration("gpt2Assist");

/** The document that commands are about. */
function activeDocument(): vscode.TextDocument | undefined {
    const document = vscode.window.activeTextEditor?.document;
    return document && vscode.languages.match(SELECTOR, document) ? document : undefined;
}

export async function showMenu(server: Server): Promise<void> {
    const document = activeDocument();
    if (document) {
        await server.refresh(document);
    }
    const choice = await vscode.window.showQuickPick(entries(server, document), {
        title: "gpt2-assist", placeHolder: (server.status && sentenceOf(server.status)) || undefined,
    });
    if (choice?.command) {
        await vscode.commands.executeCommand(choice.command);
    }
}

function entries(server: Server, document: vscode.TextDocument | undefined): Entry[] {
    const list: Entry[] = [];
    if (server.phase === "running") {
        const on = settings().get("enabled", true);
        list.push({ label: on ? "$(circle-slash) Turn off" : "$(play) Turn on", command: "gpt2Assist.toggle" });
        if (on && document) {
            const language = settings().get<string[]>("disabledLanguages", []).includes(document.languageId);
            const file = kindOf(server.status?.reason ?? "") === "off in this file";
            const turn = (off: boolean) => off ? "$(play) Turn on" : "$(circle-slash) Turn off";
            list.push(
                { label: `${turn(language)} in ${document.languageId}`, command: "gpt2Assist.toggleLanguage" },
                { label: `${turn(file)} in this file`, command: "gpt2Assist.toggleFile" });
        }
        list.push({ label: "$(server) Switch model…", description: server.status?.model,
                    command: "gpt2Assist.switchModel" });
    } else if (server.phase === "missing") {
        list.push({ label: "$(cloud-download) Install server…", command: "gpt2Assist.install" });
    }
    list.push({ label: "", kind: vscode.QuickPickItemKind.Separator },
              { label: "$(output) Show log", command: "gpt2Assist.showLog" },
              { label: "$(debug-restart) Restart server", command: "gpt2Assist.restart" },
              { label: "$(gear) Settings", command: "gpt2Assist.showSettings" });
    return list;
}

export async function toggleAll(): Promise<void> {
    await write("enabled", !settings().get("enabled", true));
}

export async function toggleLanguage(): Promise<void> {
    const language = activeDocument()?.languageId;
    if (!language) {
        return noFile();
    }
    const off = settings().get<string[]>("disabledLanguages", []);
    await write("disabledLanguages",
                off.includes(language) ? off.filter(other => other !== language) : [...off, language].sort());
}

export async function toggleFile(server: Server): Promise<void> {
    const document = activeDocument();
    if (!document) {
        return noFile();
    }
    await server.toggleFile(document);
    await server.refresh(document);
}

/** Writes the chosen model into the settings and waits until it is loaded. */
export async function switchModel(server: Server): Promise<void> {
    const models = await server.models();
    if (!models.length) {
        void vscode.window.showInformationMessage(
            server.phase === "running" ? "gpt2-assist: there are no models yet. `gpt2-assist pull gpt2` gets one."
                : "gpt2-assist: the server isn't running.");
        return;
    }
    const items = models.map(({ name, description, current }) =>
        ({ label: name, description: current ? "current" : "", detail: description }));
    const choice = await vscode.window.showQuickPick(items, { title: "gpt2-assist: the model", matchOnDetail: true });
    if (!choice) {
        return;
    }
    await write("model", choice.label);
    const status = await vscode.window.withProgress(
        { location: vscode.ProgressLocation.Window, title: `Loading ${choice.label}` },
        () => server.switchModel(choice.label));
    if (status?.state === "error") {
        void vscode.window.showErrorMessage(`gpt2-assist: ${status.message}`);
    }
}

/** Writes a setting where it is set already: in the workspace, or for the user. */
async function write(name: string, value: unknown): Promise<void> {
    const places = settings().inspect(name);
    await settings().update(name, value, places?.workspaceFolderValue !== undefined
        ? vscode.ConfigurationTarget.WorkspaceFolder : places?.workspaceValue !== undefined
            ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global);
}

function noFile(): void {
    void vscode.window.showInformationMessage("gpt2-assist: no file is open in which something could be completed.");
}
