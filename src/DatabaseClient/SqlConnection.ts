/**
 * `@effect/sql`'s view of whatever runs statements: autocommit on a backend, or a level of a transaction.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { toSqlError } from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import type { Level } from "../Transaction/Level.ts"

export interface Executor {
  readonly run: (query: Query) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>
  readonly stream: (query: Query) => Stream.Stream<Result, DatabaseError>
}

type TransformRows = (<A extends object>(row: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/**
 * Several statements in one text need the simple protocol, which takes no parameters. A semicolon inside a literal
 * only costs the preparation.
 */
const protocolOf = (sql: string, params: ReadonlyArray<unknown>): "simple" | "extended" =>
  params.length === 0 && sql.includes(";") ? "simple" : "extended"

/** The rows of one statement, or the rows of each where the text held several. */
const rowsOf = (results: ReadonlyArray<Result>): ReadonlyArray<Result["rows"][number]> => {
  const [first] = results
  return results.length === 1 && first !== undefined ? first.rows : results.map((result) => result.rows)
}

export class SqlConnection implements Connection {
  private readonly executor: Executor

  constructor(executor: Executor) {
    this.executor = executor
  }

  private rows(query: Query, transformRows?: TransformRows) {
    return Effect.mapBoth(this.executor.run(query), {
      onFailure: toSqlError,
      onSuccess: (results) => {
        const rows = rowsOf(results)
        return transformRows === undefined ? rows : transformRows(rows)
      }
    })
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.rows({ text: sql, params, protocol: protocolOf(sql, params) }, transformRows)
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    return Effect.mapBoth(this.executor.run({ text: sql, params, protocol: protocolOf(sql, params) }), {
      onFailure: toSqlError,
      onSuccess: (results) => (results.length === 1 ? results[0] : results)
    })
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.rows({ text: sql, params, rowMode: "array", protocol: protocolOf(sql, params) })
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.rows(
      { text: sql, params, prepare: false, protocol: params.length === 0 ? "simple" : "extended" },
      transformRows
    )
  }

  executeStream(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.executor.stream({ text: sql, params }).pipe(
      Stream.mapError(toSqlError),
      Stream.mapConcat((result) => (transformRows === undefined ? result.rows : transformRows(result.rows)))
    )
  }
}

/** A level of a transaction of one client. */
export class LevelSqlConnection extends SqlConnection {
  /** The client that it belongs to. */
  readonly owner: object
  readonly level: Level
  /** The connection that its fiber had before, of another client or of an outer level. */
  readonly enclosing: Connection | undefined

  constructor(executor: Executor, owner: object, level: Level, enclosing: Connection | undefined) {
    super(executor)
    this.owner = owner
    this.level = level
    this.enclosing = enclosing
  }
}

/** The level of `owner` among a connection and those that enclose it. */
export const ownedBy = (owner: object, connection: Connection): LevelSqlConnection | undefined => {
  let candidate: Connection | undefined = connection
  while (candidate instanceof LevelSqlConnection) {
    if (candidate.owner === owner) return candidate
    candidate = candidate.enclosing
  }
  return undefined
}
