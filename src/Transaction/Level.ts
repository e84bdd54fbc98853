/**
 * A transaction while it runs: the outermost level owns the connection, each nested level a savepoint.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type { PooledConnection } from "../ConnectionPool.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Query, Step } from "../internal/pg/Exchange.ts"
import { isPlanned } from "../internal/pg/StatementCache.ts"
import type { Result } from "../internal/pg/Result.ts"
import type { TransactionInfo } from "../Transaction.ts"

/** The id of the transaction, once there is something to commit. */
export const askForXid: Query = {
  text: "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text AS xid",
  params: [],
  types: "stock"
}

/** Texts that are kept of a transaction that runs many statements. */
const keptTexts = 10

/**
 * What only moves the transaction along is answered at once, and is waited for where nothing can interrupt the waiting:
 * without an answer for this long, in milliseconds, it takes its connection with it.
 */
export const controlTimeout = 5_000

/** The operations of a level that only move the transaction along. */
const moves: ReadonlySet<string> = new Set(["savepoint", "release", "rollback", "close"])

/** A COMMIT without an answer for this long, in milliseconds, is in doubt. */
export const commitTimeout = 30_000

/** The connection and what all levels of one transaction share. */
export class Session {
  /** Set from the moment the outermost level starts to end. */
  ended = false
  begun = false
  /** afterRollback of nested levels that were undone. */
  readonly undone: Array<Effect.Effect<void>> = []
  readonly connection: PooledConnection
  /** The transaction's id, once it has written something and the server has said so. */
  xid: string | undefined
  /** A statement ran that may have written. */
  wrote = false
  /** The texts of its last statements, for whoever asks what it is doing. */
  readonly texts: Array<string> = []
  private names = 0
  private readonly begin: ReadonlyArray<Query>
  private readonly mayWrite: (sql: string) => boolean

  constructor(connection: PooledConnection, begin: ReadonlyArray<Query>, mayWrite: (sql: string) => boolean) {
    this.connection = connection
    this.begin = begin
    this.mayWrite = mayWrite
  }

  /** A name that nothing else in this transaction has. */
  name(kind: "savepoint" | "portal"): string {
    return `plinth_${kind}_${++this.names}`
  }

  /**
   * Runs steps inside the transaction. BEGIN travels with the first of them, under one Sync: when it fails, what
   * follows it is skipped by the server and cannot commit by itself. The question for the transaction's id rides behind
   * whatever may have written, until there is one.
   */
  run(
    steps: ReadonlyArray<Step>,
    operation = "query",
    batchFrom?: number
  ): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    return Effect.suspend(() => this.runNow(steps, operation, batchFrom))
  }

  runNow(
    steps: ReadonlyArray<Step>,
    operation: string,
    batchFrom: number | undefined
  ): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    if (this.ended) return Effect.fail(this.closed(operation))
    const { connection } = this
    // Rows that are still to come are of a portal that was opened, and asked about, before.
    const mayWrite = operation === "query" && steps.some((step) => "text" in step && this.mayWrite(step.text))
    this.wrote ||= mayWrite
    this.note(steps)
    // A simple query brings a Sync of its own, so BEGIN must have succeeded before it is sent.
    if (steps.some((step) => "protocol" in step && step.protocol === "simple")) {
      const alone = connection.run(steps, { operation, inTransaction: true })
      if (this.begun) return alone
      this.begun = true
      return Effect.zipRight(connection.run(this.begin, { operation: "begin" }), alone)
    }
    const before = this.begun ? [] : this.begin
    // Not behind SET, LOCK or COPY: the question would take the transaction's snapshot, or be read as data.
    const asks = mayWrite && this.xid === undefined && steps.every((step) => "text" in step && isPlanned(step.text))
    const options = {
      operation,
      inTransaction: this.begun,
      batchFrom: batchFrom === undefined ? undefined : before.length + batchFrom,
      batchTo: before.length + steps.length,
      replyWithin: moves.has(operation) ? controlTimeout : undefined
    }
    this.begun = true
    if (before.length === 0 && !asks) return connection.run(steps, options)
    return Effect.map(connection.run([...before, ...steps, ...(asks ? [askForXid] : [])], options), (results) => {
      if (asks) this.xid = results.at(-1)?.rows[0]?.xid ?? undefined
      return results.slice(before.length, before.length + steps.length)
    })
  }

  private note(steps: ReadonlyArray<Step>): void {
    for (const step of steps) if ("text" in step) this.texts.push(step.text)
    if (this.texts.length > 2 * keptTexts) this.texts.splice(0, this.texts.length - keptTexts)
  }

  closed(operation: string): DatabaseError {
    return new DatabaseError({
      reason: "TransactionAborted",
      operation,
      description: "the transaction has already ended; a fiber that outlived it cannot use it"
    })
  }
}

/** What can wait for the end of a transaction. */
export type Hook = "afterCommit" | "afterRollback" | "onInDoubt"

/** One level of a transaction: where statements run, and one nested level at a time. */
export class Level {
  readonly info: TransactionInfo
  readonly hooks: Record<Hook, Array<Effect.Effect<void>>> = { afterCommit: [], afterRollback: [], onInDoubt: [] }
  readonly session: Session
  /** Set from the moment the level starts to end. */
  ended = false
  private child: Deferred.Deferred<void> | undefined

  constructor(session: Session, info: TransactionInfo) {
    this.session = session
    this.info = info
  }

  /**
   * Runs steps on this level. While a nested transaction is open they wait for its end: between its savepoint and its
   * rollback they would be undone with it.
   */
  run(
    steps: ReadonlyArray<Step>,
    operation?: string,
    batchFrom?: number
  ): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    return Effect.suspend(() => {
      // What it would write could be undone with a sibling, or kept although this level was undone.
      if (this.ended) return Effect.fail(this.session.closed(operation ?? "query"))
      return this.child === undefined
        ? this.session.runNow(steps, operation ?? "query", batchFrom)
        : Effect.zipRight(Deferred.await(this.child), this.run(steps, operation, batchFrom))
    })
  }

  /** Opens the place for a nested level, waiting for siblings in turn; only the waiting can be interrupted. */
  enter(restore: <A>(effect: Effect.Effect<A>) => Effect.Effect<A>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.child !== undefined) return Effect.zipRight(restore(Deferred.await(this.child)), this.enter(restore))
      this.child = Deferred.unsafeMake<void>(FiberId.none)
      return Effect.void
    })
  }

  readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    const gate = this.child
    this.child = undefined
    return gate === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(gate, undefined))
  })

  /** A nested level was released: what waits for its end now waits for this one's. */
  committed(child: Level): void {
    for (const kind of ["afterCommit", "afterRollback", "onInDoubt"] as const) {
      this.hooks[kind].push(...child.hooks[kind])
    }
  }

  /** A nested level was undone: its afterRollback runs at the end of the whole, however that ends. */
  rolledBack(child: Level): void {
    this.session.undone.push(...child.hooks.afterRollback)
  }
}
