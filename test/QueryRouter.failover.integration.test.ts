/**
 * The primary dies, a replica takes over, the old primary comes back, a standby crashes: the client stays the same.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { Database, DatabaseError, NodeMonitor, QueryRouter, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"

// What the background writer puts on disk counts as replayed after a crash, and a busy machine gives it the time.
const Cluster = EmbeddedPostgres.layer({ replicas: 2, settings: { bgwriter_lru_maxpages: "0" } })

type Node = EmbeddedPostgres.EmbeddedPostgres["Type"]["primary"]

/** A test on a cluster of its own. */
const onCluster = <A, E>(name: string, test: Effect.Effect<A, E, EmbeddedPostgres.EmbeddedPostgres | Scope.Scope>) =>
  it.scopedLive(name, () => Effect.provide(test, Cluster), 60_000)

/** A client whose configured primary is the first of the nodes. */
const clientOn = (nodes: readonly [Node, ...ReadonlyArray<Node>], options: Database.Options = {}) =>
  Effect.map(
    Layer.build(
      Database.layer({
        health: { background: false },
        ...options,
        url: nodes[0].url,
        replicaUrls: nodes.slice(1).map(({ url }) => url)
      })
    ),
    (services) => ({
      sql: Context.get(services, PgClient.PgClient),
      transaction: Context.get(services, Transaction.Transaction),
      monitor: Context.get(services, NodeMonitor.NodeMonitor),
      router: Context.get(services, QueryRouter.QueryRouter)
    })
  )

/** A client that knows nothing but one node. */
const directly = ({ url }: Node) =>
  Effect.map(Layer.build(plinthAt(url)), (services) => Context.get(services, PgClient.PgClient))

