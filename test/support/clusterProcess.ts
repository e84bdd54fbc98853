/**
 * Runs `holdCluster.ts` as a real process, so that tests can kill it, run it twice, or run it as another user.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { buildSync } from "esbuild"
import type { SpawnOptions } from "node:child_process"
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll } from "vitest"

const Report = Schema.parseJson(
  Schema.Struct({
    version: Schema.Number,
    urls: Schema.Array(Schema.String),
    directories: Schema.Array(Schema.String),
    pids: Schema.Array(Schema.Number)
  })
)

export interface Options {
  readonly replicas?: number
  readonly directory?: string
  readonly binaries?: string
}

/** It ended before it had a cluster; `message` is what it wrote on its standard error. */
export class ClusterProcessError extends Data.TaggedError("ClusterProcessError")<{ readonly message: string }> {}

const source = fileURLToPath(new URL("./holdCluster.ts", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))

/** Makes one file of the program and all it needs, as the command line is one; it starts in a third of the time. */
export const bundle = (directory: string): string => {
  const outfile = join(directory, "program.mjs")
  buildSync({
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["pg-native"],
    banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);` }
  })
  return outfile
}

let shared: string | undefined
afterAll(() => {
  if (shared !== undefined) rmSync(dirname(shared), { recursive: true, force: true })
})
/** The bundle of this test file's runs. */
const sharedBundle = () => (shared ??= bundle(mkdtempSync(join(tmpdir(), "plinth-test-"))))

/**
 * Starts it and waits for its report; fails with what it wrote on its standard error. With the scope it ends in good
 * order, or is killed where it has nothing to report yet.
 */
export const start = (options: Options, spawnOptions: SpawnOptions = {}, file?: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const main = file ?? sharedBundle()
      const child = spawn(process.execPath, [main, JSON.stringify(options)], {
        cwd: root,
        ...spawnOptions,
        stdio: "pipe"
      })
      const output = { stdout: "", stderr: "" }
      child.stdout?.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()))
      child.stderr?.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()))
      const ended = new Promise<void>((resolve) => child.once("close", () => resolve()))
      return { child, output, ended }
    }),
    ({ child, ended, output }) =>
      Effect.promise(() => {
        if (output.stdout === "") child.kill("SIGKILL")
        child.stdin?.end()
        return ended
      })
  ).pipe(
    Effect.flatMap(({ child, ended, output }) =>
      Effect.async<string, ClusterProcessError>((resume) => {
        const look = () => {
          if (output.stdout.includes("\n")) resume(Effect.succeed(output.stdout))
        }
        child.stdout?.on("data", look)
        child.once("error", (error) => resume(Effect.fail(new ClusterProcessError({ message: error.message }))))
        child.once("close", () => resume(Effect.fail(new ClusterProcessError({ message: output.stderr }))))
        look()
      }).pipe(
        Effect.flatMap(Schema.decode(Report)),
        Effect.map((report) => ({
          ...report,
          /** Ends it as a crash would: no finalizer runs. */
          kill: Effect.promise(() => {
            child.kill("SIGKILL")
            return ended
          }),
          /** Lets it end in good order. */
          finish: Effect.promise(() => {
            child.stdin?.end()
            return ended
          })
        }))
      )
    )
  )

/** Whether the process runs; what is only waiting for its parent to read its exit code does not. */
export const isAlive = (pid: number): boolean => {
  try {
    if (process.platform !== "linux") return process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
  } catch {
    return false
  }
}
