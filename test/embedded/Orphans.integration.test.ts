import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { existsSync, readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { vi } from "vitest"
import * as ClusterProcess from "../support/clusterProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

// Each test starts several processes with servers of their own, maybe on a busy machine.
vi.setConfig({ testTimeout: 90_000 })

/** What must be gone within 2 s of a kill; the answer is what is left. */
const within2s = <A>(left: () => ReadonlyArray<A>) =>
  Effect.sync(left).pipe(
    Effect.repeat({
      until: (some) => some.length === 0,
      schedule: Schedule.spaced("10 millis").pipe(Schedule.upTo("2 seconds"))
    }),
    Effect.map(left)
  )

describe("after kill -9 of the process that started it", () => {
  it.scopedLive("a throw-away cluster leaves no process and no directory", () =>
    Effect.gen(function* () {
      const cluster = yield* ClusterProcess.start({ replicas: 2 })
      assert.lengthOf(cluster.pids, 3)
      assert.deepStrictEqual(cluster.pids.filter(ClusterProcess.isAlive), cluster.pids)
      const directory = dirname(cluster.directories[0] ?? "")
      assert.isTrue(existsSync(directory))
      yield* cluster.kill
      const started = performance.now()
      const left = yield* within2s(() => [
        ...cluster.pids.filter(ClusterProcess.isAlive),
        ...[directory].filter(existsSync)
      ])
      assert.deepStrictEqual(left, [])
      console.log(`    gone after ${Math.round(performance.now() - started)} ms`)
    })
  )

  it.scopedLive("a frozen server of it goes too", () =>
    Effect.gen(function* () {
      const cluster = yield* ClusterProcess.start({ replicas: 1 })
      for (const pid of cluster.pids) process.kill(pid, "SIGSTOP")
      yield* cluster.kill
      assert.deepStrictEqual(yield* within2s(() => cluster.pids.filter(ClusterProcess.isAlive)), [])
    })
  )

  it.scopedLive("a cluster that is still being made leaves nothing in the cache or the temporary directory", () =>
    Effect.gen(function* () {
      const cache = yield* temporaryDirectory()
      const scratch = yield* temporaryDirectory()
      const env = { ...process.env, PLINTH_CACHE_DIR: cache, TMPDIR: scratch }
      const fiber = yield* Effect.fork(Effect.scoped(ClusterProcess.start({ replicas: 1 }, { env })))
      const building = () => readdirSync(cache).filter((name) => name.startsWith("building-"))
      yield* Effect.sync(building).pipe(
        Effect.repeat({ until: (names) => names.length > 0, schedule: Schedule.spaced("5 millis") }),
        Effect.timeout("20 seconds")
      )
      // Interrupting the fiber closes its scope, which kills the process.
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* within2s(building), [])
      assert.deepStrictEqual(
        yield* within2s(() => readdirSync(scratch).filter((name) => name.startsWith("plinth-pg"))),
        []
      )
    })
  )

  it.scopedLive("a persistent cluster is stopped, kept, and free for the next", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory(), "cluster")
      const first = yield* ClusterProcess.start({ directory, replicas: 1 })
      yield* first.kill
      const left = yield* within2s(() => [
        ...first.pids.filter(ClusterProcess.isAlive),
        ...readdirSync(join(directory, "users")),
        ...readdirSync(directory).filter((name) => name.startsWith("lock"))
      ])
      assert.deepStrictEqual(left, [])
      const second = yield* ClusterProcess.start({ directory, replicas: 1 })
      assert.deepStrictEqual(second.urls, first.urls)
      yield* second.finish
      assert.deepStrictEqual(second.pids.filter(ClusterProcess.isAlive), [])
    })
  )

  it.scopedLive("a persistent cluster that is still being made leaves neither lock nor half a cluster", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory(), "cluster")
      const fiber = yield* Effect.fork(Effect.scoped(ClusterProcess.start({ directory })))
      const list = (path: string) => (existsSync(path) ? readdirSync(path) : [])
      const building = () => list(join(directory, "nodes"))
      yield* Effect.sync(building).pipe(
        Effect.repeat({ until: (names) => names.length > 0, schedule: Schedule.spaced("5 millis") }),
        Effect.timeout("20 seconds")
      )
      yield* Fiber.interrupt(fiber)
      const left = yield* within2s(() => [
        ...building(),
        ...list(join(directory, "users")),
        ...list(directory).filter((name) => name.startsWith("lock"))
      ])
      assert.deepStrictEqual(left, [])
      const cluster = yield* ClusterProcess.start({ directory })
      assert.lengthOf(cluster.pids, 1)
    })
  )

  it.scopedLive("a persistent cluster goes on for the other process that uses it", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory(), "cluster")
      const owner = yield* ClusterProcess.start({ directory })
      const guest = yield* ClusterProcess.start({ directory })
      assert.deepStrictEqual(guest.pids, owner.pids)
      yield* owner.kill
      const users = () => readdirSync(join(directory, "users"))
      assert.lengthOf(yield* within2s(() => users().slice(1)), 0)
      assert.deepStrictEqual(guest.pids.filter(ClusterProcess.isAlive), guest.pids)
      yield* guest.kill
      assert.deepStrictEqual(yield* within2s(() => guest.pids.filter(ClusterProcess.isAlive)), [])
    })
  )
})
