import type { SqlClient } from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { HealthMonitor } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { appendFileSync, writeFileSync } from "node:fs"
import { findingsOf, sessions, target, unknownsOf, until } from "./HealthMonitor/nodes.ts"

type Options = Omit<Partial<HealthMonitor.Options>, "nodes">

const cluster = EmbeddedPostgres.EmbeddedPostgres

const monitorOf = (options: Options = {}) =>
  Effect.gen(function* () {
    const { primary, replicas } = yield* cluster
    const nodes = yield* Effect.all([
      target("primary", "primary", primary.url),
      ...replicas.map((replica) => target(replica.name, "replica", replica.url))
    ])
    return yield* HealthMonitor.make({ ...options, nodes, background: false })
  })

const replicaOf = Effect.flatMap(cluster, ({ replicas: [replica] }) =>
  replica === undefined ? Effect.die("no replica") : Effect.succeed(replica)
)

const onPrimary = Effect.flatMap(cluster, ({ url }) => sessions(url))

/** Points a standby at another server, or back. */
const follow = (standby: SqlClient, conninfo: string) =>
  Effect.zipRight(
    standby.unsafe(`ALTER SYSTEM SET primary_conninfo = '${conninfo.replaceAll("'", "''")}'`),
    standby`SELECT pg_reload_conf()`
  )

const conninfoOf = (standby: SqlClient) =>
  Effect.map(
    standby<{ readonly conninfo: string }>`SELECT current_setting('primary_conninfo') AS conninfo`,
    ([row]) => row?.conninfo ?? ""
  )

const finding = (report: HealthMonitor.Report, check: string) => findingsOf(report, check)[0]
const ok = (report: HealthMonitor.Report) => HealthMonitor.status(report) === "ok"
const evidence = (check: string, pattern: RegExp) => (report: HealthMonitor.Report) =>
  pattern.test(finding(report, check)?.evidence ?? "")

const small = { max_connections: "20", superuser_reserved_connections: "3", shared_buffers: "1MB" }

