// Bundles the extension, and the licences of what goes into the bundle.
import { build } from "esbuild";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const { metafile } = await build({
    entryPoints: ["src/extension.ts"], outfile: "dist/extension.js", bundle: true, minify: true, metafile: true,
    platform: "node", target: "node20", format: "cjs", external: ["vscode"], logLevel: "warning",
});
const folders = Object.keys(metafile.inputs).map(file => file.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]);
const licences = [...new Set(folders)].filter(Boolean).sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry));
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
});
writeFileSync("dist/third-party-licences.txt", licences.join(`\n${"-".repeat(80)}\n\n`));
