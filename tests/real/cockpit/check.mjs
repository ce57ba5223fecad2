// The page as its users see it. PROCSERV_LAB is the command that runs others on the machine of the page, and
// PROCSERV_PICTURES the directory for screenshots.
import { mkdirSync } from "node:fs";
import { check, expect, finish, launch, pictures, run, until, User } from "./browser.mjs";

const base = "http://127.0.0.1:9090";
const procs = (...words) => run("manage-procs", ...words);
const status = name => JSON.parse(procs("status", "--json", name))[0];

/** Does something without a task of 200 ms. Others use the machine, too: a page that freezes does so each time. */
async function quickly(work) {
    const longest = [];
    for (let attempt = 0; attempt < 3; attempt++) {
        await oper.longest();
        await work(attempt);
        longest.push(await oper.longest());
        if (longest[attempt] < 200)
            break;
    }
    console.log(`      longest task ${longest.join(", ")} ms`);
    expect(Math.min(...longest) < 200, `tasks of ${longest.join(", ")} ms`);
}

const browser = await launch();
let oper, guest;

await check("an operator logs in and sees the table", async () => {
    oper = await User.login(browser, base, "oper");
    await oper.row("vac-50").waitFor();
    expect(await oper.frame.locator("tr[data-name]").count() >= 206, "some are missing");
});
await check("what is wrong stands first", async () => {
    await oper.frame.locator("#grouped").uncheck();
    const names = () => oper.frame.locator("tr[data-name]").evaluateAll(rows => rows.slice(0, 3).map(row => row.dataset.name).sort());
    const wrong = JSON.stringify(["<img src=x onerror=window.hacked=1>", "bad", "fails"]);
    await until("them", async () => JSON.stringify(await names()) === wrong);
});
await check("the filter", async () => {
    await oper.frame.fill("#filter", "shell1");
    await until("one row", async () => await oper.frame.locator("tr[data-name]").count() === 1);
    await oper.frame.fill("#filter", "");
    await oper.row("vac-50").waitFor();
});
await check("a table of 200 does not freeze the page", async () => {
    await quickly(async () => {
        await oper.frame.fill("#filter", "fails");
        await oper.row("vac-50").waitFor({ state: "detached" });
        await oper.frame.fill("#filter", "");
        await oper.row("vac-50").waitFor();
    });
});
await check("a console is opened, read-only", async () => {
    await oper.row("shell1").locator(".open").click();
    await oper.frame.waitForSelector('.pane[data-key="system/shell1"][data-link="open"]');
    await oper.shows("shell1", /Welcome to procServ/);
    await oper.type("shell1", "echo watch$((1+1))");
});
await check("who takes control types and gets the answer", async () => {
    await oper.control("shell1");
    await oper.type("shell1", "echo hi $((40+2)) grüß");
    await oper.shows("shell1", /^hi 42 grüß$/m);
    expect(!/watch2/.test(await oper.text("shell1")), "who only watched has typed");
    // A style that is refused leaves black on black.
    const colour = await oper.frame.evaluate(() => getComputedStyle(document.querySelector(".xterm-rows")).color);
    expect(colour === "rgb(240, 240, 240)", colour);
});
await check("the server knows the user by name", async () => {
    const uid = Number(run("id", "-u", "oper"));
    const roles = () => status("shell1").status.clients.filter(client => client.uid === uid).map(client => client.role).join();
    // Who has taken control does not go on watching.
    await until("one client, who types", () => roles() === "user").catch(error => { throw new Error(`${error.message}: ${roles()}`); });
    await oper.pane("shell1").locator(".attached", { hasText: "oper" }).waitFor();
});
await check("a second browser sees what happens", async () => {
    guest = await User.login(browser, base, "guest");
    await guest.open("shell1");
    await oper.type("shell1", "echo both$((1+1))");
    await guest.shows("shell1", /^both2$/m);
});
await check("a viewer can't type, and is told why", async () => {
    await guest.type("shell1", "echo guest$((1+1))");
    await guest.pane("shell1").locator("[data-action=control]").click({ force: true });
    await guest.pane("shell1").locator(".status", { hasText: "no permission" }).waitFor();
    await guest.pane("shell1").locator(".status", { hasText: "operators" }).waitFor();
    await guest.type("shell1", "echo guest$((1+1))");
    await oper.type("shell1", "echo after$((1+1))");
    await guest.shows("shell1", /^after2$/m);
    expect(!/guest2/.test(await oper.text("shell1")), "a viewer has typed");
});
await check("^X and the restart are seen by both", async () => {
    await oper.pane("shell1").locator(".xterm-helper-textarea").focus();
    await oper.page.keyboard.press("Control+x");
    for (const user of [oper, guest])
        await user.shows("shell1", /Restarting child "shell1"/);
    await guest.go([]);
    await guest.row("shell1").locator("td", { hasText: /^\^X by oper/ }).waitFor();
});
await check("an upgrade of the server is not noticed", async () => {
    await oper.type("shell1", "KEPT=kept");
    await oper.pane("shell1").evaluate(pane => {
        window.links = [];
        new MutationObserver(() => window.links.push(pane.dataset.link)).observe(pane, { attributeFilter: ["data-link"] });
    });
    procs("upgrade", "shell1");
    await oper.type("shell1", "echo $KEPT$((5+5))");
    await oper.shows("shell1", /^kept10$/m);
    const links = (await oper.frame.evaluate(() => window.links)).filter(link => link !== "open");
    expect(links.length === 0, links.join(" "));
});
await check("a server that is killed is connected to again", async () => {
    run("kill", "-KILL", String(status("shell1").server_pid));
    await until("the end", () => oper.frame.evaluate(() => window.links.some(link => link !== "open")));
    await oper.frame.waitForSelector('.pane[data-key="system/shell1"][data-link="open"][data-control="true"]');
    await oper.type("shell1", "echo back$((3+4))");
    await oper.shows("shell1", /^back7$/m);
});
await check("10 MB of output do not freeze the page, nor fill its memory", async () => {
    await oper.open("flood");
    await oper.control("flood");
    const before = await oper.heap();
    await quickly(async attempt => {
        await oper.type("flood", `yes $(seq -s, 20) | head -c 10000000; echo; echo do''ne${attempt}`);
        await oper.shows("flood", new RegExp(`^done${attempt}$`, "m"), 60000);
    });
    const grown = await oper.heap() - before;
    console.log(`      memory ${grown >> 20} MiB more`);
    expect(grown < 64 << 20, `${grown} bytes more`);
});
await check("a console that is closed is left", async () => {
    await oper.open("hostile");
    await until("nobody in flood", () => status("flood").status.clients.length === 0);
});
await check("hostile names and output: nothing executes, nothing freezes", async () => {
    await oper.page.evaluate(() => navigator.clipboard.writeText("mine"));
    const title = await oper.page.title();
    await oper.open("hostile");
    const rounds = async () => Number(/END OF HOSTILE (\d+)\n*$/.exec(await oper.text("hostile"))?.[1] ?? 0);
    const later = async count => {
        const begun = await until("its output", rounds);
        await until("more of it", async () => await rounds() >= begun + count);
    };
    await later(1);
    await oper.control("hostile");
    await quickly(() => later(6));
    expect(!/\^\[\[\d+;\d+R|\^\[\[\?/.test(await oper.text("hostile")), "the terminal has typed an answer");
    for (const [part, complete] of [[["instance", "system", "hostile"], "procserv-hostile.service"], [["doctor"], "onerror"], [["events"], "hostile"], [[], "vac-50"]]) {
        await oper.go(part);
        await oper.frame.locator("section:visible", { hasText: complete }).first().waitFor();
    }
    for (const user of [oper, guest]) {
        expect(await user.frame.evaluate(() => window.hacked) === undefined, "it has executed");
        expect(await user.frame.locator("img").count() === 0, "an element of others");
    }
    expect(await oper.page.title() !== "HACKED" && await oper.frame.title() !== "HACKED", `the title: ${title}`);
    expect(await oper.page.evaluate(() => navigator.clipboard.readText()) === "mine", "the clipboard");
});
await check("who has no rights is told so", async () => {
    await guest.go(["consoles"], { open: "system/closed" });
    await guest.frame.waitForSelector('.pane[data-key="system/closed"][data-link="refused"]');
    await guest.pane("closed").locator(".status", { hasText: "no permission to watch" }).waitFor();
    await guest.go(["instance", "system", "shell1"]);
    await guest.frame.locator("[data-verb=restart]").click();
    await guest.frame.locator("[data-action=confirm]").click();
    await guest.frame.locator(".alert.bad", { hasText: "You may not do this. Ask the administrator" }).waitFor();
});
await check("a restart by a button, after a question", async () => {
    const before = status("shell1").child_pid;
    await oper.go(["instance", "system", "shell1"]);
    await oper.frame.locator("[data-verb=restart]").click();
    await oper.frame.locator("[data-action=cancel]").click();
    expect(status("shell1").child_pid === before, "it was restarted in spite of a no");
    await oper.frame.locator("[data-verb=restart]").click();
    await oper.frame.locator("[data-action=confirm]").click();
    await oper.frame.locator("[role=status]", { hasText: "Restart done" }).waitFor();
    expect(status("shell1").child_pid !== before, "it was not restarted");
});
await check("why, events and names", async () => {
    await oper.frame.locator("dd", { hasText: "procserv-shell1.service" }).waitFor();
    await oper.frame.locator("main", { hasText: /killed by oper/ }).waitFor();
});
await check("an instance that is removed while its console is open", async () => {
    await oper.open("gone", "shell1");
    procs("remove", "-f", "gone");
    await oper.frame.waitForSelector('.pane[data-key="system/gone"][data-link="gone"]');
    expect(await oper.link("shell1") === "open", "the other console");
    await oper.go([]);
    await oper.row("gone").waitFor({ state: "detached" });
});
await check("doctor and events", async () => {
    await oper.go(["doctor"]);
    await oper.frame.locator("main", { hasText: "/opt/nowhere" }).waitFor();
    await oper.go(["events"]);
    await oper.frame.locator("main", { hasText: "shell1" }).waitFor();
});
await check("a keyboard alone", async () => {
    await oper.go([]);
    await oper.frame.locator("#filter").focus();
    await oper.page.keyboard.type("shell1");
    await until("one row", async () => await oper.frame.locator("tr[data-name]").count() === 1);
    for (let presses = 0; presses < 40; presses++) {
        await oper.page.keyboard.press("Tab");
        if (await oper.frame.evaluate(() => document.activeElement?.closest("tr[data-name]") !== null && document.activeElement.matches(".open")))
            break;
    }
    await oper.page.keyboard.press("Enter");
    await oper.frame.waitForSelector('.pane[data-key="system/shell1"][data-link="open"]');
});
await check("every part in a small and a large window, light and dark", async () => {
    await oper.frame.evaluate(() => {
        const filter = document.getElementById("filter");
        filter.value = "";
        filter.dispatchEvent(new Event("input"));
    });
    run("rm", "/etc/procServ.d/name.conf", "/etc/procServ.d/bad.conf");
    await oper.go([]);
    await oper.row("bad").waitFor({ state: "detached" });
    await oper.frame.locator("#grouped").check();
    mkdirSync(pictures, { recursive: true });
    // What is there when the part is complete.
    const parts = {
        table: [[], {}, "vac-50"],
        instance: [["instance", "system", "shell1"], {}, "server exited with status 0"],
        events: [["events"], {}, "server exited with status 0"],
        doctor: [["doctor"], {}, "1 problem"],
        consoles: [["consoles"], { open: "system/shell1|system/rf-01" }, "You are watching."],
    };
    for (const [name, [path, options, complete]] of Object.entries(parts)) {
        await oper.go(path, options);
        await oper.frame.locator("section:visible", { hasText: complete }).first().waitFor();
        if (name === "consoles") {
            await oper.frame.waitForSelector('.pane[data-key="system/rf-01"][data-link="open"]');
            await oper.control("shell1");
            await oper.type("shell1", "uptime");
        }
        for (const width of [400, 1400]) {
            await oper.page.setViewportSize({ width, height: 900 });
            for (const style of ["light", "dark"]) {
                // As the shell's own menu does.
                await oper.page.evaluate(style => {
                    localStorage.setItem("shell:style", style);
                    document.documentElement.classList.toggle("pf-v5-theme-dark", style === "dark");
                    document.documentElement.classList.toggle("pf-theme-dark", style === "dark");
                }, style);
                await oper.frame.evaluate(style => window.dispatchEvent(new CustomEvent("cockpit-style", { detail: { style } })), style);
                await until("the look", () => oper.frame.evaluate(style => document.documentElement.classList.contains("dark") === (style === "dark"), style));
                // The terminal takes a moment to become as wide as its window.
                await oper.frame.waitForTimeout(500);
                await oper.page.screenshot({ path: `${pictures}/${name}-${style}-${width}.png` });
                const [wide, inner] = await oper.frame.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
                expect(wide <= inner, `${name} is ${wide} wide in a window of ${inner}`);
            }
        }
    }
});
await check("nothing was refused or thrown in the page", async () => {
    const complaints = [...oper.complaints, ...guest.complaints];
    expect(complaints.length === 0, complaints.join("; "));
});
const processes = run("ps", "-e", "-o", "user:8,rss,time,args").split("\n").filter(line => /watch --json|cockpit-bridge/.test(line));
console.log(processes.map(line => `      ${line}`).join("\n"));
await finish(browser);
