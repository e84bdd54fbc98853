/**
 * Says of a statement whether a standby may run it. It is fail-closed: what cannot be shown to be a read, by the statement's
 * tokens and the server's own catalogue, goes to the primary.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { BoundedCache } from "./internal/BoundedCache.ts"
import { builtinWith } from "./SqlClassifier/builtin.ts"
import type { Catalog } from "./SqlClassifier/Catalog.ts"
import { catalogOf } from "./SqlClassifier/catalogOf.ts"
import { type Classification, judge } from "./SqlClassifier/judge.ts"
import { Snapshot } from "./SqlClassifier/Snapshot.ts"
import { snapshotSql } from "./SqlClassifier/snapshotSql.ts"
import type { CatalogOptions } from "./SqlClassifier/systemFunctions.ts"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Catalog,
  /**
   * @since 0.1.0
   * @category models
   */
  Names,
  /**
   * @since 0.1.0
   * @category models
   */
  Verdict
} from "./SqlClassifier/Catalog.ts"
export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Classification,
  /**
   * @since 0.1.0
   * @category models
   */
  StatementClass
} from "./SqlClassifier/judge.ts"
export type {
  /**
   * @since 0.1.0
   * @category options
   */
  CatalogOptions
} from "./SqlClassifier/systemFunctions.ts"

/**
 * The class of a text against a catalogue; of several statements the worst. Synchronous, never throws, remembers nothing.
 *
 * @since 0.1.0
 * @category classifying
 */
export const classify: (sql: string, catalog: Catalog) => Classification = judge

export {
  /**
   * The catalogue without a server, with own functions declared harmless.
   *
   * @since 0.1.0
   * @category catalogues
   */
  builtinWith
}

/**
 * The catalogue without a server: what PostgreSQL 14 to 18 bring along. It takes every relation for an ordinary table, and
 * every function that it does not know makes a statement unknown.
 *
 * @since 0.1.0
 * @category catalogues
 */
export const builtin: Catalog = builtinWith({})

const SnapshotRows = Schema.Tuple(Schema.Struct({ snapshot: Schema.parseJson(Snapshot) }))

/**
 * Reads the catalogue of the server in one round trip: functions and aggregates of all schemas with their volatility, and
 * what is built upon them: operators, views, policies, domains, casts, bodies in SQL and PL/pgSQL. Takes the privileges of
 * PUBLIC. It is a picture of its moment: load it again when a statement is unknown.
 *
 * @since 0.1.0
 * @category catalogues
 */
export const loadCatalogWith: (options: CatalogOptions) => Effect.Effect<Catalog, SqlError, SqlClient.SqlClient> =
  Effect.fn("SqlClassifier.loadCatalog")(function* (options) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql.unsafe(snapshotSql)
    // The statement is ours: an answer of another shape is a bug and not a failure.
    const [{ snapshot }] = yield* Effect.orDie(Schema.decodeUnknown(SnapshotRows)(rows))
    return catalogOf(snapshot, options)
  })

/**
 * `loadCatalogWith` without options.
 *
 * @since 0.1.0
 * @category catalogues
 */
export const loadCatalog: Effect.Effect<Catalog, SqlError, SqlClient.SqlClient> = loadCatalogWith({})

/**
 * A classifier that remembers its answers by text.
 *
 * @since 0.1.0
 * @category models
 */
export interface SqlClassifier {
  /** The class of a text; after the first time one look-up. */
  readonly classify: (sql: string) => Classification
  /** Marks a text as a write, for good: a standby refused it (25006, 0A000), so its functions are not what they declare. */
  readonly learn: (sql: string) => void
  /** Judges by a newer catalogue from now on; what was learnt stays. */
  readonly replaceCatalog: (catalog: Catalog) => void
}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * How many texts are remembered at least; at most twice as many.
   *
   * @default 2048
   */
  readonly capacity?: number | undefined
}

/** A longer text is judged anew each time: keeping it would cost more memory than it saves time. */
const maxRemembered = 16_384

const learnt: Classification = { class: "write", reason: "a standby refused it before" }

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (catalog: Catalog, options: Options = {}): SqlClassifier => {
  const capacity = options.capacity ?? 2048
  const answers = new BoundedCache<Classification>(capacity)
  const refused = new BoundedCache<Classification>(capacity)
  let current = catalog
  return {
    classify: (sql) => {
      const known = answers.get(sql)
      if (known !== undefined) return known
      const answer = refused.get(sql) ?? judge(sql, current)
      if (sql.length <= maxRemembered) answers.set(sql, answer)
      return answer
    },
    learn: (sql) => {
      refused.set(sql, learnt)
      answers.set(sql, learnt)
    },
    replaceCatalog: (catalog) => {
      current = catalog
      answers.clear()
    }
  }
}
