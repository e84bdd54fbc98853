/**
 * Turns a definition and an effect into an `@effect/cli` command with the manners that all commands share: output,
 * logging, configuration file, and failures as one paragraph with an exit code.
 */
import * as Command from "@effect/cli/Command"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Exit from "./Exit.ts"
import { Finished } from "./Exit.ts"
import * as Failure from "./Failure.ts"
import * as Options from "./Options.ts"
import * as Output from "./Output.ts"
import type { CommandSpec } from "./Spec.ts"
import { Stdio } from "./Stdio.ts"
import * as Variables from "./Variables.ts"

type Parsed<C extends Command.Command.Config> = Command.Command.ParseConfig<{ readonly own: C }>["own"]

/** A command whose handler is only loaded when it runs. */
export const make = <const Name extends string, const C extends Command.Command.Config, E, R>(
  spec: CommandSpec & { readonly name: Name },
  own: C,
  load: () => Promise<(input: Parsed<C>) => Effect.Effect<void, E, R>>
) =>
  Command.make(spec.name, { own, output: Options.output }, (parsed) =>
    Effect.gen(function* () {
      const provider = yield* Variables.provider(parsed.output.config)
      const handler = yield* Effect.promise(load)
      yield* Effect.withConfigProvider(handler(parsed.own), provider)
    }).pipe(
      Effect.catchAllCause((cause) => report(cause, spec.usageExit)),
      Effect.provide(Output.layer(parsed.output))
    )
  ).pipe(Command.withDescription(spec.summary))

/** Says why a command failed, on stderr, and ends it with the code. */
const report = (
  cause: Cause.Cause<unknown>,
  usageExit: number = Exit.usage
): Effect.Effect<never, Finished, Output.Output | Stdio> =>
  Effect.gen(function* () {
    const failure = Failure.of(cause)
    if (Option.isNone(failure)) {
      const finished = Cause.failureOption(cause)
      return yield* Option.isSome(finished) && finished.value instanceof Finished
        ? Effect.fail(finished.value)
        : Effect.interrupt
    }
    const { options, noticeStyle } = yield* Output.Output
    const { stderr } = yield* Stdio
    const code = failure.value.code === Exit.usage ? usageExit : failure.value.code
    const { error, message, reason, trace } = failure.value
    yield* stderr.write(
      options.json
        ? `${JSON.stringify({ level: "error", error, reason, message, code, trace: options.debug ? trace : undefined })}\n`
        : `${noticeStyle.bad("Error:")} ${message}\n${options.debug ? `\n${trace}\n` : ""}`
    )
    return yield* new Finished({ code })
  })
