import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, layer, vi } from "@effect/vitest"
import { Backup } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { service, rows, temporary } from "./support/backups.ts"

// A restore or a dozen backups take long on a busy machine.
vi.setConfig({ testTimeout: 120_000 })

const cluster = Layer.merge(EmbeddedPostgres.layer({ replicas: 1 }), NodeContext.layer)

/** What a restored server must answer exactly as its source did. */
const fingerprint = `SELECT count(*)::int AS rows, sum(id)::text AS ids, md5(string_agg(note, ',' ORDER BY id)) AS notes
  FROM shop.item`

/** The table of the fingerprint, made by whichever test is first. */
const seeded = Effect.gen(function* () {
  const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const [{ made } = { made: false }] = yield* rows(url, "SELECT to_regclass('shop.item') IS NOT NULL AS made")
  if (made === true) return
  yield* rows(url, "CREATE SCHEMA shop")
  yield* rows(url, "CREATE TABLE shop.item (id bigint PRIMARY KEY, note text NOT NULL)")
  yield* rows(url, "INSERT INTO shop.item SELECT n, 'größe ' || md5(n::text) FROM generate_series(1, 20000) n")
})

const setUp = Effect.gen(function* () {
  const postgres = yield* EmbeddedPostgres.EmbeddedPostgres
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const directory = yield* temporary
  return { ...postgres, fs, path, directory, store: path.join(directory, "store"), data: path.join(directory, "data") }
})

const as = (url: Redacted.Redacted, user: string): Redacted.Redacted => {
  const changed = new URL(Redacted.value(url))
  changed.username = user
  return Redacted.make(changed.href)
}

