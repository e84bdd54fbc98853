/**
 * Waiting and failing in tests.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"

/** Repeats a condition until it holds. */
export const withinSeconds = <E, R>(seconds: number, condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutFail({
      duration: seconds * 1000,
      onTimeout: () => new Error(`the condition did not come to hold within ${seconds} s`)
    })
  )

/** What an effect fails with, as a value; a success and a defect fail the test. */
export const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, Error, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) =>
    Exit.isSuccess(exit)
      ? Effect.fail(new Error("it succeeded"))
      : Option.match(Cause.failureOption(exit.cause), {
          onNone: () => Effect.fail(new Error(`a defect: ${Cause.pretty(exit.cause)}`)),
          onSome: Effect.succeed
        })
  )
