/**
 * Runs one migration, up or down, and keeps the history in step with it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { MigrationEvent } from "./Event.ts"
import { runCode, runSegments, runTransaction } from "./Execution.ts"
import * as Failure from "./Failure.ts"
import type { Progress, Row } from "./History.ts"
import type { Code, MigrationFile, Script } from "./MigrationFile.ts"
import type { MigrationError } from "./MigrationError.ts"
import { isTransactional } from "./Segments.ts"
import { makeTask, step } from "./Task.ts"
import type { Run, Task } from "./Task.ts"

/** Applies a migration, going on after the statements that an earlier run did. */
export const apply = Effect.fnUntraced(function* (
  run: Run,
  file: MigrationFile,
  row: Row | undefined
): Effect.fn.Return<Duration.Duration, MigrationError> {
  const task = yield* makeTask(run, file, "up", file.up)
  const resumed = row?.status === "started" ? row : undefined
  return yield* observed(task, file.up, resumed?.statementsDone ?? 0, applyBody(task, file.up, resumed))
})

const applyBody = (task: Task, up: Script | Code, row: Row | undefined): Effect.Effect<void, MigrationError> => {
  const { file, run } = task
  const applied = (statements: number) =>
    run.history.put(file, true, { status: "applied", done: statements, of: statements })
  if (up._tag === "Code") return runCode(task, up, (migration) => Effect.succeed(migration.up), applied(0))
  if (row === undefined && isTransactional(up)) {
    return runTransaction(task, up, up.statements, applied(up.statements.length))
  }
  const of = up.statements.length
  const done = row?.statementsDone ?? 0
  const begin = run.history.put(file, false, { status: "started", done, of })
  const advance = (finished: number) =>
    run.history.advance(file.id, { status: finished === of ? "applied" : "started", done: finished, of })
  return Effect.zipRight(
    step(task, "recording the start", begin),
    runSegments(task, up, done, row?.inFlight ?? undefined, advance)
  )
}

/** Takes a migration back by the script or program given. */
export const revert = Effect.fnUntraced(function* (
  run: Run,
  file: MigrationFile,
  down: Script | Code,
  row: Row
): Effect.fn.Return<Duration.Duration, MigrationError> {
  const task = yield* makeTask(run, file, "down", down)
  const done = row.status === "reverting" ? row.statementsDone : 0
  return yield* observed(task, down, done, revertBody(task, down, row, done))
})

const revertBody = (task: Task, down: Script | Code, row: Row, done: number): Effect.Effect<void, MigrationError> => {
  const { file, run } = task
  const of = down._tag === "Code" ? 0 : down.statements.length
  const record = (progress: Progress) =>
    Effect.zipRight(
      run.history.advance(file.id, progress),
      progress.status === "reverted" ? run.history.renewRepeatables : Effect.void
    )
  const reverted = record({ status: "reverted", done: of, of })
  if (down._tag === "Code") {
    return runCode(task, down, (migration) => Effect.fromNullable(migration.down), reverted)
  }
  if (row.status !== "reverting" && isTransactional(down)) {
    return runTransaction(task, down, down.statements, reverted)
  }
  const advance = (finished: number) =>
    record({ status: finished === of ? "reverted" : "reverting", done: finished, of })
  const inFlight = row.status === "reverting" ? (row.inFlight ?? undefined) : undefined
  const begin = run.history.advance(file.id, { status: "reverting", done, of })
  return Effect.zipRight(
    row.status === "reverting" ? Effect.void : step(task, "recording the start", begin),
    runSegments(task, down, done, inFlight, advance)
  )
}

/** Tells the beginning and the end, and leaves the session as clean for the next migration as it was for this one. */
const observed = Effect.fnUntraced(function* (
  { direction, file, run }: Task,
  body: Script | Code,
  done: number,
  effect: Effect.Effect<void, MigrationError>
) {
  const statements = body._tag === "Script" ? body.statements.length : 0
  yield* run.emit(MigrationEvent.MigrationStarted({ id: file.id, file: body.file, direction, statements, done }))
  const started = yield* Clock.currentTimeMillis
  yield* effect
  const took = Duration.millis((yield* Clock.currentTimeMillis) - started)
  yield* run.emit(MigrationEvent.MigrationFinished({ id: file.id, direction, took }))
  yield* Effect.mapError(run.work.reset, (error) => Failure.ofStep("resetting the session", error))
  return took
})
