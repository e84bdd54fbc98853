/**
 * Puts the parts together: reads files and history, holds the lock, and runs what there is to run.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as ProcessIdentity from "../internal/node/ProcessIdentity.ts"
import { packageVersion } from "../internal/packageVersion.ts"
import * as PlinthSchema from "../internal/PlinthSchema.ts"
import * as RetryPolicy from "../RetryPolicy.ts"
import type { DownOptions, MigratorOptions, PlanOptions, UpOptions } from "./Options.ts"
import type { MigrationEvent } from "./Event.ts"
import { MigrationEvent as Events } from "./Event.ts"
import * as Failure from "./Failure.ts"
import * as History from "./History.ts"
import * as Lock from "./Lock.ts"
import { logEvent } from "./logEvent.ts"
import { MigrationError } from "./MigrationError.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import type { Plan } from "./Plan.ts"
import { planMigration, refusals, selectUp } from "./Plan.ts"
import * as Losses from "./Losses.ts"
import type { Reconciliation } from "./Reconcile.ts"
import { idsOfTexts, reconcile } from "./Reconcile.ts"
import * as Reversal from "./Reversal.ts"
import * as Runner from "./Runner.ts"
import * as Session from "./Session.ts"
import type { Source } from "./Source.ts"
import type { Status } from "./Status.ts"
import { isUnderWay, statusOf } from "./Status.ts"
import type { Limits, Run } from "./Task.ts"

/**
 * A migration that was run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ran {
  readonly id: string
  readonly name: string
  readonly file: string
  readonly took: Duration.Duration
}

export interface EngineOptions extends Omit<MigratorOptions<never>, "source" | "session"> {
  readonly source: Source
  readonly session: Effect.Effect<Connection, SqlError, Scope.Scope>
}

/** What is known before anything runs. */
interface Picture extends Reconciliation {
  readonly files: ReadonlyArray<MigrationFile>
  readonly rows: ReadonlyArray<History.Row>
}

/** Longer than any pool takes to open a connection; then there is none to be had. */
const sessionWait = Duration.seconds(30)

export interface Engine {
  readonly plan: (options?: PlanOptions) => Effect.Effect<Plan, MigrationError>
  readonly up: (options?: UpOptions) => Effect.Effect<ReadonlyArray<Ran>, MigrationError>
  readonly down: (options?: DownOptions) => Effect.Effect<ReadonlyArray<Ran>, MigrationError>
  readonly status: Effect.Effect<Status, MigrationError>
}

