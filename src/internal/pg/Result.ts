/**
 * Rows off the wire as JavaScript values.
 */
import * as Pg from "pg"
import type { CustomTypesConfig, FieldDef, QueryResult, QueryResultRow } from "pg"

/** How values become JavaScript, by type OID. */
export type TypeParsers = CustomTypesConfig

export interface Result extends QueryResult {
  /** The portal has more rows. */
  readonly suspended: boolean
}

/** Columns and how each is read: worked out once per prepared statement. */
export class RowShape {
  readonly fields: Array<FieldDef>
  private readonly names: ReadonlyArray<string>
  private readonly parsers: ReadonlyArray<(value: string) => unknown>
  private readonly template: QueryResultRow

  constructor(fields: Array<FieldDef>, types: TypeParsers | undefined) {
    const parsers = types ?? Pg.types
    this.fields = fields
    this.names = fields.map(({ name }) => name)
    this.parsers = fields.map(({ dataTypeID }) => parsers.getTypeParser(dataTypeID, "text") ?? identity)
    // Copied for each row, so that all rows have one hidden class. Without a prototype a column may be `__proto__`.
    this.template = Object.assign(Object.create(null), Object.fromEntries(this.names.map((name) => [name, null])))
  }

  object(values: ReadonlyArray<string | null>): QueryResultRow {
    const row = { ...this.template }
    const { names, parsers } = this
    for (let i = 0; i < names.length; i++) {
      const name = names[i]
      const value = values[i]
      const parse = parsers[i]
      if (name !== undefined && parse !== undefined)
        row[name] = value === null || value === undefined ? null : parse(value)
    }
    return row
  }

  array(values: ReadonlyArray<string | null>): Array<unknown> {
    return values.map((value, i) => (value === null ? null : this.parsers[i]?.(value)))
  }
}

/** For types that a caller's parsers do not know. */
const identity = (value: string): unknown => value

/** The shape of what has no rows. */
export const noRows = new RowShape([], undefined)

const commandTag = /^([A-Za-z]+)(?: (\d+))?(?: (\d+))?/

/** A result from the rows and the command tag that ended it. */
export const makeResult = (shape: RowShape, rows: Array<QueryResultRow>, tag: string, suspended: boolean): Result => {
  // The tag of an INSERT is `INSERT oid rows`, of others `COMMAND rows` or `COMMAND`.
  const [, command = "", first, second] = commandTag.exec(tag) ?? []
  const count = second ?? first
  return {
    command,
    rowCount: count === undefined ? null : Number(count),
    oid: second === undefined ? 0 : Number(first),
    fields: shape.fields,
    rows,
    suspended
  }
}
