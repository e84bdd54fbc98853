/**
 * How far a long operation is, often enough for a progress bar and seldom enough to cost nothing.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * - `checkpoint`: the server writes its checkpoint, before it sends anything
 * - `copy`: archives arrive and are written
 * - `verify`: archives are read back and compared
 * - `restore`: files are written
 * - `sync`: files are forced to the disk
 *
 * @since 0.1.0
 * @category models
 */
export type Phase = "checkpoint" | "copy" | "verify" | "restore" | "sync"

/**
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  readonly phase: Phase
  /** Bytes of the cluster (before compression) that are done. */
  readonly bytes: number
  /** For `copy` the server's estimate, else exact; 0 while unknown. */
  readonly totalBytes: number
  /** The average since the phase began; 0 in its first moment. */
  readonly bytesPerSecond: number
  readonly elapsed: Duration.Duration
}

/**
 * Called at most ten times a second and once more at the end of each phase.
 *
 * @since 0.1.0
 * @category models
 */
export type OnProgress = (progress: Progress) => Effect.Effect<void>

export interface Meter {
  readonly advance: (bytes: number) => Effect.Effect<void>
  readonly done: Effect.Effect<void>
}

const intervalMillis = 100

/** Starts a phase, and reports that it did. */
export const start = (onProgress: OnProgress, phase: Phase, totalBytes: number): Effect.Effect<Meter> =>
  Effect.gen(function* () {
    const startedAt = yield* Clock.currentTimeMillis
    let reportedAt = startedAt
    let bytes = 0
    const report = (now: number): Effect.Effect<void> => {
      reportedAt = now
      const millis = Math.max(0, now - startedAt)
      return onProgress({
        phase,
        bytes,
        totalBytes,
        bytesPerSecond: millis === 0 ? 0 : Math.round((bytes / millis) * 1000),
        elapsed: Duration.millis(millis)
      })
    }
    yield* report(startedAt)
    return {
      advance: (more) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          bytes += more
          return Math.abs(now - reportedAt) >= intervalMillis ? report(now) : Effect.void
        }),
      done: Effect.flatMap(Clock.currentTimeMillis, report)
    }
  })
