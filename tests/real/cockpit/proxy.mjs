// The page behind a reverse proxy.
import { check, finish, launch, User } from "./browser.mjs";

const browser = await launch();
await check("behind a reverse proxy: log in, type, get the answer", async () => {
    const oper = await User.login(browser, "https://ioc.example.org/iocs", "oper");
    await oper.open("shell1");
    await oper.control("shell1");
    await oper.type("shell1", "echo proxied$((40+2))");
    await oper.shows("shell1", /^proxied42$/m);
});
await finish(browser);
