/**
 * The rows of several statements, each with the type of its own.
 */
import type { Statement } from "@effect/sql/Statement"

/** Of each statement its rows, in the same order. */
export type BatchRows<Statements extends ReadonlyArray<Statement<unknown>>> = {
  readonly [Index in keyof Statements]: Statements[Index] extends Statement<infer Row> ? ReadonlyArray<Row> : never
}

/** One array of rows per statement, in the same order: TypeScript cannot see that a map keeps the tuple. */
export const batchRows = <Statements extends ReadonlyArray<Statement<unknown>>>(
  rows: ReadonlyArray<ReadonlyArray<unknown>>
): BatchRows<Statements> => rows as BatchRows<Statements>
