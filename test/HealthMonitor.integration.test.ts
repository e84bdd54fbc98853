import { assert, layer } from "@effect/vitest"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { DatabaseError, HealthCheck, HealthMonitor } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { findingsOf, sessions, target, unknownsOf, until } from "./HealthMonitor/nodes.ts"

type Thresholds = HealthMonitor.Options["thresholds"]

/** A monitor of the test's own database and, where asked for, of its replicas. */
const monitorOf = (
  options: Omit<Partial<HealthMonitor.Options>, "nodes"> & { readonly user?: string; readonly replicas?: boolean } = {}
) =>
  Effect.gen(function* () {
    const database = yield* TestDatabase.TestDatabase
    const urls = options.replicas === true ? database.replicaUrls : []
    const nodes = yield* Effect.all([
      target("primary", "primary", as(database.url, options.user)),
      ...urls.map((url, index) => target(`replica-${index + 1}`, "replica", as(url, options.user)))
    ])
    return yield* HealthMonitor.make({ ...options, nodes, background: false })
  })

const as = (url: Redacted.Redacted, user: string | undefined): Redacted.Redacted => {
  const parsed = new URL(Redacted.value(url))
  if (user !== undefined) parsed.username = user
  return Redacted.make(parsed.href)
}

const found = (id: string) => (report: HealthMonitor.Report) => findingsOf(report, id).length > 0
const gone = (id: string) => (report: HealthMonitor.Report) => findingsOf(report, id).length === 0

/** Holds a transaction open with a statement done in it, until the scope of the test closes or the fiber is interrupted. */
const holding = (sql: SqlClient, statement: string) =>
  sql.withTransaction(Effect.zipRight(sql.unsafe(statement), Effect.never)).pipe(Effect.forkScoped)

/** Waits until somebody has the lock. */
const granted = (sql: SqlClient, table: string, mode: string) =>
  sql`SELECT FROM pg_locks WHERE relation = ${table}::regclass AND mode = ${mode} AND granted`.pipe(
    Effect.repeat({ until: (rows) => rows.length > 0 })
  )

const database = Effect.flatMap(TestDatabase.TestDatabase, ({ url }) => sessions(url))

/** A login role that the test drops again. */
const role = (sql: SqlClient, suffix: string, memberOf: ReadonlyArray<string> = []) =>
  Effect.gen(function* () {
    const { name } = yield* TestDatabase.TestDatabase
    const user = `${name}_${suffix}`
    yield* Effect.acquireRelease(sql.unsafe(`CREATE ROLE ${user} LOGIN`), () =>
      Effect.orDie(sql.unsafe(`DROP ROLE ${user}`))
    )
    yield* Effect.forEach(memberOf, (group) => sql.unsafe(`GRANT ${group} TO ${user}`))
    return user
  })

