/** The item in the status bar: model, latency, and why nothing is shown. */
import * as vscode from "vscode";
import { SELECTOR, type Server } from "./server";
import { kindOf, lasts, sentenceOf, shortName, type Status } from "./status";

/** A reason that the next key may take away is shown after so long: the bar must not twitch while one types. */
const PAUSE_MS = 700;

export class StatusBar implements vscode.Disposable {
    private readonly item = vscode.window.createStatusBarItem("gpt2Assist.status", vscode.StatusBarAlignment.Right, 100);
    private readonly listeners: vscode.Disposable[];
    private pause?: NodeJS.Timeout;

    constructor(private readonly server: Server) {
        this.item.name = "gpt2-assist";
        this.item.command = "gpt2Assist.menu";
        this.listeners = [
            server.onDidChange(() => this.show()),
            server.onDidChangeSettings(() => this.look(vscode.window.activeTextEditor)),
            vscode.window.onDidChangeActiveTextEditor(editor => this.look(editor)),
        ];
        this.show();
        this.item.show();
    }

    dispose(): void {
        clearTimeout(this.pause);
        vscode.Disposable.from(this.item, ...this.listeners).dispose();
    }

    private look(editor: vscode.TextEditor | undefined): void {
        if (editor && vscode.languages.match(SELECTOR, editor.document)) {
            void this.server.refresh(editor.document);
        }
    }

    private show(): void {
        clearTimeout(this.pause);
        const { phase, status } = this.server;
        this.item.backgroundColor = phase === "lost" || status?.state === "error"
            ? new vscode.ThemeColor("statusBarItem.errorBackground") : undefined;
        if (phase === "running" && status) {
            this.showStatus(status);
            return;
        }
        const [icon, words] = {
            missing: ["warning", "The server isn't running."], starting: ["loading~spin", "The server is starting."],
            running: ["sparkle", ""], lost: ["error", "The server ended too often and isn't started again."],
        }[phase];
        this.write(icon, "gpt2-assist", "", words);
    }

    private showStatus(status: Status): void {
        const model = shortName(status.model) || "gpt2-assist";
        const sentence = sentenceOf(status);
        const latency = status.latencyMs === null ? "" : status.latencyMs < 1 ? "< 1 ms" : `${Math.round(status.latencyMs)} ms`;
        if (status.state === "error") {
            this.write("error", model, "failed", sentence);
        } else if (status.state === "loading") {
            this.write("loading~spin", model, "loading", sentence);
        } else if (lasts(status.reason)) {
            this.write("circle-slash", model, kindOf(status.reason), sentence);
        } else {
            this.write("sparkle", model, latency, sentence);
            if (status.reason) {
                this.pause = setTimeout(() => this.write("sparkle", model, kindOf(status.reason), sentence), PAUSE_MS);
            }
        }
    }

    private write(icon: string, name: string, note: string, sentence: string): void {
        this.item.text = `$(${icon}) ${name}${note ? ` · ${note}` : ""}`;
        const latency = this.server.status?.latencyMs;
        this.item.tooltip = [
            name === "gpt2-assist" ? name : `gpt2-assist with the model ${name}`,
            ...(sentence ? [sentence] : []),
            ...(latency ? [`The last text took ${latency} ms.`] : []),
        ].join("\n");
        this.item.accessibilityInformation = { label: `gpt2-assist, ${name}, ${sentence || note}` };
    }
}
