/**
 * The failure type of every Plinth operation: what a caller can meet when talking to PostgreSQL, as a closed set of
 * reasons derived from SQLSTATE in one place.
 *
 * @since 0.1.0
 */
import { SqlError, SqlErrorTypeId } from "@effect/sql/SqlError"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as driver from "./DatabaseError/driver.ts"
import { policy, reasons as policies } from "./DatabaseError/reasons.ts"
import type { Reason as ReasonType } from "./DatabaseError/reasons.ts"
import * as sqlState from "./DatabaseError/sqlState.ts"

/**
 * Why an operation failed; the only field to branch on.
 *
 * @since 0.1.0
 * @category models
 */
export type Reason = ReasonType

/**
 * Every reason there is.
 *
 * @since 0.1.0
 * @category models
 */
export const reasons: ReadonlyArray<Reason> = Object.keys(policies).filter((key): key is Reason =>
  Object.hasOwn(policies, key)
)

/**
 * What a failure says.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fields {
  /** Why it failed; the only field to branch on. */
  readonly reason: Reason
  /** What Plinth was doing: `connect`, `acquire`, `query`, `begin`, `commit`, .. */
  readonly operation: string
  /** One sentence in words; the server's own message, without row values, when there is one. */
  readonly description: string
  /** The five characters that the server sent, if it sent any. */
  readonly sqlState?: string | undefined
  /** `host:port/database` of the node, never with credentials. */
  readonly node?: string | undefined
  /** `ERROR`, `FATAL` or `PANIC` in the server's language; after the latter two the connection is gone. */
  readonly severity?: string | undefined
  readonly constraint?: string | undefined
  readonly schema?: string | undefined
  readonly table?: string | undefined
  readonly column?: string | undefined
  /** The server's detail; it may quote the row. */
  readonly detail?: string | undefined
  readonly hint?: string | undefined
  /** The server's context (PL/pgSQL call stack, COPY line); it may quote the row. */
  readonly where?: string | undefined
  /** 1-based character offset into the statement, as PostgreSQL reports it. */
  readonly position?: number | undefined
  /** Of a batch: which of its statements failed, from 0; none when it failed as a whole, as at its commit. */
  readonly statement?: number | undefined
  /** The error of the driver or the socket; a server's report is in the fields instead. */
  readonly cause?: unknown
}

/**
 * A failed database operation.
 *
 * `message`, `toString`, `toJSON` and inspection show neither `detail` nor `where` nor `cause`: the server quotes rows in
 * them. Read the fields where that is wanted.
 *
 * @since 0.1.0
 * @category errors
 */
export class DatabaseError extends Data.TaggedError("DatabaseError")<Fields> {
  constructor(fields: Fields) {
    super(fields)
    // Loggers and test runners list what is enumerable.
    Object.defineProperties(this, { detail: { enumerable: false }, where: { enumerable: false } })
  }

  /**
   * Running the whole transaction again from its start may succeed, and nothing of the failed run was kept. A commit in
   * doubt never is.
   */
  get isRetryable(): boolean {
    return policy(this.reason).retryable
  }

  /** It may pass by itself: no statement, row, privilege or setting has to be changed. */
  get isTransient(): boolean {
    return policy(this.reason).transient
  }

  /** The node could not be reached or went away: another node may answer. Circuit breakers count only these. */
  get isConnectionFailure(): boolean {
    return policy(this.reason).connection
  }

  /** The SQLSTATE under the name that node-postgres gives it, so that code written for its errors keeps working. */
  get code(): string | undefined {
    return this.sqlState
  }

  override get message(): string {
    const which = this.statement === undefined ? "" : ` at statement ${this.statement + 1} of a batch`
    const where = `${which}${this.node === undefined ? "" : ` on ${this.node}`}`
    const code = this.sqlState === undefined ? this.reason : `${this.reason}, SQLSTATE ${this.sqlState}`
    const advice = this.hint ?? policy(this.reason).advice
    return `${this.operation} failed${where}: ${this.description} (${code})${advice === undefined ? "" : `. ${advice}`}`
  }

  override toString(): string {
    return `${this._tag}: ${this.message}`
  }

