/** Shows the rest of a text of which the server's deadline let go only the beginning.
 *
 * VS Code asks a provider again, at the same place of the same version, only when the question is explicit, and then
 * puts what is shown before the new items. “Next” asks and goes from the one to the other in one step, so that the
 * ghost text grows where it stands.
 */
import * as vscode from "vscode";
import type { Middleware } from "vscode-languageclient/node";

export interface Finished {
    uri: string;
    version: number | null;
    position: { line: number; character: number };
}

export class Finishing {
    private asking?: Finished;

    /** The question that “Next” asks is none for alternatives: only the rest is wanted. */
    readonly middleware: Middleware["provideInlineCompletionItems"] = (document, position, context, token, next) => {
        const ours = this.asking && isAt(this.asking, document, position);
        return next(document, position,
                    ours ? { ...context, triggerKind: vscode.InlineCompletionTriggerKind.Automatic } : context, token);
    };

    /** Does nothing if anything was typed, the cursor moved or the ghost text was dismissed. */
    async show(finished: Finished): Promise<void> {
        const editor = vscode.window.activeTextEditor;
        const wanted = vscode.workspace.getConfiguration("gpt2Assist").get("finishLateText", true);
        if (!wanted || !editor?.selection.isEmpty || !isAt(finished, editor.document, editor.selection.active)) {
            return;
        }
        this.asking = finished;
        try {
            await vscode.commands.executeCommand("editor.action.inlineSuggest.showNext");
        } finally {
            this.asking = undefined;
        }
    }
}

function isAt(place: Finished, document: vscode.TextDocument, position: vscode.Position): boolean {
    return vscode.Uri.parse(place.uri).toString() === document.uri.toString() && place.version === document.version
        && place.position.line === position.line && place.position.character === position.character;
}
