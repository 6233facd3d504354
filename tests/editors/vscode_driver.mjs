// Drives one page of Chromium for the tests. Each line of standard input is a command, {command, ...arguments}, and
// each line of standard output its answer, {result} or {error}. Arguments: the folder of code-server, Chromium, and how
// many pixels there are to one of the page.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const { chromium } = createRequire(join(process.argv[2], "server", "package.json"))("playwright-core");
const browser = await chromium.launch({
    executablePath: process.argv[3],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
           "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({
    viewport: { width: 1100, height: 620 }, deviceScaleFactor: Number(process.argv[4]),
});

const commands = {
    open: ({ url }) => page.goto(url, { waitUntil: "domcontentloaded" }).then(() => null),
    press: ({ keys }) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve()),
    type: ({ text, delay }) => page.keyboard.type(text, { delay }),
    click: ({ selector, timeout }) => page.locator(selector).first().click({ timeout }),
    // The expression's value once it is true.
    wait: async ({ expression, timeout }) =>
        (await page.waitForFunction(expression, undefined, { timeout, polling: 20 })).jsonValue(),
    evaluate: ({ expression }) => page.evaluate(expression),
    resize: ({ width, height }) => page.setViewportSize({ width, height }).then(() => null),
    screenshot: ({ path }) => page.screenshot({ path }).then(() => null),
};

for await (const line of createInterface({ input: process.stdin })) {
    const { command, ...rest } = JSON.parse(line);
    let answer;
    try {
        answer = { result: await commands[command](rest) ?? null };
    } catch (error) {
        answer = { error: error.message };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
