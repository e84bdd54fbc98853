/**
 * Runs effects inside transactions of one client.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Lease, PooledConnection, Restore } from "../ConnectionPool.ts"
import { currentHolder } from "../ConnectionPool/holder.ts"
import type { XactOutcome } from "../ConnectionPool/xactStatus.ts"
import * as DatabaseErrors from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import { isTraced } from "../internal/isTraced.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import type { Transaction, TransactionInfo, TransactionOptions } from "../Transaction.ts"
import { make as makeBatch } from "./Batch.ts"
import type { Batch } from "./Batch.ts"
import { make as makeMarkers, markerSteps } from "./CommitMarker.ts"
import { defaultWarnAfter, warnOfAge } from "./warnOfAge.ts"
import { beginSteps, commitStep, defaults } from "./begin.ts"
import { commitTimeout, controlTimeout, Level, Session } from "./Level.ts"
import type { Hook } from "./Level.ts"

/** A level of a transaction as `@effect/sql` sees it. */
export interface LevelConnection extends Connection {
  readonly level: Level
}

export interface Runner {
  readonly service: Omit<Transaction["Type"], "batch">
  /** `service.run` with the failures of the transaction itself in the caller's type. */
  readonly runWith: <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions,
    onError: (error: DatabaseError) => E2
  ) => Effect.Effect<A, E | E2, R>
  readonly batch: Batch
  /** The innermost transaction that a fiber with this context is in. */
  readonly current: (context: Context.Context<never>) => LevelConnection | undefined
}

export interface RunnerOptions {
  readonly backend: SqlBackend
  /** Makes the connection of a level; `enclosing` is the one that the fiber had before, of whichever client. */
  readonly connect: (level: Level, enclosing: Connection | undefined) => LevelConnection
  /** The level of this client among a connection and those that enclose it. */
  readonly own: (connection: Connection) => LevelConnection | undefined
}

const justCommit = [commitStep]
const committing = { operation: "commit", inTransaction: true, replyWithin: commitTimeout, toTheEnd: true }
const rollingBack = { operation: "rollback", replyWithin: controlTimeout, toTheEnd: true }

let lastClient = 0
let lastTransaction = 0

