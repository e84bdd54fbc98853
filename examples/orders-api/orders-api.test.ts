/**
 * The service over HTTP, on a primary with two replicas.
 */
import * as Cookies from "@effect/platform/Cookies"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Database, Migrator, QueryRouter } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { fileURLToPath } from "node:url"
import * as App from "./app.ts"
import { Placed, SalesOfDay, Summary } from "./Order.ts"

const folder = fileURLToPath(new URL("../../migrations", import.meta.url))

const ofCluster = <A, E, R>(f: (cluster: EmbeddedPostgres.EmbeddedPostgres["Type"]) => Layer.Layer<A, E, R>) =>
  Layer.unwrapEffect(Effect.map(EmbeddedPostgres.EmbeddedPostgres, f))

/** The schema, two customers, and plenty of two products. */
const prepared = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* (yield* Migrator.Migrator).up()
    yield* sql`
      INSERT INTO customers (email, name, country)
      VALUES ('ada@example.com', 'Ada', 'GB'), ('edsger@example.com', 'Edsger', 'NL')`
    yield* sql`
      INSERT INTO products (sku, name, category, price_cents, stock)
      VALUES ('TEA-0001', 'Assam', 'Tea', 790, 1000000), ('CUP-0001', 'Cup', 'Cups', 1290, 1000000),
             ('PEN-0001', 'Pen', 'Pens', 390, 3)`
  })
).pipe(
  Layer.provide(Migrator.layer({ source: Migrator.fromFolder(folder) })),
  Layer.provide(ofCluster(({ url }) => Database.layer({ url, health: { background: false } }))),
  Layer.provide(NodeContext.layer),
  Layer.provide(Logger.minimumLogLevel(LogLevel.Warning))
)

const environment = ofCluster(({ replicaUrls, url }) =>
  Layer.setConfigProvider(
    ConfigProvider.fromMap(
      new Map([
        ["DATABASE_URL", Redacted.value(url)],
        ["DATABASE_REPLICA_URLS", replicaUrls.map(Redacted.value).join(",")]
      ])
    )
  )
)

const Service = App.layer.pipe(
  Layer.provideMerge(NodeHttpServer.layerTest),
  Layer.provide(environment),
  Layer.provide(prepared),
  Layer.provideMerge(EmbeddedPostgres.layer({ replicas: 2 }))
)

/** A client that keeps its cookies. */
const browser = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  return HttpClient.withCookiesRef(client, yield* Ref.make(Cookies.empty))
})

const cart = (quantity: number, productId = "1") => ({ customerId: "1", items: [{ productId, quantity }] })

const post = (client: HttpClient.HttpClient, body: unknown) =>
  Effect.flatMap(HttpClientRequest.bodyJson(HttpClientRequest.post("/orders"), body), client.execute)

/** Places an order that must succeed. */
const place = Effect.fnUntraced(function* (client: HttpClient.HttpClient) {
  const response = yield* post(client, cart(1))
  assert.strictEqual(response.status, 201, yield* response.text)
  return yield* HttpClientResponse.schemaBodyJson(Placed)(response)
})

/** Gets what must be there. */
const get = <A, I>(client: HttpClient.HttpClient, path: string, schema: Schema.Schema<A, I>) =>
  Effect.gen(function* () {
    const response = yield* client.get(path)
    assert.strictEqual(response.status, 200, `${path}: ${yield* response.text}`)
    return yield* HttpClientResponse.schemaBodyJson(schema)(response)
  })

const Summaries = Schema.Array(Schema.typeSchema(Summary))
const Sales = Schema.Array(Schema.typeSchema(SalesOfDay))

/** How many statements each node has served. */
const served = Effect.gen(function* () {
  const { primary, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
  const decisions = yield* (yield* QueryRouter.QueryRouter).decisions
  const by = (port: number) =>
    decisions.reduce((sum, { count, node }) => (node.includes(`:${port}/`) ? sum + count : sum), 0)
  return { primary: by(primary.port), replicas: replicas.map(({ port }) => by(port)) }
})

const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({ duration: "10 seconds", onTimeout: () => new Error("the condition did not come to hold") })
  )

/** Both replicas serve reads. */
const warm = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  const before = yield* served
  yield* eventually(
    Effect.gen(function* () {
      yield* get(client, "/orders", Summaries)
      return (yield* served).replicas.every((count, i) => count > (before.replicas[i] ?? 0))
    })
  )
})