export const makeEngine = (options: EngineOptions): Engine => {
  const emit = (event: MigrationEvent): Effect.Effect<void> => (options.onEvent ?? logEvent)(event)
  const policy = { outOfOrder: options.outOfOrder ?? "error", environment: options.environment } as const
  const limits: Limits = {
    lockTimeout: Duration.decode(options.lockTimeout ?? "2 seconds"),
    statementTimeout: Duration.decode(options.statementTimeout ?? 0),
    concurrentlyTimeout: Duration.decode(options.concurrentlyTimeout ?? "6 hours")
  }

  const lockRetry = options.lockRetry ?? RetryPolicy.ddlLock

  /** The second connection of a run may be one more than the pool has. */
  const session = Effect.timeoutFail(options.session, {
    duration: sessionWait,
    onTimeout: () =>
      new MigrationError({
        reason: "ConnectionFailed",
        description: `no connection within ${Duration.format(sessionWait)}; a run holds two at once`,
        advice: "allow the pool or the pooler at least two connections to this database"
      })
  })

  const open = (application: string): Effect.Effect<Session.Session, MigrationError, Scope.Scope> =>
    Effect.mapError(Session.make(session, application), (error) =>
      error._tag === "SqlError" ? Failure.ofStep("connecting", error) : error
    )

  const look = Effect.fnUntraced(function* (reader: Session.Session): Effect.fn.Return<Picture, MigrationError> {
    const files = yield* options.source.load
    const version = yield* Effect.mapError(PlinthSchema.installed(reader.connection), (error) =>
      error._tag === "SqlError" ? Failure.ofHistory(error) : ofSchema(error)
    )
    const rows = version === 0 ? [] : yield* Effect.mapError(History.read(reader), Failure.ofHistory)
    const texts = yield* Effect.mapError(History.texts(reader, idsOfTexts(files, rows)), Failure.ofHistory)
    return { files, rows, ...reconcile(files, rows, texts, policy) }
  })

  /** Runs with the lock held, the schema `plinth` in place and the history as it is now. */
  const locked = <A>(
    body: (run: Run, picture: Picture) => Effect.Effect<A, MigrationError>
  ): Effect.Effect<A, MigrationError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const identity = yield* ProcessIdentity.current
        const waiting: Lock.LockOptions = {
          wait: Duration.decode(options.lockWait ?? "10 minutes"),
          owner: `${identity.host}:${identity.pid}`,
          emit
        }
        const wording = (name: string) => (error: SqlError | MigrationError) =>
          error._tag === "SqlError" ? Failure.ofStep(name, error) : error
        const lock = yield* Effect.mapError(Lock.acquire(session, waiting), wording("taking the migration lock"))
        const work = yield* open(Lock.workApplication)
        if (work.facts.inRecovery) return yield* standby
        yield* Effect.mapError(Lock.awaitOrphans(lock, work, waiting), wording("looking for earlier runs"))
        const before = yield* Effect.mapError(PlinthSchema.install(work.connection), ofSchema)
        if (before < PlinthSchema.current) {
          yield* emit(Events.Notice({ message: `schema plinth: version ${before} -> ${PlinthSchema.current}` }))
        }
        const history = History.writer(work, lock, {
          host: identity.host,
          application: options.application ?? "plinth",
          version: packageVersion
        })
        return yield* body({ work, lock, history, limits, lockRetry, emit }, yield* look(work))
      })
    )

  const reading = <A>(
    body: (reader: Session.Session, picture: Picture) => Effect.Effect<A, MigrationError>
  ): Effect.Effect<A, MigrationError> =>
    Effect.scoped(
      Effect.gen(function* () {
        const reader = yield* open(`${Lock.workApplication}-reader`)
        return yield* body(reader, yield* look(reader))
      })
    )

  const planDown = Effect.fnUntraced(function* (
    reader: Session.Session,
    picture: Picture,
    which: DownOptions
  ): Effect.fn.Return<Plan, MigrationError> {
    const reversals = yield* Reversal.select(reader, picture.files, picture.rows, which)
    const migrations = yield* Effect.forEach(
      reversals,
      ({ down, file, row }) =>
        Effect.map(
          down._tag === "Script"
            ? Effect.mapError(Losses.read(reader, down), (error) => Failure.ofStep("counting what is lost", error))
            : Effect.succeed(Losses.unknown),
          (losses) => planMigration(file, down, row.status === "reverting" ? row.statementsDone : 0, losses)
        ),
      { concurrency: 1 }
    )
    const problems = reversals.flatMap(({ down, file }) => refusals(file.id, down))
    return { direction: "down", migrations, problems, notes: [] }
  })

  const plan: Engine["plan"] = Effect.fn("Migrator.plan")((which = { direction: "up" }) =>
    reading((reader, picture) => (which.direction === "up" ? planUp(picture, which) : planDown(reader, picture, which)))
  )

  const up: Engine["up"] = Effect.fn("Migrator.up")(function* (which: UpOptions = {}) {
    // The common case: nothing to do, found without the lock, so that many processes start side by side.
    const first = yield* reading((_, picture) => planUp(picture, which))
    if (first.migrations.length === 0 && first.problems.length === 0) {
      return yield* Effect.as(announce(emit, first.notes), [])
    }
    return yield* locked((run, picture) =>
      Effect.gen(function* () {
        const { migrations, notes, problems } = yield* planUp(picture, which)
        const [problem] = problems
        if (problem !== undefined) return yield* problem
        yield* announce(emit, notes)
        const selected = selectUp(picture.pending, which.to)
        return yield* runAll(
          migrations.map(({ id }) => id),
          selected,
          ({ file, row }) => Effect.map(Runner.apply(run, file, row), (took) => ran(file, took))
        )
      })
    )
  })

  const down: Engine["down"] = Effect.fn("Migrator.down")((which: DownOptions = {}) =>
    locked((run, picture) =>
      Effect.gen(function* () {
        const reversals = yield* Reversal.select(run.work, picture.files, picture.rows, which)
        const [problem] = reversals.flatMap(({ down, file }) => refusals(file.id, down))
        if (problem !== undefined) return yield* problem
        return yield* runAll(
          reversals.map(({ file }) => file.id),
          reversals,
          ({ down, file, row }) => Effect.map(Runner.revert(run, file, down, row), (took) => ran(file, took))
        )
      })
    )
  )

  return {
    plan,
    up,
    down,
    status: Effect.withSpan(
      reading((reader, picture) =>
        Effect.gen(function* () {
          const underWay = isUnderWay(picture)
          // One in a transaction leaves no trace before its end.
          if (!underWay && picture.pending.length === 0) return statusOf(picture, undefined)
          const holder = yield* Effect.mapError(Lock.holder(reader), (error) =>
            Failure.ofStep("looking for a run that is under way", error)
          )
          // A run that ended between the two looks has left another history.
          return statusOf(
            underWay && Option.isNone(holder) ? yield* look(reader) : picture,
            Option.getOrUndefined(holder)
          )
        })
      ),
      "Migrator.status"
    )
  }
}