layer(EmbeddedPostgres.layer({ replicas: 1, settings: small }), { excludeTestServices: true, timeout: "60 seconds" })(
  "the monitor of a cluster",
  (it) => {
    it.scoped("finds connections running out, until they are closed", () =>
      Effect.gen(function* () {
        const { url } = yield* cluster
        const monitor = yield* monitorOf()
        assert.isTrue(ok(yield* monitor.check({ ids: ["connections"] })))
        yield* Effect.scoped(
          Effect.gen(function* () {
            const sql = yield* sessions(url, 16)
            yield* Effect.forEach(Array.from({ length: 15 }), () =>
              Effect.asVoid(sql.reserve.pipe(Effect.tap((connection) => connection.execute("SELECT 1", [], undefined))))
            )
            const report = yield* until(monitor, "connections", evidence("connections", /1[67] of 17 connections/))
            assert.strictEqual(finding(report, "connections")?.subject, "primary")
            assert.match(finding(report, "connections")?.evidence ?? "", /most by situation \(15\)/)
          })
        )
        yield* until(monitor, "connections", ok)
      })
    )

    it.scoped("finds reads that miss shared buffers now, and forgets them when they hit", () =>
      Effect.gen(function* () {
        const sql = yield* Effect.flatMap(cluster, ({ url }) => sessions(url, 1))
        yield* sql`CREATE TABLE large AS SELECT repeat('x', 1000) AS filling FROM generate_series(1, 30000)`
        yield* sql`CREATE TABLE tiny AS SELECT 1 AS id`
        const monitor = yield* monitorOf()
        yield* monitor.check({ ids: ["cache-hit"] })
        yield* sql`SELECT count(*) FROM large`.pipe(Effect.repeatN(4))
        yield* sql`SELECT pg_stat_force_next_flush()`
        const cold = yield* monitor.check({ ids: ["cache-hit"] })
        assert.strictEqual(finding(cold, "cache-hit")?.severity, "critical", HealthMonitor.renderText(cold))
        yield* sql`SELECT sum((SELECT id FROM tiny WHERE id < g)) FROM generate_series(1, 60000) g`
        yield* sql`SELECT pg_stat_force_next_flush()`
        yield* until(monitor, "cache-hit", ok)
      })
    )

    it.scoped("takes an idle primary's standby for caught up, and sees a pause", () =>
      Effect.gen(function* () {
        const sql = yield* onPrimary
        const replica = yield* replicaOf
        // Whatever the last commit's age: an idle primary is no lag.
        const monitor = yield* monitorOf({ thresholds: { replication: { lag: { warning: 0.5 } } } })
        yield* sql`CREATE TABLE paused (id int)`
        const standby = yield* sessions(replica.url, 1)
        yield* standby`SELECT WHERE clock_timestamp() - pg_last_xact_replay_timestamp() > interval '700 ms'`.pipe(
          Effect.repeat({ until: (rows) => rows.length > 0, schedule: Schedule.spaced("50 millis") })
        )
        yield* until(monitor, "replication", ok)

        yield* replica.pause
        yield* sql`INSERT INTO paused SELECT generate_series(1, 1000)`
        const paused = yield* until(monitor, "replication", evidence("replication", /replay is paused.*; .* wait/))
        assert.match(finding(paused, "replication")?.remediation ?? "", /pg_wal_replay_resume/)
        yield* replica.resume
        yield* until(monitor, "replication", ok)
      })
    )

    it.scoped("measures lag in seconds while replay is delayed", () =>
      Effect.gen(function* () {
        const sql = yield* onPrimary
        const replica = yield* replicaOf
        const monitor = yield* monitorOf({ thresholds: { replication: { lag: { warning: 1 } } } })
        yield* until(monitor, "replication", ok)
        yield* replica.delay("1 minute")
        yield* sql`CREATE TABLE delayed (id int)`
        yield* until(monitor, "replication", evidence("replication", /behind the primary/))
        yield* replica.delay(0)
        yield* until(monitor, "replication", ok)
      })
    )

    it.scoped("sees a cut link on an idle primary, where receive equals replay", () =>
      Effect.gen(function* () {
        const replica = yield* replicaOf
        const standby = yield* sessions(replica.url, 1)
        const monitor = yield* monitorOf()
        const conninfo = yield* conninfoOf(standby)
        yield* follow(standby, "host=127.0.0.1 port=1")
        const cut = yield* until(monitor, "replication", evidence("replication", /disconnected/))
        assert.strictEqual(finding(cut, "replication")?.severity, "critical")
        const [formula] = yield* standby<{ readonly equal: boolean }>`
          SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AS equal`
        assert.isTrue(formula?.equal, "the usual formula sees nothing")
        yield* follow(standby, conninfo)
        yield* until(monitor, "replication", ok)
      })
    )

    it.scoped("says in words that a killed node refuses and a frozen one does not answer", () =>
      Effect.gen(function* () {
        const replica = yield* replicaOf
        const monitor = yield* monitorOf({ checkDeadline: "500 millis" })
        yield* until(monitor, "reachable", ok)
        yield* replica.kill
        const killed = yield* until(monitor, "reachable", evidence("reachable", /nothing listens on its port/))
        assert.strictEqual(HealthMonitor.exitCode(killed), 2)
        const others = yield* monitor.check({ ids: ["connections", "replication"] })
        assert.strictEqual(unknownsOf(others, "connections")[0]?.reason._tag, "Unreachable")
        assert.strictEqual(unknownsOf(others, "replication")[0]?.reason._tag, "Unreachable")
        yield* replica.start
        yield* until(monitor, "reachable", ok)

        yield* replica.freeze
        yield* until(monitor, "reachable", evidence("reachable", /no answer within 500ms/))
        yield* replica.thaw
        yield* until(monitor, "reachable", ok)
        yield* until(monitor, "replication", ok)
      })
    )

    it.scoped("says in words why a server lets nobody in", () =>
      Effect.gen(function* () {
        const { url } = yield* cluster
        const changed = (change: (parsed: URL) => void) => {
          const parsed = new URL(Redacted.value(url))
          change(parsed)
          return Redacted.make(parsed.href)
        }
        const nodes = yield* Effect.all([
          target(
            "dns",
            "replica",
            changed((parsed) => (parsed.hostname = "no-such-host.invalid"))
          ),
          target(
            "tls",
            "replica",
            changed((parsed) => parsed.searchParams.set("sslmode", "verify-full"))
          ),
          target(
            "login",
            "replica",
            changed((parsed) => (parsed.username = "nobody"))
          ),
          target(
            "database",
            "replica",
            changed((parsed) => (parsed.pathname = "/nothing"))
          )
        ])
        const monitor = yield* HealthMonitor.make({ nodes, background: false })
        const report = yield* monitor.check({ ids: ["reachable"] })
        const words = findingsOf(report, "reachable").map((finding) => finding.evidence)
        assert.match(words[0] ?? "", /DNS does not know its host name/)
        assert.match(words[1] ?? "", /TLS failed/)
        assert.match(words[2] ?? "", /the login was refused/)
        assert.match(words[3] ?? "", /database "nothing" does not exist/)
        assert.isFalse(words.some((line) => line.includes("\n")))
      })
    )

    it.scoped("counts statistics from a crash on, although the database's reset time stays", () =>
      Effect.gen(function* () {
        const { primary } = yield* cluster
        const sql = yield* onPrimary
        yield* sql`CREATE TABLE crashed AS SELECT generate_series(1, 10000) AS id`
        yield* sql`CREATE INDEX crashed_id ON crashed (id)`
        const monitor = yield* monitorOf({ thresholds: { "unused-index": { size: { warning: 8192 } } } })
        const since = Effect.map(monitor.check({ ids: ["unused-index"] }), (report) => {
          const reason = unknownsOf(report, "unused-index")[0]?.reason
          return reason?._tag === "StatisticsWindow" ? (reason.sinceMillis ?? 0) : 0
        })
        const before = yield* since
        assert.isAbove(before, 0)
        const crashedAt = Date.now()
        yield* primary.kill
        yield* primary.start
        yield* until(monitor, "reachable", ok)
        assert.isAtLeast(yield* since, crashedAt)
      })
    )

    it.scoped("finds a slot whose WAL is gone", () =>
      Effect.gen(function* () {
        const sql = yield* onPrimary
        const replica = yield* replicaOf
        const standby = yield* sessions(replica.url, 1)
        const monitor = yield* monitorOf()
        yield* sql`SELECT pg_create_physical_replication_slot('held', true)`
        yield* sql`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`
        yield* sql`ALTER SYSTEM SET wal_keep_size = 0`
        yield* sql`SELECT pg_reload_conf()`
        yield* sql`CREATE TABLE walled (id int)`
        yield* sql`INSERT INTO walled SELECT generate_series(1, 1000)`.pipe(
          Effect.zipRight(sql`SELECT pg_switch_wal()`),
          // The slot is to lose its WAL, and the standby is not.
          Effect.zipRight(
            sql`SELECT FROM pg_stat_replication WHERE flush_lsn >= pg_current_wal_flush_lsn()`.pipe(
              Effect.repeat({ until: (rows) => rows.length > 0 })
            )
          ),
          Effect.zipRight(sql`CHECKPOINT`),
          Effect.zipRight(sql`SELECT FROM pg_replication_slots WHERE wal_status = 'lost'`),
          Effect.repeat({ until: (rows) => rows.length > 0 })
        )
        // A standby that has all it needs would bring the slot back to life before 17, so its link is cut first.
        const conninfo = yield* conninfoOf(standby)
        yield* follow(standby, "host=127.0.0.1 port=1")
        yield* standby`ALTER SYSTEM SET primary_slot_name = 'held'`
        yield* standby`SELECT pg_reload_conf()`
        const lost = yield* until(monitor, "replication", evidence("replication", /removed WAL that slot held needed/))
        assert.match(finding(lost, "replication")?.remediation ?? "", /pg_drop_replication_slot\('held'\)/)
        yield* standby`ALTER SYSTEM RESET primary_slot_name`
        yield* follow(standby, conninfo)
        yield* until(monitor, "replication", ok)
        yield* sql`ALTER SYSTEM RESET wal_keep_size`
        yield* sql`SELECT pg_reload_conf()`
      })
    )

    it.scoped("calls a promoted replica beside its primary a split brain", () =>
      Effect.gen(function* () {
        const replica = yield* replicaOf
        const monitor = yield* monitorOf()
        yield* until(monitor, "role", ok)
        yield* replica.promote
        const report = yield* until(monitor, "role", evidence("role", /2 nodes accept writes: primary, replica-1/))
        assert.strictEqual(HealthMonitor.status(report), "critical")
        assert.match(finding(yield* monitor.check(), "replication")?.evidence ?? "", /does not follow the primary/)
      })
    )

    it.scoped("sees the old primary follow the new one on the wrong timeline, where its reads are from the past", () =>
      Effect.gen(function* () {
        const { primary, url } = yield* cluster
        const replica = yield* replicaOf
        const monitor = yield* monitorOf()
        // Written after the promotion of the test before: histories that no streaming brings together again.
        yield* Effect.scoped(Effect.flatMap(sessions(url, 1), (sql) => sql`CREATE TABLE diverged (id int)`))
        yield* primary.stop
        const user = new URL(Redacted.value(url)).username
        yield* Effect.sync(() => {
          appendFileSync(
            `${primary.dataDirectory}/postgresql.auto.conf`,
            `primary_conninfo = 'host=127.0.0.1 port=${replica.port} user=${user}'\n`
          )
          writeFileSync(`${primary.dataDirectory}/standby.signal`, "")
        })
        yield* primary.start
        const report = yield* until(monitor, "replication", evidence("replication", /on timeline 1, the primary on 2/))
        assert.deepInclude(finding(report, "replication"), { severity: "critical", subject: "primary" })
        const roles = yield* monitor.check({ ids: ["role"] })
        assert.deepStrictEqual(
          findingsOf(roles, "role").map(({ severity, subject }) => [severity, subject]),
          [
            ["warning", "primary"],
            ["warning", "replica-1"]
          ]
        )
      })
    )
  }
)
