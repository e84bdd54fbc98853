import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { BackupStorageSuite } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import { readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import * as LocalStorage from "../../src/Backup/LocalStorage.ts"
import * as ProcessIdentity from "../../src/internal/node/ProcessIdentity.ts"
import { temporary } from "../support/backups.ts"

const lockFile = ".plinth-backup.theirs.lock"
const lockIn = (directory: string) => join(directory, lockFile)

/** The content of a lock file of this process, with something changed. */
const owner = (changes: Record<string, unknown> = {}) =>
  Effect.map(ProcessIdentity.current, (identity) =>
    JSON.stringify({ ...identity, since: "2025-11-22T17:34:12.000Z", ...changes })
  )

/** A process that is certainly gone. */
const deadPid = () => Number(execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }))

const label = "20251122T173412Z-0f3a9c"

/** A storage that a writer has left in the middle of a backup. */
const abandoned = (lock: string | undefined) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* temporary
    yield* fs.makeDirectory(join(directory, `${label}.partial`))
    yield* fs.writeFileString(join(directory, `${label}.partial`, "base.tar.gz"), "half")
    if (lock !== undefined) writeFileSync(lockIn(directory), lock)
    return { directory, fs, storage: yield* LocalStorage.make(directory) }
  })

describe("a storage in a local directory", () => {
  for (const { name, run } of BackupStorageSuite.cases(Effect.flatMap(temporary, LocalStorage.make))) {
    it.scopedLive(name, () => Effect.provide(run, NodeContext.layer))
  }

  it.scopedLive("sweeps what a dead process has left, and never before", () =>
    Effect.gen(function* () {
      const { directory, fs, storage } = yield* abandoned(yield* owner({ pid: deadPid() }))
      assert.isTrue(yield* storage.hasLeftovers)
      assert.deepStrictEqual(yield* storage.labels, [])
      const swept = yield* Effect.scoped(Effect.flatMap(storage.lock({}), (lock) => lock.sweep))
      assert.deepStrictEqual(swept, [`${label}.partial`])
      assert.deepStrictEqual(yield* fs.readDirectory(directory), [])
      assert.isFalse(yield* storage.hasLeftovers)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("knows a reused process number by the start of its process", () =>
    Effect.gen(function* () {
      const { storage } = yield* abandoned(yield* owner({ incarnation: "another boot/1" }))
      yield* Effect.scoped(storage.lock({}))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("leaves the partial of a living process alone and names that process", () =>
    Effect.gen(function* () {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("sleep", ["60"])),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const { directory, fs, storage } = yield* abandoned(yield* owner({ pid: child.pid, incarnation: "" }))
      assert.isFalse(yield* storage.hasLeftovers)
      const error = yield* Effect.flip(Effect.scoped(storage.lock({ target: "x" })))
      assert.strictEqual(error.reason, "AlreadyRunning")
      assert.include(error.message, `process ${child.pid} on ${hostname()}, since 2025-11-22T17:34:12.000Z`)
      assert.deepStrictEqual((yield* fs.readDirectory(directory)).sort(), [lockFile, `${label}.partial`])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("believes a process of another host to live, unless the advisory lock proves it dead", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* abandoned(yield* owner({ host: "elsewhere", target: "cluster/app" }))
      assert.isFalse(yield* storage.hasLeftovers)
      for (const target of [undefined, "cluster/other"]) {
        const error = yield* Effect.flip(Effect.scoped(storage.lock({ target })))
        assert.strictEqual(error.reason, "AlreadyRunning")
        assert.include(error.message, `remove ${lockIn(directory)}`)
      }
      yield* Effect.scoped(storage.lock({ target: "cluster/app" }))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("waits for a lock that is just being written, and takes over one that never was", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* abandoned("")
      const error = yield* Effect.flip(Effect.scoped(storage.lock({})))
      assert.strictEqual(error.reason, "AlreadyRunning")
      utimesSync(lockIn(directory), new Date(), new Date(Date.now() - 60_000))
      assert.isTrue(yield* storage.hasLeftovers)
      yield* Effect.scoped(storage.lock({}))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("removes a person's own files never", () =>
    Effect.gen(function* () {
      const { directory, fs, storage } = yield* abandoned(undefined)
      for (const name of ["notes.partial", ".partial", `x${label}.partial`, "README"]) {
        yield* fs.makeDirectory(join(directory, name))
      }
      assert.isTrue(yield* storage.hasLeftovers)
      const swept = yield* Effect.scoped(Effect.flatMap(storage.lock({}), (lock) => lock.sweep))
      assert.deepStrictEqual(swept, [`${label}.partial`])
      assert.strictEqual((yield* fs.readDirectory(directory)).length, 4)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("does not publish after its lock was removed", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const storage = yield* LocalStorage.make(directory)
      const attempt = Effect.gen(function* () {
        const draft = yield* Effect.flatMap(storage.lock({}), (lock) => lock.draft(label))
        for (const name of readdirSync(directory)) if (name.endsWith(".lock")) rmSync(join(directory, name))
        yield* draft.publish
      })
      const error = yield* Effect.flip(Effect.scoped(attempt))
      assert.strictEqual(error.reason, "AlreadyRunning")
      assert.include(error.message, "is gone")
      assert.deepStrictEqual(readdirSync(directory), [])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("is never held by two, whoever comes while a dead owner's lock is there", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* abandoned(yield* owner({ pid: deadPid() }))
      let inside = 0
      let most = 0
      let held = 0
      const turn = Effect.scoped(
        Effect.gen(function* () {
          yield* storage.lock({})
          inside += 1
          held += 1
          most = Math.max(most, inside)
          yield* Effect.sleep("2 millis")
          inside -= 1
        })
      ).pipe(
        Effect.catchAll((error) => Effect.sync(() => assert.strictEqual(error.reason, "AlreadyRunning"))),
        Effect.repeatN(20)
      )
      yield* Effect.all(
        Array.from({ length: 6 }, () => turn),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(most, 1)
      assert.isAbove(held, 6)
      assert.deepStrictEqual(readdirSync(directory), [`${label}.partial`])
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
