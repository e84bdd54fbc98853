/**
 * The router over a real primary with two replicas.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Database, DatabaseError, QueryRouter, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { failureOf, withinSeconds } from "./support/effects.ts"

const Cluster = EmbeddedPostgres.layer({ replicas: 2 })

/** The stack over the test's own cluster. */
const stack = (options: Omit<Database.Options, "url" | "replicaUrls"> = {}) =>
  Layer.unwrapEffect(
    Effect.map(EmbeddedPostgres.EmbeddedPostgres, ({ replicaUrls, url }) =>
      Database.layer({ health: { background: false }, ...options, url, replicaUrls })
    )
  )

const portOf = (url: Redacted.Redacted) => Number(new URL(Redacted.value(url)).port)

/** Which server answers a read. */
const served = (sql: PgClient.PgClient) =>
  Effect.map(sql<{ port: number }>`SELECT pg_catalog.inet_server_port() AS port`, ([row]) => row?.port ?? 0)

/** Reads are served by a replica: the monitor has seen all nodes. */
const warm = (sql: PgClient.PgClient, primary: number) =>
  withinSeconds(
    5,
    Effect.map(QueryRouter.session(served(sql)), (port) => port !== primary)
  )

layer(Cluster, { excludeTestServices: true, timeout: 60_000 })("the router", (it) => {
  it.effect("serves reads on replicas, writes on the primary, and reads a session's own writes at once", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const primary = portOf(url)
      yield* sql`CREATE TABLE own_writes (id int PRIMARY KEY)`
      yield* warm(sql, primary)
      yield* QueryRouter.session(
        Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (id) =>
            Effect.gen(function* () {
              yield* sql`INSERT INTO own_writes VALUES (${id})`
              const rows = yield* sql`SELECT 1 FROM own_writes WHERE id = ${id}`
              assert.strictEqual(rows.length, 1)
            })
        )
      )
      const reasons = yield* (yield* QueryRouter.QueryRouter).decisions
      assert.isTrue(reasons.some(({ reason }) => reason === "the session's last statement is not placed yet"))
    }).pipe(Effect.provide(stack()))
  )

  it.effect("returns a session to the replicas once the monitor has placed its last write", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const primary = portOf(url)
      yield* sql`CREATE TABLE placed (id int)`
      yield* warm(sql, primary)
      yield* QueryRouter.session(
        Effect.gen(function* () {
          yield* sql`INSERT INTO placed VALUES (1)`
          yield* withinSeconds(
            5,
            Effect.zipRight(
              Effect.sleep("30 millis"),
              Effect.map(served(sql), (port) => port !== primary)
            )
          )
          assert.deepStrictEqual(yield* sql`SELECT id FROM placed`, [{ id: 1 }])
        })
      )
    }).pipe(Effect.provide(stack()))
  )

  it.effect("keeps a session on the primary while replay is paused, and lets eventual reads be old", () =>
    Effect.gen(function* () {
      const { replicas, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const primary = portOf(url)
      yield* sql`CREATE TABLE paused (id int)`
      yield* warm(sql, primary)
      yield* withinSeconds(
        5,
        Effect.map(QueryRouter.onReplica(Effect.option(sql`SELECT 1 FROM paused`)), Option.isSome)
      )
      yield* Effect.forEach(replicas, (replica) => replica.pause)
      yield* QueryRouter.session(
        Effect.gen(function* () {
          yield* sql`INSERT INTO paused VALUES (1)`
          yield* Effect.sleep("300 millis")
          assert.strictEqual(yield* served(sql), primary)
          assert.strictEqual((yield* sql`SELECT id FROM paused`).length, 1)
          assert.strictEqual((yield* QueryRouter.onReplica(sql`SELECT id FROM paused`)).length, 0)
        })
      ).pipe(Effect.ensuring(Effect.orDie(Effect.forEach(replicas, (replica) => replica.resume))))
    }).pipe(Effect.provide(stack()))
  )

  it.effect("carries what a session has seen to another client by a token", () =>
    Effect.gen(function* () {
      const { replicas, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const router = yield* QueryRouter.QueryRouter
      const primary = portOf(url)
      yield* sql`CREATE TABLE carried (id int)`
      yield* warm(sql, primary)
      const other = yield* Layer.build(stack())
      const theirs = Context.get(other, PgClient.PgClient)
      yield* warm(theirs, primary)
      yield* Effect.forEach(replicas, (replica) => replica.pause)
      const token = yield* QueryRouter.session(Effect.zipRight(sql`INSERT INTO carried VALUES (1)`, router.token))
      const { withToken } = Context.get(other, QueryRouter.QueryRouter)
      yield* withToken(
        Effect.gen(function* () {
          assert.strictEqual(yield* served(theirs), primary)
          assert.strictEqual((yield* theirs`SELECT id FROM carried`).length, 1)
        }),
        Option.getOrThrow(token)
      ).pipe(Effect.ensuring(Effect.orDie(Effect.forEach(replicas, (replica) => replica.resume))))
      assert.strictEqual(yield* withToken(served(theirs), "no token at all"), primary)
    }).pipe(Effect.scoped, Effect.provide(stack()))
  )

  it.effect("runs read-only transactions and streams of reads on replicas, other transactions on the primary", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const primary = portOf(url)
      yield* warm(sql, primary)
      assert.notStrictEqual(yield* QueryRouter.session(Transaction.run(served(sql), { access: "read only" })), primary)
      assert.strictEqual(yield* QueryRouter.session(Transaction.run(served(sql))), primary)
      const [row] = yield* QueryRouter.session(
        Stream.runCollect(sql<{ port: number }>`SELECT pg_catalog.inet_server_port() AS port`.stream)
      )
      assert.notStrictEqual(row?.port, primary)
      const error = yield* failureOf(sql`SET search_path = nowhere`)
      assert.strictEqual(DatabaseError.from(error).reason, "SessionStatement")
    }).pipe(Effect.provide(stack()))
  )

  it.effect("fails no read when a replica is killed or frozen, and uses it again when it is back", () =>
    Effect.gen(function* () {
      const { replicas, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const [victim] = replicas
      if (victim === undefined) return assert.fail("no replica")
      const sql = yield* PgClient.PgClient
      yield* warm(sql, portOf(url))
      const readers = yield* Effect.fork(
        Effect.all(
          Array.from({ length: 8 }, () => Effect.repeat(QueryRouter.session(served(sql)), Schedule.recurs(4000))),
          { concurrency: "unbounded" }
        )
      )
      yield* Effect.sleep("200 millis")
      yield* victim.kill
      yield* Effect.sleep("500 millis")
      yield* victim.start
      const servesAgain = withinSeconds(
        10,
        Effect.map(QueryRouter.session(served(sql)), (port) => port === victim.port)
      )
      yield* servesAgain
      yield* victim.freeze
      yield* Effect.sleep("1500 millis")
      yield* victim.thaw
      yield* readers
      yield* servesAgain
    }).pipe(Effect.provide(stack()))
  )
})
