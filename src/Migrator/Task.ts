/**
 * One migration in one direction, with what it runs on and how patient it is.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type { RetryPolicy } from "../RetryPolicy.ts"
import * as Blockers from "./Blockers.ts"
import type { Blocker } from "./Event.ts"
import { MigrationEvent } from "./Event.ts"
import * as Failure from "./Failure.ts"
import type { Writer } from "./History.ts"
import type { Lock } from "./Lock.ts"
import type { Code, MigrationFile, Script } from "./MigrationFile.ts"
import type { MigrationError } from "./MigrationError.ts"
import type { Session } from "./Session.ts"

/** How long things may take. */
export interface Limits {
  /** For each wait for a lock. */
  readonly lockTimeout: Duration.Duration
  /** For each statement; zero is no limit. */
  readonly statementTimeout: Duration.Duration
  /** For each statement with CONCURRENTLY, waits included. */
  readonly concurrentlyTimeout: Duration.Duration
}

/** What a run works with. */
export interface Run {
  readonly work: Session
  readonly lock: Lock
  readonly history: Writer
  readonly limits: Limits
  readonly lockRetry: RetryPolicy
  readonly emit: (event: MigrationEvent) => Effect.Effect<void>
}

/** One migration in one direction. */
export interface Task {
  readonly run: Run
  readonly file: MigrationFile
  readonly direction: "up" | "down"
  readonly limits: Limits
  /** Whom the last statement that was blocked waited for. */
  readonly blockers: Ref.Ref<ReadonlyArray<Blocker>>
  /** Who was reported last, and when in milliseconds. */
  readonly reported: Ref.Ref<{ readonly pids: string; readonly at: number }>
}

/** The same blockers are reported again this often. */
const reportEvery = Duration.seconds(30)

/** A wait for a lock is looked into after this long, or half the time it has. */
const longestPatience = Duration.seconds(1)

const patience = ({ lockTimeout }: Limits): Duration.Duration =>
  Duration.equals(lockTimeout, Duration.zero)
    ? longestPatience
    : Duration.min(longestPatience, Duration.times(lockTimeout, 0.5))

/** As a setting reads it. */
export const milliseconds = (duration: Duration.Duration): string => `'${Math.ceil(Duration.toMillis(duration))}ms'`

/** One migration with the limits that it asks for itself. */
export const makeTask = (
  run: Run,
  file: MigrationFile,
  direction: "up" | "down",
  body: Script | Code
): Effect.Effect<Task> => {
  const directives = body._tag === "Script" ? body.directives : file.directives
  const limits: Limits = {
    lockTimeout: directives.lockTimeout ?? run.limits.lockTimeout,
    statementTimeout: directives.statementTimeout ?? run.limits.statementTimeout,
    concurrentlyTimeout: directives.statementTimeout ?? run.limits.concurrentlyTimeout
  }
  return Effect.gen(function* () {
    const blockers = yield* Ref.make<ReadonlyArray<Blocker>>([])
    const reported = yield* Ref.make({ pids: "", at: 0 })
    return { run, file, direction, limits, blockers, reported }
  })
}

/** Words a failure of a step of ours. */
export const step = <A>(
  task: Task,
  name: string,
  effect: Effect.Effect<A, SqlError | MigrationError>
): Effect.Effect<A, MigrationError> =>
  Effect.mapError(effect, (error) =>
    error._tag === "SqlError" ? Failure.ofStep(name, error, { id: task.file.id }) : error
  )

/** Gives way to whoever holds a lock, and tries again. */
export const patiently = (
  task: Task,
  attempt: Effect.Effect<void, MigrationError>
): Effect.Effect<void, MigrationError> =>
  Effect.gen(function* () {
    const tries = yield* Ref.make(1)
    yield* attempt.pipe(
      Effect.tapError((error) =>
        Effect.gen(function* () {
          if (error.database?.reason !== "LockTimeout" && error.database?.reason !== "DeadlockDetected") return
          const failed = yield* Ref.getAndUpdate(tries, (n) => n + 1)
          const blockers = yield* Ref.get(task.blockers)
          yield* task.run.emit(MigrationEvent.Retrying({ id: task.file.id, attempt: failed, blockers }))
        })
      ),
      Effect.retry(task.run.lockRetry),
      Effect.catchIf(
        (error) => error.reason === "LockTimeout",
        (error) => Effect.flatMap(Ref.get(task.blockers), (blockers) => Failure.ofBlockers(error, blockers))
      )
    )
  })

/** Watches whom the backend waits for while an effect makes it work. */
export const watched = <A, E>(task: Task, pid: number, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Blockers.watch(effect, {
    observer: task.run.lock.session,
    pid,
    patience: patience(task.limits),
    onBlocked: (blockers) =>
      Effect.gen(function* () {
        yield* Ref.set(task.blockers, blockers)
        const now = yield* Clock.currentTimeMillis
        const pids = blockers.map(({ pid }) => pid).join()
        const last = yield* Ref.get(task.reported)
        if (last.pids === pids && now - last.at < Duration.toMillis(reportEvery)) return
        yield* Ref.set(task.reported, { pids, at: now })
        yield* task.run.emit(MigrationEvent.Blocked({ id: task.file.id, blockers }))
      })
  })
