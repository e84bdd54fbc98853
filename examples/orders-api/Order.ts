/**
 * What an order is: in its table, and as JSON.
 */
import * as Model from "@effect/sql/Model"
import * as Schema from "effect/Schema"

/** A bigint of PostgreSQL, which outgrows a number. */
const id = Schema.String.pipe(Schema.pattern(/^[1-9]\d{0,17}$/))

export const OrderId = id.pipe(Schema.brand("OrderId"))
export const CustomerId = id.pipe(Schema.brand("CustomerId"))
export const ProductId = id.pipe(Schema.brand("ProductId"))

const Status = Schema.Literal("placed", "paid", "shipped", "cancelled")

export class Order extends Model.Class<Order>("Order")({
  id: Model.Generated(OrderId),
  reference: Model.Generated(Schema.String),
  customerId: CustomerId,
  status: Model.Generated(Status),
  placedAt: Model.Field({ select: Schema.DateFromSelf, update: Schema.DateFromSelf, json: Schema.Date })
}) {}

export const OrderLine = Schema.Struct({
  line: Schema.Int,
  productId: ProductId,
  quantity: Schema.Int,
  unitPriceCents: Schema.Int
})

/** An order with what was bought. */
export const Placed = Schema.Struct({ ...Order.json.fields, lines: Schema.Array(OrderLine) })

/** What a client sends. */
export const Cart = Schema.Struct({
  customerId: CustomerId,
  items: Schema.NonEmptyArray(
    Schema.Struct({ productId: ProductId, quantity: Schema.Int.pipe(Schema.between(1, 1000)) })
  ).pipe(
    Schema.filter(
      (items) => new Set(items.map(({ productId }) => productId)).size === items.length || "a product is listed twice"
    )
  )
})

/** One line of the list of orders. Sums are bigint, which the driver leaves as text. */
export const Summary = Schema.Struct({
  id: OrderId,
  status: Status,
  customerName: Schema.String,
  totalCents: Schema.NumberFromString
})

export const Period = Schema.Struct({
  from: Schema.String.pipe(Schema.pattern(/^\d{4}-\d{2}-\d{2}$/)),
  to: Schema.String.pipe(Schema.pattern(/^\d{4}-\d{2}-\d{2}$/))
})

export const SalesOfDay = Schema.Struct({
  day: Schema.String,
  orders: Schema.NumberFromString,
  items: Schema.NumberFromString,
  turnoverCents: Schema.NumberFromString
})
