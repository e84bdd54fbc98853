/**
 * Deals with what an interrupted statement outside of a transaction left behind, before it runs (again).
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { InFlight } from "./History.ts"
import type { Statement } from "./MigrationFile.ts"
import type { Session } from "./Session.ts"
import { literal } from "./Session.ts"

/** What was found. */
export interface Settled {
  /** An earlier attempt did it after all. */
  readonly done: boolean
  /** What was cleared away, in words. */
  readonly repaired: ReadonlyArray<string>
  /** To be recorded as `in_flight`. */
  readonly indexes: ReadonlyArray<string>
}

type Previous = typeof InFlight.Type | undefined

const untouched: Settled = { done: false, repaired: [], indexes: [] }
const alreadyDone: Settled = { done: true, repaired: [], indexes: [] }

/** A name as `SqlText.normalize` leaves it: folded to lower case or quoted. */
const name = `(?:"(?:[^"]|"")+"|[^\\s".(),;]+)`
const qualified = `${name}(?: \\. ${name})?`

type Settler = (
  session: Session,
  previous: Previous,
  names: ReadonlyArray<string | undefined>
) => Effect.Effect<Settled, SqlError>

/** `public . orders` as the functions of the catalogue read it. */
const regclass = (text: string): string => `pg_catalog.to_regclass(${literal(text.replaceAll(" . ", "."))})`

const Index = Schema.Struct({ name: Schema.String, valid: Schema.Boolean, wanted: Schema.Boolean })

const dropInvalid = (
  session: Session,
  indexes: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<string>, SqlError> =>
  Effect.forEach(
    indexes,
    (index) =>
      Effect.as(
        session.run(`DROP INDEX CONCURRENTLY IF EXISTS ${index}`),
        `dropped ${index}, the INVALID index that a failed build left behind`
      ),
    { concurrency: 1 }
  )

/**
 * An INVALID index of the wanted name serves no query and stands in the way, and `IF NOT EXISTS` would take it for the
 * real one. A valid one is the work of the attempt in flight if it was not there when that one began. Of an index
 * without a name all that is known is which ones were there.
 */
const createIndex: Settler = (session, previous, [wanted, table = ""]) =>
  Effect.gen(function* () {
    const unquoted = wanted?.startsWith('"') === true ? wanted.slice(1, -1).replaceAll('""', '"') : wanted
    const indexes = yield* session.read(
      Index,
      `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name,
        i.indisvalid AS valid, c.relname = ${literal(unquoted ?? "")}::name AS wanted
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE i.indrelid = ${regclass(table)}`
    )
    const before = previous?.indexes ?? indexes.map((index) => index.name)
    const isNew = (index: typeof Index.Type): boolean => !before.includes(index.name)
    const isOurs = (index: typeof Index.Type): boolean => (wanted === undefined ? isNew(index) : index.wanted)
    const invalid = indexes.filter((index) => !index.valid && isOurs(index)).map((index) => index.name)
    return {
      done: indexes.some((index) => index.valid && isOurs(index) && isNew(index)),
      repaired: yield* dropInvalid(session, invalid),
      indexes: before.filter((index) => !invalid.includes(index))
    }
  })

const exists = (session: Session, condition: string): Effect.Effect<boolean, SqlError> =>
  Effect.map(
    session.read(Schema.Struct({ yes: Schema.Boolean }), `SELECT ${condition} AS yes`),
    (rows) => rows[0]?.yes === true
  )

const dropIndex: Settler = (session, previous, [index = ""]) =>
  previous === undefined
    ? Effect.succeed(untouched)
    : Effect.map(exists(session, `${regclass(index)} IS NULL`), (gone) => (gone ? alreadyDone : untouched))

/** An interrupted REINDEX leaves its half of the pair: the new index invalid, or the old one after the swap. */
const reindex: Settler = (session, previous) =>
  previous === undefined
    ? Effect.succeed(untouched)
    : Effect.gen(function* () {
        const leftovers = yield* session.read(
          Schema.Struct({ name: Schema.String }),
          `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
          FROM pg_catalog.pg_index i
          JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND n.nspname <> 'pg_toast'`
        )
        const repaired = yield* dropInvalid(
          session,
          leftovers.map((index) => index.name)
        )
        return { ...untouched, repaired }
      })

const Partition = Schema.Struct({ pending: Schema.Boolean })

/** An interrupted DETACH leaves the partition pending, and only FINALIZE may touch it. */
const detachPartition: Settler = (session, previous, [parent = "", child = ""]) =>
  previous === undefined
    ? Effect.succeed(untouched)
    : Effect.gen(function* () {
        const [partition] = yield* session.read(
          Partition,
          `SELECT inhdetachpending AS pending FROM pg_catalog.pg_inherits
          WHERE inhrelid = ${regclass(child)} AND inhparent = ${regclass(parent)}`
        )
        if (partition === undefined) return alreadyDone
        if (!partition.pending) return untouched
        yield* session.run(`ALTER TABLE ${parent} DETACH PARTITION ${child} FINALIZE`)
        return { ...alreadyDone, repaired: [`finalized the pending detach of ${child}`] }
      })

const catalogueOf: Readonly<Record<string, string>> = {
  database: "pg_catalog.pg_database WHERE datname",
  tablespace: "pg_catalog.pg_tablespace WHERE spcname",
  subscription: "pg_catalog.pg_subscription WHERE subname"
}

const globalObject: Settler = (session, previous, [verb, kind = "", object = ""]) =>
  previous === undefined
    ? Effect.succeed(untouched)
    : Effect.map(
        exists(
          session,
          `EXISTS (SELECT FROM ${catalogueOf[kind] ?? ""} = (pg_catalog.parse_ident(${literal(object)}))[1])`
        ),
        (present) => (present === (verb === "create") ? alreadyDone : untouched)
      )

const settlers: ReadonlyArray<readonly [pattern: RegExp, settle: Settler]> = [
  [
    new RegExp(
      `^create (?:unique )?index concurrently (?:if not exists )?(?:(?!on )(${name}) )?on (?:only )?(${qualified})`
    ),
    createIndex
  ],
  [new RegExp(`^drop index concurrently (?:if exists )?(${qualified})`), dropIndex],
  [/^reindex .*\bconcurrently\b/, reindex],
  [
    new RegExp(`^alter table (?:if exists )?(?:only )?(${qualified}) detach partition (${qualified}) concurrently$`),
    detachPartition
  ],
  [new RegExp(`^(create|drop) (database|tablespace|subscription) (?:if exists )?(${name})`), globalObject]
]

/**
 * Looks at what is there before a statement runs by itself; `previous` is the record of an attempt that did not come back.
 * Statements without an entry may simply run again.
 */
export const settle = (
  session: Session,
  statement: Statement,
  previous: Previous
): Effect.Effect<Settled, SqlError> => {
  for (const [pattern, settler] of settlers) {
    const match = pattern.exec(statement.normalized)
    if (match !== null) return settler(session, previous, match.slice(1))
  }
  return Effect.succeed(untouched)
}
