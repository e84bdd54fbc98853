/**
 * A reading of the clock that never goes back, for deadlines and for the order of events within a process.
 */
import type * as Clock from "effect/Clock"

/** Monotonic milliseconds; only differences and order have a meaning. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6
