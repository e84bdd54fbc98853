import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer, vi } from "@effect/vitest"
import type { Backup } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import * as LocalStorage from "../src/Backup/LocalStorage.ts"
import { rows, service, temporary } from "./support/backups.ts"
import type { Options } from "./support/backups.ts"
import * as FaultProxy from "./support/FaultProxy.ts"
import * as FaultyFiles from "./support/faultyFiles.ts"

// Tiny WAL limits: what nobody retains is recycled at once.
const settings = { wal_keep_size: "0", max_wal_size: "32MB", min_wal_size: "32MB" }

// A restore or a dozen backups take long on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

const cluster = Layer.merge(EmbeddedPostgres.layer({ settings }), NodeContext.layer)

const isRoot = process.getuid?.() === 0

/** 51 MB that nothing compresses, so that no buffer on the way holds the rest of a backup. */
const filled = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const [{ made } = { made: false }] = yield* rows(url, "SELECT to_regclass('filler') IS NOT NULL AS made")
  if (made === true) return
  yield* rows(url, "CREATE TABLE filler (content bytea)")
  yield* rows(url, "ALTER TABLE filler ALTER content SET STORAGE EXTERNAL")
  yield* rows(
    url,
    `INSERT INTO filler SELECT string_agg(sha512((n * 10000 + m)::text::bytea), '')
     FROM generate_series(1, 800) n, generate_series(1, 1000) m GROUP BY n`
  )
})

const setUp = Effect.gen(function* () {
  yield* filled
  const postgres = yield* EmbeddedPostgres.EmbeddedPostgres
  return { ...postgres, store: join(yield* temporary, "store") }
})

/** A server of its own with next to nothing in it, for tests that make many backups. */
const small = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.make()
  return { url, store: join(yield* temporary, "store") }
})

/** Holds a backup in the middle of its copy, with the server ready to send more. */
const halfway = (store: string, options: Options) =>
  Effect.gen(function* () {
    const backup = yield* service(store, options)
    const reached = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    const onProgress: Backup.OnProgress = ({ bytes, phase }) =>
      phase === "copy" && bytes > 0
        ? Effect.zipRight(Deferred.succeed(reached, undefined), Deferred.await(go))
        : Effect.void
    const running = yield* Effect.fork(backup.create({ onProgress }))
    yield* Effect.raceFirst(Deferred.await(reached), Fiber.join(running))
    return {
      backup,
      running,
      /** Lets it go on, and expects it to fail. */
      failure: Effect.zipRight(Deferred.succeed(go, undefined), Effect.flip(Fiber.join(running))),
      success: Effect.zipRight(Deferred.succeed(go, undefined), Fiber.join(running))
    }
  })

const senders = "SELECT count(*)::int AS count FROM pg_stat_activity WHERE backend_type = 'walsender'"
const slots = "SELECT count(*)::int AS count FROM pg_replication_slots"
const locks = "SELECT count(*)::int AS count FROM pg_locks WHERE locktype = 'advisory'"

/** Nothing of a backup is left on the server; it may take a moment to notice a lost connection. */
const serverIsClean = (url: Redacted.Redacted) =>
  Effect.gen(function* () {
    for (const statement of [senders, slots, locks]) {
      const [{ count } = { count: -1 }] = yield* rows(url, statement)
      if (count !== 0) return yield* Effect.fail(`${statement}: ${String(count)}`)
    }
  }).pipe(Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("10 seconds"))))

/** Nothing in the directory, not even a hidden file, and a new backup works. */
const storeIsClean = (store: string, url: Redacted.Redacted) =>
  Effect.gen(function* () {
    if (existsSync(store)) assert.deepStrictEqual(readdirSync(store), [])
    const backup = yield* service(store, { url })
    assert.deepStrictEqual(yield* backup.list, { backups: [], unreadable: [] })
  })

const failedCleanly = (store: string, url: Redacted.Redacted) =>
  Effect.zipRight(serverIsClean(url), storeIsClean(store, url))

