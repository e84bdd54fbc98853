/**
 * Runs the parts of a migration: statements and programs in a transaction with their record, or statements alone.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { setsSession } from "./Boundary.ts"
import { MigrationEvent } from "./Event.ts"
import * as Failure from "./Failure.ts"
import type { InFlight } from "./History.ts"
import { prove } from "./Lock.ts"
import * as MigrationClient from "./MigrationClient.ts"
import type { Code, Script, Statement } from "./MigrationFile.ts"
import type { MigrationError } from "./MigrationError.ts"
import * as Resume from "./Resume.ts"
import { segments } from "./Segments.ts"
import type { Segment } from "./Segments.ts"
import type { Session } from "./Session.ts"
import { milliseconds, patiently, step, watched } from "./Task.ts"
import type { Task } from "./Task.ts"

/**
 * BEGIN, the proof of the lock, a body, its record in the history and COMMIT. Body and record are kept together or not
 * at all. Only the body can be interrupted.
 */
const transaction = (
  task: Task,
  settings: ReadonlyArray<string>,
  body: (pid: number) => Effect.Effect<void, MigrationError>,
  record: Effect.Effect<void, SqlError | MigrationError>
): Effect.Effect<void, MigrationError> => {
  const { work } = task.run
  const begin = [
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    `SET LOCAL lock_timeout = ${milliseconds(task.limits.lockTimeout)}`,
    `SET LOCAL statement_timeout = ${milliseconds(task.limits.statementTimeout)}`
  ].join("; ")
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      yield* step(task, "BEGIN", work.run(begin))
      const pid = yield* step(task, "proving the lock", prove(task.run.lock, work))
      if (settings.length > 0) yield* step(task, "repeating SET", work.run(settings.join("; ")))
      yield* restore(body(pid))
      yield* step(task, "returning to the migrating role", work.resumeRole)
      yield* step(task, "recording it in the history", record)
      yield* step(task, "COMMIT", work.run("COMMIT"))
    }).pipe(Effect.onError(() => rollback(work)))
  )
}

/** A failed ROLLBACK means that the connection is gone, and the transaction with it. */
const rollback = (work: Session): Effect.Effect<void> =>
  Effect.catchAll(work.run("ROLLBACK"), (error) => Effect.logDebug("plinth: ROLLBACK failed", error))

export const runTransaction = (
  task: Task,
  script: Script,
  statements: ReadonlyArray<Statement>,
  record: Effect.Effect<void, SqlError | MigrationError>,
  progress?: string
): Effect.Effect<void, MigrationError> =>
  patiently(
    task,
    transaction(
      task,
      settingsBefore(script, statements),
      (pid) =>
        Effect.forEach(statements, (statement) => runStatement(task, script, statement, pid, progress), {
          concurrency: 1,
          discard: true
        }),
      record
    )
  )

export const runCode = (
  task: Task,
  code: Code,
  choose: (migration: Effect.Effect.Success<Code["load"]>) => Effect.Effect<MigrationProgram, unknown>,
  record: Effect.Effect<void, SqlError | MigrationError>
): Effect.Effect<void, MigrationError> =>
  Effect.gen(function* () {
    const migration = yield* code.load
    const program = yield* Effect.mapError(choose(migration), () => Failure.irreversible(task.file))
    const body = (pid: number): Effect.Effect<void, MigrationError> =>
      Effect.mapError(watched(task, pid, MigrationClient.provide(program, task.run.work.connection)), (cause) =>
        Failure.ofCode(code.file, cause, { id: task.file.id })
      )
    yield* patiently(
      task,
      transaction(task, [], (pid) => Effect.asVoid(body(pid)), record)
    )
  })

type MigrationProgram = Effect.Effect.Success<Code["load"]>["up"]

const runStatement = Effect.fnUntraced(function* (
  task: Task,
  script: Script,
  statement: Statement,
  pid: number,
  progress: string | undefined
): Effect.fn.Return<void, MigrationError> {
  const { emit, work } = task.run
  const { line, number } = statement
  const { id } = task.file
  yield* emit(MigrationEvent.StatementStarted({ id, number, file: script.file, line, statement: statement.text }))
  const started = yield* Clock.currentTimeMillis
  yield* Effect.mapError(watched(task, pid, work.run(statement.text)), (error) =>
    Failure.ofStatement(script, statement, error, { id, progress })
  )
  const took = Duration.millis((yield* Clock.currentTimeMillis) - started)
  yield* emit(MigrationEvent.StatementFinished({ id, number, took }))
})