/** Programs are imported: one that cannot be is found by the plan, and not by the deployment. */
const planUp = (picture: Picture, { to }: UpOptions): Effect.Effect<Plan, MigrationError> =>
  Effect.gen(function* () {
    yield* knownId(picture, to)
    const selected = selectUp(picture.pending, to)
    yield* importAll(selected.map(({ file }) => file))
    return {
      direction: "up",
      migrations: selected.map(({ file, row }) =>
        planMigration(file, file.up, row?.status === "started" ? row.statementsDone : 0)
      ),
      problems: [...picture.problems, ...selected.flatMap(({ file }) => refusals(file.id, file.up))],
      notes: [...picture.notes, ...selected.flatMap(({ file }) => emptyNote(file))]
    }
  })

/** What `up` would do in an empty database; reaches none. */
export const planEmpty = (source: Source, environment: string | undefined): Effect.Effect<Plan, MigrationError> =>
  Effect.flatMap(source.load, (files) =>
    planUp({ files, rows: [], ...reconcile(files, [], new Map(), { outOfOrder: "error", environment }) }, {})
  )

/** Most likely a template that nobody filled in yet; once applied, filling it in is an edit. */
const emptyNote = ({ file, up }: MigrationFile): ReadonlyArray<string> =>
  up._tag === "Script" && up.statements.length === 0 ? [`${file} has no statements`] : []

const ran = ({ file, id, name }: MigrationFile, took: Duration.Duration): Ran => ({ id, name, file, took })

const announce = (
  emit: (event: MigrationEvent) => Effect.Effect<void>,
  notes: ReadonlyArray<string>
): Effect.Effect<void> =>
  Effect.forEach(notes, (message) => emit(Events.Notice({ message })), { concurrency: 1, discard: true })

/** An import that fails stops the run before its first migration. */
const importAll = (files: ReadonlyArray<MigrationFile>): Effect.Effect<void, MigrationError> =>
  Effect.forEach(files, ({ up }) => (up._tag === "Code" ? Effect.asVoid(up.load) : Effect.void), {
    concurrency: 1,
    discard: true
  })

/** One after the other; a failure says what was done before it. */
const runAll = <A, B>(
  ids: ReadonlyArray<string>,
  items: ReadonlyArray<A>,
  f: (item: A) => Effect.Effect<B, MigrationError>
): Effect.Effect<ReadonlyArray<B>, MigrationError> =>
  Effect.forEach(
    items,
    (item, index) =>
      Effect.mapError(f(item), (error) => {
        const before = ids.slice(0, index)
        if (before.length === 0) return error
        const done = `${before.join(", ")} ${before.length === 1 ? "is" : "are"} done and stay${before.length === 1 ? "s" : ""}`
        return new MigrationError({
          ...error,
          progress:
            error.progress === undefined ? done : `${done}; of ${error.migration ?? "this one"}: ${error.progress}`
        })
      }),
    { concurrency: 1 }
  )

const knownId = ({ files }: Picture, id: string | undefined): Effect.Effect<void, MigrationError> =>
  id === undefined ||
  files.some((file) => /^\d+$/.test(id) && file.kind === "versioned" && Number(file.id) === Number(id))
    ? Effect.void
    : Effect.fail(
        new MigrationError({
          reason: "UnknownMigration",
          description: `there is no migration ${id}`,
          advice: `use the number of a file${files.length === 0 ? "" : `, such as ${files[0]?.id ?? ""}`}`
        })
      )

const standby = new MigrationError({
  reason: "ReadOnlyServer",
  description: "this server is a standby, and only the primary can be migrated",
  advice: "connect to the primary"
})

const ofSchema = (error: SqlError | PlinthSchema.NewerPlinthSchema): MigrationError =>
  error._tag === "SqlError"
    ? Failure.ofStep("preparing the schema plinth", error)
    : new MigrationError({
        reason: "NewerSchema",
        description: error.message,
        advice: "upgrade effect-plinth to the release that the other programs of this database use",
        cause: error
      })
