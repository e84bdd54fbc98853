import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "../support/clients.ts"
import { withinSeconds } from "../support/effects.ts"
import { withDatabase } from "../support/migrators.ts"
import { plinth } from "./support/Plinth.ts"

const Simulated = Schema.parseJson(
  Schema.Struct({
    schema: Schema.Literal("plinth.pool-simulate/1"),
    recommended: Schema.Int,
    sizes: Schema.Array(
      Schema.Struct({
        connections: Schema.Int,
        wait: Schema.Struct({ meanMs: Schema.Number }),
        formulaMeanWaitMs: Schema.NullOr(Schema.Number)
      })
    )
  })
)

const Advised = Schema.parseJson(
  Schema.Struct({
    schema: Schema.Literal("plinth.pool-advise/1"),
    server: Schema.Struct({
      maxConnections: Schema.Int,
      others: Schema.Int,
      cores: Schema.NullOr(Schema.Int)
    }),
    applications: Schema.Array(Schema.Struct({ application: Schema.String, connections: Schema.Int })),
    work: Schema.Struct({
      source: Schema.String,
      arrivalsPerSecond: Schema.NullOr(Schema.Number),
      useMs: Schema.NullOr(Schema.Number)
    }),
    perProcess: Schema.Struct({ min: Schema.Int, max: Schema.Int }),
    limit: Schema.String,
    unknowns: Schema.Array(Schema.String),
    alerts: Schema.Array(Schema.Struct({ severity: Schema.String, measure: Schema.String }))
  })
)

/** Runs `plinth pool advise` on a database, and reads its JSON. */
const advised = (url: Redacted.Redacted, ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const ended = yield* plinth(["pool", "advise", "--json", ...args], { env: { DATABASE_URL: Redacted.value(url) } })
    return { ...(yield* Schema.decode(Advised)(ended.stdout)), code: ended.code, stderr: ended.stderr }
  })

describe("plinth pool simulate", () => {
  it.live("prints figures near the formulas, the same for the same seed, without a server", () =>
    Effect.gen(function* () {
      const args = ["pool", "simulate", "--arrivals", "500/s", "--service", "4ms", "--json", "--random-seed", "7"]
      const first = yield* plinth(args)
      assert.deepStrictEqual([first.code, first.stderr], [0, ""])
      assert.strictEqual((yield* plinth(args)).stdout, first.stdout)
      const { recommended, sizes } = yield* Schema.decode(Simulated)(first.stdout)
      assert.strictEqual(recommended, 7)
      assert.include(
        sizes.map(({ connections }) => connections),
        7
      )
      const [least] = sizes
      assert.strictEqual(least?.connections, 3)
      assert.closeTo(least?.wait.meanMs ?? NaN, least?.formulaMeanWaitMs ?? NaN, 0.2)
    })
  )

  it.live("shows one line per size to a person, and only the size that was asked for", () =>
    Effect.gen(function* () {
      const args = ["pool", "simulate", "--arrivals", "120/min", "--service", "0.5s", "--duration", "10m"]
      const several = yield* plinth(args)
      assert.match(several.stdout, /^2\/s of 500 ms each keep 1 connections? busy/)
      assert.isAbove(several.stdout.split("\n").filter((line) => /^ +\d+ /.test(line)).length, 3)
      const one = yield* plinth([...args, "--connections", "2", "--distribution", "lognormal"])
      assert.strictEqual(one.stdout.split("\n").filter((line) => /^ +\d+ /.test(line)).length, 1)
    })
  )

  it.live("is 2 for work that is none, too much of it, or no work at all", () =>
    Effect.gen(function* () {
      const run = (...args: ReadonlyArray<string>) => plinth(["pool", "simulate", ...args])
      for (const [args, says] of [
        [["--service", "4ms"], /needs --arrivals/],
        [["--arrivals", "0/s", "--service", "4ms"], /more than 0/],
        [["--arrivals", "900000/s", "--service", "1h", "--duration", "1ms"], /keeps 3,240,000,000 connections busy/],
        [["--arrivals", "900000/s", "--service", "4ms"], /54,000,000 arrivals are too many/]
      ] as const) {
        const ended = yield* run(...args)
        assert.deepStrictEqual([ended.code, ended.stdout], [2, ""], args.join(" "))
        assert.match(ended.stderr, says)
      }
    })
  )
})

