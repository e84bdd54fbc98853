import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DatabaseError, Migrator, SqlText } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { readdirSync, readFileSync } from "node:fs"
import { clientAt } from "./support/clients.ts"
import { ids } from "./support/migrators.ts"

const migrator = Migrator.make({ source: Migrator.fromFolder("migrations"), onEvent: () => Effect.void }).pipe(
  Effect.provide(NodeContext.layer)
)

const seed = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const file of readdirSync("seeds").sort()) {
    const statements = SqlText.statements(readFileSync(`seeds/${file}`, "utf8"))
    yield* sql.withTransaction(Effect.forEach(statements, ({ text }) => sql.unsafe(text), { discard: true }))
  }
})

const connected = Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => clientAt(url, 4)))

/** A migrated database; with `filled`, a copy of one that was seeded. */
const withShop =
  (filled: boolean) =>
  <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) => {
    const build = Effect.zipRight(
      Effect.flatMap(migrator, ({ up }) => up()),
      filled ? seed : Effect.void
    )
    const database = TestDatabase.layer({
      template: {
        name: filled ? "shop_filled" : "shop",
        build: (url) => Effect.provide(build, clientAt(url, 4))
      }
    })
    return Effect.provide(effect, Layer.provideMerge(connected, database))
  }

/** What a statement is refused for. */
const refusal = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.flip(sql.unsafe(statement))).pipe(
    Effect.map(DatabaseError.from),
    Effect.map(({ constraint, reason }) => `${reason} ${constraint ?? ""}`.trim())
  )

const customer = "INSERT INTO customers (email, name, country) VALUES ('ada@example.com', 'Ada', 'GB')"
const product =
  "INSERT INTO products (sku, name, category, price_cents, stock) VALUES ('BOK-0001', 'Book', 'Books', 1000, 1)"
const order = "INSERT INTO orders (reference, customer_id) SELECT 'R1', id FROM customers"
const line =
  "INSERT INTO order_lines (order_id, line, product_id, quantity, unit_price_cents) SELECT o.id, 1, p.id, 3, 250 FROM orders o, products p"

describe("the example migrations", () => {
  it.live("step all the way down and up again, and leave nothing behind", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { down, up } = yield* migrator
      const objects = sql<{ readonly name: string }>`
        SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1`
      const before = yield* objects
      assert.isAbove(before.length, 20)
      yield* down({ to: "0" })
      assert.deepStrictEqual(yield* objects, [])
      const again = yield* up()
      assert.includeMembers([...ids(again)], ["0001", "0006", "R__order_summary", "R__sales_by_day"])
      assert.deepStrictEqual(yield* objects, before)
    }).pipe(withShop(false))
  )

  const refusals: ReadonlyArray<readonly [what: string, statement: string, reason: string]> = [
    [
      "a second open account with an address",
      customer.replace("ada@", "ADA@"),
      "UniqueViolation customers_open_email_key"
    ],
    ["an address without an @", customer.replace("ada@", "ada"), "CheckViolation customers_email_shape"],
    [
      "a country that is not a code",
      customer.replace("'GB'", "'uk'").replace("ada@", "x@"),
      "CheckViolation customers_country_iso3166"
    ],
    [
      "selling what is not in stock",
      "UPDATE products SET stock = stock - 2",
      "CheckViolation products_stock_not_negative"
    ],
    ["an order shipped at no time", "UPDATE orders SET status = 'shipped'", "CheckViolation orders_shipped_has_time"],
    ["an unknown status", "UPDATE orders SET status = 'lost'", "CheckViolation orders_status_known"],
    ["removing a customer with orders", "DELETE FROM customers", "ForeignKeyViolation orders_customer_fkey"],
    ["a line of nothing", "UPDATE order_lines SET quantity = 0", "CheckViolation order_lines_quantity_positive"],
    [
      "a second payment in flight",
      "INSERT INTO payments (order_id, method, amount_cents, provider_reference) SELECT id, 'card', 1, 'p' || n FROM orders, generate_series(1, 2) n",
      "UniqueViolation payments_one_pending_per_order"
    ],
    ["changing the audit trail", "UPDATE audit_trail SET actor = 'nobody'", "InsufficientPrivilege"]
  ]
  it.live("refuse what must not be stored", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const statement of [customer, product, order, line]) yield* sql.unsafe(statement)
      for (const [what, statement, reason] of refusals) assert.strictEqual(yield* refusal(statement), reason, what)
    }).pipe(withShop(false))
  )

  it.live("let an address be used again once its account is closed", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql.unsafe(customer)
      yield* sql`UPDATE customers SET closed_at = now()`
      yield* sql.unsafe(customer)
    }).pipe(withShop(false))
  )

  it.live("record who changed an order and what stood there before, and nothing for no change", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const statement of [customer, order]) yield* sql.unsafe(statement)
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`SELECT set_config('app.actor', 'ada', true)`
          yield* sql`UPDATE orders SET note = 'ring twice', status = 'paid'`
          yield* sql`UPDATE orders SET note = 'ring twice'`
          yield* sql`DELETE FROM orders`
        })
      )
      const trail = yield* sql<{
        readonly action: string
        readonly actor: string
        readonly old: Record<string, unknown> | null
      }>`
        SELECT action, actor, old_values AS old FROM audit_trail ORDER BY id`
      assert.deepStrictEqual(
        trail.map(({ action }) => action),
        ["insert", "update", "delete"]
      )
      assert.deepStrictEqual(trail[1], { action: "update", actor: "ada", old: { note: null, status: "placed" } })
      assert.strictEqual(trail[2]?.old?.["note"], "ring twice")
    }).pipe(withShop(false))
  )
})

