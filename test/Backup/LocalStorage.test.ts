import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import { BackupStorageSuite } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import { execFileSync, spawn } from "node:child_process"
import { readFileSync, utimesSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import * as LocalStorage from "../../src/Backup/LocalStorage.ts"
import * as ProcessIdentity from "../../src/internal/node/ProcessIdentity.ts"
import { temporary } from "../support/backups.ts"

const lockIn = (directory: string) => join(directory, LocalStorage.lockFileName)

/** The content of a lock file of this process, with something changed. */
const owner = (changes: Record<string, unknown> = {}) =>
  Effect.map(ProcessIdentity.current, (identity) =>
    JSON.stringify({ ...identity, since: "2025-11-22T17:34:12.000Z", token: "theirs", ...changes })
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
      assert.deepStrictEqual((yield* fs.readDirectory(directory)).sort(), [
        LocalStorage.lockFileName,
        `${label}.partial`
      ])
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

  it.scopedLive("does not publish after another process has taken the lock over", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const storage = yield* LocalStorage.make(directory)
      const theirs = yield* owner()
      const attempt = Effect.gen(function* () {
        const draft = yield* Effect.flatMap(storage.lock({}), (lock) => lock.draft(label))
        writeFileSync(lockIn(directory), theirs)
        yield* draft.publish
      })
      const error = yield* Effect.flip(Effect.scoped(attempt))
      assert.strictEqual(error.reason, "AlreadyRunning")
      assert.deepStrictEqual(yield* storage.labels, [])
      assert.strictEqual(readFileSync(lockIn(directory), "utf8"), theirs)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("lets one of many win that find the same dead owner at once", () =>
    Effect.gen(function* () {
      const { directory, storage } = yield* abandoned(yield* owner({ pid: deadPid() }))
      let inside = 0
      let most = 0
      const turn = Effect.scoped(
        Effect.gen(function* () {
          yield* storage.lock({})
          inside += 1
          most = Math.max(most, inside)
          yield* Effect.sleep("20 millis")
          inside -= 1
        })
      )
      const results = yield* Effect.all(
        Array.from({ length: 8 }, () => Effect.either(turn)),
        { concurrency: "unbounded" }
      )
      assert.isTrue(results.some((result) => result._tag === "Right"))
      for (const result of results) if (result._tag === "Left") assert.strictEqual(result.left.reason, "AlreadyRunning")
      assert.strictEqual(most, 1)
      assert.isFalse(
        (yield* (yield* FileSystem.FileSystem).readDirectory(directory)).includes(LocalStorage.lockFileName)
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
