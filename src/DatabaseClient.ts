/**
 * The `SqlClient` and `PgClient` of Plinth over one pool; `QueryRouter` provides the same over several nodes.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ConnectionPool from "./ConnectionPool.ts"
import { make } from "./DatabaseClient/make.ts"
import type { ClientOptions, ClientServices } from "./DatabaseClient/make.ts"
import { mayWrite, refusal } from "./internal/SqlBackend.ts"
import type { Query } from "./internal/pg/Exchange.ts"
import { Listener } from "./Listener.ts"
import * as SqlClassifier from "./SqlClassifier.ts"

export type {
  /**
   * @since 0.1.0
   * @category options
   */
  ClientOptions,
  /**
   * What belongs to one client.
   *
   * @since 0.1.0
   * @category models
   */
  ClientServices
} from "./DatabaseClient/make.ts"

/**
 * A client whose statements run on one pool.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: ClientOptions = {}
): Layer.Layer<ClientServices, never, ConnectionPool.ConnectionPool | Listener> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const pool = yield* ConnectionPool.ConnectionPool
      const listener = yield* Listener
      const { classify } = SqlClassifier.make(SqlClassifier.builtin)
      const refused = (queries: ReadonlyArray<Query>) =>
        refusal(queries, classify, { operation: "query", node: pool.name })
      return yield* make(
        {
          target: pool.target,
          name: pool.name,
          keepsSessions: pool.keepsSessions,
          mayWrite: mayWrite(classify),
          run: (query) => {
            const error = refused([query])
            if (error !== undefined) return Effect.fail(error)
            return classify(query.text).class === "read" ? pool.read(query) : pool.run([query])
          },
          batch: (queries) => refused(queries) ?? pool.run(queries, { batchFrom: 0 }),
          lease: (_, restore) => pool.lease(restore),
          capacity: Effect.map(pool.stats, (stats) => stats.max)
        },
        listener,
        options
      )
    })
  ).pipe(Layer.provide(Reactivity.layer))
