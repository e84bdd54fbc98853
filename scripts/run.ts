/** Programs started by the build: run to the end, with their whole output as one text. */
import * as Command from "@effect/platform/Command"
import type { CommandExecutor } from "@effect/platform/CommandExecutor"
import type { PlatformError } from "@effect/platform/Error"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url)).replace(/[/\\]$/, "")

export interface Finished {
  readonly exitCode: number
  readonly output: string
}

export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly command: string
  readonly exitCode: number
  readonly output: string
}> {
  override get message(): string {
    return `${this.command} ended with ${this.exitCode}\n${this.output}`
  }
}

export interface RunOptions {
  /** @default the root of the repository */
  readonly cwd?: string | undefined
  readonly env?: Record<string, string> | undefined
  readonly stdin?: string | undefined
}

/** Runs a program of `node_modules/.bin` or of PATH. Interrupting it kills the program. */
export const run = (
  [program, ...args]: readonly [string, ...ReadonlyArray<string>],
  { cwd = root, env = {}, stdin }: RunOptions = {}
): Effect.Effect<Finished, PlatformError, CommandExecutor> =>
  Effect.gen(function* () {
    const path = [join(cwd, "node_modules", ".bin"), process.env["PATH"] ?? ""].join(delimiter)
    const started = yield* Command.make(program, ...args).pipe(
      Command.workingDirectory(cwd),
      Command.env({ PATH: path, FORCE_COLOR: "0", NO_COLOR: "1", ...env }),
      stdin === undefined ? Command.stdin("inherit") : Command.feed(stdin),
      Command.start
    )
    const [output, exitCode] = yield* Effect.all(
      [Stream.mkString(Stream.decodeText(Stream.merge(started.stdout, started.stderr))), started.exitCode],
      { concurrency: 2 }
    )
    return { exitCode, output: output.trimEnd() }
  }).pipe(Effect.scoped)

/** Like `run`, for a step that must succeed: its output, or a `CommandFailed` that shows it. */
export const mustRun = (
  command: readonly [string, ...ReadonlyArray<string>],
  options?: RunOptions
): Effect.Effect<string, PlatformError | CommandFailed, CommandExecutor> =>
  Effect.flatMap(run(command, options), ({ exitCode, output }) =>
    exitCode === 0
      ? Effect.succeed(output)
      : Effect.fail(new CommandFailed({ command: command.join(" "), exitCode, output }))
  )
