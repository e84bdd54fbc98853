/** The package as a user would get it: built and packed in a temporary folder, read by publint and by attw. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { mustRun, root, run } from "./run.ts"

/** What npm publishes beside dist and src. */
const shipped = ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "src"]

const packed = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: "plinth-package-" })
  yield* mustRun(["tsx", "scripts/build.ts", "--no-check", "--out", join(directory, "dist")])
  for (const name of shipped) {
    if (yield* fs.exists(join(root, name))) yield* fs.copy(join(root, name), join(directory, name))
  }
  yield* mustRun(["npm", "pack", "--ignore-scripts", "--silent"], { cwd: directory })
  const [tarball] = (yield* fs.readDirectory(directory)).filter((name) => name.endsWith(".tgz"))
  return join(directory, tarball ?? "")
})

const check = Effect.gen(function* () {
  const tarball = yield* packed
  const reports = yield* Effect.all(
    [
      run(["publint", "run", tarball, "--strict"]),
      run(["attw", tarball, "--profile", "esm-only", "--no-emoji", "--format", "ascii"])
    ],
    { concurrency: 2 }
  )
  const failed = reports.filter(({ exitCode }) => exitCode !== 0)
  yield* Effect.forEach(failed, ({ output }) => Console.log(output), { discard: true })
  if (failed.length > 0) return yield* Effect.fail("the package would not work as published")
})

NodeRuntime.runMain(check.pipe(Effect.scoped, Effect.provide(NodeContext.layer)))