  override toJSON(): unknown {
    const { _tag, column, constraint, description, hint, message, node, operation, position } = this
    const { reason, schema, severity, sqlState, statement, table } = this
    return {
      _tag,
      reason,
      operation,
      message,
      description,
      node,
      sqlState,
      severity,
      statement,
      schema,
      table,
      column,
      constraint,
      position,
      hint
    }
  }
}

/**
 * @since 0.1.0
 * @category refinements
 */
export const isDatabaseError = (error: unknown): error is DatabaseError => error instanceof DatabaseError

/**
 * The reason that a SQLSTATE stands for: by code, else by its class, else `Unknown`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reasonOfSqlState: (sqlState: string) => Reason = sqlState.reasonOfSqlState

/**
 * Classifies whatever a driver threw: a server's report (any error with a five-character `code`), a socket's failure, an
 * error of node-postgres itself. A `DatabaseError` is returned as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromUnknown = (
  cause: unknown,
  context: {
    readonly operation: string
    readonly node?: string | undefined
    readonly statement?: number | undefined
  }
): DatabaseError =>
  isDatabaseError(cause) ? cause : new DatabaseError({ ...driver.read(cause, context.operation), ...context })

/**
 * The `DatabaseError` behind an error: itself, or found among its causes; what a client's `SqlError` was caused by is
 * classified. `None` for an error that is no database's.
 *
 * @since 0.1.0
 * @category accessors
 */
export const find = (error: unknown): Option.Option<DatabaseError> => {
  const root = rootOf(error)
  return root.isDatabase ? Option.some(fromUnknown(root.error, { operation: "query" })) : Option.none()
}

/**
 * The `DatabaseError` behind an error, as `find` finds it, else what the error at the bottom is classified as.
 *
 * @since 0.1.0
 * @category constructors
 */
export const from = (error: unknown): DatabaseError => fromUnknown(rootOf(error).error, { operation: "query" })

/** The first `DatabaseError` among an error and its causes, else the last cause; and whether a database's error led there. */
const rootOf = (error: unknown): { readonly error: unknown; readonly isDatabase: boolean } => {
  let current = error
  let isDatabase = false
  // Eight levels are more than any library nests, and end a cause that points back at itself.
  for (let depth = 0; depth < 8; depth++) {
    if (isDatabaseError(current)) return { error: current, isDatabase: true }
    isDatabase ||= Predicate.hasProperty(current, SqlErrorTypeId)
    if (!Predicate.hasProperty(current, "cause") || !Predicate.isObject(current.cause)) break
    current = current.cause
  }
  return { error: current, isDatabase }
}

/**
 * The error as the `SqlError` that `@effect/sql` promises its callers, with itself as `cause`.
 *
 * @since 0.1.0
 * @category conversions
 */
export const toSqlError = (error: DatabaseError): SqlError => new SqlError({ cause: error, message: error.message })

/**
 * Recovers from one reason (or several), whether the effect fails with `DatabaseError`, with the `SqlError` of a client,
 * or with an error caused by one.
 *
 * @example
 * ```ts
 * import { DatabaseError } from "effect-plinth"
 * import * as Effect from "effect/Effect"
 *
 * declare const register: Effect.Effect<string, DatabaseError.DatabaseError>
 *
 * export const program = register.pipe(
 *   DatabaseError.catchReason("UniqueViolation", (error) => Effect.succeed(`taken (${error.constraint})`))
 * )
 * ```
 *
 * @since 0.1.0
 * @category error handling
 */
export const catchReason: {
  <A2, E2, R2>(
    reason: Reason | ReadonlyArray<Reason>,
    recover: (error: DatabaseError) => Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    reason: Reason | ReadonlyArray<Reason>,
    recover: (error: DatabaseError) => Effect.Effect<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2>
} = dual(
  3,
  <A, E, R, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    reason: Reason | ReadonlyArray<Reason>,
    recover: (error: DatabaseError) => Effect.Effect<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2> => {
    const wanted: ReadonlyArray<Reason> = typeof reason === "string" ? [reason] : reason
    return Effect.catchAll(self, (error): Effect.Effect<A2, E | E2, R2> => {
      const found = Option.filter(find(error), ({ reason: actual }) => wanted.includes(actual))
      return Option.isSome(found) ? recover(found.value) : Effect.fail(error)
    })
  }
)