describe("the seeds", () => {
  it.live(
    "make 100,000 orders that add up, the same ones every time, and none twice",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const fingerprint = sql`SELECT
        (SELECT count(*)::int FROM orders) AS orders, (SELECT count(*)::int FROM order_lines) AS lines,
        (SELECT count(*)::int FROM payments) AS payments, (SELECT sum(amount_cents)::text FROM order_lines) AS turnover`
        const first = yield* fingerprint
        assert.deepStrictEqual(first, [{ orders: 100_000, lines: 220_348, payments: 104_987, turnover }])
        yield* seed
        assert.deepStrictEqual(yield* fingerprint, first)
        // Every order is paid in full or not at all, unless it was cancelled.
        const odd = yield* sql`SELECT FROM order_summary
        WHERE status <> 'cancelled' AND open_cents NOT IN (0, total_cents) LIMIT 1`
        assert.deepStrictEqual(odd, [])
      }).pipe(withShop(true)),
    120_000
  )

  it.live(
    "are read the way the indexes were made for",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`VACUUM orders, order_lines, products`
        const plan = (statement: string) =>
          Effect.map(sql.unsafe<Record<string, unknown>>(`EXPLAIN (FORMAT TEXT) ${statement}`), (rows) =>
            JSON.stringify(rows)
          )
        for (const [statement, index] of [
          [
            "SELECT reference, status FROM orders WHERE customer_id = 1 ORDER BY placed_at DESC LIMIT 10",
            "Index Only Scan using orders_of_customer"
          ],
          [
            "SELECT id FROM orders WHERE status = 'paid' ORDER BY placed_at LIMIT 10",
            "Index Scan using orders_to_ship"
          ],
          [
            "SELECT sum(quantity), sum(amount_cents) FROM order_lines WHERE product_id = 7",
            "Index Only Scan using order_lines_of_product"
          ],
          [
            "SELECT name FROM products WHERE category = 'Books' AND withdrawn_at IS NULL ORDER BY price_cents LIMIT 5",
            "Index Only Scan using products_on_sale"
          ]
        ] as const) {
          assert.include(yield* plan(statement), index)
        }
      }).pipe(withShop(true)),
    120_000
  )

  it.live(
    "report every day of a period, those without sales included",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const days = yield* sql<{
          readonly orders: string
        }>`SELECT orders FROM sales_by_day('2025-12-30', '2026-01-02')`
        assert.strictEqual(days.length, 4)
        assert.isAbove(Number(days[1]?.orders), 200)
        assert.strictEqual(Number(days[3]?.orders), 0)
      }).pipe(withShop(true)),
    120_000
  )
})

/** Of the orders that `seeds/` makes; md5 and whole numbers give the same on every machine. */
const turnover = "5059128081"
