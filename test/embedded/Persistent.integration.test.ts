import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startedAt } from "../../src/embedded/ProcessTable.ts"
import * as ClusterProcess from "../support/clusterProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const slow = 90_000

const query = <A extends object>(url: Redacted.Redacted, statement: string) =>
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql.unsafe<A>(statement)),
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
  )

const withPassword = (url: Redacted.Redacted, password: string) => {
  const changed = new URL(Redacted.value(url))
  changed.password = password
  return Redacted.make(changed.href)
}

describe("a persistent cluster", () => {
  it.scopedLive(
    "keeps its data, ports and password, asks for the password, and writes durably",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* temporaryDirectory(), "a", "cluster")
        const first = yield* Effect.scoped(
          Effect.gen(function* () {
            const cluster = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
            yield* query(cluster.url, "create table kept as select 42 as answer")
            const [settings] = yield* query(
              cluster.url,
              "select current_setting('fsync') as fsync, current_setting('password_encryption') as encryption"
            )
            assert.deepStrictEqual(settings, { fsync: "on", encryption: "scram-sha-256" })
            const refused = yield* Effect.flip(query(withPassword(cluster.url, "wrong"), "select 1"))
            assert.include(String(refused.cause), "password authentication failed")
            const refusedOnReplica = yield* Effect.flip(
              query(withPassword(cluster.replicaUrls[0] ?? cluster.url, ""), "select 1")
            )
            assert.match(String(refusedOnReplica.cause), /password/)
            return { url: cluster.url, pid: yield* cluster.primary.pid, replicaUrls: cluster.replicaUrls }
          })
        )
        assert.isFalse(Option.exists(first.pid, ClusterProcess.isAlive))
        const file = join(directory, "password")
        assert.strictEqual(statSync(file).mode & 0o777, 0o600)
        assert.include(Redacted.value(first.url), readFileSync(file, "utf8"))
        assert.strictEqual(statSync(join(directory, "nodes", "primary")).mode & 0o777, 0o700)
        assert.strictEqual(readFileSync(join(directory, ".gitignore"), "utf8"), "*\n")

        const again = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
        assert.deepStrictEqual(again.url, first.url)
        assert.deepStrictEqual(again.replicaUrls, first.replicaUrls)
        const rows = yield* Effect.forEach([again.url, ...again.replicaUrls], (url) => query(url, "select * from kept"))
        assert.deepStrictEqual(rows, [[{ answer: 42 }], [{ answer: 42 }]])
      }),
    slow
  )

  it.scopedLive(
    "is shared: who comes second joins, adds the replicas it needs, and the last to leave stops all",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* temporaryDirectory(), "cluster")
        const owner = yield* ClusterProcess.start({ directory })
        const pids = yield* Effect.scoped(
          Effect.gen(function* () {
            const cluster = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
            assert.strictEqual(Redacted.value(cluster.url), owner.urls[0])
            const nodes = [cluster.primary, ...cluster.replicas]
            const found = (yield* Effect.forEach(nodes, (node) => node.pid)).flatMap(Option.toArray)
            assert.strictEqual(found[0], owner.pids[0])
            yield* owner.finish
            assert.deepStrictEqual(found.filter(ClusterProcess.isAlive), found)
            assert.deepStrictEqual(yield* query(cluster.url, "select 1 as one"), [{ one: 1 }])
            return found
          })
        )
        assert.lengthOf(pids, 2)
        assert.deepStrictEqual(pids.filter(ClusterProcess.isAlive), [])
        assert.deepStrictEqual(readdirSync(join(directory, "users")), [])
      }),
    slow
  )

  it.scopedLive(
    "says which process is in the way when it cannot be opened in time, and takes over from a dead one",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* temporaryDirectory(), "cluster")
        yield* Effect.scoped(EmbeddedPostgres.make({ directory }))
        const start = Option.getOrThrow(startedAt(process.pid))
        writeFileSync(join(directory, "lock"), `${process.pid}_${start}_test`)
        const error = yield* Effect.flip(
          Effect.scoped(EmbeddedPostgres.make({ directory, startTimeout: "300 millis" }))
        )
        assert.strictEqual(error.reason, "InUse")
        assert.include(error.message, `process ${process.pid}`)
        // The same pid, started at another time: somebody else, long gone.
        writeFileSync(join(directory, "lock"), `${process.pid}_1_test`)
        writeFileSync(join(directory, "users", `${process.pid}_1_test`), "")
        const pid = yield* Effect.scoped(Effect.flatMap(EmbeddedPostgres.make({ directory }), (c) => c.primary.pid))
        assert.isFalse(Option.exists(pid, ClusterProcess.isAlive))
        assert.deepStrictEqual(readdirSync(join(directory, "users")), [])
        assert.isFalse(existsSync(join(directory, "lock")))
      }),
    slow
  )

  it.scopedLive("refuses data of another major version and names both", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory(), "cluster")
      const version = yield* Effect.scoped(Effect.map(EmbeddedPostgres.make({ directory }), (c) => c.serverVersion))
      writeFileSync(join(directory, "nodes", "primary", "PG_VERSION"), "13\n")
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.make({ directory })))
      assert.strictEqual(error.reason, "VersionMismatch")
      assert.include(error.message, "PostgreSQL 13")
      assert.include(error.message, `PostgreSQL ${Math.floor(version / 10_000)}`)
    })
  )

  it.scopedLive("refuses a directory that holds other things", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory()
      writeFileSync(join(directory, "thesis.txt"), "")
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.make({ directory })))
      assert.strictEqual(error.reason, "DirectoryForeign")
      assert.deepStrictEqual(readdirSync(directory), ["thesis.txt"])
    })
  )

  it.scopedLive(
    "remembers a failover: the promoted node is the primary, the old one its standby",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* temporaryDirectory(), "cluster")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { primary, replicas } = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
            const [replica] = replicas
            if (replica === undefined) return assert.fail("one replica")
            yield* primary.kill
            yield* replica.promote
            yield* query(replica.url, "create table after_failover ()")
          })
        )
        const { primary, replicas } = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
        assert.deepStrictEqual([primary.name, ...replicas.map((node) => node.name)], ["replica-1", "primary"])
        const there = yield* Effect.forEach([primary, ...replicas], (node) =>
          query(node.url, "select to_regclass('after_failover') is not null as there, pg_is_in_recovery() as standby")
        )
        assert.deepStrictEqual(there.flat(), [
          { there: true, standby: false },
          { there: true, standby: true }
        ])
      }),
    slow
  )

  it.scopedLive(
    "stops what it had started when it is interrupted on the way",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* temporaryDirectory(), "cluster")
        yield* Effect.scoped(EmbeddedPostgres.make({ directory }))
        const file = join(directory, "nodes", "primary", "postmaster.pid")
        const fiber = yield* Effect.fork(Effect.scoped(EmbeddedPostgres.make({ directory, replicas: 2 })))
        yield* Effect.sync(() => existsSync(file)).pipe(
          Effect.repeat({ until: (exists) => exists, schedule: Schedule.spaced("1 millis") })
        )
        const pid = Number(readFileSync(file, "utf8").split("\n")[0])
        yield* Fiber.interrupt(fiber)
        assert.isFalse(ClusterProcess.isAlive(pid))
        assert.deepStrictEqual(readdirSync(join(directory, "users")), [])
        assert.isFalse(existsSync(join(directory, "lock")))
      }),
    slow
  )

  it.scopedLive.skipIf(process.getuid?.() !== 0)(
    "works for root in a directory that no other account can enter",
    () =>
      Effect.gen(function* () {
        const home = join(yield* temporaryDirectory(), "home")
        mkdirSync(home, { mode: 0o700 })
        const directory = join(home, ".plinth", "postgres")
        yield* Effect.scoped(
          Effect.flatMap(EmbeddedPostgres.make({ directory }), (c) => query(c.url, "create table kept ()"))
        )
        const cluster = yield* EmbeddedPostgres.make({ directory, replicas: 1 })
        yield* Effect.forEach([cluster.url, ...cluster.replicaUrls], (url) => query(url, "select from kept"))
        yield* cluster.primary.kill
        yield* cluster.primary.start
        yield* query(cluster.url, "drop table kept")
        assert.strictEqual(statSync(home).mode & 0o777, 0o700)
      }),
    slow
  )
})
