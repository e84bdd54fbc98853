/**
 * A shop in one database and its events in another: `DATABASE_URL=.. ANALYTICS_URL=.. npx tsx examples/two-databases/main.ts`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database, Transaction } from "effect-plinth"
import * as Events from "./Events.ts"
import { Analytics } from "./Events.ts"

class OutOfStock extends Data.TaggedError("OutOfStock")<{ readonly product: string }> {}

/** The order and its stock in one transaction of the shop, in which no statement of the analytics takes part. */
const placeOrder = (product: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const events = yield* Events.Events
    yield* sql`INSERT INTO orders ${sql.insert({ product })}`
    yield* events.record("tried")
    const left = yield* sql`UPDATE products SET stock = stock - 1 WHERE name = ${product} AND stock > 0 RETURNING stock`
    if (left.length === 0) return yield* new OutOfStock({ product })
    yield* Transaction.afterCommit(Effect.ignoreLogged(events.record("placed")))
  }).pipe(Transaction.run({ label: "place an order" }))

const program = Effect.gen(function* () {
  const shop = yield* SqlClient.SqlClient
  const analytics = yield* Analytics.SqlClient
  yield* shop`CREATE TABLE products (name text PRIMARY KEY, stock int NOT NULL)`
  yield* shop`CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY, product text NOT NULL)`
  yield* shop`INSERT INTO products VALUES ('lamp', 2)`
  yield* analytics`CREATE TABLE events (kind text NOT NULL, at timestamptz NOT NULL DEFAULT now())`

  yield* placeOrder("lamp")
  yield* placeOrder("lamp")
  yield* Effect.catchTag(placeOrder("lamp"), "OutOfStock", ({ product }) => Console.log(`out of stock: ${product}`))

  const [orders] = yield* shop<{ count: number }>`SELECT count(*)::int AS count FROM orders`
  yield* Console.log(`orders: ${orders?.count}`)
  const kinds = yield* analytics<{ kind: string; count: number }>`
    SELECT kind, count(*)::int AS count FROM events GROUP BY kind ORDER BY kind DESC`
  for (const { count, kind } of kinds) yield* Console.log(`${kind}: ${count}`)
})

const databases = Layer.merge(
  Database.layerConfig(),
  Layer.unwrapEffect(Effect.map(Config.redacted("ANALYTICS_URL"), (url) => Analytics.layer({ url })))
)

program.pipe(Effect.provide(Layer.provideMerge(Events.layer, databases)), NodeRuntime.runMain)
