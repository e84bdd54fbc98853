import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { cpSync, existsSync, readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { clientAt } from "../support/clients.ts"
import { withinSeconds } from "../support/effects.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { plinth, starting } from "./support/Plinth.ts"

const Nodes = Schema.parseJson(
  Schema.Struct({
    schema: Schema.Literal("plinth.dev/1"),
    nodes: Schema.Array(Schema.Struct({ name: Schema.String, port: Schema.Number, url: Schema.String }))
  })
)

const on = <A extends object>(url: string, sql: string) =>
  Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<A>(sql)).pipe(
    Effect.provide(clientAt(Redacted.make(url), 1))
  )

/** The servers' processes that run on a directory. */
const serversOn = (directory: string): ReadonlyArray<string> =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(directory)
    } catch {
      return false
    }
  })

describe("plinth dev", () => {
  it.live("runs a primary and replicas, acts on a node by keys, and leaves no process behind", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const running = yield* starting(["dev", "--replicas", "2", "--json"], { cwd, stdin: "open" })
      const press = (keys: string) => Effect.sync(() => void running.child.stdin?.write(keys))
      yield* Effect.promise(() => running.printed("plinth.dev/1"))
      yield* Effect.promise(() => running.printed("ends it"))
      const { nodes } = yield* Schema.decode(Nodes)(running.output().stdout)
      assert.deepStrictEqual(
        nodes.map(({ name }) => name),
        ["primary", "replica-1", "replica-2"]
      )
      const [primary, first, second] = nodes.map(({ url }) => url)
      if (primary === undefined || first === undefined || second === undefined) return assert.fail("a node is missing")

      yield* on(primary, "CREATE TABLE t (id int)")
      yield* withinSeconds(
        10,
        Effect.map(on<{ t: string | null }>(first, "SELECT to_regclass('t')::text AS t"), ([row]) => row?.t === "t")
      )

      yield* press("2p")
      yield* Effect.promise(() => running.printed("has stopped replaying"))
      assert.deepStrictEqual(yield* on(first, "SELECT pg_is_wal_replay_paused() AS paused"), [{ paused: true }])
      yield* press("p3k")
      yield* Effect.promise(() => running.printed("is killed"))
      yield* Effect.flip(on(second, "SELECT 1"))
      yield* press("2m")
      yield* Effect.promise(() => running.printed("takes writes"))
      assert.deepStrictEqual(yield* on(first, "SELECT pg_is_in_recovery() AS standby"), [{ standby: false }])

      yield* press("q")
      assert.strictEqual((yield* Effect.promise(() => running.ended)).code, 0)
      assert.deepStrictEqual(serversOn(cwd), [])
    }).pipe(Effect.scoped)
  )

  it.live("names its replicas once they know the project's database, however late they replay", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const running = yield* starting(["dev", "--replicas", "1", "--lag", "1500ms", "--json"], { cwd })
      yield* Effect.promise(() => running.printed("plinth.dev/1"))
      const { nodes } = yield* Schema.decode(Nodes)(running.output().stdout)
      assert.deepStrictEqual(yield* on(nodes[1]?.url ?? "", "SELECT current_database() AS name"), [{ name: "app" }])
    }).pipe(Effect.scoped)
  )

  it.live("keeps the cluster of a directory, and stops it on SIGTERM and after kill -9", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const running = yield* starting(["dev", "--replicas", "0", "--json"], { cwd })
        yield* Effect.promise(() => running.printed("ends it"))
        const [node] = (yield* Schema.decode(Nodes)(running.output().stdout)).nodes
        yield* on(node?.url ?? "", "CREATE TABLE IF NOT EXISTS kept (id int)")
        running.child.kill(signal)
        const ended = yield* Effect.promise(() => running.ended)
        assert.strictEqual(ended.code, signal === "SIGTERM" ? 143 : null)
        yield* withinSeconds(
          10,
          Effect.sync(() => serversOn(cwd).length === 0)
        )
      }
      assert.isTrue(existsSync(join(cwd, ".plinth")))
    }).pipe(Effect.scoped)
  )

  it.live("stops its cluster after the Ctrl-C of a terminal, which npm passes on 50 ms later", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const running = yield* starting(["dev", "--replicas", "0", "--json"], { cwd })
      yield* Effect.promise(() => running.printed("ends it"))
      const [node] = (yield* Schema.decode(Nodes)(running.output().stdout)).nodes
      const [checkpointer] = yield* on<{ pid: number }>(
        node?.url ?? "",
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
      )
      if (checkpointer === undefined) return assert.fail("no checkpointer")
      // Without its last checkpoint the server cannot stop before the second signal.
      process.kill(checkpointer.pid, "SIGSTOP")
      running.child.kill("SIGINT")
      yield* Effect.sleep("50 millis")
      running.child.kill("SIGINT")
      assert.strictEqual((yield* Effect.promise(() => running.ended)).code, 130)
      assert.deepStrictEqual(serversOn(cwd), [])
      assert.notInclude(readdirSync(join(cwd, ".plinth")), "lock")
    }).pipe(Effect.scoped)
  )

  it.live("says in one paragraph that a directory cannot be made, and does not hang", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const ended = yield* plinth(["dev", "--directory", "/proc/plinth/cluster"], { cwd })
      assert.match(
        ended.stderr,
        /^Error: Open the cluster failed: the directory \/proc\/plinth\/cluster cannot be made: .*\. Check the path.*\n$/
      )
      assert.strictEqual(ended.code, 1)
    }).pipe(Effect.timeout("20 seconds"), Effect.scoped)
  )
})

