/**
 * The whole program with an application's own migrations and checks.
 */
import type { Teardown } from "@effect/platform/Runtime"
import * as Effect from "effect/Effect"
import { watch } from "../internal/node/signals.ts"
import { answer } from "./Answers.ts"
import { parse } from "./Argv.ts"
import type { Finished } from "./Exit.ts"
import { finish } from "./Exit.ts"
import type { Extensions } from "./Extensions.ts"
import { Extended } from "./Extensions.ts"
import { program } from "./Program.ts"
import { root } from "./specs/root.ts"
import * as Stdio from "./Stdio.ts"
import { teardown } from "./Teardown.ts"

/**
 * `plinth` with extensions. It has said everything when it ends; the failure only carries the exit code.
 *
 * @example
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { mainOptions, run } from "effect-plinth/cli"
 *
 * NodeRuntime.runMain(run(process.argv.slice(2), { checks: [] }), mainOptions())
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = (args: ReadonlyArray<string>, extensions: Extensions = {}): Effect.Effect<void, Finished> => {
  const request = parse(root, args)
  if (request._tag === "Run") return Effect.provideService(program(request.args), Extended, extensions)
  return Effect.gen(function* () {
    const stdio = yield* Stdio.Stdio
    const { code, stream, text } = answer(request, yield* stdio.stdout.columns)
    yield* stdio[stream].write(text)
    yield* finish(code)
  }).pipe(Effect.provide(Stdio.layer))
}

/**
 * What to give `runMain` for the exit codes and the deadline of `plinth`. Watches the signals from here on.
 *
 * @since 0.1.0
 * @category running
 */
export const mainOptions = (): {
  readonly disableErrorReporting: true
  readonly disablePrettyLogger: true
  readonly teardown: Teardown
} => ({ disableErrorReporting: true, disablePrettyLogger: true, teardown: teardown(watch()) })
