/**
 * The HTTP side: routes, the session's cookie, health, and the database from the environment.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as String from "effect/String"
import { Database, DatabaseError, Migrator } from "effect-plinth"
import { HealthRoutes, SessionMiddleware } from "effect-plinth/http"
import { fileURLToPath } from "node:url"
import { Cart, OrderId, Period, Placed, SalesOfDay, Summary } from "./Order.ts"
import * as Orders from "./Orders.ts"

const Limit = Schema.NumberFromString.pipe(Schema.int(), Schema.between(1, 100))

const refuse = (status: number, body: unknown) => HttpServerResponse.json(body, { status })

const orders = HttpRouter.empty.pipe(
  HttpRouter.post(
    "/orders",
    Effect.gen(function* () {
      const cart = yield* HttpServerRequest.schemaBodyJson(Cart)
      const placed = yield* (yield* Orders.Orders).place(cart)
      return yield* HttpServerResponse.schemaJson(Placed)(placed, {
        status: 201,
        headers: { location: `/orders/${placed.id}` }
      })
    })
  ),
  HttpRouter.get(
    "/orders/:id",
    Effect.gen(function* () {
      const { id } = yield* HttpRouter.schemaPathParams(Schema.Struct({ id: OrderId }))
      const order = yield* (yield* Orders.Orders).find(id)
      return Option.isNone(order)
        ? yield* refuse(404, { error: "NoSuchOrder", id })
        : yield* HttpServerResponse.schemaJson(Placed)(order.value)
    })
  ),
  HttpRouter.get(
    "/orders",
    Effect.gen(function* () {
      const { limit } = yield* HttpServerRequest.schemaSearchParams(
        Schema.Struct({ limit: Schema.optionalWith(Limit, { default: () => 20 }) })
      )
      const list = yield* (yield* Orders.Orders).list(limit)
      return yield* HttpServerResponse.schemaJson(Schema.Array(Schema.typeSchema(Summary)))(list)
    })
  ),
  HttpRouter.get(
    "/reports/sales",
    Effect.gen(function* () {
      const period = yield* HttpServerRequest.schemaSearchParams(Period)
      const sales = yield* (yield* Orders.Orders).sales(period)
      return yield* HttpServerResponse.schemaJson(Schema.Array(Schema.typeSchema(SalesOfDay)))(sales)
    })
  ),
  HttpRouter.catchTags({
    UnknownCustomer: ({ _tag, customerId }) => refuse(422, { error: _tag, customerId }),
    Unavailable: ({ _tag, available }) => refuse(409, { error: _tag, available }),
    // What a client may try again is not its mistake, and not a bug either.
    SqlError: (error) => {
      const { isTransient, reason } = DatabaseError.from(error)
      return isTransient ? refuse(503, { error: reason }) : Effect.die(error)
    }
  }),
  HttpRouter.use(SessionMiddleware.make())
)

/** Probes have no session. */
const routes = HttpRouter.concat(orders, HealthRoutes.make())

/** Columns are snake_case, fields are camelCase. The service is not ready while its database is behind it. */
const database = Database.layerConfig({
  migrations: Migrator.fromFolder(fileURLToPath(new URL("../../migrations", import.meta.url))),
  client: { transformQueryNames: String.camelToSnake, transformResultNames: String.snakeToCamel }
})

/** Everything but the server. */
export const layer = HttpServer.serve(routes).pipe(Layer.provide(Orders.layer), Layer.provideMerge(database))
