/** Writes the entry points that the sources deserve into package.json. */
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { exportsOf } from "./architecture.ts"
import { sourcesIn } from "./sources.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const manifest: unknown = JSON.parse(readFileSync(`${root}/package.json`, "utf8"))
if (typeof manifest !== "object" || manifest === null) throw new Error("package.json is not an object")
const written = { ...manifest, exports: exportsOf(sourcesIn(root)) }
writeFileSync(`${root}/package.json`, `${JSON.stringify(written, null, 2)}\n`)
