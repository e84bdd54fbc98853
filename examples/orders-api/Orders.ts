/**
 * Orders in PostgreSQL. Nothing here knows of replicas, pools or retries: it is plain `@effect/sql`.
 */
import * as Model from "@effect/sql/Model"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlSchema from "@effect/sql/SqlSchema"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { Cart, CustomerId, Order, OrderId, OrderLine, Period, SalesOfDay, Summary } from "./Order.ts"
import type { Placed } from "./Order.ts"

export class UnknownCustomer extends Schema.TaggedError<UnknownCustomer>()("UnknownCustomer", {
  customerId: CustomerId
}) {}

/** Something in the cart is not for sale, or not in this quantity. */
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", {
  available: Schema.Array(OrderLine.fields.productId)
}) {}

type Failure = SqlError | ParseError

export class Orders extends Context.Tag("orders-api/Orders")<
  Orders,
  {
    /** Takes everything in the cart from the stock, or nothing. */
    readonly place: (
      cart: typeof Cart.Type
    ) => Effect.Effect<typeof Placed.Type, UnknownCustomer | Unavailable | Failure>
    readonly find: (id: typeof OrderId.Type) => Effect.Effect<Option.Option<typeof Placed.Type>, Failure>
    /** The newest first. */
    readonly list: (limit: number) => Effect.Effect<ReadonlyArray<typeof Summary.Type>, Failure>
    readonly sales: (period: typeof Period.Type) => Effect.Effect<ReadonlyArray<typeof SalesOfDay.Type>, Failure>
  }
>() {}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const orders = yield* Model.makeRepository(Order, { tableName: "orders", spanPrefix: "Orders", idColumn: "id" })

  // The lock keeps the customer from being closed until the order is there.
  const customer = SqlSchema.findOne({
    Request: CustomerId,
    Result: Schema.Struct({ id: CustomerId }),
    execute: (id) => sql`SELECT id FROM customers WHERE id = ${id} AND closed_at IS NULL FOR SHARE`
  })

  // Products are locked in the order of their keys, so that two orders cannot wait for each other.
  const take = SqlSchema.findAll({
    Request: Schema.Struct({ orderId: OrderId, items: Schema.parseJson(Cart.fields.items) }),
    Result: OrderLine,
    execute: ({ items, orderId }) => sql`
      WITH available AS (
        SELECT p.id, p.price_cents, item.quantity
        FROM jsonb_to_recordset(${items}::jsonb) AS item ("productId" bigint, quantity integer)
        JOIN products p ON p.id = item."productId"
        WHERE p.withdrawn_at IS NULL AND p.stock >= item.quantity
        ORDER BY p.id
        FOR UPDATE OF p
      ), taken AS (
        UPDATE products p SET stock = p.stock - available.quantity FROM available WHERE p.id = available.id
      )
      INSERT INTO order_lines (order_id, line, product_id, quantity, unit_price_cents)
      SELECT ${orderId}, row_number() OVER (ORDER BY id), id, quantity, price_cents FROM available
      RETURNING line, product_id, quantity, unit_price_cents`
  })

  const linesOf = SqlSchema.findAll({
    Request: OrderId,
    Result: OrderLine,
    execute: (id) =>
      sql`SELECT line, product_id, quantity, unit_price_cents FROM order_lines WHERE order_id = ${id} ORDER BY line`
  })

  return Orders.of({
    place: Effect.fn("Orders.place")(function* ({ customerId, items }) {
      if (Option.isNone(yield* customer(customerId))) return yield* new UnknownCustomer({ customerId })
      const order = yield* orders.insert({ customerId })
      const lines = yield* take({ orderId: order.id, items })
      if (lines.length < items.length) {
        return yield* new Unavailable({ available: lines.map(({ productId }) => productId) })
      }
      return { ...order, lines }
    }, sql.withTransaction),

    find: Effect.fn("Orders.find")(function* (id) {
      const order = yield* orders.findById(id)
      if (Option.isNone(order)) return Option.none()
      return Option.some({ ...order.value, lines: yield* linesOf(id) })
    }),

    list: SqlSchema.findAll({
      Request: Schema.Int,
      Result: Summary,
      execute: (limit) =>
        sql`SELECT id, status, customer_name, total_cents FROM order_summary ORDER BY id DESC LIMIT ${limit}`
    }),

    sales: SqlSchema.findAll({
      Request: Period,
      Result: SalesOfDay,
      execute: ({ from, to }) =>
        sql`SELECT day::text, orders, items, turnover_cents FROM sales_by_day(${from}::date, ${to}::date)`
    })
  })
})

export const layer: Layer.Layer<Orders, never, SqlClient.SqlClient> = Layer.effect(Orders, make)
