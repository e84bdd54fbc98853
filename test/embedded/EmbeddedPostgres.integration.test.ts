import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { existsSync, readFileSync, statSync } from "node:fs"
import { createServer } from "node:net"
import { dirname } from "node:path"
import { isAlive } from "../support/clusterProcess.ts"
import { vi } from "vitest"

// Several clusters are started one after the other, maybe on a busy machine.
vi.setConfig({ testTimeout: 90_000 })

const live = { excludeTestServices: true } as const

/** One statement over a connection of its own. */
const query = <A extends object>(url: Redacted.Redacted, statement: string) =>
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql.unsafe<A>(statement)),
    Effect.provide(PgClient.layer({ url, maxConnections: 1, connectTimeout: "2 seconds" }))
  )

const until = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.repeat({ until: (met) => met, schedule: Schedule.spaced("10 millis") }),
    Effect.timeout("10 seconds")
  )

const count = (url: Redacted.Redacted, table: string) =>
  Effect.map(query<{ n: number }>(url, `select count(*)::int as n from ${table}`), ([row]) => row?.n)

/** System V segments that these processes made (Linux): a line is key, id, permissions, size, creator, .. */
const segmentsOf = (pids: ReadonlyArray<number>) =>
  existsSync("/proc/sysvipc/shm")
    ? readFileSync("/proc/sysvipc/shm", "utf8")
        .split("\n")
        .filter((line) => pids.includes(Number(line.trim().split(/\s+/)[4])))
    : []

const firstReplica = Effect.flatMap(EmbeddedPostgres.EmbeddedPostgres, (cluster) =>
  Effect.orDie(Effect.fromNullable(cluster.replicas[0]))
)

