/**
 * `npm run check:prove [gate ..]`: a gate that cannot fail proves nothing. Each gets a copy of the repository with its
 * violations planted, and must end in failure and name every one of them.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { dirname, join } from "node:path"
import type { Gate, Proof } from "./gates.ts"
import { gates } from "./gates.ts"
import { mustRun, root, run } from "./run.ts"

/** The working tree without what git ignores; node_modules is shared by a link. */
const copy = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "plinth-gates-" })
  const listed = yield* mustRun(["git", "ls-files", "--cached", "--others", "--exclude-standard"])
  yield* Effect.forEach(
    new Set(listed.split("\n")),
    (file) =>
      Effect.gen(function* () {
        if (!(yield* fs.exists(join(root, file)))) return
        yield* fs.makeDirectory(dirname(join(directory, file)), { recursive: true })
        yield* fs.copyFile(join(root, file), join(directory, file))
      }),
    { concurrency: 8, discard: true }
  )
  yield* fs.symlink(join(root, "node_modules"), join(directory, "node_modules"))
  return directory
})

/** Whether the gate fails and names every violation. */
const prove = (gate: Gate, { expects, plant }: Proof) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* copy
    yield* Effect.forEach(Object.entries(plant), ([file, content]) =>
      Effect.gen(function* () {
        const target = join(directory, file)
        if (typeof content === "string") {
          yield* fs.makeDirectory(dirname(target), { recursive: true })
          return yield* fs.writeFileString(target, content)
        }
        const current = yield* fs.readFileString(target)
        const changed = content(current)
        if (changed === current)
          return yield* Effect.dieMessage(`the plant for "${gate.name}" changes nothing in ${file}`)
        yield* fs.writeFileString(target, changed)
      })
    )
    const { exitCode, output } = yield* run(gate.command, { cwd: directory })
    const missed = expects.filter((expected) => !expected.test(output)).map(String)
    const proved = exitCode !== 0 && missed.length === 0
    yield* Console.log(`${proved ? "proved" : "MISSED"}  ${gate.name} (${expects.length} violations)`)
    if (!proved) yield* Console.log(`exit code ${exitCode}, not seen: ${missed.join("  ")}\n${output.slice(-2000)}\n`)
    return proved
  }).pipe(Effect.scoped)

const proveAll = Effect.gen(function* () {
  const wanted = process.argv.slice(2)
  const chosen = wanted.length === 0 ? gates : gates.filter(({ name }) => wanted.includes(name))
  const results = yield* Effect.forEach(chosen, (gate) => Effect.forEach(gate.proofs, (proof) => prove(gate, proof)))
  if (results.length === 0 || results.flat().includes(false))
    return yield* Effect.fail("a gate let a violation through")
})

NodeRuntime.runMain(proveAll.pipe(Effect.provide(NodeContext.layer)))
