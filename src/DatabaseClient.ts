/**
 * The `SqlClient` and `PgClient` of Plinth over one pool; `QueryRouter` provides the same over several nodes.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ConnectionPool from "./ConnectionPool.ts"
import { make } from "./DatabaseClient/make.ts"
import type { ClientOptions } from "./DatabaseClient/make.ts"
import { mayWrite } from "./internal/SqlBackend.ts"
import { Listener } from "./Listener.ts"
import * as SqlClassifier from "./SqlClassifier.ts"
import { Transaction } from "./Transaction.ts"

export type {
  /**
   * @since 0.1.0
   * @category options
   */
  ClientOptions
} from "./DatabaseClient/make.ts"

/**
 * A client whose statements run on one pool.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: ClientOptions = {}
): Layer.Layer<
  SqlClient.SqlClient | PgClient.PgClient | Transaction,
  never,
  ConnectionPool.ConnectionPool | Listener
> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const pool = yield* ConnectionPool.ConnectionPool
      const listener = yield* Listener
      const classifier = SqlClassifier.make(SqlClassifier.builtin)
      const isRead = (sql: string) => classifier.classify(sql).class === "read"
      const { client, transaction } = yield* make(
        {
          target: pool.target,
          name: pool.name,
          mayWrite: mayWrite(classifier.classify),
          run: (query) => (isRead(query.text) ? pool.read(query) : pool.run([query])),
          batch: (queries) => pool.run(queries, { batchFrom: 0 }),
          lease: (_, restore) => pool.lease(restore),
          capacity: Effect.map(pool.stats, (stats) => stats.max)
        },
        listener,
        options
      )
      return Context.make(PgClient.PgClient, client).pipe(
        Context.add(SqlClient.SqlClient, client),
        Context.add(Transaction, transaction)
      )
    })
  ).pipe(Layer.provide(Reactivity.layer))