describe("plinth pool advise", () => {
  it.live("takes its own application's connections out, and all others for given", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const run = (application: string) =>
        advised(url, "--arrivals", "500/s", "--service", "8ms", "--cores", "16", "--application", application)
      yield* Effect.gen(function* () {
        yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`)
        const [mine, others] = yield* Effect.all([run("shop"), run("nobody")])
        assert.deepInclude(mine.applications, { application: "shop", connections: 1 })
        // The servers of tests are shared, and others may come and go between the two.
        assert.notInclude(mine.unknowns.join("\n"), "application_name")
        assert.include(others.unknowns.join("\n"), 'none has the application_name "nobody"')
        assert.strictEqual(
          others.server.others,
          others.applications.reduce((sum, { connections }) => sum + connections, 0)
        )
        assert.strictEqual(
          mine.server.others,
          mine.applications.reduce(
            (sum, { application, connections }) => sum + (application === "shop" ? 0 : connections),
            0
          )
        )
        assert.notInclude(
          mine.applications.map(({ application }) => application),
          "plinth pool advise"
        )
        assert.deepStrictEqual([mine.code, mine.limit, mine.perProcess], [0, "need", { min: 4, max: 10 }])
        assert.strictEqual(mine.work.source, "options")
      }).pipe(Effect.provide(plinthAt(url, { minConnections: 1, maxConnections: 1, applicationName: "shop" })))
    }).pipe(withDatabase)
  )

  it.live("measures the work that the database does, and not the time that its sessions idle", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        // The server does not report transactions that touch no table.
        yield* sql`CREATE TABLE one AS SELECT 1`
        const worker = Effect.forever(Effect.zipLeft(sql`SELECT pg_sleep(0.005) FROM one`, Effect.sleep("50 millis")))
        yield* Effect.forkScoped(
          Effect.all(
            Array.from({ length: 8 }, () => worker),
            { concurrency: 8 }
          )
        )
        const transactions = sql<{ n: number }>`
          SELECT (xact_commit)::int AS n FROM pg_stat_database WHERE datname = current_database()`
        yield* withinSeconds(
          30,
          Effect.map(transactions, ([row]) => (row?.n ?? 0) > 100)
        )
        const { stderr, unknowns, work } = yield* advised(url, "--sample", "2s")
        assert.strictEqual(work.source, "measured", unknowns.join("\n"))
        assert.isAtLeast(work.arrivalsPerSecond ?? 0, 25)
        // Short statements of this test and of the command itself are among them.
        assert.isAtLeast(work.useMs ?? 0, 3)
        assert.isBelow(work.useMs ?? Infinity, 40)
        assert.include(stderr, "Watching the work")
      }).pipe(Effect.provide(plinthAt(url, { minConnections: 8, maxConnections: 9 })))
    }).pipe(withDatabase)
  )

  it.live("says that a quiet database told it nothing, instead of advising by noise", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const { code, unknowns, work } = yield* advised(url, "--sample", "1s")
      assert.deepStrictEqual(work.source, "unknown")
      assert.match(unknowns.join("\n"), /only \d+ transactions were reported/)
      assert.strictEqual(code, 0)
    }).pipe(withDatabase)
  )

  it.live("is 3 where the pools cannot fit on the server, and says what to do", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const args = ["--processes", "5000", "--arrivals", "10/s", "--service", "1ms"]
      const text = yield* plinth(["pool", "advise", ...args], { env: { DATABASE_URL: Redacted.value(url) } })
      assert.strictEqual(text.code, 3)
      assert.match(text.stdout, /Alerts\n- critical: 5000 processes .* put a pooler before it/)
    }).pipe(withDatabase)
  )

  it.live("works for a user without privileges, names the grant that would show more, and whose cores it took", () =>
    Effect.gen(function* () {
      const { name, url } = yield* TestDatabase.TestDatabase
      const role = `looker_${name}`
      const run = (statement: string) =>
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(statement)).pipe(
          Effect.provide(plinthAt(url, { minConnections: 1, maxConnections: 1 }))
        )
      yield* Effect.acquireRelease(run(`CREATE ROLE "${role}" LOGIN PASSWORD 'sesame'`), () =>
        Effect.orDie(run(`DROP ROLE "${role}"`))
      )
      const plain = new URL(Redacted.value(url))
      plain.username = role
      plain.password = "sesame"
      const { code, server, stderr, unknowns } = yield* advised(
        Redacted.make(plain.href),
        "--arrivals",
        "10/s",
        "--service",
        "1ms"
      )
      assert.strictEqual(code, 0)
      assert.isAbove(server.maxConnections, 0)
      assert.isAbove(server.cores ?? 0, 0)
      assert.include(stderr, "--cores says otherwise")
      assert.include(unknowns.join("\n"), "GRANT pg_monitor")
    }).pipe(withDatabase)
  )

  it.live("is 2 without a database, and for values that make no sense, before it connects", () =>
    Effect.gen(function* () {
      const none = yield* plinth(["pool", "advise"])
      assert.deepStrictEqual([none.code, none.stdout], [2, ""])
      assert.include(none.stderr, "never guesses")
      const away = { env: { DATABASE_URL: "postgres://app:sesame@127.0.0.1:1/shop" } }
      for (const [args, says] of [
        [["--processes", "0"], /--processes is at least 1/],
        [["--sample", "10ms"], /--sample is 1s at least/]
      ] as const) {
        const ended = yield* plinth(["pool", "advise", ...args], away)
        assert.strictEqual(ended.code, 2)
        assert.match(ended.stderr, says)
      }
      const unreachable = yield* plinth(["pool", "advise"], away)
      assert.strictEqual(unreachable.code, 1)
      assert.notInclude(unreachable.stderr, "sesame")
    })
  )
})
