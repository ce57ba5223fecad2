// Makes dist/, which is installed as /usr/share/cockpit/procserv. With --tests it makes dist-tests/ for `node --test`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { extractMessages, parsePo, toScript, toTemplate } from "./po/po.mjs";

const bundle = { bundle: true, target: "es2020", logLevel: "warning", charset: "utf8" };

async function names(folder, end) {
    return (await readdir(folder)).filter(name => name.endsWith(end)).sort();
}

async function buildTests() {
    await rm("dist-tests", { recursive: true, force: true });
    const entryPoints = (await names("tests", ".test.ts")).map(name => `tests/${name}`);
    await build({ ...bundle, entryPoints, outdir: "dist-tests", platform: "node", format: "esm", outExtension: { ".js": ".mjs" } });
}

// The licence of each package whose code is in the bundle goes with the bundle.
async function writeLicences(metafile) {
    const packages = new Set();
    for (const input of Object.keys(metafile.inputs)) {
        const found = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
        if (found)
            packages.add(found[1]);
    }
    const parts = [];
    for (const name of [...packages].sort()) {
        const { version, license } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
        parts.push(`${name} ${version} (${license})\n\n${(await readFile(`node_modules/${name}/LICENSE`, "utf8")).trim()}\n`);
    }
    await writeFile("dist/LICENSES.txt", parts.join("\n----\n\n"));
}

async function buildPage() {
    await rm("dist", { recursive: true, force: true });
    await mkdir("dist");
    const result = await build({
        ...bundle,
        entryPoints: { procserv: "src/main.ts" },
        outdir: "dist",
        format: "iife",
        minify: true,
        external: ["../../static/*"],
        metafile: true,
        legalComments: "none",
    });
    for (const name of ["index.html", "manifest.json"])
        await copyFile(`src/${name}`, `dist/${name}`);
    await writeLicences(result.metafile);
    for (const name of await names("po", ".po"))
        await writeFile(`dist/po.${name.slice(0, -3)}.js`, toScript(name.slice(0, -3), parsePo(await readFile(`po/${name}`, "utf8"))));
    const sources = await Promise.all((await names("src", ".ts")).map(name => readFile(`src/${name}`, "utf8")));
    await writeFile("po/procserv.pot", toTemplate(extractMessages(sources.join("\n"))));
}

await (process.argv.includes("--tests") ? buildTests() : buildPage());
