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

type At = (
  url: Redacted.Redacted,
  options?: DatabaseClient.ClientOptions
) => Layer.Layer<SqlClient.SqlClient | PgClient.PgClient, Error>

export interface Contestant {
  readonly name: string
  readonly at: At
  /** The client on an empty database of its own. */
  readonly make: (options?: DatabaseClient.ClientOptions) => Client
}

const size = { minConnections: 1, maxConnections: 8 }

const contestant = (name: string, at: At): Contestant => ({
  name,
  at,
  make: (options) =>
    Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => at(url, options))).pipe(
      Layer.provideMerge(TestDatabase.layer())
    )
})

const isStock = process.env["PLINTH_TEST_CLIENT"] === "stock"

export const contestants: ReadonlyArray<Contestant> = isStock
  ? [
      contestant("@effect/sql-pg", (url, options) =>
        PgClient.layer({ url, maxConnections: size.maxConnections, ...options })
      )
    ]
  : [
      contestant("DatabaseClient.layer", (url, options) => plinthAt(url, size, options)),
      contestant("Database.layer", (url, client) => Database.layer({ ...size, url, client }))
    ]
