import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import { appendFileSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { isAlive } from "../support/clusterProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { vi } from "vitest"

// Several clusters are started one after the other, maybe on a busy machine.
vi.setConfig({ testTimeout: 90_000 })

const query = (url: Redacted.Redacted, statement: string) =>
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql.unsafe<Record<string, unknown>>(statement)),
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
  )

/** A data directory with one table, as a restore leaves it: complete, and nobody runs on it. */
const restored = Effect.gen(function* () {
  const cluster = yield* EmbeddedPostgres.make()
  yield* query(cluster.url, "create table proof as select 7 as n")
  yield* cluster.primary.stop
  return cluster.dataDirectory
})

describe("startExisting", () => {
  it.scopedLive("serves the data, stops with its scope, and leaves the directory as it was", () =>
    Effect.gen(function* () {
      const directory = yield* restored
      const configuration = readFileSync(join(directory, "postgresql.conf"), "utf8")
      if (process.getuid?.() === 0) execFileSync("chown", ["-R", "0:0", directory])
      const owner = statSync(directory).uid
      const pid = yield* Effect.scoped(
        Effect.gen(function* () {
          const node = yield* EmbeddedPostgres.startExisting(directory)
          assert.deepStrictEqual(yield* query(node.url, "select n from proof"), [{ n: 7 }])
          yield* query(node.url, "create table written ()")
          return yield* node.pid
        })
      )
      assert.isFalse(Option.exists(pid, isAlive))
      assert.strictEqual(statSync(directory).uid, owner)
      assert.strictEqual(statSync(join(directory, "PG_VERSION")).uid, owner)
      assert.strictEqual(readFileSync(join(directory, "postgresql.conf"), "utf8"), configuration)
    })
  )

  it.scopedLive("is what a cluster's directory leads to where it is a restored one, alone", () =>
    Effect.gen(function* () {
      const directory = yield* restored
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.make({ directory, replicas: 1 })))
      assert.strictEqual(error.reason, "Standalone")
      assert.match(error.message, /--replicas 0/)
      const cluster = yield* EmbeddedPostgres.make({ directory })
      assert.deepStrictEqual(yield* query(cluster.url, "select n from proof"), [{ n: 7 }])
      assert.isEmpty(cluster.replicas)
    })
  )

  it.scopedLive("never archives, and takes neither port nor libraries from the original", () =>
    Effect.gen(function* () {
      const directory = yield* restored
      appendFileSync(
        join(directory, "postgresql.auto.conf"),
        "archive_mode = 'on'\narchive_command = 'false'\nport = '1'\nssl = 'on'\nwork_mem = '9MB'\n" +
          "shared_preload_libraries = 'not_installed_here'\nlisten_addresses = '*'\n"
      )
      const node = yield* EmbeddedPostgres.startExisting(directory, { settings: { work_mem: "11MB" } })
      const [settings] = yield* query(
        node.url,
        `select current_setting('archive_mode') as archive, current_setting('ssl') as ssl,
           current_setting('listen_addresses') as addresses, current_setting('work_mem') as memory`
      )
      assert.deepStrictEqual(settings, { archive: "off", ssl: "off", addresses: "127.0.0.1", memory: "11MB" })
    })
  )

  it.scopedLive("removes the pid file of a server that is gone, even when another program has its pid", () =>
    Effect.gen(function* () {
      const directory = yield* restored
      writeFileSync(join(directory, "postmaster.pid"), `${process.pid}\n${directory}\n1\n1\n\n127.0.0.1\n\nready\n`)
      const node = yield* EmbeddedPostgres.startExisting(directory)
      assert.deepStrictEqual(yield* query(node.url, "select n from proof"), [{ n: 7 }])
    })
  )

  it.scopedLive.skipIf(process.getuid?.() !== 0)("works for root in a directory that no other account can enter", () =>
    Effect.gen(function* () {
      const directory = yield* restored
      const home = yield* temporaryDirectory({ mode: 0o700 })
      execFileSync("cp", ["-a", directory, join(home, "restored")])
      const node = yield* EmbeddedPostgres.startExisting(join(home, "restored"))
      assert.deepStrictEqual(yield* query(node.url, "select n from proof"), [{ n: 7 }])
    })
  )

  it.scopedLive("refuses a directory on which a server runs, and leaves that server alone", () =>
    Effect.gen(function* () {
      const cluster = yield* EmbeddedPostgres.make()
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.startExisting(cluster.dataDirectory)))
      assert.strictEqual(error.reason, "InUse")
      assert.deepStrictEqual(yield* query(cluster.url, "select 1 as one"), [{ one: 1 }])
    })
  )

  it.scopedLive("says what is missing when the directory is no cluster", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(EmbeddedPostgres.startExisting("/nowhere/at/all")))
      assert.strictEqual(error.reason, "FileSystem")
      assert.include(error.message, "/nowhere/at/all")
    })
  )
})
