/** The language server's process and the client that speaks to it. */
import * as vscode from "vscode";
import {
    CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State, type LanguageClientOptions,
    type MessageTransports,
} from "vscode-languageclient/node";
import { Finishing, type Finished } from "./finishing";
import { Restarts } from "./restarts";
import type { Status } from "./status";

export const SELECTOR = [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }];

/** `lost` is a server that ended too often to be started again. */
export type Phase = "missing" | "starting" | "running" | "lost";

export interface Model {
    name: string;
    description: string;
    current: boolean;
}

/** Whatever goes wrong is told by the extension in its own words; the client's go to the log. */
class QuietClient extends LanguageClient {
    /** Whether there was a process: if it ended at once, the error handler hears of it. */
    launched = false;

    protected override async createMessageTransports(encoding: string): Promise<MessageTransports> {
        const transports = await super.createMessageTransports(encoding);
        this.launched = true;
        return transports;
    }

    override error(message: string, data?: unknown): void {
        super.error(message, data, false);
    }
}

export class Server implements vscode.Disposable {
    phase: Phase = "missing";
    status?: Status;
    path = "";
    private client?: LanguageClient;
    private readonly restarts = new Restarts();
    private readonly changed = new vscode.EventEmitter<void>();
    /** The phase or the status is another one. */
    readonly onDidChange = this.changed.event;

    private readonly changedSettings = new vscode.EventEmitter<void>();
    /** The server was told of other settings. */
    readonly onDidChangeSettings = this.changedSettings.event;

    constructor(private readonly log: vscode.LogOutputChannel) {}

    /** Starts the program at `path`, after ending the one before. */
    async start(path: string): Promise<void> {
        await this.stop();
        this.path = path;
        this.restarts.forget();
        const client = new QuietClient("gpt2-assist", "gpt2-assist", { command: path }, this.options());
        this.client = client;
        client.onNotification("gpt2/status", (status: Status) => this.tell(this.phase, status));
        const finishing = new Finishing();
        client.middleware.provideInlineCompletionItems = finishing.middleware;
        client.onNotification("gpt2/finished", (finished: Finished) => finishing.show(finished));
        client.onDidChangeState(({ newState }) => {
            if (client === this.client && this.phase !== "lost") {
                this.tell(newState === State.Running ? "running" : "starting", undefined);
            }
        });
        this.log.info(`Starting ${path}`);
        this.tell("starting", undefined);
        try {
            await client.start();
        } catch (error) {
            this.log.error(error as Error);
            if (client === this.client && !client.launched) {
                this.lose(`${path} could not be started.`);
            }
        }
    }

    async stop(): Promise<void> {
        const client = this.client;
        this.client = undefined;
        this.tell("missing", undefined);
        if (client) {
            await client.dispose(2000).catch((error: Error) => this.log.warn(`The server didn't end by itself: ${error.message}`));
        }
    }

    dispose(): Promise<void> {
        vscode.Disposable.from(this.changed, this.changedSettings).dispose();
        return this.stop();
    }

    /** The status as it is for a document. */
    async refresh(document: vscode.TextDocument): Promise<void> {
        const status = await this.command<Status>("gpt2.status", { uri: this.uriOf(document) });
        if (status) {
            this.tell(this.phase, status);
        }
    }

    async toggleFile(document: vscode.TextDocument): Promise<void> {
        await this.command("gpt2.toggle", { scope: "file", uri: this.uriOf(document) });
    }

    async models(): Promise<Model[]> {
        return await this.command<Model[]>("gpt2.models") ?? [];
    }

    /** The status once the model is loaded, or can't be. */
    switchModel(name: string): Promise<Status | undefined> {
        return this.command<Status>("gpt2.model", name);
    }

    /** A command's answer; undefined where no server runs or it can't answer. */
    private async command<Answer>(command: string, ...args: unknown[]): Promise<Answer | undefined> {
        if (!this.client?.isRunning()) {
            return undefined;
        }
        try {
            return await this.client.sendRequest<Answer>("workspace/executeCommand", { command, arguments: args });
        } catch (error) {
            this.log.warn(`${command}: ${(error as Error).message}`);
            return undefined;
        }
    }

    private uriOf(document: vscode.TextDocument): string {
        return this.client!.code2ProtocolConverter.asUri(document.uri);
    }

    private options(): LanguageClientOptions {
        return {
            documentSelector: SELECTOR,
            outputChannel: this.log,
            revealOutputChannelOn: RevealOutputChannelOn.Never,
            initializationOptions: () => ({
                ...vscode.workspace.getConfiguration().get<object>("gpt2Assist"),
                statusNotifications: true, finishedNotifications: true,
            }),
            synchronize: { configurationSection: "gpt2Assist" },
            initializationFailedHandler: () => false,
            middleware: {
                workspace: {
                    didChangeConfiguration: async (sections, next) => {
                        await next(sections);
                        this.changedSettings.fire();
                    },
                },
            },
            errorHandler: {
                error: () => ({ action: ErrorAction.Continue, handled: true }),
                closed: () => {
                    if (this.restarts.allowed(Date.now())) {
                        return { action: CloseAction.Restart, handled: true };
                    }
                    this.lose(`The server ended ${this.restarts.most + 1} times within ${this.restarts.minutes} minutes and ` +
                        "isn't started again.");
                    return { action: CloseAction.DoNotRestart, handled: true };
                },
            },
        };
    }

    private lose(sentence: string): void {
        this.tell("lost", undefined);
        const actions = ["Show Log", "Restart Server"];
        vscode.window.showErrorMessage(`gpt2-assist: ${sentence}`, ...actions).then(choice => {
            if (choice) {
                vscode.commands.executeCommand(choice === actions[0] ? "gpt2Assist.showLog" : "gpt2Assist.restart");
            }
        });
    }

    private tell(phase: Phase, status: Status | undefined): void {
        this.phase = phase;
        this.status = status;
        this.changed.fire();
    }
}
