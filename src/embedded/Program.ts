/**
 * Runs a program of PostgreSQL as the server account, in an environment that cannot leak into it. `Command` of
 * `@effect/platform` cannot set uid and gid, hence `node:child_process`.
 */
import * as Effect from "effect/Effect"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { closeSync, openSync } from "node:fs"
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

export interface Options {
  /** Called in the same instant in which it starts. */
  readonly onStart?: ((child: ChildProcess) => void) | undefined
  /** Directories that it inherits open, from descriptor 3 on. */
  readonly inherited?: ReadonlyArray<string> | undefined
}

/** Opens what a child inherits only for as long as it takes to start it. */
export const withInherited = <A>(
  directories: ReadonlyArray<string>,
  start: (descriptors: ReadonlyArray<number>) => A
): A => {
  const descriptors: Array<number> = []
  try {
    for (const directory of directories) descriptors.push(openSync(directory, "r"))
    return start(descriptors)
  } finally {
    descriptors.forEach(closeSync)
  }
}

/** Runs it to its end. Interruption ends it with SIGTERM and waits for its end. */
export const run = (
  account: ServerAccount,
  file: string,
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.Effect<Outcome> =>
  Effect.async((resume) => {
    const child = withInherited(options.inherited ?? [], (descriptors) =>
      spawn(file, args, {
        cwd: "/",
        env: environment(),
        stdio: ["ignore", "pipe", "pipe", ...descriptors],
        ...identity(account)
      })
    )
    options.onStart?.(child)
    let stdout = ""
    let stderr = ""
    child.stdout?.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (stderr += text))
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
  options?: Options
): Effect.Effect<void, EmbeddedPostgresError> =>
  run(ourselves, file, args, options).pipe(
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
export const copyTree = (from: string, to: string, options?: Options): Effect.Effect<void, EmbeddedPostgresError> =>
  runSystem("cp", ["-a", from, to], options)