/** The settings that earlier segments made for these statements, whichever run they were part of. */
const settingsBefore = (script: Script, statements: ReadonlyArray<Statement>): ReadonlyArray<string> =>
  script.statements
    .filter(({ normalized, number }) => number < (statements[0]?.number ?? 0) && setsSession(normalized))
    .map(({ text }) => text)

/** Runs the segments that are left, recording each, so that the next run goes on behind the last one that is done. */
export const runSegments = Effect.fnUntraced(function* (
  task: Task,
  script: Script,
  done: number,
  inFlight: typeof InFlight.Type | undefined,
  advance: (finished: number) => Effect.Effect<void, SqlError | MigrationError>
): Effect.fn.Return<void, MigrationError> {
  const of = script.statements.length
  const left = segments(script, done)
  // A file whose failing rest was deleted has nothing left to run.
  if (left.length === 0) yield* step(task, "recording the end", advance(of))
  for (const segment of left) {
    const first = segment.statements[0]?.number ?? of
    const finished = first + segment.statements.length - 1
    const progress = describeProgress(first - 1, of)
    if (segment._tag === "Transaction") {
      yield* runTransaction(task, script, segment.statements, advance(finished), progress)
    } else {
      const previous = inFlight?.statement === first ? inFlight : undefined
      yield* runAlone(task, script, segment, previous, progress)
      yield* step(task, "recording the progress", advance(finished))
    }
  }
})

const describeProgress = (done: number, of: number): string | undefined =>
  done === 0
    ? `none of the ${of} statements is done yet; they run one after the other, not in one transaction`
    : `${done} of ${of} statements are done and stay; the next run goes on with statement ${done + 1}`

/** Runs a statement that cannot be in a transaction. */
const runAlone = Effect.fnUntraced(function* (
  task: Task,
  script: Script,
  segment: Extract<Segment, { _tag: "Alone" }>,
  previous: typeof InFlight.Type | undefined,
  progress: string | undefined
): Effect.fn.Return<void, MigrationError> {
  const { emit, history, lock, work } = task.run
  const { id } = task.file
  const [statement] = segment.statements
  const launched = yield* Ref.make(previous)
  const limits = segment.concurrently
    ? // It waits for every older transaction; a lock timeout would end it and leave an INVALID index.
      { lockTimeout: Duration.zero, statementTimeout: task.limits.concurrentlyTimeout }
    : task.limits
  const settings = settingsBefore(script, segment.statements)
  const set = [
    ...settings,
    `SET lock_timeout = ${milliseconds(limits.lockTimeout)}`,
    `SET statement_timeout = ${milliseconds(limits.statementTimeout)}`
  ].join("; ")
  const attempt = Effect.gen(function* () {
    const pid = yield* step(task, "proving the lock", prove(lock, work))
    yield* step(task, "setting timeouts", work.run(set))
    const earlier = yield* Ref.get(launched)
    const settled = yield* Effect.mapError(Resume.settle(work, statement, earlier), (error) =>
      Failure.ofStatement(script, statement, error, { id, progress })
    )
    for (const description of settled.repaired) yield* emit(MigrationEvent.Repaired({ id, description }))
    if (settled.done) {
      const description = `statement ${statement.number} had been done when the run before ended`
      return yield* emit(MigrationEvent.Repaired({ id, description }))
    }
    const inFlight = { statement: statement.number, indexes: settled.indexes }
    yield* step(task, "returning to the migrating role", work.resumeRole)
    yield* step(task, "recording the statement", history.launch(id, inFlight))
    yield* Ref.set(launched, inFlight)
    if (settings.length > 0) yield* step(task, "repeating SET", work.run(set))
    yield* runStatement(task, script, statement, pid, progress)
  })
  const unset = Effect.zipRight(work.run("SET lock_timeout = 0; SET statement_timeout = 0"), work.resumeRole)
  // It fails only where the connection is gone, which the next step finds.
  yield* patiently(
    task,
    Effect.ensuring(
      attempt,
      Effect.catchAll(unset, (error) => Effect.logDebug(error))
    )
  )
})
