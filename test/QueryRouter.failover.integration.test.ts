/**
 * The primary dies, a replica takes over, the old primary comes back, a standby crashes: the client stays the same.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Database, DatabaseError, NodeMonitor, QueryRouter, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"

const Cluster = EmbeddedPostgres.layer({ replicas: 2 })

type Node = EmbeddedPostgres.EmbeddedPostgres["Type"]["primary"]

/** The cluster's nodes by what becomes of them. */
const nodesOf = ({ primary, replicas }: EmbeddedPostgres.EmbeddedPostgres["Type"]) => {
  const [heir, bystander] = replicas
  if (heir === undefined || bystander === undefined) throw new Error("two replicas are needed")
  return { old: primary, heir, bystander }
}

/** A client whose configured primary is the first of the nodes. */
const stackOn = (nodes: readonly [Node, ...ReadonlyArray<Node>], options: Database.Options = {}) =>
  Database.layer({
    health: { background: false },
    ...options,
    url: nodes[0].url,
    replicaUrls: nodes.slice(1).map(({ url }) => url)
  })

/** Where a write landed. */
const writeOn = (sql: PgClient.PgClient) =>
  Effect.map(
    sql<{ port: number }>`INSERT INTO notes (text) VALUES ('kept') RETURNING pg_catalog.inet_server_port() AS port`,
    ([row]) => row?.port
  )

/** Who answers a read of the table, and how often it has seen the word. */
const readOn = (sql: PgClient.PgClient, word = "kept") =>
  Effect.map(
    sql<{ port: number; count: number }>`
      SELECT pg_catalog.inet_server_port() AS port, count(*)::int AS count FROM notes WHERE text = ${word}`,
    ([row]) => row ?? { port: 0, count: 0 }
  )

const createNotes = (sql: PgClient.PgClient, replicas: ReadonlyArray<Node>) =>
  Effect.zipRight(
    sql`CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)`,
    Effect.forEach(replicas, ({ port }) => servedBy(sql, port), { discard: true })
  )

/** Until a fresh session's read is answered by a node. */
const servedBy = (sql: PgClient.PgClient, port: number) =>
  withinSeconds(
    20,
    QueryRouter.session(readOn(sql)).pipe(
      Effect.map((row) => row.port === port),
      Effect.orElseSucceed(() => false)
    )
  )

/** Until the client's monitor has seen a node as a primary. */
const seenAsPrimary = (monitor: NodeMonitor.NodeMonitor["Type"], { port }: Node) =>
  withinSeconds(
    10,
    Effect.sync(() =>
      monitor.nodes.some(
        ({ status, target }) => target.port === port && status._tag === "Up" && status.sample.role === "primary"
      )
    )
  )

const connectionReasons: ReadonlyArray<DatabaseError.Reason> = [
  "ConnectionLost",
  "ConnectionRefused",
  "AdminShutdown",
  "CannotConnectNow",
  "CommitInDoubt"
]