layer(cluster, { excludeTestServices: true, timeout: 60_000 })("a backup", (it) => {
  it.scoped("whose backend is terminated in the middle ends with nothing but an error", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { failure } = yield* halfway(store, { url })
      yield* rows(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'")
      const error = yield* failure
      assert.strictEqual(error.reason, "ServerFailed")
      assert.match(error.label ?? "", /^\d{8}T/)
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("is not survived by a backend that an administrator cancels", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { failure } = yield* halfway(store, { url })
      yield* rows(url, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'walsender'")
      const error = yield* failure
      assert.strictEqual(error.reason, "ServerFailed")
      assert.include(error.message, "57014")
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("ends with an error when the server is restarted", () =>
    Effect.gen(function* () {
      const { primary, store, url } = yield* setUp
      const { failure } = yield* halfway(store, { url })
      yield* primary.restart
      assert.strictEqual((yield* failure).reason, "ServerFailed")
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("ends with an error when the server loses power", () =>
    Effect.gen(function* () {
      const { primary, store, url } = yield* setUp
      const { failure } = yield* halfway(store, { url })
      yield* primary.kill
      assert.strictEqual((yield* failure).reason, "ServerFailed")
      yield* primary.start
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("ends with an error when the network is cut after so many bytes", () =>
    Effect.gen(function* () {
      const { primary, store, url } = yield* setUp
      const proxy = yield* FaultProxy.make(primary.port)
      const backup = yield* service(store, { url: proxy.url(url) })
      for (const bytes of [10, 300, 5_000, 5_000_000]) {
        yield* proxy.pass
        yield* proxy.cutAfter(bytes)
        const error = yield* Effect.flip(backup.create())
        assert.strictEqual(error.reason, bytes < 500 ? "Unreachable" : "ServerFailed", String(bytes))
        yield* failedCleanly(store, url)
      }
    })
  )

  it.scoped("does not wait for ever for a network that went silent", () =>
    Effect.gen(function* () {
      const { primary, store, url } = yield* setUp
      const proxy = yield* FaultProxy.make(primary.port)
      const { failure } = yield* halfway(store, { url: proxy.url(url), stallTimeout: "500 millis" })
      yield* proxy.blackhole
      const error = yield* failure
      assert.strictEqual(error.reason, "Stalled")
      assert.include(error.message, "stallTimeout")
      yield* proxy.reset
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("does not wait for ever for a server that does not answer, or is not there", () =>
    Effect.gen(function* () {
      const { primary, store, url } = yield* setUp
      const proxy = yield* FaultProxy.make(primary.port)
      yield* proxy.refuse
      const backup = yield* service(store, { url: proxy.url(url) })
      assert.strictEqual((yield* Effect.flip(backup.create())).reason, "Unreachable")
      yield* proxy.pass
      yield* proxy.blackhole
      assert.strictEqual((yield* Effect.flip(backup.create())).reason, "Unreachable")
      yield* proxy.reset
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("stops on the server, and leaves nothing, when it is interrupted", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { running } = yield* halfway(store, { url })
      const exit = yield* Fiber.interrupt(running)
      assert.isTrue(Exit.isInterrupted(exit))
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("makes the server wait while the disk is slow, and does not collect the rest in memory", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { success } = yield* halfway(store, { url, compression: "none" })
      const streamed = Effect.map(
        rows(
          url,
          "SELECT backup_streamed::float8 AS bytes, backup_total::float8 AS total FROM pg_stat_progress_basebackup"
        ),
        ([row]) => ({ bytes: Number(row?.["bytes"]), total: Number(row?.["total"]) })
      )
      // The server stands still: two looks agree, far from the end.
      const first = yield* streamed
      const resident = process.memoryUsage.rss()
      const steady = yield* streamed.pipe(
        Effect.flatMap((before) => Effect.map(Effect.delay(streamed, "200 millis"), (after) => ({ before, after }))),
        Effect.repeat({ until: ({ after, before }) => before.bytes === after.bytes })
      )
      assert.isAbove(steady.after.total, 70_000_000)
      assert.isBelow(steady.after.bytes, 50_000_000)
      assert.isAtLeast(steady.after.bytes, first.bytes)
      assert.isBelow(process.memoryUsage.rss() - resident, 64_000_000)
      yield* success
    })
  )

  it.scoped("keeps the WAL that it needs, however much is written meanwhile", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { backup, success } = yield* halfway(store, { url })
      const [before] = yield* rows(url, "SELECT pg_walfile_name(pg_current_wal_lsn()) AS name")
      for (let round = 0; round < 2; round++) {
        yield* rows(url, "CREATE TABLE churn AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 30000) n")
        yield* rows(url, "DROP TABLE churn")
        yield* rows(url, "SELECT pg_switch_wal()")
        yield* rows(url, "CHECKPOINT")
      }
      const kept = yield* rows(url, `SELECT FROM pg_ls_waldir() WHERE name = '${String(before?.["name"])}'`)
      assert.strictEqual(kept.length, 1)
      const manifest = yield* success
      assert.deepStrictEqual(manifest.warnings, [])
      assert.isTrue((yield* backup.verify(manifest.label)).ok)
      yield* serverIsClean(url)
    })
  )

  it.scoped("is one at a time: the second names the first", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { running, success } = yield* halfway(store, { url })
      for (const directory of [store, join(store, "..", "elsewhere")]) {
        const second = yield* service(directory, { url })
        const error = yield* Effect.flip(second.create())
        assert.strictEqual(error.reason, "AlreadyRunning")
        assert.match(error.message, /server process \d+/)
      }
      const inSameDirectory = yield* Effect.flip(
        Effect.scoped(
          Effect.flatMap(LocalStorage.make(store), (storage) => storage.lock({ target: "another cluster" }))
        )
      )
      assert.include(inSameDirectory.message, `process ${process.pid}`)
      // A listing while it runs neither sees it nor harms it.
      const reader = yield* service(store, { url })
      assert.deepStrictEqual(yield* reader.list, { backups: [], unreadable: [] })
      const manifest = yield* success
      assert.deepStrictEqual((yield* reader.list).backups, [manifest])
      void running
    })
  )

  it.scoped("leaves nothing when any step of writing fails, and says which and what to do", () =>
    Effect.gen(function* () {
      const { store, url } = yield* small
      const ends = (name: string) => (operation: FaultyFiles.Operation) => operation.path.endsWith(name)
      const faults: ReadonlyArray<readonly [string, FaultyFiles.Fault, Backup.BackupErrorReason, string]> = [
        [
          "no space for the lock",
          FaultyFiles.failWith("ENOSPC", (at) => at.method === "write" && ends(".lock")(at)),
          "StorageFull",
          "Free space"
        ],
        [
          "no space at the first byte",
          FaultyFiles.failWith("ENOSPC", (at) => at.method === "write" && ends("base.tar.gz")(at)),
          "StorageFull",
          "Free space"
        ],
        [
          "no space in the middle",
          FaultyFiles.failWith("ENOSPC", (at) => ends("base.tar.gz")(at) && at.written > 1_000_000),
          "StorageFull",
          "Free space"
        ],
        [
          "no space for PostgreSQL's manifest",
          FaultyFiles.failWith("ENOSPC", (at) => at.method === "write" && ends("backup_manifest")(at)),
          "StorageFull",
          "Free space"
        ],
        [
          "no space for manifest.json",
          FaultyFiles.failWith("ENOSPC", (at) => at.method === "write" && ends("manifest.json")(at)),
          "StorageFull",
          "Free space"
        ],
        [
          "a quota",
          FaultyFiles.failWith("EDQUOT", (at) => at.method === "write" && ends("base.tar.gz")(at)),
          "StorageFull",
          "Free space"
        ],
        [
          "an fsync of an archive",
          FaultyFiles.failWith("EIO", (at) => at.method === "sync" && ends("base.tar.gz")(at)),
          "StorageFailed",
          "Check the file system"
        ],
        [
          "an fsync of manifest.json",
          FaultyFiles.failWith("EIO", (at) => at.method === "sync" && ends("manifest.json")(at)),
          "StorageFailed",
          "Check the file system"
        ],
        [
          "an fsync of the partial directory",
          FaultyFiles.failWith("EIO", (at) => at.method === "sync" && ends(".partial")(at)),
          "StorageFailed",
          "Check the file system"
        ],
        [
          "the rename",
          FaultyFiles.failWith("EACCES", (at) => at.method === "rename" && /Z-[0-9a-f]{6}$/.test(at.path)),
          "StorageFailed",
          "right to write"
        ],
        [
          "an fsync after the rename",
          FaultyFiles.failWith("EIO", (at) => at.method === "sync" && at.path === store),
          "StorageFailed",
          "Check the file system"
        ],
        [
          "a directory that cannot be made",
          FaultyFiles.failWith("EROFS", (at) => at.method === "makeDirectory" && ends(".partial")(at)),
          "StorageFailed",
          "read-only"
        ]
      ]
      for (const [what, fault, reason, advice] of faults) {
        const backup = yield* service(store, { url }).pipe(Effect.provide(FaultyFiles.context(fault)))
        const error = yield* Effect.flip(backup.create())
        assert.strictEqual(error.reason, reason, what)
        assert.include(error.message, advice, what)
        yield* failedCleanly(store, url)
      }
      yield* (yield* service(store, { url })).create()
    })
  )

  it.scoped("leaves nothing when the disk is really full", (context) =>
    Effect.gen(function* () {
      if (!isRoot) return context.skip("only root can mount a small file system")
      const { store, url } = yield* setUp
      yield* mounted(store, "size=8m")
      const backup = yield* service(store, { url })
      const error = yield* Effect.flip(backup.create())
      assert.strictEqual(error.reason, "StorageFull")
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("is refused in a directory that is read-only, which can still be listed", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      yield* (yield* FileSystem.FileSystem).makeDirectory(store)
      if (isRoot) yield* mounted(store, "ro,size=1m")
      else chmodSync(store, 0o555)
      const backup = yield* service(store, { url })
      const error = yield* Effect.flip(backup.create())
      assert.strictEqual(error.reason, "StorageFailed")
      assert.include(error.message, isRoot ? "mounted read-only" : "right to write")
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("ends with an error when its directory vanishes", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const { failure } = yield* halfway(store, { url })
      rmSync(store, { recursive: true })
      const error = yield* failure
      assert.strictEqual(error.reason, "StorageFailed")
      assert.include(error.message, "removed or unmounted")
      yield* failedCleanly(store, url)
    })
  )

  it.scoped("keeps its place in the order when the clock goes back, and says so", () =>
    Effect.gen(function* () {
      const { store, url } = yield* small
      const backup = yield* service(store, { url })
      const at = (iso: string) => Effect.withClock(stopped(Date.parse(iso)))
      const first = yield* at("2030-01-01T00:00:00Z")(backup.create())
      const sameSecond = yield* at("2030-01-01T00:00:00Z")(backup.create())
      const earlier = yield* at("2029-06-01T00:00:00Z")(backup.create())
      assert.strictEqual(first.label.slice(0, 16), sameSecond.label.slice(0, 16))
      assert.notStrictEqual(first.label, sameSecond.label)
      assert.include(earlier.warnings.join(), "clock is behind")
      const { backups } = yield* backup.list
      assert.deepStrictEqual(
        backups.map(({ label }) => label),
        [earlier.label, sameSecond.label, first.label]
      )
      assert.strictEqual((yield* backup.show("latest")).label, earlier.label)
    })
  )

  it.scoped("says so when no replication slot can hold its WAL", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.make({ settings: { max_replication_slots: "0" } })
      const store = join(yield* temporary, "store")
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      assert.include(manifest.warnings.join(), "no replication slot could be had")
      assert.isTrue((yield* backup.verify("latest")).ok)
    })
  )

  it.scoped("is refused where no WAL sender is free, with the setting to raise", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.make({ settings: { max_wal_senders: "0" } })
      const store = join(yield* temporary, "store")
      const error = yield* Effect.flip(Effect.flatMap(service(store, { url }), (backup) => backup.create()))
      assert.strictEqual(error.reason, "ReplicationRefused")
      assert.include(error.message, "max_wal_senders")
    })
  )

  it.scoped("is not restored half: no space, a failing write or rename, an interruption", (context) =>
    Effect.gen(function* () {
      const { store, url } = yield* small
      const parent = join(store, "..", "restored")
      const target = join(parent, "data")
      yield* (yield* service(store, { url })).create()
      const faults: ReadonlyArray<readonly [FaultyFiles.Fault, Backup.BackupErrorReason]> = [
        [
          FaultyFiles.failWith("ENOSPC", (at) => at.method === "write" && at.path.endsWith("global/pg_control")),
          "StorageFull"
        ],
        [FaultyFiles.failWith("EIO", (at) => at.method === "sync" && at.path.endsWith("PG_VERSION")), "StorageFailed"],
        [FaultyFiles.failWith("EACCES", (at) => at.method === "rename" && at.path === target), "StorageFailed"],
        [FaultyFiles.failWith("EBUSY", (at) => at.method === "rename" && at.path === target), "TargetRefused"]
      ]
      for (const [fault, reason] of faults) {
        const backup = yield* service(store, { url }).pipe(Effect.provide(FaultyFiles.context(fault)))
        assert.strictEqual((yield* Effect.flip(backup.restore("latest", { directory: target }))).reason, reason)
        assert.deepStrictEqual(readdirSync(parent), [])
      }
      const backup = yield* service(store, { url })
      const reached = yield* Deferred.make<void>()
      const onProgress: Backup.OnProgress = ({ bytes, phase }) =>
        phase === "restore" && bytes > 0
          ? Effect.zipRight(Deferred.succeed(reached, undefined), Effect.never)
          : Effect.void
      const running = yield* Effect.fork(backup.restore("latest", { directory: target, onProgress }))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(readdirSync(parent), [])
      if (!isRoot) return context.skip("only root can mount a small file system")
      yield* mounted(parent, "size=8m")
      const error = yield* Effect.flip(backup.restore("latest", { directory: target }))
      assert.strictEqual(error.reason, "TargetRefused")
      assert.match(error.message, /has \d+ bytes left, and the cluster has \d+/)
    })
  )
})

/** A small file system, as long as the scope. */
const mounted = (directory: string, options: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      execFileSync("mkdir", ["-p", directory])
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", directory])
    }),
    () => Effect.sync(() => execFileSync("umount", [directory]))
  )

/** A clock that stands still; sleeping takes its real time. */
const stopped = (millis: number): Clock.Clock => {
  const real = Clock.make()
  return {
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    currentTimeMillis: Effect.succeed(millis),
    currentTimeNanos: real.currentTimeNanos,
    sleep: (duration) => real.sleep(duration),
    unsafeCurrentTimeMillis: () => millis,
    unsafeCurrentTimeNanos: () => real.unsafeCurrentTimeNanos()
  }
}
