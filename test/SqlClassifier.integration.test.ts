import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it, layer } from "@effect/vitest"
import { SqlClassifier } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import pg from "pg"
import { reads, refused, sessions, silent, unknowns } from "./SqlClassifier/corpus.ts"
import { fixture } from "./SqlClassifier/fixture.ts"

const connect = (url: Redacted.Redacted): Effect.Effect<pg.Client, unknown, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise(async () => {
      const client = new pg.Client({ connectionString: Redacted.value(url) })
      client.on("error", () => {})
      await client.connect()
      return client
    }),
    (client) => Effect.promise(() => client.end())
  )

const run = (client: pg.Client, sql: string): Effect.Effect<void, unknown> =>
  Effect.asVoid(Effect.tryPromise({ try: () => client.query(sql), catch: (cause) => cause }))

const sqlStateOf = (error: unknown): string => (error instanceof pg.DatabaseError ? (error.code ?? "") : String(error))

/**
 * What a standby answers when it may not run a statement: it says so (25006, 0A000, 55000), it stumbles over a WAL record
 * it would have to write (XX000), or an unlogged table has no file there (58P01).
 */
const refusals = ["25006", "0A000", "55000", "XX000", "58P01"]

/** The fixture in the test's database, the standby caught up with it, and its catalogue. */
const prepared = Effect.gen(function* () {
  const { replicaUrls, url } = yield* TestDatabase.TestDatabase
  const [replicaUrl] = replicaUrls
  if (replicaUrl === undefined) return yield* Effect.dieMessage("the test needs a replica")
  const primary = yield* connect(url)
  const standby = yield* connect(replicaUrl)
  const existing = yield* Effect.tryPromise(() =>
    primary.query("SELECT to_regclass('public.numbers') IS NOT NULL AS found")
  )
  if (existing.rows[0]?.found !== true) yield* run(primary, fixture)
  const lsn = yield* Effect.tryPromise(() => primary.query("SELECT pg_current_wal_lsn()::text AS lsn"))
  const caughtUp = Effect.tryPromise(() =>
    standby.query("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn AS done", [lsn.rows[0]?.lsn])
  )
  yield* Effect.repeat(caughtUp, {
    until: ({ rows }) => rows[0]?.done === true,
    schedule: Schedule.intersect(Schedule.spaced("20 millis"), Schedule.recurs(500))
  })
  const version = yield* Effect.tryPromise(() =>
    primary.query("SELECT current_setting('server_version_num')::int AS number")
  )
  /** The corpus uses the grammar of 17, which an older server does not know. */
  const isNewGrammar = (outcome: string): boolean => outcome === "42601" && version.rows[0]?.number < 170_000
  return { primary, standby, isNewGrammar }
})

const client = Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => PgClient.layer({ url })))
const database = TestDatabase.layer({ replicas: 1 })

/** Runs each statement on the standby, in a session of its own state, and gives those whose outcome is not as expected. */
const onStandby = Effect.fnUntraced(function* (
  standby: pg.Client,
  statements: ReadonlyArray<string>,
  isExpected: (outcome: string) => boolean
) {
  const surprises: Array<string> = []
  for (const sql of statements) {
    const outcome = yield* Effect.match(run(standby, sql), { onSuccess: () => "accepted", onFailure: sqlStateOf })
    if (!isExpected(outcome)) surprises.push(`${outcome}: ${sql}`)
    yield* run(standby, "ROLLBACK")
    yield* run(standby, "SELECT pg_advisory_unlock_all()")
    yield* run(standby, "RESET ALL")
  }
  return surprises
})