describe("the embedded database of a project", () => {
  it.live("stands in where nothing is configured, says so, and is the same one the next time", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      cpSync("migrations", join(cwd, "migrations"), { recursive: true })
      const first = yield* plinth(["setup"], { cwd })
      assert.strictEqual(first.code, 0, first.stderr)
      assert.include(first.stderr, "embedded PostgreSQL in .plinth/")
      assert.match(first.stdout, /done +migrations +applied 8 migrations/)
      assert.deepStrictEqual(serversOn(cwd), [])
      const status = yield* plinth(["migrate", "status", "--quiet", "--exit-code"], { cwd })
      assert.deepStrictEqual([status.code, status.stderr], [0, ""])
      assert.strictEqual((yield* plinth(["health-check", "--embedded", "--tier", "fast"], { cwd })).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("is migrated and filled by one command in an empty project, and keeps that when it is stopped", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      cpSync("migrations", join(cwd, "migrations"), { recursive: true })
      cpSync("seeds", join(cwd, "seeds"), { recursive: true })
      const ended = yield* plinth(["setup", "--seed"], { cwd })
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.match(ended.stdout, /done +seeds +loaded \d+ files? of seeds/)
      assert.deepStrictEqual(serversOn(cwd), [])

      const running = yield* starting(["dev", "--replicas", "0", "--json"], { cwd })
      yield* Effect.promise(() => running.printed("ends it"))
      const { nodes } = yield* Schema.decode(Nodes)(running.output().stdout)
      const counted = yield* on(nodes[0]?.url ?? "", "SELECT count(*)::int AS customers FROM customers")
      assert.deepStrictEqual(counted, [{ customers: 5000 }])
      running.child.kill("SIGTERM")
      assert.strictEqual((yield* Effect.promise(() => running.ended)).code, 143)
    }).pipe(Effect.scoped)
  )

  it.live("is one line to install where the binaries are missing", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const ended = yield* plinth(["setup"], { cwd, env: { PG_BIN: join(cwd, "nowhere") } })
      assert.strictEqual(ended.code, 2)
      assert.include(ended.stderr, "PG_BIN")
    }).pipe(Effect.scoped)
  )
})