export const make = ({ backend, connect, own }: RunnerOptions): Runner => {
  // One key per client: inside a transaction of this one, a query of another client is not this one's query.
  const key = Context.GenericTag<LevelConnection>(`plinth/Transaction/Current/${++lastClient}`)
  const markers = makeMarkers(backend)

  const current = (context: Context.Context<never>): LevelConnection | undefined => {
    const mine = Context.getOption(context, key)
    if (Option.isSome(mine)) return mine.value
    // SqlResolver forwards only the key that all clients share.
    const shared = Context.getOption(context, SqlClient.TransactionConnection)
    return Option.isSome(shared) ? own(shared.value[0]) : undefined
  }

  /**
   * How `effect` ends with every statement of this client on `level`, from inside an uninterruptible region of which
   * `restore` is the way out. There the context can be put back without the frames of `Effect.provide`, which are a fifth
   * of what a small transaction costs.
   */
  const exitWithin = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    level: Level,
    restore: Restore
  ): Effect.Effect<Exit.Exit<A, E>, never, R> =>
    Effect.withFiberRuntime((fiber) => {
      const before = fiber.currentContext
      const shared = Context.getOption(before, SqlClient.TransactionConnection)
      const connection = connect(level, Option.isSome(shared) ? shared.value[0] : undefined)
      // One copy, where `Context.add` makes one for each.
      const services = new Map(before.unsafeMap)
      services.set(key.key, connection)
      services.set(SqlClient.TransactionConnection.key, [connection, level.info.depth])
      const inside = Context.unsafeMake(services)
      return Effect.flatMap(FiberRef.set(FiberRef.currentContext, inside), () =>
        Effect.flatMap(Effect.exit(restore(effect)), (exit) =>
          Effect.as(FiberRef.set(FiberRef.currentContext, before), exit)
        )
      )
    })

  const failure = (
    reason: "TransactionAborted" | "CommitInDoubt" | "ConnectionLost" | "TransactionTimeout" | "AcquireTimeout",
    operation: string,
    description: string,
    cause?: unknown
  ): DatabaseError => new DatabaseErrors.DatabaseError({ reason, operation, description, node: backend.name, cause })

  const commit = (
    { connection, outcomeOf, release }: Lease,
    session: Session,
    role: string | undefined,
    marker?: string
  ): Effect.Effect<void, DatabaseError> =>
    connection.run(marker === undefined ? justCommit : [...markerSteps(marker, role), commitStep], committing).pipe(
      Effect.flatMap((results) =>
        // The COMMIT of a failed transaction is answered by a rollback that looks like a success.
        results.at(-1)?.command === "COMMIT"
          ? Effect.void
          : Effect.fail(
              failure("TransactionAborted", "commit", "a statement had failed and its error was not passed on")
            )
      ),
      // Without a statement that may have written it has no effect that could be in doubt.
      Effect.catchIf(
        // One that was not sent, or certainly not begun, is the connection's failure and not the COMMIT's.
        (error) => error.isConnectionFailure && error.operation === committing.operation && session.wrote,
        (error) =>
          marker === undefined
            ? resolve(session.xid, outcomeOf, error)
            : // Whoever asks may need the place of the connection that is gone.
              Effect.zipRight(release, resolve(marker, markers.outcomeOf, error))
      )
    )

  /** COMMIT was sent and its answer is lost. */
  const resolve = (
    id: string | undefined,
    outcomeOf: (id: string) => Effect.Effect<Option.Option<XactOutcome>>,
    cause: DatabaseError
  ): Effect.Effect<void, DatabaseError> =>
    Effect.flatMap(id === undefined ? Effect.succeedNone : outcomeOf(id), (outcome) => {
      if (Option.isNone(outcome)) {
        const which = id === undefined ? "" : `, and nobody can say what became of transaction ${id}`
        return Effect.fail(
          failure("CommitInDoubt", "commit", `the connection was lost before the answer to COMMIT${which}`, cause)
        )
      }
      return outcome.value === "committed"
        ? Effect.void
        : Effect.fail(
            failure("ConnectionLost", "commit", "the connection was lost and the server did not commit", cause)
          )
    })

  const rollback = (connection: PooledConnection): Effect.Effect<void> =>
    connection.status === "I"
      ? Effect.void
      : connection.run([{ text: "ROLLBACK", params: [] }], rollingBack).pipe(
          // The pool drops what comes back open; the failure that led here is the one to report.
          Effect.catchAll((error) => Effect.logDebug("ROLLBACK failed", error)),
          Effect.asVoid
        )

  const attempt = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions,
    number: number,
    onError: (error: DatabaseError) => E2
  ): Effect.Effect<A, E | E2, R> => {
    const info: TransactionInfo = {
      id: ++lastTransaction,
      label: options.label,
      isolation: options.isolation,
      access: options.access ?? "read write",
      depth: 0,
      attempt: number
    }
    const begin = beginSteps(options)
    const body = inTime(effect, options, onError)
    const warnAfter = options.warnAfter === undefined ? defaultWarnAfter : Duration.toMillis(options.warnAfter)
    let hooks: ReadonlyArray<Effect.Effect<void>> = []
    const end = (lease: Lease, level: Level, exit: Exit.Exit<A, E | E2>): Effect.Effect<A, E | E2> => {
      const { session } = level
      const ended = (kind: Hook) => {
        hooks = [...session.undone, ...level.hooks[kind]]
      }
      session.ended = true
      level.ended = true
      ended(Exit.isSuccess(exit) ? "afterCommit" : "afterRollback")
      if (Exit.isFailure(exit)) return Effect.zipRight(rollback(session.connection), exit)
      if (!session.begun) return exit
      const marker = options.confirm === "marker" && session.wrote ? crypto.randomUUID() : undefined
      return Effect.matchEffect(commit(lease, session, options.role, marker), {
        onSuccess: () => exit,
        onFailure: (error) => {
          ended(error.reason === "CommitInDoubt" ? "onInDoubt" : "afterRollback")
          return Effect.zipRight(rollback(session.connection), Effect.fail(onError(error)))
        }
      })
    }
    const leased = Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.mapError(backend.lease({ access: info.access }, restore), onError), (lease) => {
        const holder = currentHolder()
        const session = new Session(
          lease.connection,
          begin,
          info.access === "read only" ? () => false : backend.mayWrite
        )
        lease.remind(warnAfter, (ms) => warnOfAge(info, session.texts, holder, ms))
        const level = new Level(session, info)
        return Effect.flatMap(exitWithin(body, level, restore), (exit) =>
          Effect.flatMap(Effect.exit(end(lease, level, exit)), (ended) =>
            // The hooks run when the connection is back in its pool.
            Effect.flatMap(lease.release, () =>
              hooks.length === 0 ? ended : Effect.zipRight(Effect.all(hooks, { discard: true }), ended)
            )
          )
        )
      })
    )
    const transaction =
      options.confirm === "marker" ? Effect.zipRight(Effect.mapError(markers.ready, onError), leased) : leased
    return withSpan(transaction, () => ({
      "db.system.name": "postgresql",
      "plinth.transaction.attempt": number,
      ...(options.label === undefined ? {} : { "plinth.transaction.label": options.label })
    }))
  }

  const inTime = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    { timeout }: TransactionOptions,
    onError: (error: DatabaseError) => E2
  ): Effect.Effect<A, E | E2, R> =>
    timeout === undefined
      ? effect
      : Effect.timeoutFail(effect, {
          duration: timeout,
          onTimeout: () => onError(failure("TransactionTimeout", "transaction", "its deadline passed"))
        })

  const outermost = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions,
    onError: (error: DatabaseError) => E2
  ): Effect.Effect<A, E | E2, R> => {
    const { retry } = options
    if (retry === undefined) return attempt(effect, options, 1, onError)
    return Effect.suspend(() => {
      let number = 0
      return retrying(
        Effect.suspend(() => attempt(effect, options, ++number, onError)),
        retry
      )
    })
  }

  const retrying = <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    schedule: NonNullable<TransactionOptions["retry"]>
  ): Effect.Effect<A, E, R> =>
    Effect.retry(effect, {
      schedule: Schedule.mapInput(schedule, (error: E) => DatabaseErrors.from(error)),
      while: (error) => Option.exists(DatabaseErrors.find(error), (found) => found.isRetryable)
    })

  const nested = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    parent: Level,
    onError: (error: DatabaseError) => E2
  ): Effect.Effect<A, E | E2, R> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.zipRight(parent.enter(restore), Effect.ensuring(savepoint(effect, parent, onError, restore), parent.leave))
    )

  const savepoint = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    parent: Level,
    onError: (error: DatabaseError) => E2,
    restore: Restore
  ): Effect.Effect<A, E | E2, R> => {
    const { session } = parent
    const level = new Level(session, { ...parent.info, depth: parent.info.depth + 1 })
    const name = session.name("savepoint")
    const undo = session.run(
      [
        { text: `ROLLBACK TO SAVEPOINT ${name}`, params: [], prepare: false },
        { text: `RELEASE SAVEPOINT ${name}`, params: [], prepare: false }
      ],
      "rollback"
    )
    const undone = Effect.zipRight(
      Effect.catchAll(undo, (error) => Effect.logDebug("ROLLBACK TO SAVEPOINT failed", error)),
      Effect.sync(() => parent.rolledBack(level))
    )
    const open = session.run([{ text: `SAVEPOINT ${name}`, params: [], prepare: false }], "savepoint")
    const release = session.run([{ text: `RELEASE SAVEPOINT ${name}`, params: [], prepare: false }], "release")
    return Effect.flatMap(Effect.mapError(open, onError), () =>
      Effect.flatMap(exitWithin(effect, level, restore), (exit) => {
        level.ended = true
        return Exit.isFailure(exit)
          ? Effect.zipRight(undone, exit)
          : Effect.matchEffect(release, {
              // 25P02: a statement failed inside and its error was swallowed; the savepoint cannot be kept.
              onFailure: (error) => Effect.zipRight(undone, Effect.fail(onError(error))),
              onSuccess: () =>
                Effect.zipRight(
                  Effect.sync(() => parent.committed(level)),
                  exit
                )
            })
      })
    )
  }

  const refusalInside = (options: TransactionOptions, enclosing: TransactionInfo): DatabaseError | undefined => {
    const lost = unapplied(options, enclosing)
    return lost.length === 0
      ? undefined
      : failure(
          "TransactionAborted",
          "begin",
          `${lost.join(", ")} cannot be had inside another transaction; give it to that one, or use propagation "requiresNew"`
        )
  }

  const runWith: Runner["runWith"] = <A, E, R, E2>(
    effect: Effect.Effect<A, E, R>,
    options: TransactionOptions,
    onError: (error: DatabaseError) => E2
  ): Effect.Effect<A, E | E2, R> =>
    Effect.contextWithEffect((context: Context.Context<never>) => {
      const parent = current(context)?.level
      const refuse = (description: string) => Effect.fail(onError(failure("TransactionAborted", "begin", description)))
      const inside = (enclosing: Level, run: () => Effect.Effect<A, E | E2, R>): Effect.Effect<A, E | E2, R> => {
        const refusal = refusalInside(options, enclosing.info)
        return refusal === undefined ? run() : Effect.fail(onError(refusal))
      }
      switch (options.propagation ?? "nested") {
        case "nested":
          return parent === undefined
            ? outermost(effect, options, onError)
            : inside(parent, () => nested(inTime(effect, options, onError), parent, onError))
        case "required":
          return parent === undefined
            ? outermost(effect, options, onError)
            : inside(parent, () => inTime(effect, options, onError))
        case "mandatory":
          return parent === undefined
            ? refuse("it must run inside another transaction, and there is none")
            : inside(parent, () => inTime(effect, options, onError))
        case "never":
          return parent === undefined ? effect : refuse("it must not run inside a transaction")
        case "requiresNew":
          return Effect.flatMap(backend.capacity, (capacity) =>
            parent !== undefined && capacity < 2
              ? Effect.fail(
                  onError(failure("AcquireTimeout", "begin", `a second connection is needed and the pool's max is 1`))
                )
              : outermost(effect, options, onError)
          )
      }
    })

  const withoutTransaction = <R>(context: Context.Context<R>): Context.Context<R> => {
    const services = new Map(context.unsafeMap)
    services.delete(key.key)
    services.delete(SqlClient.TransactionConnection.key)
    return Context.unsafeMake(services)
  }

  const hook =
    (kind: Hook) =>
    <R>(effect: Effect.Effect<void, never, R>): Effect.Effect<void, never, R> =>
      Effect.contextWithEffect((context: Context.Context<R>) => {
        const found = current(context)
        if (found === undefined) return kind === "afterCommit" ? effect : Effect.void
        // It will run when the transaction is over, so it must not see it.
        const outside = Effect.mapInputContext(effect, (outer: Context.Context<never>) =>
          Context.merge(outer, withoutTransaction(context))
        )
        return Effect.sync(() => {
          found.level.hooks[kind].push(
            outside.pipe(Effect.catchAllCause((cause) => Effect.logError(`${kind} failed`, Cause.pretty(cause))))
          )
        })
      })

  const batch = makeBatch({
    backend,
    rollback,
    levelOf: (context, options) => {
      const parent = current(context)?.level
      if (parent === undefined) return Effect.succeed(undefined)
      const refusal = refusalInside(options, parent.info)
      return refusal === undefined ? Effect.succeed(parent) : Effect.fail(refusal)
    },
    inTime: (effect, options) => inTime(effect, options, (error) => error),
    retrying
  })

  return {
    current,
    runWith,
    batch,
    service: {
      run: (effect, options = defaults) => runWith(effect, options, (error) => error),
      current: Effect.map(Effect.context<never>(), (context) => Option.fromNullable(current(context)?.level.info)),
      afterCommit: hook("afterCommit"),
      afterRollback: hook("afterRollback"),
      onInDoubt: hook("onInDoubt")
    }
  }
}

/** The options that a transaction inside another one would silently not get. */
const unapplied = (options: TransactionOptions, enclosing: TransactionInfo): ReadonlyArray<string> => [
  ...(options.isolation === undefined || options.isolation === enclosing.isolation ? [] : ["isolation"]),
  ...(options.access === undefined || options.access === enclosing.access ? [] : ["access"]),
  ...(["confirm", "deferrable", "lockTimeout", "role", "settings"] as const).filter(
    (name) => options[name] !== undefined
  )
]

/** Only where a tracer is installed: the one that Effect brings along keeps nothing, and costs as much as the pool. */
const withSpan = <A, E, R>(
  transaction: Effect.Effect<A, E, R>,
  attributes: () => Record<string, unknown>
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) =>
    isTraced(fiber)
      ? Effect.withSpan(transaction, "sql.transaction", {
          kind: "client",
          captureStackTrace: false,
          attributes: attributes()
        })
      : transaction
  )
