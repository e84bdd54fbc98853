/**
 * Runs a program of PostgreSQL as the server account, in an environment that cannot leak into it. `Command` of
 * `@effect/platform` cannot set uid and gid, hence `node:child_process`.
 */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { ServerAccount } from "./ServerAccount.ts"
import { identity } from "./ServerAccount.ts"

export interface Outcome {
  /** The exit code; -1 when the program could not be started or was ended by a signal. */
  readonly code: number
  readonly stdout: string
  /** Its standard error, or why it could not be started. */
  readonly stderr: string
}

/** This process's environment without what changes how PostgreSQL behaves: PG*, LC_*, LANG. Its messages are in English. */
export const environment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(PG|LC_)/.test(name) && name !== "LANG" && name !== "LANGUAGE")
  ),
  LC_ALL: "C",
  TZ: "UTC"
})

/** Runs it to its end; `onStart` learns the pid. Interruption ends it with SIGTERM and waits for its end. */
export const run = (
  account: ServerAccount,
  file: string,
  args: ReadonlyArray<string>,
  onStart: (pid: number) => void = () => {}
): Effect.Effect<Outcome> =>
  Effect.async((resume) => {
    const child = spawn(file, args, {
      cwd: "/",
      env: environment(),
      stdio: ["ignore", "pipe", "pipe"],
      ...identity(account)
    })
    if (child.pid !== undefined) onStart(child.pid)
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.on("error", (cause) => resume(Effect.succeed({ code: -1, stdout, stderr: cause.message })))
    child.on("close", (code) => resume(Effect.succeed({ code: code ?? -1, stdout, stderr })))
    return Effect.async<void>((done) => {
      if (child.exitCode !== null || child.signalCode !== null || !child.kill("SIGTERM")) return done(Effect.void)
      child.on("close", () => done(Effect.void))
    })
  })

const ourselves: ServerAccount = { name: "this user", uid: -1, gid: -1, switched: false }

/** Runs one of the system's own programs as ourselves; fails with what it wrote on its standard error. */
export const runSystem = (
  file: string,
  args: ReadonlyArray<string>,
  onStart?: (pid: number) => void
): Effect.Effect<void, EmbeddedPostgresError> =>
  run(ourselves, file, args, onStart).pipe(
    Effect.filterOrFail(
      (outcome) => outcome.code === 0,
      (outcome) =>
        new EmbeddedPostgresError({
          reason: "FileSystem",
          operation: `${file} ${args.join(" ")}`,
          description: outcome.stderr.trim()
        })
    ),
    Effect.asVoid
  )

/** Copies a directory with owners, modes and links as they are; faster than a thousand calls from here. */
export const copyTree = (
  from: string,
  to: string,
  onStart?: (pid: number) => void
): Effect.Effect<void, EmbeddedPostgresError> => runSystem("cp", ["-a", from, to], onStart)
