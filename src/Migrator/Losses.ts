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
const alterTable = new RegExp(`^alter table (?:if exists )?(?:only )?(${qualified}) (?:\\* )?(.+)$`)
const dropColumn = new RegExp(`(?:^|, )drop (?:column )?(?:if exists )?(${name})(?: cascade| restrict)?(?=$|,)`, "g")
const dropSchema = new RegExp(`^drop schema (?:if exists )?(${name}(?: , ${name})*) cascade$`)

type Loss =
  | { readonly _tag: "Table"; readonly table: string; readonly verb: string }
  | { readonly _tag: "Column"; readonly table: string; readonly column: string }
  | { readonly _tag: "Schema"; readonly schema: string }

const unspaced = (text: string): string => text.replaceAll(" . ", ".")

/** The losses that the text of a script shows; a program or a DO block may do more. */
const lossesIn = (script: Script): ReadonlyArray<Loss> =>
  script.statements.flatMap(({ normalized }): ReadonlyArray<Loss> => {
    const tables = (list: string, verb: string): ReadonlyArray<Loss> =>
      list.split(" , ").map((table) => ({ _tag: "Table", table: unspaced(table), verb }))
    const dropped = dropTable.exec(normalized)?.[1]
    if (dropped !== undefined) return tables(dropped, "drops")
    const truncated = truncate.exec(normalized)?.[1]
    if (truncated !== undefined) return tables(truncated, "empties")
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

/** Rows, or values that are not null, in words. */
const count = Effect.fnUntraced(function* (
  session: Session,
  table: string,
  column: string | undefined
): Effect.fn.Return<string | undefined, SqlError> {
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
  if (size.pages > countablePages) return `about ${format(size.estimate)} ${column === undefined ? what : "rows"}`
  const [counted] = yield* session.read(Count, `SELECT count(${column ?? "*"})::float8 AS count FROM ${table}`)
  const number = counted?.count ?? 0
  return `${format(number)} ${number === 1 ? what.slice(0, -1) : what}`
})

/** Each loss as a sentence: `drops column users.email: 12,345 non-null values`. */
export const describe = (session: Session, script: Script): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.map(
    Effect.forEach(
      lossesIn(script),
      (loss) => {
        switch (loss._tag) {
          case "Schema":
            return Effect.succeed(`drops schema ${loss.schema} and everything in it`)
          case "Table":
            return Effect.map(count(session, loss.table, undefined), (rows) =>
              rows === undefined ? undefined : `${loss.verb} table ${loss.table}: ${rows}`
            )
          case "Column":
            return Effect.map(count(session, loss.table, loss.column), (values) =>
              values === undefined ? undefined : `drops column ${loss.table}.${loss.column}: ${values}`
            )
        }
      },
      { concurrency: 1 }
    ),
    (sentences) => sentences.filter((sentence) => sentence !== undefined)
  )
