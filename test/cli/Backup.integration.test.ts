import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import * as FaultProxy from "../support/FaultProxy.ts"
import { withDatabase } from "../support/migrators.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { plinth, starting } from "./support/Plinth.ts"

const Labelled = Schema.parseJson(Schema.Struct({ schema: Schema.String, label: Schema.String }))
const Listed = Schema.parseJson(Schema.Struct({ backups: Schema.Array(Schema.Struct({ label: Schema.String })) }))

/** Every file under a directory. */
const filesUnder = (directory: string): ReadonlyArray<string> =>
  existsSync(directory)
    ? readdirSync(directory, { recursive: true })
        .map((path) => join(directory, String(path)))
        .filter((path) => statSync(path).isFile())
    : []

describe("plinth backup", () => {
  it.live("creates, lists, shows, verifies and restores, each with one JSON object", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      const given = { cwd, env: { DATABASE_URL: Redacted.value(url) } }
      const created = yield* plinth(["backup", "create", "--json"], given)
      assert.strictEqual(created.code, 0, created.stderr)
      const { label, schema } = yield* Schema.decode(Labelled)(created.stdout)
      assert.strictEqual(schema, "plinth.backup.create/1")

      // The commands that only look at the storage need no server.
      const offline = (...args: ReadonlyArray<string>) => plinth(["backup", ...args], { cwd })
      const listed = yield* offline("list", "--json")
      assert.deepStrictEqual(yield* Schema.decode(Listed)(listed.stdout), { backups: [{ label }] })
      assert.include((yield* offline("list")).stdout, label)
      assert.include((yield* offline("show", label)).stdout, '"recovery"')
      const verified = yield* offline("verify")
      assert.deepStrictEqual([verified.code, verified.stdout.startsWith(`${label} is intact`)], [0, true])

      const restored = yield* offline("restore", "--into", "restored", "--json")
      assert.strictEqual(restored.code, 0, restored.stderr)
      assert.isTrue(existsSync(join(cwd, "restored/PG_VERSION")))
      const again = yield* offline("restore", "--into", "restored")
      assert.strictEqual(again.code, 1)
      assert.strictEqual(again.stdout, "")
    }).pipe(withDatabase)
  )

  it.live("exits 1 for a backup in which one byte has changed, and names the file", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      yield* plinth(["backup", "create"], { cwd, env: { DATABASE_URL: Redacted.value(url) } })
      const archive = filesUnder(join(cwd, "backups")).find((path) => /tar/.test(path)) ?? assert.fail("no archive")
      const file = openSync(archive, "r+")
      const at = Math.floor(statSync(archive).size / 2)
      writeSync(file, Uint8Array.of((readFileSync(archive)[at] ?? 0) ^ 1), 0, 1, at)
      closeSync(file)
      const ended = yield* plinth(["backup", "verify"], { cwd })
      assert.strictEqual(ended.code, 1)
      assert.include(ended.stdout, "is damaged")
      assert.include(ended.stdout, archive.split("/").at(-1) ?? "?")
    }).pipe(withDatabase)
  )

  for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
    it.live(`leaves nothing that looks like a backup when ${signal} ends it while it copies`, () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const cwd = yield* temporaryDirectory()
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        yield* proxy.cutAfter(1_000_000_000)
        const running = yield* starting(["backup", "create"], {
          cwd,
          env: { DATABASE_URL: Redacted.value(proxy.url(url)) }
        })
        yield* Effect.promise(() => running.printed("Copying"))
        yield* proxy.blackhole
        running.child.kill(signal)
        const ended = yield* Effect.promise(() => running.ended)
        assert.strictEqual(ended.stdout, "")
        assert.deepStrictEqual(
          [ended.code, ended.signal],
          signal === "SIGKILL" ? [null, signal] : [signal === "SIGINT" ? 130 : 143, null]
        )
        const listed = yield* plinth(["backup", "list", "--json"], { cwd })
        assert.deepStrictEqual(yield* Schema.decode(Listed)(listed.stdout), { backups: [] })
        assert.deepStrictEqual(
          filesUnder(join(cwd, "backups")).filter((path) => /tar|manifest/.test(path)),
          []
        )
      }).pipe(withDatabase)
    )
  }

  it.live("says once what to do about a server that is away", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const env = { DATABASE_URL: "postgres://app:sesame@127.0.0.1:1/shop" }
      const ended = yield* plinth(["backup", "create"], { cwd, env })
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /^Error: .*127\.0\.0\.1:1\/shop.*ECONNREFUSED.*\n$/)
      assert.strictEqual(ended.stderr.split("Check ").length - 1, 1, ended.stderr)
      assert.notInclude(ended.stderr, "sesame")
    }).pipe(Effect.scoped)
  )

  it.live("names what it was asked for where there is no backup", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "backups"))
      const listed = yield* plinth(["backup", "list"], { cwd })
      assert.deepStrictEqual([listed.code, listed.stdout, listed.stderr], [0, "no backups\n", ""])
      for (const command of ["verify", "show"]) {
        const ended = yield* plinth(["backup", command], { cwd })
        assert.strictEqual(ended.code, 1)
        assert.match(
          ended.stderr,
          new RegExp(`^Error: Backup ${command} of latest failed: there is no complete backup`)
        )
      }
    }).pipe(Effect.scoped)
  )

  it.live("takes a folder that does not exist for no empty one", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const env = { PLINTH_BACKUP_DIR: "nowhere" }
      for (const command of [["list"], ["list", "--json"], ["show"], ["verify"], ["restore", "--into", "restored"]]) {
        const ended = yield* plinth(["backup", ...command], { cwd, env })
        assert.deepStrictEqual([ended.code, ended.stdout], [1, ""])
        assert.match(ended.stderr, /The folder \S+\/nowhere does not exist.* PLINTH_BACKUP_DIR.*\n$/)
      }
      assert.deepStrictEqual(readdirSync(cwd), [])
    }).pipe(Effect.scoped)
  )

  it.live("says where it cannot write", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      writeFileSync(join(cwd, "file"), "")
      const ended = yield* plinth(["backup", "create", "--storage", "file/backups"], {
        cwd,
        env: { DATABASE_URL: Redacted.value(url) }
      })
      assert.strictEqual(ended.code, 1)
      assert.include(ended.stderr, "file/backups")
      assert.include(ended.stderr, "choose another directory")
    }).pipe(withDatabase)
  )

  it.live.runIf(existsSync("/proc/self"))("gives up at once where no directory can be made, however deep", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      for (const storage of ["/proc/nowhere", "/proc/nowhere/a/b"]) {
        const ended = yield* plinth(["backup", "create", "--storage", storage], {
          cwd,
          env: { DATABASE_URL: Redacted.value(url) }
        })
        assert.strictEqual(ended.code, 1, ended.stderr)
        assert.match(ended.stderr, /^Error: Backup create failed: .*\/proc\/nowhere.*\n$/)
      }
    }).pipe(withDatabase)
  )
})
