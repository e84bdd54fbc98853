/**
 * Asks before something is lost. Without a terminal there is nobody to ask, and that is an error and not a no.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { CommandError } from "./Exit.ts"
import { misused, refused } from "./Exit.ts"
import { Stdio } from "./Stdio.ts"

/** Fails unless the answer is yes. */
export const yes = (question: string): Effect.Effect<void, CommandError, Stdio> =>
  Effect.filterOrFail(
    ask(`${question} [y/N] `, "--yes"),
    (answer) => /^y(es)?$/i.test(answer),
    () => refused("Nothing was changed", "Answer y to go on", "the answer was not yes")
  ).pipe(Effect.asVoid)

/**
 * Fails unless the word is typed. `instead` names the options that answer without a terminal, `why` says then why it is
 * asked.
 */
export const typed = (
  question: string,
  word: string,
  instead: string,
  why?: string
): Effect.Effect<void, CommandError, Stdio> =>
  Effect.filterOrFail(
    ask(`${question} `, instead, why),
    (answer) => answer === word,
    (answer) => refused("Nothing was changed", `Type ${word} to go on`, `the answer was "${answer}"`)
  ).pipe(Effect.asVoid)

/** Fails where the name that was given is that of another database: somebody takes this one for it. */
export const named = (database: string, given: Option.Option<string>): Effect.Effect<void, CommandError> =>
  Option.isSome(given) && given.value !== database
    ? refused(
        "Nothing was changed",
        "Check which database the URL names",
        `this is "${database}", and --database-name says "${given.value}"`
      )
    : Effect.void

const ask = (question: string, instead: string, why?: string): Effect.Effect<string, CommandError, Stdio> =>
  Effect.gen(function* () {
    const { stderr, stdin } = yield* Stdio
    if (!stdin.isTerminal) {
      return yield* misused(
        "This asks before it acts, and there is no terminal to ask on",
        `Give ${instead} to answer`,
        why
      )
    }
    yield* stderr.write(question)
    const line = yield* Stream.runHead(stdin.lines)
    return Option.getOrElse(line, () => "").trim()
  })