layer(Service, { excludeTestServices: true, timeout: 60_000 })("the orders service", (it) => {
  it.effect("becomes ready", () =>
    Effect.gen(function* () {
      const client = yield* HttpClient.HttpClient
      yield* eventually(Effect.map(client.get("/health/ready"), ({ status }) => status === 200))
    })
  )

  it.effect("shows a client its order at once, 200 times, while replicas serve reads", () =>
    Effect.gen(function* () {
      yield* warm
      const { replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
      const before = yield* served
      // Far enough behind that a read that goes to a replica too early would miss.
      yield* Effect.forEach(replicas, (replica) => replica.delay("50 millis"))
      const visit = Effect.gen(function* () {
        const client = yield* browser
        for (let round = 0; round < 25; round++) {
          const order = yield* place(client)
          assert.deepStrictEqual(yield* get(client, `/orders/${order.id}`, Placed), order)
          yield* get(yield* browser, "/orders", Summaries)
        }
      })
      yield* Effect.all(
        Array.from({ length: 8 }, () => visit),
        { concurrency: 8, discard: true }
      ).pipe(Effect.ensuring(Effect.orDie(Effect.forEach(replicas, (replica) => replica.delay(0)))))
      const after = yield* served
      assert.isAbove(after.primary, before.primary)
      after.replicas.forEach((count, i) => assert.isAbove(count, before.replicas[i] ?? 0))
    })
  )

  it.effect("finds an order on stopped replicas only for the client whose cookie knows of it", () =>
    Effect.gen(function* () {
      yield* warm
      const { replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
      const client = yield* browser
      yield* Effect.forEach(replicas, (replica) => replica.pause)
      yield* Effect.gen(function* () {
        const { id } = yield* place(client)
        assert.strictEqual((yield* client.get(`/orders/${id}`)).status, 200)
        assert.strictEqual((yield* (yield* browser).get(`/orders/${id}`)).status, 404)
      }).pipe(Effect.ensuring(Effect.orDie(Effect.forEach(replicas, (replica) => replica.resume))))
    })
  )

  it.effect("takes nothing from the stock when one product of the cart is not available", () =>
    Effect.gen(function* () {
      const client = yield* browser
      const sql = yield* SqlClient.SqlClient
      const state = QueryRouter.onPrimary(sql`SELECT sum(stock), (SELECT count(*) FROM orders) AS orders FROM products`)
      const before = yield* state
      const greedy = { customerId: "1", items: [...cart(1).items, { productId: "3", quantity: 4 }] }
      assert.strictEqual((yield* post(client, greedy)).status, 409)
      assert.strictEqual((yield* post(client, { ...cart(1), customerId: "99" })).status, 422)
      assert.strictEqual((yield* post(client, cart(0))).status, 400)
      assert.deepStrictEqual(yield* state, before)
      assert.strictEqual((yield* post(client, cart(3, "3"))).status, 201)
      assert.strictEqual((yield* post(client, cart(1, "3"))).status, 409)
    })
  )

  it.effect("reports the sales of a day from a replica", () =>
    Effect.gen(function* () {
      yield* warm
      const client = yield* browser
      const { placedAt } = yield* place(client)
      const day = placedAt.toISOString().slice(0, 10)
      const [sales] = yield* get(client, `/reports/sales?from=${day}&to=${day}`, Sales)
      assert.strictEqual(sales?.day, day)
      assert.isAbove(sales?.turnoverCents ?? 0, 0)
      const before = yield* served
      yield* eventually(
        Effect.gen(function* () {
          yield* get(yield* browser, `/reports/sales?from=${day}&to=${day}`, Sales)
          return (yield* served).replicas.some((count, i) => count > (before.replicas[i] ?? 0))
        })
      )
    })
  )

  it.effect("loses no request when a replica is killed under load", () =>
    Effect.gen(function* () {
      yield* warm
      const { replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
      const [victim] = replicas
      if (victim === undefined) return assert.fail("no replica")
      const halfway = yield* Deferred.make<void>()
      const rounds = 8
      const visit = Effect.gen(function* () {
        const client = yield* browser
        for (let round = 0; round < rounds; round++) {
          if (round === rounds / 2) yield* Deferred.succeed(halfway, undefined)
          const order = yield* place(client)
          yield* get(client, `/orders/${order.id}`, Placed)
          yield* get(yield* browser, "/orders?limit=5", Summaries)
        }
      })
      const load = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 16 }, () => visit),
          { concurrency: 16, discard: true }
        )
      )
      yield* Effect.raceFirst(Deferred.await(halfway), load)
      yield* victim.kill
      yield* load
    })
  )
})
