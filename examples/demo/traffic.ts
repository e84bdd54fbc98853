/**
 * Customers who order and look at once at what they ordered, and people who read reports, all at the same time.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Ref from "effect/Ref"
import { DatabaseError, QueryRouter, RetryPolicy, Transaction } from "effect-plinth"

export interface Tally {
  readonly orders: number
  readonly ownReads: number
  /** Orders that their own customer could not see. */
  readonly stale: number
  readonly reports: number
  readonly snapshots: number
  /** The reasons of the operations that failed. */
  readonly failures: ReadonlyArray<string>
}

const nothing: Tally = { orders: 0, ownReads: 0, stale: 0, reports: 0, snapshots: 0, failures: [] }

/** How many of each are at it. */
const customers = 6
const readers = 8
const analysts = 2

/** Keeps everybody busy for a while. */
export const traffic = (
  duration: Duration.Duration
): Effect.Effect<Tally, never, SqlClient.SqlClient | Transaction.Transaction> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tally = yield* Ref.make(nothing)
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(duration)
    const add = (change: (tally: Tally) => Partial<Tally>) =>
      Ref.update(tally, (before) => ({ ...before, ...change(before) }))

    const placeOrder = Effect.gen(function* () {
      const customer = yield* Random.nextIntBetween(1, 5_000)
      const product = yield* Random.nextIntBetween(1, 500)
      const [order] = yield* sql<{ id: string }>`
        INSERT INTO orders (customer_id) VALUES (${customer}) RETURNING id`
      yield* sql`
        INSERT INTO order_lines (order_id, line, product_id, quantity, unit_price_cents)
        SELECT ${order?.id}, 1, id, 1, price_cents FROM products WHERE id = ${product}`
      return order?.id
    })

    const customer = QueryRouter.session(
      Effect.gen(function* () {
        const id = yield* Transaction.run(placeOrder, { label: "place an order" })
        yield* add(({ orders }) => ({ orders: orders + 1 }))
        const rows = yield* sql`SELECT reference, total_cents FROM order_summary WHERE id = ${id}`
        yield* add(({ ownReads, stale }) => ({ ownReads: ownReads + 1, stale: stale + (rows.length === 1 ? 0 : 1) }))
      })
    )

    const reader = QueryRouter.session(
      Effect.gen(function* () {
        const id = yield* Random.nextIntBetween(1, 100_000)
        yield* sql`SELECT * FROM order_summary WHERE id = ${id}`
        yield* add(({ reports }) => ({ reports: reports + 1 }))
      })
    )

    const analyst = QueryRouter.session(
      Effect.zipRight(
        Transaction.run(
          Effect.zip(
            sql`SELECT count(*) FROM orders WHERE status = 'paid'`,
            sql`SELECT name FROM products ORDER BY stock LIMIT 5`
          ),
          // A transaction on a replica that dies is run again as a whole, on another node.
          { access: "read only", isolation: "repeatable read", retry: RetryPolicy.transaction }
        ),
        add(({ snapshots }) => ({ snapshots: snapshots + 1 }))
      )
    )

    const keepAt = <E>(work: Effect.Effect<void, E>) =>
      work.pipe(
        Effect.catchAll((error) =>
          add(({ failures }) => ({ failures: [...failures, DatabaseError.from(error).message] }))
        ),
        Effect.repeat({ while: () => Effect.map(Clock.currentTimeMillis, (now) => now < end) })
      )
    const transaction = yield* Transaction.Transaction
    yield* Effect.all(
      [
        ...Array.from({ length: customers }, () =>
          keepAt(Effect.provideService(customer, Transaction.Transaction, transaction))
        ),
        ...Array.from({ length: readers }, () => keepAt(reader)),
        ...Array.from({ length: analysts }, () =>
          keepAt(Effect.provideService(analyst, Transaction.Transaction, transaction))
        )
      ],
      { concurrency: "unbounded", discard: true }
    )
    return yield* Ref.get(tally)
  })