/** The cluster's nodes by what becomes of them, a client on all of them, and the table `notes`. */
const setUp = (options: Database.Options = {}) =>
  Effect.gen(function* () {
    const { primary: old, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
    const [heir, bystander] = replicas
    if (heir === undefined || bystander === undefined) return yield* Effect.dieMessage("two replicas are needed")
    const nodes = [old, heir, bystander] as const
    const client = yield* clientOn(nodes, options)
    yield* client.sql`CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text text NOT NULL)`
    return { ...client, nodes, old, heir, bystander }
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

/** Until a fresh session's read is answered by a node. */
const servedBy = (sql: PgClient.PgClient, { port }: Node) =>
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

const succeeds = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.map(Effect.either(effect), Either.isRight)

/** Two sessions that run the same again and again, and what became of each run. */
const keepAt = <A>(effect: Effect.Effect<A, SqlError>) =>
  Effect.gen(function* () {
    const done: Array<{ readonly at: number; readonly result: A }> = []
    const failures: Array<DatabaseError.Reason> = []
    const worker = QueryRouter.session(effect).pipe(
      Effect.matchEffect({
        onSuccess: (result) => Effect.sync(() => done.push({ at: performance.now(), result })),
        onFailure: (error) => Effect.sync(() => failures.push(DatabaseError.from(error).reason))
      }),
      Effect.zipRight(Effect.sleep("5 millis")),
      Effect.forever
    )
    yield* Effect.forEach([worker, worker], Effect.forkScoped)
    return { done, failures }
  })

const connectionReasons: ReadonlyArray<DatabaseError.Reason> = [
  "ConnectionLost",
  "ConnectionRefused",
  "AdminShutdown",
  "CannotConnectNow",
  "CommitInDoubt"
]

describe("a failover", () => {
  onCluster(
    "brings writes back within a second of the promotion, fails what was under way typed, and never stops reads",
    Effect.gen(function* () {
      const { bystander, heir, old, sql, transaction } = yield* setUp()
      for (const replica of [heir, bystander]) yield* servedBy(sql, replica)
      // Load: writers that try again and again, and readers without a past.
      const writers = yield* keepAt(writeOn(sql))
      const readers = yield* keepAt(readOn(sql))

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
      const readsBefore = readers.done.length
      yield* withinSeconds(
        10,
        Effect.sync(() => readers.done.length > readsBefore + 50)
      )
      yield* heir.promote
      const promotedAt = performance.now()
      const written = () => writers.done.filter(({ at }) => at > promotedAt)
      yield* withinSeconds(
        10,
        Effect.sync(() => written().length > 0)
      )
      const [back] = written()
      assert.strictEqual(back?.result, heir.port)
      assert.isBelow((back?.at ?? 0) - promotedAt, 1_000)
      yield* withinSeconds(
        10,
        Effect.sync(() => written().length > 20)
      )
      assert.isNotEmpty(writers.failures)
      assert.isEmpty(writers.failures.filter((reason) => !connectionReasons.includes(reason)))
      assert.isEmpty(readers.failures)

      // The other replica still waits for the old primary: nobody reads from that past any more.
      const settledAt = performance.now() + 500
      const settled = () => readers.done.filter(({ at }) => at > settledAt)
      yield* withinSeconds(
        10,
        Effect.sync(() => settled().length > 50)
      )
      assert.deepStrictEqual([...new Set(settled().map(({ result }) => result.port))], [heir.port])
    })
  )

  onCluster(
    "keeps an old primary that comes back from writes and reads, until it has rejoined as a replica",
    Effect.gen(function* () {
      const { bystander, heir, monitor, nodes, old, sql } = yield* setUp()
      for (const replica of [heir, bystander]) yield* servedBy(sql, replica)
      yield* old.kill
      yield* heir.promote
      yield* old.start
      // A write that somebody else sends to the old primary, and that the bystander streams from there.
      const past = yield* directly(old)
      const astray = yield* directly(bystander)
      yield* past`INSERT INTO notes (text) VALUES ('astray')`
      yield* withinSeconds(
        10,
        Effect.map(readOn(astray, "astray"), ({ count }) => count === 1)
      )
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
      yield* usesOnlyTheHeir((yield* clientOn(nodes)).sql)

      // The old primary is now the only one that answers, and still gets nothing.
      yield* heir.stop
      assert.include(connectionReasons, DatabaseError.from(yield* failureOf(writeOn(sql))).reason)
      const { count } = yield* readOn(past)
      assert.strictEqual(count, 0)
      yield* heir.start
      yield* withinSeconds(10, succeeds(writeOn(sql)))

      yield* old.rejoin
      yield* bystander.rejoin
      for (const replica of [old, bystander]) yield* servedBy(sql, replica)
      assert.strictEqual(yield* QueryRouter.session(writeOn(sql)), heir.port)
      for (const client of [past, astray]) {
        yield* withinSeconds(
          10,
          Effect.map(Effect.either(readOn(client, "astray")), (read) => Either.isRight(read) && read.right.count === 0)
        )
      }
    })
  )

  onCluster(
    "is found by a write that is refused as read only, although no sample was due",
    Effect.gen(function* () {
      const { heir, nodes, old, router, sql } = yield* setUp({ monitorInterval: "1 hour" })
      const second = yield* clientOn(nodes, { monitorInterval: "1 hour" })
      yield* old.stop
      yield* heir.promote
      yield* old.rejoin

      assert.strictEqual(yield* writeOn(sql), heir.port)
      const reasons = yield* router.decisions
      assert.isTrue(reasons.some(({ reason }) => reason === "found after a failover"))

      // Inside a transaction the refusal is the caller's, since more than one statement may depend on it.
      const write = second.transaction.run(writeOn(second.sql))
      assert.strictEqual(DatabaseError.from(yield* failureOf(write)).reason, "ReadOnly")
      yield* withinSeconds(
        5,
        Effect.map(Effect.option(write), (port) => Option.getOrUndefined(port) === heir.port)
      )
    })
  )
})

describe("a crash of a standby", () => {
  onCluster(
    "sends a session that has read there to the primary, since the standby has gone back",
    Effect.gen(function* () {
      // Samples are taken when the test asks for them: none may place the session's read before the crash.
      const manual = { monitorInterval: "1 hour" } as const
      const { bystander, heir: standby, monitor, old: primary, sql } = yield* setUp(manual)
      const direct = yield* directly(standby)
      yield* withinSeconds(10, succeeds(readOn(direct)))
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
    })
  )
})