layer(client.pipe(Layer.provideMerge(database)), { timeout: "60 seconds", excludeTestServices: true })(
  "SqlClassifier on a primary and a standby",
  (it) => {
    it.scoped("judges at least 150 statements as the corpus does", () =>
      Effect.gen(function* () {
        yield* prepared
        const classifier = SqlClassifier.make(yield* SqlClassifier.loadCatalog)
        const classes = { read: reads, write: [...refused, ...silent], session: sessions, unknown: unknowns }
        const wrong = Object.entries(classes).flatMap(([expected, statements]) =>
          statements.flatMap((sql) => {
            const { class: found, reason } = classifier.classify(sql)
            return found === expected ? [] : [`${found} (${reason}) instead of ${expected}: ${sql}`]
          })
        )
        assert.deepStrictEqual(wrong, [])
        assert.isAtLeast(Object.values(classes).flat().length, 150)
      })
    )

    it.scoped("sends nothing to a standby that it refuses", () =>
      Effect.gen(function* () {
        const { isNewGrammar, standby } = yield* prepared
        const isExpected = (outcome: string) => outcome === "accepted" || isNewGrammar(outcome)
        assert.deepStrictEqual(yield* onStandby(standby, reads, isExpected), [])
      })
    )

    it.scoped("keeps from a standby what it refuses", () =>
      Effect.gen(function* () {
        const { isNewGrammar, standby } = yield* prepared
        const isExpected = (outcome: string) => refusals.includes(outcome) || isNewGrammar(outcome)
        assert.deepStrictEqual(yield* onStandby(standby, refused, isExpected), [])
      })
    )

    it.scoped("keeps from a standby what it would accept without a word", () =>
      Effect.gen(function* () {
        const { standby } = yield* prepared
        assert.deepStrictEqual(yield* onStandby(standby, silent, (outcome) => !refusals.includes(outcome)), [])
      })
    )

    it.scoped("lets own functions be declared harmless, and what is built upon them", () =>
      Effect.gen(function* () {
        const { primary } = yield* prepared
        yield* run(primary, "CREATE OR REPLACE VIEW quieter AS SELECT quiet() AS q")
        const strict = yield* SqlClassifier.loadCatalog
        const relaxed = yield* SqlClassifier.loadCatalogWith({ allow: ["public.quiet"] })
        const classes = (catalog: SqlClassifier.Catalog) =>
          ["select quiet()", "select * from quieter", "select loud()"].map(
            (sql) => SqlClassifier.classify(sql, catalog).class
          )
        assert.deepStrictEqual(classes(strict), ["write", "write", "write"])
        assert.deepStrictEqual(classes(relaxed), ["read", "read", "write"])
      })
    )

    it.scoped("knows which functions of the extensions that PostgreSQL ships are harmless", () =>
      Effect.gen(function* () {
        const { primary } = yield* prepared
        const extensions = [
          "uuid-ossp",
          "pgcrypto",
          "tablefunc",
          "pgstattuple",
          "pg_freespacemap",
          "pgrowlocks",
          "dblink"
        ]
        for (const name of extensions) yield* run(primary, `CREATE EXTENSION IF NOT EXISTS "${name}"`)
        yield* run(primary, "CREATE OR REPLACE FUNCTION other.gen_salt(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")
        const harmless = [
          "select uuid_generate_v4(), uuid_generate_v1mc()",
          "select gen_random_bytes(3), pgp_sym_encrypt('a', 'b')",
          "select * from normal_rand(1, 1, 1)",
          "select * from pgstattuple('orders'), pgrowlocks('orders'), pg_freespace('orders')"
        ]
        // Once more, so that the standby has them too.
        const { standby } = yield* prepared
        const catalog = yield* SqlClassifier.loadCatalog
        const classes = (statements: ReadonlyArray<string>) =>
          statements.map((sql) => SqlClassifier.classify(sql, catalog).class)
        assert.deepStrictEqual(new Set(classes(harmless)), new Set(["read"]))
        assert.deepStrictEqual(yield* onStandby(standby, harmless, (outcome) => outcome === "accepted"), [])
        assert.deepStrictEqual(
          classes(["select dblink_exec('', 'delete from t')", "select gen_salt('bf')", "select public.gen_salt('bf')"]),
          ["write", "write", "read"]
        )
      })
    )

    it.scoped("knows an object that was made later once the catalogue is loaded again", () =>
      Effect.gen(function* () {
        const { primary } = yield* prepared
        const classifier = SqlClassifier.make(yield* SqlClassifier.loadCatalog)
        yield* run(primary, "CREATE TABLE IF NOT EXISTS later (id int)")
        assert.strictEqual(classifier.classify("select * from later").class, "unknown")
        classifier.replaceCatalog(yield* SqlClassifier.loadCatalog)
        assert.strictEqual(classifier.classify("select * from later").class, "read")
      })
    )

    it.scoped("reads the catalogue under any search path", () =>
      Effect.gen(function* () {
        const { primary } = yield* prepared
        yield* run(
          primary,
          `CREATE SCHEMA IF NOT EXISTS trap;
         CREATE OR REPLACE FUNCTION trap.json_agg(anyelement) RETURNS json LANGUAGE sql AS 'SELECT NULL::json';
         CREATE OR REPLACE VIEW trap.pg_proc AS SELECT 1 AS nothing`
        )
        const { url } = yield* TestDatabase.TestDatabase
        const trapped = new URL(Redacted.value(url))
        trapped.searchParams.set("options", "-csearch_path=trap,public,pg_catalog")
        const catalog = yield* SqlClassifier.loadCatalog.pipe(
          Effect.provide(PgClient.layer({ url: Redacted.make(trapped.toString()) }))
        )
        assert.strictEqual(SqlClassifier.classify("select stable_chain()", catalog).class, "write")
      })
    )

    it.scoped("takes a backslash for an escape where standard_conforming_strings is off", () =>
      Effect.gen(function* () {
        yield* prepared
        const { url } = yield* TestDatabase.TestDatabase
        const old = new URL(Redacted.value(url))
        old.searchParams.set("options", "-cstandard_conforming_strings=off")
        const catalog = yield* SqlClassifier.loadCatalog.pipe(
          Effect.provide(PgClient.layer({ url: Redacted.make(old.toString()) }))
        )
        assert.strictEqual(SqlClassifier.classify("select '\\'', nextval('seq') --'", catalog).class, "unknown")
        assert.strictEqual(SqlClassifier.classify("select 'plain'", catalog).class, "read")
      })
    )
  }
)

describe("the corpus", () => {
  it("has no statement twice", () => {
    const all = [...reads, ...refused, ...silent, ...sessions, ...unknowns]
    assert.strictEqual(new Set(all).size, all.length)
  })
})