layer(TestDatabase.layer({ replicas: 1 }), { excludeTestServices: true, timeout: "60 seconds" })(
  "the checks on a real server",
  (it) => {
    it.scoped("find nothing on a new database, and run every check", () =>
      Effect.gen(function* () {
        const monitor = yield* monitorOf({ replicas: true })
        const report = yield* monitor.check()
        assert.strictEqual(HealthMonitor.status(report), "ok", HealthMonitor.renderText(report))
        assert.deepStrictEqual(
          [...new Set(report.outcomes.map((outcome) => outcome.check))],
          HealthMonitor.builtIn.map((check) => check.id)
        )
      })
    )

    it.scoped("find a session that idles in its transaction, until it ends", () =>
      Effect.gen(function* () {
        const sql = yield* database
        const monitor = yield* monitorOf({ thresholds: { "idle-in-transaction": { idle: { warning: 0.1 } } } })
        const session = yield* holding(sql, "SELECT 1")
        const report = yield* until(monitor, "idle-in-transaction", found("idle-in-transaction"))
        const [finding] = findingsOf(report, "idle-in-transaction")
        assert.strictEqual(finding?.key, "idle-in-transaction: situation on primary")
        assert.match(finding?.remediation ?? "", /SELECT pg_terminate_backend\(\d+\)/)
        yield* Fiber.interrupt(session)
        yield* until(monitor, "idle-in-transaction", gone("idle-in-transaction"))
      })
    )

    it.scoped("show who blocks whom, until the root lets go", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE contended (id int)`
        const monitor = yield* monitorOf({ thresholds: { blocking: { wait: { warning: 0.1 } } } })
        const root = yield* holding(sql, "LOCK TABLE contended IN ACCESS EXCLUSIVE MODE")
        yield* granted(sql, "contended", "AccessExclusiveLock")
        const waiting = yield* Effect.forkScoped(sql`SELECT FROM contended`)
        const report = yield* until(monitor, "blocking", found("blocking"))
        const [finding] = findingsOf(report, "blocking")
        assert.match(finding?.evidence ?? "", /situation \(pid \d+, idle in transaction after [^)]*\) blocks 1 session/)
        assert.match(finding?.detail?.[0] ?? "", /waits \d+ s for AccessShareLock on public\.contended/)
        assert.match(finding?.remediation ?? "", /pg_terminate_backend/)
        yield* Fiber.interrupt(root)
        yield* Fiber.join(waiting)
        yield* until(monitor, "blocking", gone("blocking"))
      })
    )

    it.scoped("find an invalid index, until it is dropped", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE doubled AS SELECT 1 AS id FROM generate_series(1, 2)`
        yield* Effect.flip(sql`CREATE UNIQUE INDEX CONCURRENTLY doubled_id ON doubled (id)`)
        const monitor = yield* monitorOf()
        const [finding] = findingsOf(yield* monitor.check({ ids: ["invalid-index"] }), "invalid-index")
        assert.strictEqual(finding?.subject, "public.doubled_id")
        yield* sql`DROP INDEX CONCURRENTLY doubled_id`
        yield* until(monitor, "invalid-index", gone("invalid-index"))
      })
    )

    it.scoped("do not take an index that is being built for an invalid one", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE growing AS SELECT 1 AS id`
        const monitor = yield* monitorOf()
        const writer = yield* holding(sql, "INSERT INTO growing VALUES (2)")
        yield* granted(sql, "growing", "RowExclusiveLock")
        const build = yield* Effect.forkScoped(sql`CREATE INDEX CONCURRENTLY growing_id ON growing (id)`)
        // It waits for the writer with the index in the catalogue, not valid.
        yield* sql`SELECT FROM pg_index WHERE indrelid = 'growing'::regclass AND NOT indisvalid`.pipe(
          Effect.repeat({ until: (rows) => rows.length > 0 })
        )
        assert.isEmpty(findingsOf(yield* monitor.check({ ids: ["invalid-index"] }), "invalid-index"))
        yield* Fiber.interrupt(writer)
        yield* Fiber.join(build)
      })
    )

    it.scoped("find an index that no node uses, and spare what a replica uses or a constraint needs", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE indexed (id int PRIMARY KEY, code int UNIQUE, spare int, remote int)`
        yield* sql`INSERT INTO indexed SELECT g, g, g, g FROM generate_series(1, 20000) g`
        yield* sql`CREATE INDEX indexed_spare ON indexed (spare)`
        yield* sql`CREATE INDEX indexed_remote ON indexed (remote)`
        const thresholds: Thresholds = { "unused-index": { window: { warning: 0 }, size: { warning: 8192 } } }
        const monitor = yield* monitorOf({ thresholds, replicas: true })
        const subjects = (report: HealthMonitor.Report) =>
          findingsOf(report, "unused-index")
            .map((finding) => finding.subject)
            .filter((subject) => subject.includes("indexed_"))
            .sort()
        const report = yield* monitor.check({ ids: ["unused-index"] })
        assert.deepStrictEqual(subjects(report), ["public.indexed_remote", "public.indexed_spare"])

        const [replicaUrl] = (yield* TestDatabase.TestDatabase).replicaUrls
        assert.isDefined(replicaUrl)
        const replica = yield* sessions(replicaUrl ?? Redacted.make(""), 1)
        yield* replica`SELECT FROM pg_class WHERE relname = 'indexed_remote'`.pipe(
          Effect.repeat({ until: (rows) => rows.length > 0 })
        )
        yield* replica`SELECT spare FROM indexed WHERE remote = 1`
        yield* replica`SELECT pg_stat_force_next_flush()`
        yield* replica`SELECT 1`
        yield* until(monitor, "unused-index", (report) => subjects(report).join() === "public.indexed_spare")

        const patient = yield* monitorOf({ thresholds: { "unused-index": { size: { warning: 8192 } } } })
        const young = yield* patient.check({ ids: ["unused-index"] })
        assert.isEmpty(findingsOf(young, "unused-index"))
        assert.strictEqual(unknownsOf(young, "unused-index")[0]?.reason._tag, "StatisticsWindow")

        yield* sql`SELECT remote FROM indexed WHERE spare = 1`
        yield* sql`SELECT pg_stat_force_next_flush()`
        yield* until(monitor, "unused-index", (report) => subjects(report).length === 0)
      })
    )

    it.scoped("find a sequence by the column behind it, until the column is wide enough", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE SEQUENCE wide AS bigint`
        yield* sql`CREATE TABLE narrow (id int PRIMARY KEY DEFAULT nextval('wide'))`
        const monitor = yield* monitorOf()
        yield* sql`SELECT setval('wide', 1717986917)`
        yield* until(monitor, "sequence-exhaustion", gone("sequence-exhaustion"))
        yield* sql`SELECT setval('wide', 1717986919)`
        const [warning] = findingsOf(yield* monitor.check({ ids: ["sequence-exhaustion"] }), "sequence-exhaustion")
        assert.deepInclude(warning, { severity: "warning", subject: "public.wide" })
        assert.match(warning?.evidence ?? "", /feeds public\.narrow\.id \(integer\).* 80\.0 %/)
        yield* sql`SELECT setval('wide', 2147483647)`
        const [critical] = findingsOf(yield* monitor.check({ ids: ["sequence-exhaustion"] }), "sequence-exhaustion")
        assert.strictEqual(critical?.severity, "critical")
        yield* sql`ALTER TABLE narrow ALTER COLUMN id TYPE bigint`
        yield* until(monitor, "sequence-exhaustion", gone("sequence-exhaustion"))
        yield* sql`DROP TABLE narrow`
      })
    )

    it.scoped("do not take a last value that they may not read for one that does not exist", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE hidden (id smallserial)`
        yield* sql`SELECT setval('hidden_id_seq', 32767)`
        const monitored = yield* role(sql, "monitor", ["pg_monitor"])
        const blind = yield* monitorOf({ user: monitored })
        const report = yield* blind.check({ ids: ["sequence-exhaustion"] })
        assert.isEmpty(findingsOf(report, "sequence-exhaustion"))
        const [unknown] = unknownsOf(report, "sequence-exhaustion")
        assert.deepInclude(unknown?.reason, { _tag: "Privilege", grant: `GRANT pg_read_all_data TO ${monitored};` })
        assert.strictEqual(HealthMonitor.exitCode(report), 3)

        yield* sql.unsafe(unknown?.reason._tag === "Privilege" ? unknown.reason.grant : "")
        const seeing = yield* blind.check({ ids: ["sequence-exhaustion"] })
        assert.strictEqual(findingsOf(seeing, "sequence-exhaustion")[0]?.severity, "critical")
        yield* sql`DROP TABLE hidden`
      })
    )

    it.scoped("are unknown for a user without privileges, with a GRANT that lets them see", () =>
      Effect.gen(function* () {
        const sql = yield* database
        const plain = yield* role(sql, "plain")
        const monitor = yield* monitorOf({ user: plain, replicas: true })
        const before = yield* monitor.check({ tier: "fast" })
        for (const id of ["idle-in-transaction", "replication"]) {
          const [unknown] = unknownsOf(before, id)
          assert.deepInclude(unknown?.reason, { _tag: "Privilege", grant: `GRANT pg_monitor TO ${plain};` }, id)
        }
        assert.strictEqual(HealthMonitor.status(before), "unknown")
        yield* sql.unsafe(`GRANT pg_monitor TO ${plain};`)
        yield* until(monitor, "replication", (report) => HealthMonitor.status(report) === "ok")
        assert.strictEqual(HealthMonitor.status(yield* monitor.check({ tier: "fast" })), "ok")
      })
    )

    it.scoped("name the GRANT where the tables of the migrations may not be read", () =>
      Effect.gen(function* () {
        const sql = yield* database
        const plain = yield* role(sql, "reader")
        yield* sql`CREATE SCHEMA hidden CREATE TABLE migration (id int)`
        const { url } = yield* TestDatabase.TestDatabase
        const reader = yield* sessions(as(url, plain), 1)
        const read = reader`SELECT FROM hidden.migration`.pipe(
          Effect.as({ pending: [], failed: [], drifted: [] }),
          Effect.mapError(DatabaseError.from)
        )
        const monitor = yield* monitorOf({ user: plain, migrations: { name: "migrations", read } })
        const report = yield* monitor.check({ ids: ["migrations-behind"] })
        const [unknown] = unknownsOf(report, "migrations-behind")
        const grant = unknown?.reason._tag === "Privilege" ? unknown.reason.grant : ""
        assert.include(grant, `GRANT USAGE ON SCHEMA plinth TO ${plain};`)
        assert.include(grant, `GRANT SELECT ON ALL TABLES IN SCHEMA plinth TO ${plain};`)
        yield* sql.unsafe(grant.replaceAll("plinth", "hidden"))
        assert.strictEqual((yield* monitor.check({ ids: ["migrations-behind"] })).status, "ok")
        yield* sql`DROP SCHEMA hidden CASCADE`
      })
    )

    it.scoped("know one server by two names, and a database that is not there", () =>
      Effect.gen(function* () {
        const { replicaUrls, url } = yield* TestDatabase.TestDatabase
        const named = new URL(Redacted.value(url))
        named.hostname = "localhost"
        const missing = new URL(Redacted.value(url))
        missing.pathname = "/it_is_not_there"
        const monitor = yield* HealthMonitor.make({
          nodes: yield* Effect.all([
            target("a", "primary", url),
            target("b", "replica", Redacted.make(named.href)),
            ...replicaUrls.map((replica) => target("c", "replica", replica))
          ]),
          background: false
        })
        const report = yield* monitor.check({ ids: ["role"] })
        assert.deepStrictEqual(
          findingsOf(report, "role").map(({ evidence }) => evidence),
          ["a and b are one server: the primary"]
        )
        const away = yield* HealthMonitor.make({
          nodes: [yield* target("a", "primary", Redacted.make(missing.href))],
          background: false
        })
        const alone = yield* away.check({ tier: "probe" })
        assert.match(
          findingsOf(alone, "reachable")[0]?.remediation ?? "",
          /plinth setup --create-database|CREATE DATABASE/
        )
        assert.strictEqual(unknownsOf(alone, "replication")[0]?.reason._tag, "Unreachable")
      })
    )

    it.scoped("block nothing and wait for nothing while a table is locked", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE locked (id int PRIMARY KEY, other int)`
        yield* sql`CREATE INDEX locked_other ON locked (other)`
        const monitor = yield* monitorOf({ replicas: true })
        yield* holding(sql, "LOCK TABLE locked IN ACCESS EXCLUSIVE MODE")
        yield* granted(sql, "locked", "AccessExclusiveLock")
        const [duration, report] = yield* Effect.timed(monitor.check())
        assert.isEmpty(report.outcomes.flatMap((outcome) => outcome.unknowns))
        assert.isBelow(Duration.toMillis(duration), 2500)
      })
    )

    it.scoped("give up on a lock after 100 ms and say so", () =>
      Effect.gen(function* () {
        const sql = yield* database
        yield* sql`CREATE TABLE emptied (id serial)`
        const monitor = yield* monitorOf()
        yield* holding(sql, "TRUNCATE emptied RESTART IDENTITY")
        const report = yield* until(
          monitor,
          "sequence-exhaustion",
          (report) => unknownsOf(report, "sequence-exhaustion").length > 0
        )
        assert.strictEqual(unknownsOf(report, "sequence-exhaustion")[0]?.reason._tag, "LockWait")
        assert.isBelow(report.outcomes[0]?.millis ?? Infinity, 1000)
      })
    )

    it.scoped("cannot write, and are stopped by the server at their deadline", () =>
      Effect.gen(function* () {
        const sql = yield* database
        const statement = (id: string, text: string) =>
          HealthCheck.perNode({
            id,
            title: id,
            category: "plinth",
            tier: "fast",
            doc: "A user's check.",
            on: "primary",
            row: Schema.Unknown,
            thresholds: {},
            sql: () => text,
            evaluate: () => []
          })
        const monitor = yield* monitorOf({
          checks: [
            statement("writing", "CREATE TABLE written ()"),
            statement("sleeping", "SELECT pg_sleep(20) AS health_sleep")
          ],
          checkDeadline: "300 millis"
        })
        const report = yield* monitor.check({ ids: ["writing", "sleeping"] })
        assert.match(
          HealthMonitor.renderText(report),
          /writing: .*read-only transaction.*\n.*sleeping: the check took longer than 300ms/
        )
        const running = sql`SELECT FROM pg_stat_activity WHERE query LIKE '%health_sleep%' AND state = 'active' AND pid <> pg_backend_pid()`
        yield* running.pipe(
          Effect.repeat({ until: (rows) => rows.length === 0, schedule: Schedule.spaced("20 millis") })
        )
        assert.strictEqual(HealthMonitor.status(yield* monitor.check({ ids: ["connections"] })), "ok")
      })
    )

    it.scoped("find migrations that are behind, by what the migrator says", () =>
      Effect.gen(function* () {
        const facts = yield* Ref.make<HealthCheck.MigrationFacts>({ pending: ["0002_b"], failed: [], drifted: [] })
        const monitor = yield* monitorOf({ migrations: { name: "test", read: Ref.get(facts) } })
        const [pending] = findingsOf(yield* monitor.check({ ids: ["migrations-behind"] }), "migrations-behind")
        assert.deepInclude(pending, { severity: "warning", evidence: "1 not applied: 0002_b" })
        yield* Ref.set(facts, { pending: [], failed: ["0002_b"], drifted: ["0001_a"] })
        const failed = findingsOf(yield* monitor.check({ ids: ["migrations-behind"] }), "migrations-behind")
        assert.deepStrictEqual(
          failed.map(({ severity, subject }) => [severity, subject]),
          [
            ["critical", "failed"],
            ["warning", "drifted"]
          ]
        )
        yield* Ref.set(facts, { pending: [], failed: [], drifted: [] })
        yield* until(monitor, "migrations-behind", gone("migrations-behind"))
      })
    )
  }
)
