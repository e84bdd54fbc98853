/**
 * The same suites run against Plinth's client and, to see them fail, against the stock one (`PLINTH_TEST_CLIENT=stock`).
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import { ConnectionPool, DatabaseClient, DatabaseConfig, Listener } from "effect-plinth"

const isStock = process.env["PLINTH_TEST_CLIENT"] === "stock"

/** Plinth's client, pool, listener and transactions on one node. */
export const plinthAt = (
  url: Redacted.Redacted,
  options: DatabaseConfig.Options = {},
  client: DatabaseClient.ClientOptions = {}
) =>
  Layer.unwrapEffect(
    Effect.map(DatabaseConfig.make({ ...options, url }), ({ pool, primary }) =>
      DatabaseClient.layer(client).pipe(
        Layer.provideMerge(
          Layer.merge(ConnectionPool.layer({ target: primary, settings: pool }), Listener.layer(primary))
        )
      )
    )
  )

/** The client under test, with at most `max` connections. */
export const clientAt = (
  url: Redacted.Redacted,
  max = 5
): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, unknown> =>
  isStock ? PgClient.layer({ url, maxConnections: max }) : plinthAt(url, { minConnections: 1, maxConnections: max })
