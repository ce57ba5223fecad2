// A user at the page, in Chromium: one context each, which shares nothing with the others.
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const PATIENCE = 30000;
const lab = process.env.PROCSERV_LAB.split(" ");
let failures = 0;

/** Where screenshots go. */
export const pictures = process.env.PROCSERV_PICTURES;

/** Runs a command on the machine of the page, as root. */
export function run(...words) {
    return execFileSync(lab[0], [...lab.slice(1), ...words], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

/** A check, told as the scripts tell theirs. After a failure there is a picture of what each user sees. */
export async function check(description, test) {
    const begun = Date.now();
    try {
        await test();
        console.log(`ok    ${description} (${Date.now() - begun} ms)`);
    } catch (error) {
        failures++;
        console.log(`FAIL  ${description}: ${String(error.message).slice(0, 800)}`);
        mkdirSync(`${pictures}/failed`, { recursive: true });
        const name = description.replace(/\W+/g, "-");
        for (const [number, user] of User.all.entries())
            await user.page.screenshot({ path: `${pictures}/failed/${name}-${number}.png` }).catch(() => {});
    }
}

export function expect(is, what) {
    if (!is)
        throw new Error(what);
}

/** Ends the browser and this program. */
export async function finish(browser) {
    await browser.close();
    process.exit(failures > 0 ? 1 : 0);
}

/** Starts the browser. Nothing of it goes to the network. */
export function launch() {
    return chromium.launch({
        executablePath: "/usr/bin/chromium",
        headless: true,
        args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
            "--disable-component-update", "--host-resolver-rules=MAP ioc.example.org 127.0.0.1", "--disable-sync", "--no-first-run", "--js-flags=--expose-gc"],
    });
}

/** Waits until `ask` returns something that is true, and returns that. */
export async function until(what, ask, patience = PATIENCE) {
    const deadline = Date.now() + patience;
    for (;;) {
        const answer = await ask();
        if (answer)
            return answer;
        if (Date.now() > deadline)
            throw new Error(`in vain waited for ${what}`);
        await new Promise(resolve => setTimeout(resolve, 50));
    }
}

export class User {
    static all = [];
    /** What went wrong in the page by itself: exceptions, and what its security policy has refused. */
    complaints = [];

    /** Logs in and opens the page. */
    static async login(browser, base, name) {
        const user = new User();
        user.context = await browser.newContext({ viewport: { width: 1400, height: 900 }, ignoreHTTPSErrors: true });
        await user.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(base).origin });
        user.page = await user.context.newPage();
        User.all.push(user);
        user.page.setDefaultTimeout(PATIENCE);
        user.page.on("pageerror", error => user.complaints.push(error.message));
        user.page.on("console", message => {
            if (/Content Security Policy/.test(message.text()))
                user.complaints.push(message.text());
        });
        await user.context.addInitScript(() => {
            window.tasks = [];
            // Tasks of Cockpit's own frames are told, too.
            new PerformanceObserver(list => window.tasks.push(...list.getEntries().filter(entry => entry.name === "self").map(entry => entry.duration)))
                .observe({ type: "longtask" });
        });
        await user.page.goto(`${base}/procserv`);
        await user.page.fill("#login-user-input", name);
        await user.page.fill("#login-password-input", `secret of ${name}`);
        await user.page.click("#login-button");
        await user.enter();
        return user;
    }

    /** Waits for the page inside of Cockpit's own. */
    async enter() {
        const frame = await this.page.waitForSelector("iframe[name='cockpit1:localhost/procserv']");
        this.frame = await frame.contentFrame();
        await this.frame.waitForSelector("body[data-ready='1']");
    }

    /** Shows a part of the page. */
    go(path, options = {}) {
        return this.frame.evaluate(([path, options]) => window.cockpit.location.go(path, options), [path, options]);
    }

    row(name) {
        return this.frame.locator(`tr[data-name="${name}"]`);
    }

    pane(name) {
        return this.frame.locator(`.pane[data-key="system/${name}"]`);
    }

    link(name) {
        return this.pane(name).getAttribute("data-link");
    }

    /** Opens consoles, and waits until they are connected. */
    async open(...names) {
        await this.go(["consoles"], { open: names.map(name => `system/${name}`).join("|") });
        for (const name of names)
            await this.frame.waitForSelector(`.pane[data-key="system/${name}"][data-link="open"]`);
    }

    /** The text of a console. */
    text(name) {
        return this.frame.evaluate(key => window.procservConsoleText(key), `system/${name}`);
    }

    shows(name, pattern, patience) {
        return until(`${pattern} in the console of ${name}`, async () => pattern.test(await this.text(name)), patience);
    }

    /** Presses the button that takes control of a console, or leaves it. */
    async control(name) {
        await this.pane(name).locator("[data-action=control]").click();
        await this.frame.waitForSelector(`.pane[data-key="system/${name}"][data-link="open"][data-control="true"]`);
    }

    /** Types a line into a console. */
    async type(name, line) {
        await this.pane(name).locator(".xterm-helper-textarea").focus();
        await this.page.keyboard.type(line);
        await this.page.keyboard.press("Enter");
    }

    /** The longest task of the page since it was asked last, in milliseconds. */
    longest() {
        return this.frame.evaluate(() => Math.max(0, ...window.tasks.splice(0)));
    }

    /** What the page's scripts keep in memory, in bytes. */
    heap() {
        return this.frame.evaluate(() => {
            window.gc();
            return performance.memory.usedJSHeapSize;
        });
    }
}
