/**
 * A clock that runs faster than time: deadlines of half a minute pass in seconds, and real servers answer as ever.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const real = Clock.make()

/** Lets time pass this many times as fast for the effect and for all that it starts. */
export const timesFaster = (factor: number) => {
  const startMillis = real.unsafeCurrentTimeMillis()
  const startNanos = real.unsafeCurrentTimeNanos()
  const millis = () => startMillis + (real.unsafeCurrentTimeMillis() - startMillis) * factor
  const nanos = () => startNanos + (real.unsafeCurrentTimeNanos() - startNanos) * BigInt(factor)
  const clock: Clock.Clock = {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: millis,
    unsafeCurrentTimeNanos: nanos,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanos: Effect.sync(nanos),
    sleep: (duration) => real.sleep(Duration.times(duration, 1 / factor))
  }
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => Effect.withClock(effect, clock)
}

/** Runs the effect in real time, within one for which time is another. */
export const inRealTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withClock(effect, real)
