/**
 * What taking a migration back would lose for good, counted where counting is cheap.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Script } from "./MigrationFile.ts"
import type { Session } from "./Session.ts"
import { literal } from "./Session.ts"

/** Tables of up to this many 8 kB pages are counted (about 0.1 s); of larger ones the planner's estimate is shown. */
const countablePages = 10_000

const name = `(?:"(?:[^"]|"")+"|[^\\s".(),;]+)`
const qualified = `${name}(?: \\. ${name})?`
const dropTable = /^drop (?:foreign )?table (?:if exists )?(.+?)(?: cascade| restrict)?$/
const truncate = /^truncate (?:table )?(?:only )?(.+?)(?: restart identity| continue identity)?(?: cascade| restrict)?$/
const deleteAll = new RegExp(`^delete from (?:only )?(${qualified})$`)
const alterTable = new RegExp(`^alter table (?:if exists )?(?:only )?(${qualified}) (?:\\* )?(.+)$`)
const dropColumn = new RegExp(`(?:^|, )drop (?:column )?(?:if exists )?(${name})(?: cascade| restrict)?(?=$|,)`, "g")
const dropSchema = new RegExp(`^drop schema (?:if exists )?(${name}(?: , ${name})*) cascade$`)

type Loss =
  | { readonly _tag: "Table"; readonly table: string; readonly what: string }
  | { readonly _tag: "Column"; readonly table: string; readonly column: string }
  | { readonly _tag: "Schema"; readonly schema: string }

const unspaced = (text: string): string => text.replaceAll(" . ", ".")

/** The losses that the text of a script shows; a program or a DO block may do more. */
const lossesIn = (script: Script): ReadonlyArray<Loss> =>
  script.statements.flatMap(({ normalized }): ReadonlyArray<Loss> => {
    const tables = (list: string, what: string): ReadonlyArray<Loss> =>
      list.split(" , ").map((table) => ({ _tag: "Table", table: unspaced(table), what }))
    const dropped = dropTable.exec(normalized)?.[1]
    if (dropped !== undefined) return tables(dropped, "table ")
    const truncated = truncate.exec(normalized)?.[1] ?? deleteAll.exec(normalized)?.[1]
    if (truncated !== undefined) return tables(truncated, "all rows of table ")
    const schemas = dropSchema.exec(normalized)?.[1]
    if (schemas !== undefined) return schemas.split(" , ").map((schema) => ({ _tag: "Schema", schema }))
    const [, table, actions] = alterTable.exec(normalized) ?? []
    if (table === undefined || actions === undefined) return []
    return [...actions.replaceAll(" , ", ", ").matchAll(dropColumn)].flatMap(([, column]): ReadonlyArray<Loss> =>
      column === undefined || column === "constraint" ? [] : [{ _tag: "Column", table: unspaced(table), column }]
    )
  })

const Size = Schema.Struct({ exists: Schema.Boolean, pages: Schema.Number, estimate: Schema.Number })
const Count = Schema.Struct({ count: Schema.Number })

const format = (count: number): string => Math.max(0, count).toLocaleString("en-US")

interface Counted {
  readonly text: string
  readonly ofData: boolean
}

/** Rows, or values that are not null, in words. */
const count = Effect.fnUntraced(function* (
  session: Session,
  table: string,
  column: string | undefined
): Effect.fn.Return<Counted | undefined, SqlError> {
  const regclass = `pg_catalog.to_regclass(${literal(table)})`
  const what = column === undefined ? "rows" : "non-null values"
  const present =
    column === undefined
      ? `${regclass} IS NOT NULL`
      : `EXISTS (
          SELECT FROM pg_catalog.pg_attribute WHERE attrelid = ${regclass} AND NOT attisdropped
          AND attname = (pg_catalog.parse_ident(${literal(column)}))[1]
        )`
  const [size] = yield* session.read(
    Size,
    `SELECT ${present} AS exists,
      COALESCE(pg_catalog.pg_relation_size(${regclass}) / 8192, 0)::float8 AS pages,
      COALESCE((SELECT reltuples FROM pg_catalog.pg_class WHERE oid = ${regclass}), 0)::float8 AS estimate`
  )
  if (size?.exists !== true) return undefined
  if (size.pages > countablePages) {
    return { text: `about ${format(size.estimate)} ${column === undefined ? what : "rows"}`, ofData: true }
  }
  const [counted] = yield* session.read(Count, `SELECT count(${column ?? "*"})::float8 AS count FROM ${table}`)
  const number = counted?.count ?? 0
  return { text: `${format(number)} ${number === 1 ? what.slice(0, -1) : what}`, ofData: number > 0 }
})

/** What a migration loses. */
export interface Losses {
  /** Each as a sentence: `column users.email: 12,345 non-null values`. */
  readonly sentences: ReadonlyArray<string>
  /** There are rows or values among them, or nobody can know. */
  readonly ofData: boolean
}

/** A program shows what it loses only when it runs. */
export const unknown: Losses = { sentences: [], ofData: true }

/** What a script loses. */
export const read = (session: Session, script: Script): Effect.Effect<Losses, SqlError> =>
  Effect.map(
    Effect.forEach(
      lossesIn(script),
      (loss) => {
        switch (loss._tag) {
          case "Schema":
            return Effect.succeed({ sentence: `schema ${loss.schema} and everything in it`, ofData: true })
          case "Table":
            return Effect.map(count(session, loss.table, undefined), sentenceOf(loss.what + loss.table))
          case "Column":
            return Effect.map(
              count(session, loss.table, loss.column),
              sentenceOf(`column ${loss.table}.${loss.column}`)
            )
        }
      },
      { concurrency: 1 }
    ),
    (found) => {
      const losses = found.filter((loss) => loss !== undefined)
      return { sentences: losses.map(({ sentence }) => sentence), ofData: losses.some(({ ofData }) => ofData) }
    }
  )

const sentenceOf = (what: string) => (counted: Counted | undefined) =>
  counted === undefined ? undefined : { sentence: `${what}: ${counted.text}`, ofData: counted.ofData }
