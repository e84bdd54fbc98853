/**
 * `npm run pack:smoke`: the packed tarball in an empty project, as its users will meet it. Every public entry is
 * imported and type-checked, first with the required peers alone, and the `plinth` program runs. Wants a built dist.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { mustRun, root, run } from "./run.ts"

const Manifest = Schema.parseJson(
  Schema.Struct({
    name: Schema.String,
    version: Schema.String,
    exports: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
    peerDependencies: Schema.Record({ key: Schema.String, value: Schema.String }),
    peerDependenciesMeta: Schema.Record({ key: Schema.String, value: Schema.Struct({ optional: Schema.Boolean }) })
  })
)

/** Entries that may ask for the optional peers; everything else must load without them. */
const needsOptionalPeers = /^\.\/(adapters|cli|embedded|http|testing)(\/|$)/

/** Imports each entry, and ends by itself: importing must start nothing. */
const importer = (specifiers: ReadonlyArray<string>): string =>
  `for (const entry of ${JSON.stringify(specifiers)}) {
  const module = await import(entry)
  if (Object.keys(module).length === 0) throw new Error(entry + " exports nothing")
}
`

/** The same entries as a strict TypeScript project sees them. */
const consumer = (specifiers: ReadonlyArray<string>): string =>
  specifiers.map((entry, index) => `import * as entry${index} from "${entry}"\nvoid entry${index}\n`).join("")

const compilerOptions = {
  module: "NodeNext",
  target: "ES2022",
  lib: ["ES2023"],
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true
}

const smoke = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const manifest = yield* Schema.decode(Manifest)(yield* fs.readFileString(join(root, "package.json")))
  const project = yield* fs.makeTempDirectoryScoped({ prefix: "plinth-smoke-" })
  // Under root the embedded server has another account, and it lives in the project.
  yield* fs.chmod(project, 0o755)
  const inProject = { cwd: project }
  const install = (...packages: ReadonlyArray<string>) =>
    mustRun(
      ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", ...packages],
      inProject
    )

  const entries = yield* Effect.map(
    Effect.forEach(
      Record.keys(Record.filter(manifest.exports, (target) => typeof target === "object" && target !== null)),
      (key) =>
        key.endsWith("/*")
          ? Effect.map(fs.readDirectory(join(root, "dist", key.slice(2, -2))), (files) =>
              files.filter((file) => file.endsWith(".js")).map((file) => key.replace("*", file.slice(0, -3)))
            )
          : Effect.succeed([key])
    ),
    (found) => found.flat()
  )
  const specifierOf = (entry: string): string => manifest.name + entry.slice(1)

  const use = (label: string, used: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const specifiers = used.map(specifierOf)
      yield* fs.writeFileString(join(project, "import.js"), importer(specifiers))
      yield* mustRun(["node", "import.js"], inProject)
      yield* fs.writeFileString(join(project, "consumer.ts"), consumer(specifiers))
      yield* fs.writeFileString(
        join(project, "tsconfig.json"),
        JSON.stringify({ compilerOptions, files: ["consumer.ts"] })
      )
      yield* mustRun([join(root, "node_modules", ".bin", "tsc"), "-p", "."], inProject)
      yield* Console.log(`imported ${used.length} entries ${label}: ${used.join(" ")}`)
    })

  yield* fs.writeFileString(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }))
  yield* mustRun(["npm", "pack", "--ignore-scripts", "--silent", "--pack-destination", project])
  yield* install(`./${manifest.name}-${manifest.version}.tgz`)
  yield* use(
    "with the required peers",
    entries.filter((entry) => !needsOptionalPeers.test(entry))
  )

  const help = yield* mustRun(["npx", "--no-install", "plinth", "--help"], inProject)
  if (!/migrate/.test(help)) return yield* Effect.fail(`plinth --help does not mention migrate:\n${help}`)
  const version = yield* mustRun(["npx", "--no-install", "plinth", "--version"], inProject)
  if (!version.includes(manifest.version)) return yield* Effect.fail(`plinth --version says ${version}`)
  const routed = yield* mustRun(["npx", "--no-install", "plinth", "route", "--json"], {
    ...inProject,
    stdin: `"select 1"\n"delete from orders"\n`
  })
  if (!/"read"[^]*"write"/.test(routed)) return yield* Effect.fail(`plinth route --json says ${routed}`)
  yield* Console.log("ran plinth --help, --version and route --json")

  const optional = Object.keys(Record.filter(manifest.peerDependenciesMeta, (meta) => meta.optional))
  yield* install(...optional.map((name) => `${name}@${manifest.peerDependencies[name] ?? "latest"}`))
  yield* use("with the optional peers", entries)
  const health = yield* mustRun(["npx", "--no-install", "plinth", "health-check", "--embedded"], inProject)
  yield* Console.log(`ran plinth health-check --embedded: ${health.split("\n").at(-1)}`)

  yield* fs.writeFileString(join(project, "inside.js"), `await import("${manifest.name}/internal/pg/anything")\n`)
  const inside = yield* run(["node", "inside.js"], inProject)
  if (!inside.output.includes("ERR_PACKAGE_PATH_NOT_EXPORTED")) {
    return yield* Effect.fail(`the internals can be imported:\n${inside.output}`)
  }
  yield* Console.log("kept the internals private")
})

NodeRuntime.runMain(smoke.pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
