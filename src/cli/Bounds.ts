/**
 * Values of options that have the right form and may still make no sense.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Durations from "./Durations.ts"
import type { CommandError } from "./Exit.ts"
import { misused } from "./Exit.ts"
import * as Rates from "./Rates.ts"
import type { OptionSpec } from "./Spec.ts"

/** A whole number of 1 at least, where one is given. */
export const count = (
  given: Option.Option<number>,
  spec: OptionSpec
): Effect.Effect<Option.Option<number>, CommandError> =>
  check(given, (value) => value >= 1, `--${spec.name} is at least 1`, "Give a greater number")

/** A rate above 0, per second, where one is given. */
export const rate = (
  given: Option.Option<string>,
  spec: OptionSpec
): Effect.Effect<Option.Option<number>, CommandError> =>
  check(
    Option.map(given, Rates.fromText),
    (value) => value > 0,
    `--${spec.name} is more than 0`,
    "Write it as in 500/s"
  )

/** A duration of a length at least, where one is given. */
export const duration = (
  given: Option.Option<string>,
  spec: OptionSpec,
  least: Duration.Duration
): Effect.Effect<Option.Option<Duration.Duration>, CommandError> =>
  check(
    Option.map(given, Durations.fromText),
    (value) => Duration.greaterThanOrEqualTo(value, least),
    `--${spec.name} is ${Duration.format(least)} at least`,
    "Give a longer time"
  )

const check = <A>(
  given: Option.Option<A>,
  holds: (value: A) => boolean,
  what: string,
  advice: string
): Effect.Effect<Option.Option<A>, CommandError> =>
  Option.match(given, {
    onNone: () => Effect.succeedNone,
    onSome: (value) => (holds(value) ? Effect.succeed(given) : Effect.fail(misused(what, advice)))
  })