layer(cluster, { excludeTestServices: true })("Backup", (it) => {
  it.scoped("restores into a directory that starts with the same rows", () =>
    Effect.gen(function* () {
      const { data, fs, path, store, url } = yield* setUp
      yield* seeded
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      const listing = yield* backup.list
      assert.deepStrictEqual(listing, { backups: [manifest], unreadable: [] })
      assert.deepStrictEqual(yield* backup.show("latest"), manifest)
      const verification = yield* backup.verify(manifest.label)
      assert.deepStrictEqual(verification.findings, [])
      assert.isTrue(verification.ok)

      const before = yield* rows(url, fingerprint)
      const restored = yield* backup.restore(manifest.label, { directory: data })
      assert.strictEqual(restored.directory, data)
      assert.strictEqual((yield* fs.stat(data)).mode & 0o7777, 0o700)
      assert.strictEqual((yield* fs.stat(path.join(data, "base"))).mode & 0o7777, 0o700)
      assert.strictEqual((yield* fs.stat(path.join(data, "PG_VERSION"))).mode & 0o7777, 0o600)
      assert.strictEqual(Backup.startCommand(restored), `plinth dev --directory ${data} --replicas 0`)
      assert.include(Backup.startCommand({ directory: "/it's here" }), `'/it'\\''s here'`)
      // What that command does.
      const server = yield* EmbeddedPostgres.make({ directory: data })
      assert.deepStrictEqual(yield* rows(server.url, fingerprint), before)
      const [role] = yield* rows(server.url, "SELECT pg_is_in_recovery() AS standby")
      assert.strictEqual(role?.["standby"], false)
    })
  )

  it.scoped("leaves a directory of private files and no lock, with the manifest's own facts", () =>
    Effect.gen(function* () {
      const { fs, path, serverVersion, store, url } = yield* setUp
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      assert.deepStrictEqual(yield* fs.readDirectory(store), [manifest.label])
      const names = (yield* fs.readDirectory(path.join(store, manifest.label))).sort()
      assert.deepStrictEqual(names, ["backup_manifest", "base.tar.gz", "manifest.json"])
      for (const name of names) {
        assert.strictEqual((yield* fs.stat(path.join(store, manifest.label, name))).mode & 0o7777, 0o600, name)
      }
      assert.strictEqual((yield* fs.stat(path.join(store, manifest.label))).mode & 0o7777, 0o700)
      const [server] = yield* rows(url, "SELECT system_identifier::text AS id FROM pg_control_system()")
      assert.strictEqual(manifest.server.systemIdentifier, server?.["id"])
      assert.strictEqual(manifest.server.versionNumber, serverVersion)
      assert.match(manifest.label, /^\d{8}T\d{6}Z-[0-9a-f]{6}$/)
      assert.deepStrictEqual(manifest.warnings, [])
    })
  )

  it.scoped("restores tablespaces below the new directory and leaves the old ones alone", () =>
    Effect.gen(function* () {
      const { data, directory, fs, path, store } = yield* setUp
      // A server of its own: a replica on the same machine would write its tablespace into the same directory.
      const { dataDirectory, url } = yield* EmbeddedPostgres.make()
      const location = path.join(directory, "fast ssd")
      yield* fs.makeDirectory(location, { mode: 0o700 })
      // The server writes there: it belongs to whoever the data directory belongs to.
      const { gid, uid } = yield* fs.stat(dataDirectory)
      yield* fs.chown(location, Option.getOrThrow(uid), Option.getOrThrow(gid))
      yield* rows(url, `CREATE TABLESPACE fast LOCATION '${location}'`)
      yield* rows(url, "CREATE TABLE kept_apart (id int) TABLESPACE fast")
      yield* rows(url, "INSERT INTO kept_apart SELECT generate_series(1, 5000)")
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      assert.strictEqual(manifest.files.length, 3)
      assert.deepStrictEqual((yield* backup.verify("latest")).findings, [])
      const restored = yield* backup.restore("latest", { directory: data, sync: false })
      assert.strictEqual(restored.tablespaces[0]?.from, location)
      assert.strictEqual(path.dirname(path.dirname(restored.tablespaces[0]?.to ?? "")), data)

      const server = yield* EmbeddedPostgres.startExisting(data)
      yield* rows(server.url, "INSERT INTO kept_apart VALUES (5001)")
      const count = "SELECT count(*)::int AS rows FROM kept_apart"
      assert.deepStrictEqual(yield* rows(server.url, count), [{ rows: 5001 }])
      assert.deepStrictEqual(yield* rows(url, count), [{ rows: 5000 }])

      // A restored cluster, whose tablespaces are inside of it, is backed up and restored like any other.
      const second = yield* service(path.join(directory, "second"), { url: server.url })
      yield* second.create()
      assert.deepStrictEqual((yield* second.verify("latest")).findings, [])
      yield* second.restore("latest", { directory: path.join(directory, "again"), sync: false })
      const again = yield* EmbeddedPostgres.startExisting(path.join(directory, "again"))
      assert.deepStrictEqual(yield* rows(again.url, count), [{ rows: 5001 }])
    })
  )

  it.scoped("takes a backup from a standby that restores as a server of its own", () =>
    Effect.gen(function* () {
      const { data, replicas, store, url } = yield* setUp
      yield* seeded
      const [replica] = replicas
      if (replica === undefined) return assert.fail("the cluster has a replica")
      const backup = yield* service(store, { url: replica.url })
      const manifest = yield* backup.create()
      assert.isTrue(manifest.server.inRecovery)
      assert.deepStrictEqual((yield* backup.verify("latest")).findings, [])
      const restored = yield* backup.restore("latest", { directory: data, sync: false })
      assert.include(restored.warnings.join(), "standby.signal was left out")
      const server = yield* EmbeddedPostgres.startExisting(data)
      assert.deepStrictEqual(yield* rows(server.url, fingerprint), yield* rows(url, fingerprint))
      yield* rows(server.url, "CREATE TABLE takes_writes ()")
    })
  )

  it.scoped("restores without Plinth by the commands that the manifest prints", () =>
    Effect.gen(function* () {
      const { data, path, store, url } = yield* setUp
      yield* seeded
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create()
      const commands = manifest.recovery
        // Starting it is the next lines' task, and the verifier comes with a server package that may not be here.
        .filter((command) => !/^pg_(ctl|verifybackup)/.test(command))
        .map((command) => command.replaceAll("DATA", data))
      execFileSync("sh", ["-e", "-c", commands.join("\n")], { cwd: path.join(store, manifest.label) })
      const server = yield* EmbeddedPostgres.startExisting(data)
      assert.deepStrictEqual(yield* rows(server.url, fingerprint), yield* rows(url, fingerprint))
      assert.include(manifest.recovery, "pg_verifybackup DATA")
    })
  )

  it.scoped("writes plain tar on request", () =>
    Effect.gen(function* () {
      const { data, store, url } = yield* setUp
      const backup = yield* service(store, { url, compression: "none" })
      const manifest = yield* backup.create()
      assert.deepStrictEqual(
        manifest.files.map(({ name }) => name),
        ["base.tar", "backup_manifest"]
      )
      assert.isTrue((yield* backup.verify("latest")).ok)
      yield* backup.restore("latest", { directory: data, sync: false })
      yield* EmbeddedPostgres.startExisting(data)
    })
  )

  it.scoped("reports progress that only grows and ends at the size of the archives", () =>
    Effect.gen(function* () {
      const { data, store, url } = yield* setUp
      const seen: Array<Backup.Progress> = []
      const onProgress: Backup.OnProgress = (progress) => Effect.sync(() => void seen.push(progress))
      const backup = yield* service(store, { url })
      const manifest = yield* backup.create({ onProgress })
      yield* backup.verify("latest", { onProgress })
      yield* backup.restore("latest", { directory: data, onProgress })
      const phases = ["checkpoint", "copy", "verify", "restore", "sync"] as const
      assert.deepStrictEqual([...new Set(seen.map(({ phase }) => phase))], [...phases])
      for (const phase of phases) {
        const bytes = seen.filter((progress) => progress.phase === phase).map((progress) => progress.bytes)
        assert.deepStrictEqual(
          bytes,
          [...bytes].sort((left, right) => left - right)
        )
      }
      const copied = seen.filter(({ phase }) => phase === "copy").at(-1)
      const [archive] = manifest.files
      assert.isAtLeast(copied?.bytes ?? 0, archive?.kind === "archive" ? archive.tarBytes : Infinity)
      assert.isAbove(copied?.totalBytes ?? 0, 0)
    })
  )

  it.scoped("is accepted by pg_verifybackup", (context) =>
    Effect.gen(function* () {
      const { data, serverVersion, store, url } = yield* setUp
      const verifier = `/usr/lib/postgresql/${Math.floor(serverVersion / 10_000)}/bin/pg_verifybackup`
      // Not part of the npm binaries: the lane on Debian's server has it.
      if (!existsSync(verifier)) return context.skip(`${verifier} is not installed`)
      const backup = yield* service(store, { url })
      yield* backup.create()
      yield* backup.restore("latest", { directory: data, sync: false })
      assert.include(execFileSync(verifier, [data], { encoding: "utf8" }), "backup successfully verified")
    })
  )

  it.scoped("refuses a role without REPLICATION and says how to give it", () =>
    Effect.gen(function* () {
      const { fs, store, url } = yield* setUp
      yield* rows(url, "CREATE ROLE plain LOGIN PASSWORD 'x'")
      yield* Effect.addFinalizer(() => Effect.orDie(rows(url, "DROP ROLE plain")))
      const backup = yield* service(store, { url: as(url, "plain") })
      const error = yield* Effect.flip(backup.create())
      assert.strictEqual(error.reason, "ReplicationRefused")
      assert.include(error.message, 'ALTER ROLE "plain" REPLICATION')
      assert.include(error.message, "pg_dump")
      assert.isFalse(yield* fs.exists(store))
    })
  )

  it.scoped("works with a role that has REPLICATION and nothing else", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      yield* rows(url, "CREATE ROLE copier LOGIN REPLICATION")
      yield* Effect.addFinalizer(() => Effect.orDie(rows(url, "DROP ROLE copier")))
      const backup = yield* service(store, { url: as(url, "copier") })
      yield* backup.create()
      assert.isTrue((yield* backup.verify("latest")).ok)
    })
  )

  it.scoped("lists nothing, and finds nothing, where there is no backup", () =>
    Effect.gen(function* () {
      const { store, url } = yield* setUp
      const backup = yield* service(store, { url })
      assert.deepStrictEqual(yield* backup.list, { backups: [], unreadable: [] })
      for (const label of ["latest", "20251122T173412Z-0f3a9c", "../../etc", ""]) {
        const error = yield* Effect.flip(backup.show(label))
        assert.strictEqual(error.reason, "NotFound", label)
      }
    })
  )

  it.scoped("never restores over anything, or for another major version", () =>
    Effect.gen(function* () {
      const { data, dataDirectory, directory, fs, path, serverVersion, store, url } = yield* setUp
      const backup = yield* service(store, { url })
      yield* backup.create()
      yield* fs.makeDirectory(data)
      yield* fs.writeFileString(path.join(data, "precious"), "mine")
      const refusals = [
        { directory: data },
        { directory: dataDirectory },
        { directory: path.join(directory, "new"), majorVersion: Math.floor(serverVersion / 10_000) + 1 }
      ]
      for (const options of refusals) {
        const error = yield* Effect.flip(backup.restore("latest", options))
        assert.strictEqual(error.reason, "TargetRefused")
      }
      assert.deepStrictEqual(yield* fs.readDirectory(data), ["precious"])
      assert.deepStrictEqual((yield* fs.readDirectory(directory)).sort(), ["data", "store"])
    })
  )

  it.scoped("restores into an empty directory that exists", () =>
    Effect.gen(function* () {
      const { data, fs, path, store, url } = yield* setUp
      const backup = yield* service(store, { url })
      yield* backup.create()
      yield* fs.makeDirectory(data)
      yield* backup.restore("latest", { directory: data, sync: false })
      assert.isTrue(yield* fs.exists(path.join(data, "PG_VERSION")))
    })
  )
})