describe("EmbeddedPostgres", () => {
  it.scoped("starts under a test clock", () =>
    Effect.gen(function* () {
      const [duration, cluster] = yield* Effect.timed(EmbeddedPostgres.make())
      assert.isAbove(cluster.serverVersion, 140_000)
      assert.isTrue(Option.isSome(yield* cluster.primary.pid))
      assert.isDefined(duration)
    })
  )

  it.live("leaves no process, directory or segment behind", () =>
    Effect.gen(function* () {
      const started = performance.now()
      const { directory, pids } = yield* Effect.scoped(
        Effect.gen(function* () {
          const cluster = yield* EmbeddedPostgres.make({ replicas: 2 })
          console.log(`    primary and 2 replicas ready in ${Math.round(performance.now() - started)} ms`)
          const found = yield* Effect.forEach([cluster.primary, ...cluster.replicas], (node) => node.pid)
          // What a killed server cannot clean up is cleaned up for it.
          yield* cluster.primary.kill
          return { directory: dirname(cluster.dataDirectory), pids: found.flatMap(Option.toArray) }
        })
      )
      assert.lengthOf(pids, 3)
      assert.deepStrictEqual(pids.filter(isAlive), [])
      assert.isFalse(existsSync(directory))
      assert.deepStrictEqual(segmentsOf(pids), [])
    })
  )

  it.scopedLive("gives two clusters at a time ports and data of their own", () =>
    Effect.gen(function* () {
      const [one, two] = yield* Effect.all([EmbeddedPostgres.make(), EmbeddedPostgres.make()], { concurrency: 2 })
      assert.notStrictEqual(one.primary.port, two.primary.port)
      yield* query(one.url, "create table only_here ()")
      const found = yield* query(two.url, "select from pg_class where relname = 'only_here'")
      assert.lengthOf(found, 0)
    })
  )

  it.scopedLive("passes settings on, those included that a standby must not have less of", () =>
    Effect.gen(function* () {
      const cluster = yield* EmbeddedPostgres.make({
        replicas: 1,
        settings: { max_connections: "30", work_mem: "7MB", "plinth.note": "it's" }
      })
      const shown = yield* Effect.forEach([cluster.url, ...cluster.replicaUrls], (url) =>
        query(
          url,
          `select current_setting('max_connections') as connections, current_setting('work_mem') as memory,
             current_setting('plinth.note') as note, current_setting('fsync') as fsync`
        )
      )
      const expected = { connections: "30", memory: "7MB", note: "it's", fsync: "off" }
      assert.deepStrictEqual(shown, [[expected], [expected]])
    })
  )

  it.scopedLive("fails with the server's own words when a setting is wrong", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(EmbeddedPostgres.make({ settings: { work_mem: "plenty" } }))
      assert.strictEqual(error.reason, "StartFailed")
      assert.include(error.message, `invalid value for parameter "work_mem": "plenty"`)
    })
  )

  layer(EmbeddedPostgres.layer({ replicas: 2 }), live)("a cluster", (it) => {
    it.effect("is a primary and two streaming standbys with UTF-8 and the statistics extension", () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const [facts] = yield* query<Record<string, unknown>>(
          cluster.url,
          `select (select count(*)::int from pg_stat_replication where state = 'streaming') as standbys,
             current_setting('server_version_num')::int as version, pg_encoding_to_char(encoding) as encoding,
             datcollate as collation, current_setting('shared_preload_libraries') as preloaded,
             current_setting('data_directory') as directory
           from pg_database where datname = current_database()`
        )
        assert.deepStrictEqual(facts, {
          standbys: 2,
          version: cluster.serverVersion,
          encoding: "UTF8",
          collation: "C",
          preloaded: "pg_stat_statements",
          directory: cluster.dataDirectory
        })
        assert.strictEqual(statSync(cluster.dataDirectory).mode & 0o777, 0o700)
      })
    )

    it.effect("shows a commit on every replica", () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        yield* query(cluster.url, "create table seen as select 1 as id")
        const seen = (url: Redacted.Redacted) =>
          Effect.map(
            query<{ there: boolean }>(url, "select to_regclass('seen') is not null as there"),
            ([row]) => row?.there === true
          )
        yield* Effect.forEach(cluster.replicaUrls, (url) => until(seen(url)))
        const error = yield* Effect.flip(query(cluster.replicas[0]?.url ?? cluster.url, "delete from seen"))
        assert.include(String(error.cause), "read-only")
      })
    )

    it.effect("answers from the past while a replica is paused, and catches up when it resumes", () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const replica = yield* firstReplica
        yield* query(cluster.url, "create table ledger (id int)")
        yield* until(Effect.map(Effect.option(count(replica.url, "ledger")), Option.isSome))
        yield* replica.pause
        yield* query(cluster.url, "insert into ledger values (1)")
        yield* until(Effect.map(count(cluster.replicas[1]?.url ?? cluster.url, "ledger"), (n) => n === 1))
        assert.strictEqual(yield* count(replica.url, "ledger"), 0)
        yield* replica.resume
        yield* until(Effect.map(count(replica.url, "ledger"), (n) => n === 1))
      })
    )

    it.effect("shows a commit on a delayed replica only after the delay", () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const replica = yield* firstReplica
        yield* query(cluster.url, "create table late (id int)")
        yield* until(Effect.map(Effect.option(count(replica.url, "late")), Option.isSome))
        yield* replica.delay("700 millis")
        yield* until(
          Effect.map(
            query<{ delay: string }>(replica.url, "select current_setting('recovery_min_apply_delay') as delay"),
            ([row]) => row?.delay === "700ms"
          )
        )
        const before = performance.now()
        yield* query(cluster.url, "insert into late values (1)")
        yield* until(Effect.map(count(replica.url, "late"), (n) => n === 1))
        assert.isAtLeast(performance.now() - before, 700)
        yield* replica.delay(0)
      })
    )

    it.effect("hangs while a node is frozen, backends included, and answers when it thaws", () =>
      Effect.gen(function* () {
        const replica = yield* firstReplica
        yield* Effect.gen(function* () {
          const sql = yield* PgClient.PgClient
          yield* sql`select 1`
          yield* replica.freeze
          const open = yield* Effect.fork(sql`select 2 as answer`)
          const fresh = yield* Effect.fork(query(replica.url, "select 3 as answer"))
          yield* Effect.sleep("300 millis")
          assert.isTrue(Option.isNone(yield* Fiber.poll(open)))
          assert.isTrue(Option.isNone(yield* Fiber.poll(fresh)))
          yield* replica.thaw
          assert.deepStrictEqual(yield* Fiber.join(open), [{ answer: 2 }])
          assert.deepStrictEqual(yield* Fiber.join(fresh), [{ answer: 3 }])
        }).pipe(Effect.provide(PgClient.layer({ url: replica.url, maxConnections: 1 })))
      })
    )

    it.effect("keeps its port over a stop, a start and a restart, and knows whether it runs", () =>
      Effect.gen(function* () {
        const replica = yield* firstReplica
        const before = yield* replica.pid
        yield* replica.stop
        assert.isTrue(Option.isNone(yield* replica.pid))
        assert.strictEqual((yield* Effect.flip(replica.freeze)).reason, "NotRunning")
        yield* replica.stop
        yield* replica.start
        const between = yield* replica.pid
        yield* replica.start
        assert.deepStrictEqual(yield* replica.pid, between)
        yield* replica.restart
        assert.notDeepEqual(yield* replica.pid, between)
        assert.notDeepEqual(yield* replica.pid, before)
        assert.deepStrictEqual(yield* query(replica.url, "select 1 as one"), [{ one: 1 }])
      })
    )

    it.effect("says so when another process took the port of a stopped node", () =>
      Effect.gen(function* () {
        const replica = yield* firstReplica
        yield* replica.stop
        const squatter = createServer()
        yield* Effect.async<void>((resume) => {
          squatter.listen(replica.port, "127.0.0.1", () => resume(Effect.void))
        })
        const error = yield* Effect.flip(replica.start).pipe(
          Effect.ensuring(Effect.async<void>((resume) => void squatter.close(() => resume(Effect.void))))
        )
        assert.strictEqual(error.reason, "PortInUse")
        assert.include(error.message, String(replica.port))
        yield* replica.start
      })
    )
  })

  layer(EmbeddedPostgres.layer({ replicas: 2 }), live)("a failover", (it) => {
    it.effect("loses no commit when the primary is killed, a replica promoted, and the others rejoin", () =>
      Effect.gen(function* () {
        const { primary, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
        const [first, second] = replicas
        if (first === undefined || second === undefined) return assert.fail("two replicas")
        yield* query(primary.url, "create table orders as select generate_series(1, 1000) as id")
        yield* until(Effect.map(Effect.option(count(first.url, "orders")), (n) => Option.getOrNull(n) === 1000))
        const victim = yield* primary.pid
        yield* primary.kill
        assert.isFalse(Option.exists(victim, isAlive))
        yield* first.promote
        yield* query(first.url, "insert into orders values (1001)")

        yield* second.rejoin
        yield* until(Effect.map(count(second.url, "orders"), (n) => n === 1001))

        // The old primary comes back as a second primary, on the old timeline and without the new order ..
        yield* primary.start
        const [stray] = yield* query<{ standby: boolean }>(primary.url, "select pg_is_in_recovery() as standby")
        assert.isFalse(stray?.standby)
        assert.strictEqual(yield* count(primary.url, "orders"), 1000)
        // .. and with a commit that nobody else has. Only a new copy may follow.
        yield* query(primary.url, "insert into orders values (-1)")
        yield* primary.rejoin
        yield* until(Effect.map(count(primary.url, "orders"), (n) => n === 1001))
        const [back] = yield* query<{ standby: boolean }>(primary.url, "select pg_is_in_recovery() as standby")
        assert.isTrue(back?.standby)
        yield* query(first.url, "insert into orders values (1002)")
        yield* until(Effect.map(count(primary.url, "orders"), (n) => n === 1002))
      })
    )

    it.effect("needs no copy in a planned switchover", () =>
      Effect.gen(function* () {
        const { primary, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
        const [first, second] = replicas
        if (first === undefined || second === undefined) return assert.fail("two replicas")
        const inode = statSync(`${first.dataDirectory}/PG_VERSION`).ino
        yield* first.stop
        yield* primary.promote
        yield* first.rejoin
        yield* second.rejoin
        assert.strictEqual(statSync(`${first.dataDirectory}/PG_VERSION`).ino, inode)
        yield* query(primary.url, "insert into orders values (1003)")
        yield* until(Effect.map(count(first.url, "orders"), (n) => n === 1003))
        yield* until(Effect.map(count(second.url, "orders"), (n) => n === 1003))
      })
    )

    it.effect("says that there is no primary to rejoin when none runs", () =>
      Effect.gen(function* () {
        const { primary, replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
        yield* primary.stop
        const error = yield* Effect.flip(Effect.forEach(replicas, (node) => node.rejoin))
        assert.strictEqual(error.reason, "NoPrimary")
      })
    )
  })
})
