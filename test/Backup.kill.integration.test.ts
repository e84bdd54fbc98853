import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer, vi } from "@effect/vitest"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { spawn } from "node:child_process"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { rows, service, temporary } from "./support/backups.ts"

// Each round starts a Node process, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

const program = fileURLToPath(new URL("support/backupProcess.ts", import.meta.url))
const root = fileURLToPath(new URL("..", import.meta.url))

/** Runs the program until it reaches its stage, and sends it a signal there; returns how it ended. */
const killAt = (stage: string, signal: NodeJS.Signals, url: Redacted.Redacted, ...args: ReadonlyArray<string>) =>
  Effect.async<string>((resume) => {
    const [store = "", ...rest] = args
    const child = spawn(process.execPath, ["--import", "tsx", program, Redacted.value(url), store, stage, ...rest], {
      cwd: root
    })
    let output = ""
    const read = (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes(`at ${stage}\n`)) child.kill(signal)
    }
    child.stdout.on("data", read)
    child.stderr.on("data", read)
    child.on("close", (_, by) => {
      const reached = output.includes(`at ${stage}\n`)
      resume(reached ? Effect.succeed(by ?? "exit") : Effect.dieMessage(`never at ${stage}: ${output}`))
    })
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const left = `SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender')
  + (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS count`

const serverIsClean = (url: Redacted.Redacted) =>
  rows(url, left).pipe(
    Effect.filterOrFail(([row]) => Number(row?.["count"]) === 0),
    Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("20 seconds")))
  )

const cluster = Layer.merge(EmbeddedPostgres.layer(), NodeContext.layer)

const setUp = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const directory = yield* temporary
  return { url, directory, store: join(directory, "store") }
})

layer(cluster, { excludeTestServices: true })("a process that makes a backup", (it) => {
  // Before `lock` nothing was written; after `rename` it is a backup, which the last test is about.
  for (const stage of ["checkpoint", "lock", "start", "copy", "manifest", "rename"]) {
    it.scoped(`leaves nothing after kill -9 at the stage "${stage}", once the storage is listed`, () =>
      Effect.gen(function* () {
        const { store, url } = yield* setUp
        assert.strictEqual(yield* killAt(stage, "SIGKILL", url, store), "SIGKILL")
        yield* serverIsClean(url)
        const backup = yield* service(store, { url })
        assert.deepStrictEqual(yield* backup.list, { backups: [], unreadable: [] })
        // A lock that was not even written could belong to a process that is about to: it is left for ten seconds.
        if (stage !== "lock") assert.deepStrictEqual(existsSync(store) ? readdirSync(store) : [], [])
      })
    )
  }

  it.scoped("does not keep the next backup from being made after kill -9", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      yield* killAt("manifest", "SIGKILL", url, store)
      yield* serverIsClean(url)
      assert.include(readdirSync(store).join(), ".partial")
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      assert.deepStrictEqual(readdirSync(store), [manifest.label])
      assert.isTrue((yield* backup.verify("latest")).ok)
    })
  )

  it.scoped("has made one when it is killed after the rename", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      yield* killAt("directory", "SIGKILL", url, store)
      const backup = yield* service(store, { url })
      const { backups } = yield* backup.list
      assert.strictEqual(backups.length, 1)
      assert.deepStrictEqual(readdirSync(store), [backups[0]?.label])
      assert.isTrue((yield* backup.verify("latest")).ok)
    })
  )

  it.scoped("leaves nothing at all after Ctrl-C", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      for (const stage of ["checkpoint", "copy", "manifest"]) {
        yield* killAt(stage, "SIGINT", url, store)
        assert.deepStrictEqual(existsSync(store) ? readdirSync(store) : [], [], stage)
        yield* serverIsClean(url)
      }
    })
  )

  it.scoped("restores after a restore that was killed, over what that left behind", () =>
    Effect.gen(function* () {
      const { directory, store, url } = yield* setUp
      const target = join(directory, "data")
      const backup = yield* service(store, { url })
      yield* backup.create()
      for (const stage of ["restore", "sync", "rename"]) {
        yield* killAt(stage, "SIGKILL", url, store, target)
        assert.isFalse(existsSync(target))
        const left = readdirSync(directory).sort()
        assert.match(
          left.join(" "),
          /^data\.[0-9a-z]+\.lock data\.partial store$|^data\.partial data\.[0-9a-z]+\.lock store$/
        )
      }
      yield* backup.restore("latest", { directory: target, sync: false })
      assert.deepStrictEqual(readdirSync(directory).sort(), ["data", "store"])
      yield* EmbeddedPostgres.startExisting(target)
    })
  )
})
