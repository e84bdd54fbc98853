/**
 * The clients that the suites of the upstream packages run on: ours, of one pool and of the whole stack. With
 * `PLINTH_TEST_CLIENT=stock` the stock one, to see whether a failure is upstream's.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { DatabaseClient } from "effect-plinth"
import { Database } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "../support/clients.ts"

export type Client = Layer.Layer<SqlClient.SqlClient | PgClient.PgClient | TestDatabase.TestDatabase, Error>

interface Contestant {
  readonly name: string
  /** The client on an empty database of its own. */
  readonly make: (options?: DatabaseClient.ClientOptions) => Client
}

const size = { minConnections: 1, maxConnections: 8 }

const onDatabaseOfItsOwn = <E extends Error>(
  at: (url: Redacted.Redacted) => Layer.Layer<SqlClient.SqlClient | PgClient.PgClient, E>
): Client =>
  Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => at(url))).pipe(
    Layer.provideMerge(TestDatabase.layer())
  )

const isStock = process.env["PLINTH_TEST_CLIENT"] === "stock"

export const contestants: ReadonlyArray<Contestant> = isStock
  ? [
      {
        name: "@effect/sql-pg",
        make: (options) =>
          onDatabaseOfItsOwn((url) => PgClient.layer({ url, maxConnections: size.maxConnections, ...options }))
      }
    ]
  : [
      {
        name: "DatabaseClient.layer",
        make: (options) => onDatabaseOfItsOwn((url) => plinthAt(url, size, options))
      },
      {
        name: "Database.layer",
        make: (client) => onDatabaseOfItsOwn((url) => Database.layer({ ...size, url, client }))
      }
    ]
