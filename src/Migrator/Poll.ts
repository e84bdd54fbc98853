/**
 * Asks again and again while somebody is in the way, and says who.
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"

/** Somebody is in the way. */
export class Occupied extends Data.TaggedError("Occupied")<{
  readonly holder: string
  readonly pid?: number | undefined
}> {}

/** A wait is reported at its start and then this often. */
const reportEvery = Duration.seconds(10)

/** Repeats an attempt by a schedule until nobody is in the way; fails with `Occupied` when the wait is over. */
export const poll = <A, E>(
  attempt: Effect.Effect<A, E | Occupied>,
  options: {
    readonly schedule: Schedule.Schedule<unknown>
    readonly wait: Duration.Duration
    readonly report: (holder: string, waited: Duration.Duration) => Effect.Effect<void>
  }
): Effect.Effect<A, E | Occupied> =>
  Effect.gen(function* () {
    const started = yield* Clock.currentTimeMillis
    const reported = yield* Ref.make(Number.NEGATIVE_INFINITY)
    const report = Effect.fnUntraced(function* ({ holder }: Occupied) {
      const now = yield* Clock.currentTimeMillis
      if (now - (yield* Ref.get(reported)) < Duration.toMillis(reportEvery)) return
      yield* Ref.set(reported, now)
      yield* options.report(holder, Duration.millis(now - started))
    })
    return yield* attempt.pipe(
      Effect.tapError((error) => (error instanceof Occupied ? report(error) : Effect.void)),
      Effect.retry({
        schedule: Schedule.upTo(options.schedule, options.wait),
        while: (error) => error instanceof Occupied
      })
    )
  })
