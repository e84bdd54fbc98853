/**
 * The embedded cluster of a project: kept in `.plinth/`, with a database of its own beside `postgres`.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as DatabaseConfig from "../DatabaseConfig.ts"
import * as DatabaseErrors from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import * as EmbeddedPostgres from "../embedded/EmbeddedPostgres.ts"
import type { EmbeddedPostgresError } from "../embedded/EmbeddedPostgresError.ts"
import { client, onPrimary } from "./Clients.ts"

/** Where it is kept, from the working directory. */
export const directory = ".plinth"

/** `postgres` is for administration: it must exist to drop and create the others from. */
export const database = "app"

/** A running cluster, and the URLs of the project's database on it. */
export interface Embedded {
  readonly cluster: EmbeddedPostgres.EmbeddedPostgres["Type"]
  readonly url: Redacted.Redacted
  readonly replicaUrls: ReadonlyArray<Redacted.Redacted>
}

/** Starts the cluster, or joins it where another process of ours runs it; leaves it when the scope closes. */
export const start = (
  options: EmbeddedPostgres.Options
): Effect.Effect<Embedded, EmbeddedPostgresError | DatabaseError | DatabaseConfig.DatabaseConfigError, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* EmbeddedPostgres.make(options)
    const administration = yield* DatabaseConfig.make({ url: cluster.url })
    yield* onPrimary(createDatabase, administration)
    const url = inDatabase(cluster.url)
    const replicaUrls = cluster.replicaUrls.map(inDatabase)
    const settings = yield* DatabaseConfig.make({ url, replicaUrls })
    yield* Effect.forEach(settings.replicas, (target) => knowsDatabase(target, settings), {
      concurrency: "unbounded",
      discard: true
    })
    return { cluster, url, replicaUrls }
  })

/** A replica hears of the database a little later than the primary: much later where it is told to lag. */
const knowsDatabase = (target: DatabaseConfig.ConnectionTarget, settings: DatabaseConfig.Settings) =>
  Layer.build(client(target, settings)).pipe(
    Effect.scoped,
    Effect.retry({ while: ({ reason }) => reason === "UndefinedObject", schedule: Schedule.spaced("50 millis") }),
    Effect.timeout("10 seconds"),
    Effect.ignore
  )

const createDatabase = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const found = yield* sql`SELECT FROM pg_catalog.pg_database WHERE datname = ${database}`
  if (found.length === 0) yield* sql`CREATE DATABASE ${sql(database)}`
}).pipe(
  // Another process may be as far as we are.
  DatabaseErrors.catchReason("DuplicateObject", () => Effect.void),
  Effect.mapError(DatabaseErrors.from)
)

const inDatabase = (url: Redacted.Redacted): Redacted.Redacted => {
  const parsed = new URL(Redacted.value(url))
  parsed.pathname = `/${database}`
  return Redacted.make(parsed.href)
}
