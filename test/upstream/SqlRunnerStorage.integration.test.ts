/**
 * What the suite of `SqlRunnerStorage` of `@effect/cluster` asks of a client: with advisory locks, which belong to the
 * session of a reserved connection, and with locks in a table.
 */
import * as Runner from "@effect/cluster/Runner"
import * as RunnerAddress from "@effect/cluster/RunnerAddress"
import { RunnerStorage } from "@effect/cluster/RunnerStorage"
import * as ShardId from "@effect/cluster/ShardId"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { TestDatabase } from "effect-plinth/testing"
import { withinSeconds } from "../support/effects.ts"
import * as FaultProxy from "../support/FaultProxy.ts"
import { contestants } from "./clients.ts"
import type { Client, Contestant } from "./clients.ts"

const here = RunnerAddress.make("localhost", 1234)
const there = RunnerAddress.make("localhost", 5678)
const shards = [1, 2, 3].map((id) => ShardId.make("default", id))
const [first] = shards

/** A storage of its own, as another runner has, until the scope closes. */
const otherStorage = (config: Layer.Layer<ShardingConfig.ShardingConfig>, prefix?: string) =>
  Effect.provide(SqlRunnerStorage.make({ prefix }), config)

const numbersOf = (held: ReadonlyArray<ShardId.ShardId>) => held.map(({ id }) => id).toSorted((a, b) => a - b)

/** The sessions that hold advisory locks. */
const lockHolders = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ pid: number }>`
    SELECT DISTINCT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND datname = current_database()`
)

const suite = (name: string, client: Client, advisory: boolean) => {
  const config = ShardingConfig.layer({
    shardLockDisableAdvisory: !advisory,
    // The deadline of an operation.
    shardLockRefreshInterval: "1 second"
  })
  layer(SqlRunnerStorage.layer.pipe(Layer.provideMerge(config), Layer.provideMerge(client)), {
    excludeTestServices: true
  })(`${name}, ${advisory ? "advisory locks" : "a table of locks"}`, (it) => {
    it.effect("registers a runner once, with its health, until it is unregistered", () =>
      Effect.gen(function* () {
        const storage = yield* RunnerStorage
        const runner = Runner.make({ address: here, groups: ["default"], weight: 1 })
        const machine = yield* storage.register(runner, true)
        assert.strictEqual(yield* storage.register(runner, true), machine)
        const runners = Effect.map(storage.getRunners, (all) =>
          all.map(([{ address, weight }, healthy]) => ({ port: address.port, weight, healthy }))
        )
        assert.deepStrictEqual(yield* runners, [{ port: 1234, weight: 1, healthy: true }])
        yield* storage.setRunnerHealth(here, false)
        assert.deepStrictEqual(yield* runners, [{ port: 1234, weight: 1, healthy: false }])
        yield* storage.unregister(here)
        assert.deepStrictEqual(yield* runners, [])
      })
    )

    it.effect("acquires, acquires again, refreshes and releases shards", () =>
      Effect.gen(function* () {
        const storage = yield* RunnerStorage
        assert.deepStrictEqual(numbersOf(yield* storage.acquire(here, shards)), [1, 2, 3])
        assert.deepStrictEqual(numbersOf(yield* storage.acquire(here, shards)), [1, 2, 3])
        assert.deepStrictEqual(numbersOf(yield* storage.refresh(here, shards)), [1, 2, 3])
        yield* Effect.forEach(shards, (shard) => storage.release(here, shard))
        assert.deepStrictEqual(yield* lockHolders, [])
      })
    )

    it.scoped("leaves to another runner what is held, and gives it what was released", () =>
      Effect.gen(function* () {
        const storage = yield* RunnerStorage
        const other = yield* otherStorage(config)
        assert(first !== undefined)
        yield* storage.acquire(here, shards)
        assert.deepStrictEqual(yield* other.acquire(there, shards), [])
        yield* storage.release(here, first)
        assert.deepStrictEqual(yield* other.acquire(there, shards), [first])
        yield* storage.releaseAll(here)
        assert.deepStrictEqual(numbersOf(yield* other.acquire(there, shards)), [1, 2, 3])
        yield* other.releaseAll(there)
      })
    )

    it.effect("gives every shard to one of several runners that ask at once", () =>
      Effect.gen(function* () {
        const many = Array.from({ length: 30 }, (_, index) => ShardId.make("default", index + 1))
        const addresses = [1, 2, 3].map((port) => RunnerAddress.make("localhost", port))
        const storages = yield* Effect.forEach(addresses, () => otherStorage(config))
        const held = yield* Effect.forEach(
          addresses,
          (address, index) => storages[index]?.acquire(address, many) ?? Effect.succeed([]),
          { concurrency: 3 }
        )
        assert.deepStrictEqual(
          numbersOf(held.flat()),
          many.map(({ id }) => id)
        )
      }).pipe(Effect.scoped)
    )

    if (!advisory) return

    it.effect("holds its locks in one session, and none after it is closed", () =>
      Effect.gen(function* () {
        const acquired = Effect.gen(function* () {
          const storage = yield* otherStorage(config)
          yield* storage.acquire(here, shards)
          return yield* lockHolders
        })
        assert.lengthOf(yield* Effect.scoped(acquired), 1)
        assert.deepStrictEqual(yield* lockHolders, [])
      })
    )

    it.scoped("acquires its shards again, in a new session, when the one that held them was killed", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const storage = yield* RunnerStorage
        yield* storage.acquire(here, shards)
        const [holder] = yield* lockHolders
        yield* sql`SELECT pg_terminate_backend(${holder?.pid}, 2000)`
        const refreshed = yield* storage
          .refresh(here, shards)
          .pipe(Effect.retry({ times: 20, schedule: Schedule.spaced("50 millis") }))
        assert.deepStrictEqual(numbersOf(refreshed), [1, 2, 3])
        const [successor] = yield* lockHolders
        assert.notStrictEqual(successor?.pid, holder?.pid)
        yield* storage.releaseAll(here)
      })
    )

    it.scoped("gives up on a lock session that does not answer, and goes on with a new one", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const storage = yield* RunnerStorage
        yield* storage.register(Runner.make({ address: here, groups: ["default"], weight: 1 }), true)
        yield* storage.acquire(here, shards)
        const [holder] = yield* lockHolders
        // The heartbeat that precedes a refresh waits for this row longer than its deadline.
        const failed = yield* sql.withTransaction(
          Effect.zipRight(
            sql`SELECT * FROM cluster_runners FOR UPDATE`,
            Effect.flip(Effect.timed(storage.refresh(here, shards)))
          )
        )
        assert.strictEqual(failed._tag, "PersistenceError")
        yield* withinSeconds(
          10,
          Effect.map(lockHolders, (holders) => holders.every(({ pid }) => pid !== holder?.pid))
        )
        const refreshed = yield* storage
          .refresh(here, shards)
          .pipe(Effect.retry({ times: 20, schedule: Schedule.spaced("50 millis") }))
        assert.deepStrictEqual(numbersOf(refreshed), [1, 2, 3])
        yield* storage.releaseAll(here)
        yield* storage.unregister(here)
      })
    )
  })
}