describe("a failover", () => {
  it.scopedLive(
    "brings writes back within a second of the promotion, fails what was under way typed, and never stops reads",
    () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const { bystander, heir, old } = nodesOf(cluster)
        const services = yield* Layer.build(stackOn([old, heir, bystander]))
        const sql = Context.get(services, PgClient.PgClient)
        const transaction = Context.get(services, Transaction.Transaction)
        yield* createNotes(sql, [heir, bystander])

        // Load: writers that try again and again, and readers without a past.
        const writes: Array<{ readonly at: number; readonly port: number | undefined }> = []
        const writeFailures: Array<DatabaseError.Reason> = []
        const readFailures: Array<DatabaseError.Reason> = []
        const reads: Array<{ readonly at: number; readonly port: number }> = []
        const writer = QueryRouter.session(writeOn(sql)).pipe(
          Effect.matchEffect({
            onSuccess: (port) => Effect.sync(() => writes.push({ at: performance.now(), port })),
            onFailure: (error) => Effect.sync(() => writeFailures.push(DatabaseError.from(error).reason))
          }),
          Effect.zipRight(Effect.sleep("5 millis")),
          Effect.forever
        )
        const reader = QueryRouter.session(readOn(sql)).pipe(
          Effect.matchEffect({
            onSuccess: ({ port }) => Effect.sync(() => reads.push({ at: performance.now(), port })),
            onFailure: (error) => Effect.sync(() => readFailures.push(DatabaseError.from(error).reason))
          }),
          Effect.zipRight(Effect.sleep("5 millis")),
          Effect.forever
        )
        yield* Effect.forEach([writer, writer, reader, reader], Effect.forkScoped)

        const begun = yield* Deferred.make<void>()
        const killed = yield* Deferred.make<void>()
        const underWay = yield* Effect.fork(
          failureOf(
            transaction.run(
              writeOn(sql).pipe(
                Effect.zipRight(Deferred.succeed(begun, undefined)),
                Effect.zipRight(Deferred.await(killed)),
                Effect.zipRight(writeOn(sql))
              )
            )
          )
        )
        yield* Deferred.await(begun)
        yield* Effect.sleep("300 millis")
        yield* old.kill
        yield* Deferred.succeed(killed, undefined)
        const error = DatabaseError.from(yield* Fiber.join(underWay))
        assert.include(connectionReasons, error.reason)

        // Nobody takes writes now, and reads go on.
        const readsBefore = reads.length
        yield* withinSeconds(
          10,
          Effect.sync(() => reads.length > readsBefore + 50)
        )
        yield* heir.promote
        const promotedAt = performance.now()
        yield* withinSeconds(
          10,
          Effect.sync(() => writes.some(({ at }) => at > promotedAt))
        )
        const back = writes.find(({ at }) => at > promotedAt)
        assert.strictEqual(back?.port, heir.port)
        assert.isBelow((back?.at ?? 0) - promotedAt, 1_000)
        yield* withinSeconds(
          10,
          Effect.sync(() => writes.filter(({ at }) => at > promotedAt).length > 20)
        )
        assert.isNotEmpty(writeFailures)
        assert.isEmpty(writeFailures.filter((reason) => !connectionReasons.includes(reason)))
        assert.isEmpty(readFailures)

        // The other replica still waits for the old primary: nobody reads from that past any more.
        const settledAt = performance.now() + 500
        yield* withinSeconds(
          10,
          Effect.sync(() => reads.filter(({ at }) => at > settledAt).length > 50)
        )
        assert.deepStrictEqual(
          [...new Set(reads.filter(({ at }) => at > settledAt).map(({ port }) => port))],
          [heir.port]
        )
      }).pipe(Effect.provide(Cluster)),
    60_000
  )

  it.scopedLive(
    "keeps an old primary that comes back from writes and reads, until it has rejoined as a replica",
    () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const { bystander, heir, old } = nodesOf(cluster)
        const services = yield* Layer.build(stackOn([old, heir, bystander]))
        const sql = Context.get(services, PgClient.PgClient)
        yield* createNotes(sql, [heir, bystander])
        yield* old.kill
        yield* heir.promote
        yield* old.start
        // A write that somebody else sends to the old primary, and that the bystander streams from there.
        const past = Context.get(yield* Layer.build(plinthAt(old.url)), PgClient.PgClient)
        const astray = Context.get(yield* Layer.build(plinthAt(bystander.url)), PgClient.PgClient)
        yield* past`INSERT INTO notes (text) VALUES ('astray')`
        yield* withinSeconds(
          10,
          Effect.map(readOn(astray, "astray"), ({ count }) => count === 1)
        )
        const monitor = Context.get(services, NodeMonitor.NodeMonitor)
        yield* seenAsPrimary(monitor, old)
        yield* seenAsPrimary(monitor, heir)

        const usesOnlyTheHeir = (client: PgClient.PgClient) =>
          Effect.forEach(
            Array.from({ length: 20 }, (_, i) => i),
            () =>
              Effect.gen(function* () {
                assert.strictEqual(yield* QueryRouter.session(writeOn(client)), heir.port)
                for (const read of [QueryRouter.session, QueryRouter.onReplica, QueryRouter.onPrimary]) {
                  assert.deepStrictEqual(yield* read(readOn(client, "astray")), { port: heir.port, count: 0 })
                }
              }),
            { discard: true }
          )
        yield* usesOnlyTheHeir(sql)
        // A client that starts now and believes its configuration would write to the old one.
        const late = Context.get(yield* Layer.build(stackOn([old, heir, bystander])), PgClient.PgClient)
        yield* usesOnlyTheHeir(late)

        // The old primary is now the only one that answers, and still gets nothing.
        yield* heir.stop
        assert.include(connectionReasons, DatabaseError.from(yield* failureOf(writeOn(sql))).reason)
        const { count } = yield* readOn(past)
        assert.strictEqual(count, 0)
        yield* heir.start
        yield* withinSeconds(10, Effect.map(Effect.either(writeOn(sql)), Either.isRight))

        yield* old.rejoin
        yield* bystander.rejoin
        yield* servedBy(sql, old.port)
        yield* servedBy(sql, bystander.port)
        assert.strictEqual(yield* QueryRouter.session(writeOn(sql)), heir.port)
        for (const client of [past, astray]) {
          yield* withinSeconds(
            10,
            Effect.map(
              Effect.either(readOn(client, "astray")),
              (read) => Either.isRight(read) && read.right.count === 0
            )
          )
        }
      }).pipe(Effect.provide(Cluster)),
    60_000
  )

  it.scopedLive(
    "is found by a write that is refused as read only, although no sample was due",
    () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const { bystander, heir, old } = nodesOf(cluster)
        const [first, second] = yield* Effect.all([
          Layer.build(stackOn([old, heir, bystander], { monitorInterval: "1 hour" })),
          Layer.build(stackOn([old, heir, bystander], { monitorInterval: "1 hour" }))
        ])
        const sql = Context.get(first, PgClient.PgClient)
        yield* sql`CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)`
        yield* old.stop
        yield* heir.promote
        yield* old.rejoin

        assert.strictEqual(yield* writeOn(sql), heir.port)
        const reasons = yield* Context.get(first, QueryRouter.QueryRouter).decisions
        assert.isTrue(reasons.some(({ reason }) => reason === "found after a failover"))

        // Inside a transaction the refusal is the caller's, since more than one statement may depend on it.
        const transaction = Context.get(second, Transaction.Transaction)
        const write = transaction.run(writeOn(Context.get(second, PgClient.PgClient)))
        assert.strictEqual(DatabaseError.from(yield* failureOf(write)).reason, "ReadOnly")
        yield* withinSeconds(
          5,
          Effect.map(Effect.option(write), (port) => Option.getOrUndefined(port) === heir.port)
        )
      }).pipe(Effect.provide(Cluster)),
    60_000
  )
})

