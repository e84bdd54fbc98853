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
import * as Stream from "effect/Stream"
import { Database, DatabaseError, NodeMonitor, QueryRouter, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Token from "../src/QueryRouter/token.ts"
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

  it.effect("returns a session to the replicas on an idle primary whose last record fills its page", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const primary = portOf(url)
      yield* sql`CREATE TABLE idle (id int)`
      yield* warm(sql, primary)
      yield* QueryRouter.session(
        Effect.gen(function* () {
          // Inserted is now the header of a segment that has no record, and replay stays before it.
          yield* sql`SELECT pg_catalog.pg_switch_wal()`
          yield* withinSeconds(
            5,
            Effect.zipRight(
              Effect.sleep("30 millis"),
              Effect.map(served(sql), (port) => port !== primary)
            )
          )
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
    }).pipe(Effect.scoped, Effect.provide(stack()))
  )

  it.effect("takes a token that it cannot place as everything up to now", () =>
    Effect.gen(function* () {
      const { replicas, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const { token, withToken } = yield* QueryRouter.QueryRouter
      const { nodes } = yield* NodeMonitor.NodeMonitor
      const primary = portOf(url)
      yield* sql`CREATE TABLE received (id int)`
      yield* warm(sql, primary)
      const own = Option.getOrThrow(
        yield* QueryRouter.session(Effect.zipRight(sql`INSERT INTO received VALUES (1)`, token))
      )
      const status = nodes[0]?.status
      if (status?._tag !== "Up") return assert.fail("the primary is not up")
      const { lsn, systemIdentifier, timeline } = status.sample
      yield* Effect.forEach(replicas, (replica) => replica.pause)
      yield* Effect.forEach(
        [
          "no token at all",
          own.slice(0, -4),
          Token.encode({ systemIdentifier, timeline, lsn: lsn + 1_000_000_000n }),
          Token.encode({ systemIdentifier, timeline: timeline + 1, lsn: 0n }),
          Token.encode({ systemIdentifier: "1", timeline, lsn: 0n })
        ],
        (text, index) =>
          Effect.gen(function* () {
            yield* QueryRouter.session(sql`INSERT INTO received VALUES (${index + 2})`)
            assert.strictEqual((yield* withToken(sql`SELECT id FROM received`, text)).length, index + 2)
          }),
        { discard: true }
      ).pipe(Effect.ensuring(Effect.orDie(Effect.forEach(replicas, (replica) => replica.resume))))
    }).pipe(Effect.provide(stack()))
  )

  it.effect("gives a token also while nobody can say what the session has seen", () =>
    Effect.gen(function* () {
      const { primary, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
      const sql = yield* PgClient.PgClient
      const { token, withToken } = yield* QueryRouter.QueryRouter
      yield* sql`CREATE TABLE unknown (id int)`
      yield* warm(sql, primary.port)
      yield* Effect.forEach(replicas, (replica) => replica.pause)
      yield* primary.freeze
      const text = yield* QueryRouter.session(
        // While a statement runs, what the session has seen is not settled.
        Effect.zipRight(Effect.fork(sql`INSERT INTO unknown VALUES (1)`), Effect.zipRight(Effect.yieldNow(), token))
      ).pipe(Effect.ensuring(Effect.orDie(primary.thaw)))
      const insert = QueryRouter.session(sql`INSERT INTO unknown VALUES (2)`)
      yield* withinSeconds(10, Effect.map(Effect.option(insert), Option.isSome))
      const rows = yield* withToken(sql`SELECT id FROM unknown WHERE id = 2`, Option.getOrThrow(text))
      assert.strictEqual(rows.length, 1)
      yield* Effect.forEach(replicas, (replica) => replica.resume)
    }).pipe(Effect.provide(stack()))
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
      let over = false
      const reader = Effect.repeat(QueryRouter.session(served(sql)), { until: () => over })
      const readers = yield* Effect.fork(Effect.replicateEffect(reader, 8, { concurrency: "unbounded" }))
      yield* Effect.sleep("200 millis")
      yield* victim.kill
      yield* Effect.sleep("500 millis")
      yield* victim.start
      const servesAgain = withinSeconds(
        40,
        Effect.map(QueryRouter.session(served(sql)), (port) => port === victim.port)
      )
      yield* servesAgain
      yield* victim.freeze
      yield* Effect.sleep("1500 millis")
      yield* victim.thaw
      yield* servesAgain
      over = true
      yield* readers
    }).pipe(Effect.provide(stack()))
  )
})