/** The storage of a runner behind a network that fails. */
const partitioned = (name: string, at: Contestant["at"]) =>
  layer(TestDatabase.layer(), { excludeTestServices: true })(`${name}, partitioned`, (it) => {
    it.scoped("fails within its deadline while the network is silent, and goes on when it is not", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const config = ShardingConfig.layer({
          shardLockRefreshInterval: "200 millis",
          shardLockExpiration: "2 seconds"
        })
        const context = yield* Layer.build(
          SqlRunnerStorage.layer.pipe(Layer.provide(config), Layer.provide(at(proxy.url(url))))
        )
        const storage = Context.get(context, RunnerStorage)
        yield* storage.register(Runner.make({ address: here, groups: ["default"], weight: 1 }), true)
        yield* storage.acquire(here, shards)
        yield* proxy.blackhole
        for (const operation of [
          storage.refresh(here, shards),
          storage.acquire(here, shards),
          Effect.asVoid(storage.refresh(here, shards))
        ]) {
          const [took, exit] = yield* Effect.timed(Effect.exit(operation))
          assert.isTrue(Exit.isFailure(exit))
          assert.isBelow(Duration.toMillis(took), 1000)
        }
        yield* proxy.reset
        yield* proxy.pass
        const refreshed = yield* storage
          .refresh(here, shards)
          .pipe(Effect.retry({ times: 60, schedule: Schedule.spaced("50 millis") }))
        assert.deepStrictEqual(numbersOf(refreshed), [1, 2, 3])
      })
    )
  })

for (const { at, make, name } of contestants) {
  partitioned(name, at)
  suite(name, make(), true)
  suite(name, make(), false)
}