describe("a crash of a standby", () => {
  it.scopedLive(
    "sends a session that has read there to the primary, since the standby has gone back",
    () =>
      Effect.gen(function* () {
        const { bystander, heir: standby, old: primary } = nodesOf(yield* EmbeddedPostgres.EmbeddedPostgres)
        // Samples are taken when the test asks for them: none may place the session's read before the crash.
        const services = yield* Layer.build(stackOn([primary, standby, bystander], { monitorInterval: "1 hour" }))
        const sql = Context.get(services, PgClient.PgClient)
        const monitor = Context.get(services, NodeMonitor.NodeMonitor)
        const direct = Context.get(yield* Layer.build(plinthAt(standby.url)), PgClient.PgClient)
        yield* sql`CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)`
        yield* withinSeconds(10, Effect.map(Effect.either(readOn(direct)), Either.isRight))
        yield* bystander.stop
        yield* sql`CHECKPOINT`
        yield* direct`CHECKPOINT`
        yield* writeOn(sql)
        yield* withinSeconds(
          10,
          Effect.map(readOn(direct), ({ count }) => count === 1)
        )
        yield* withinSeconds(
          10,
          Effect.zipRight(
            Effect.zipRight(monitor.wake, Effect.sleep("50 millis")),
            Effect.map(QueryRouter.session(readOn(sql)), ({ port }) => port === standby.port)
          )
        )
        yield* QueryRouter.session(
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* readOn(sql), { port: standby.port, count: 1 })
            // After the crash it is consistent before it has replayed the write again, and then takes its time.
            yield* standby.delay("1 minute")
            const [backend] = yield* direct<{ pid: number }>`SELECT pg_catalog.pg_backend_pid() AS pid`
            process.kill(backend?.pid ?? 0, "SIGKILL")
            yield* withinSeconds(
              20,
              Effect.map(Effect.either(readOn(direct)), (read) => Either.isRight(read) && read.right.count === 0)
            )
            yield* withinSeconds(
              10,
              Effect.zipRight(
                monitor.wake,
                Effect.map(
                  Effect.either(QueryRouter.session(QueryRouter.onReplica(readOn(sql)))),
                  (read) => Either.isRight(read) && read.right.port === standby.port
                )
              )
            )
            for (let i = 0; i < 20; i++) {
              yield* monitor.wake
              assert.deepStrictEqual(yield* readOn(sql), { port: primary.port, count: 1 })
            }
          })
        )
      }).pipe(Effect.provide(Cluster)),
    60_000
  )
})
