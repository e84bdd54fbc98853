/**
 * Exit codes, and the two ways a command ends that are not plain success.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

/** Done. */
export const done = 0
/** Failed. */
export const failed = 1
/** Wrong usage or configuration: nothing was done. */
export const usage = 2
/** The work was done, and its answer is that something waits or is wrong. */
export const findings = 3
/** `migrate`: an older migration is pending behind a newer applied one. */
export const outOfOrder = 4
/** `migrate`: what was applied and what is in the folder differ. */
export const drift = 5

/**
 * The command has said everything it has to say and ends with this code.
 *
 * @since 0.1.0
 * @category errors
 */
export class Finished extends Data.TaggedError("Finished")<{ readonly code: number }> {}

/** Ends the command with a code, after its result was printed. */
export const finish = (code: number): Effect.Effect<void, Finished> =>
  code === done ? Effect.void : Effect.fail(new Finished({ code }))

/**
 * The command cannot do what was asked: what, where, why and what to do, in a person's words.
 *
 * @since 0.1.0
 * @category errors
 */
export class CommandError extends Data.TaggedError("CommandError")<{
  /** What did not happen, as a sentence without a full stop. */
  readonly what: string
  /** Why, as a sentence without a full stop. */
  readonly why?: string | undefined
  /** The lines of a file that it is about, with a caret under the place. */
  readonly excerpt?: string | undefined
  /** What to do, as a sentence without a full stop. */
  readonly advice?: string | undefined
  readonly code: number
  readonly cause?: unknown
}> {
  override get message(): string {
    const rest = [this.why, this.advice].filter((part) => part !== undefined).map(sentence)
    return this.excerpt === undefined
      ? [sentence(this.what), ...rest].join(" ")
      : [this.what, this.excerpt, ...(rest.length === 0 ? [] : [rest.join(" ")])].join("\n")
  }
}

/** A capital at the beginning, unless that is the name of a file or folder, and a full stop at the end. */
export const sentence = (text: string): string => {
  const trimmed = text.trim()
  const [first = ""] = trimmed.split(" ", 1)
  const capital = /[/\\.:_\d]/.test(first) ? trimmed : `${trimmed.slice(0, 1).toUpperCase()}${trimmed.slice(1)}`
  return /[.?!:^`]$/.test(capital) ? capital : `${capital}.`
}

/** Wrong usage or configuration. */
export const misused = (what: string, advice: string, why?: string): CommandError =>
  new CommandError({ what, why, advice, code: usage })

/** A refusal or failure. */
export const refused = (what: string, advice: string, why?: string): CommandError =>
  new CommandError({ what, why, advice, code: failed })
