import { assert, describe, layer } from "@effect/vitest"
import { DatabaseError as DatabaseErrors } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { TestDatabase } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import pg from "pg"

type Client = pg.Client

const failed = (cause: unknown) => DatabaseErrors.fromUnknown(cause, { operation: "query" })

const connect = (
  url: Redacted.Redacted,
  config: pg.ClientConfig = {}
): Effect.Effect<Client, DatabaseErrors.DatabaseError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const client = new pg.Client({ connectionString: Redacted.value(url), ...config })
        // A terminated session is reported twice: to the query under way, and as an event that would end the process.
        client.on("error", () => undefined)
        await client.connect()
        return client
      },
      catch: failed
    }),
    (client) => Effect.promise(() => client.end())
  )

const query = (client: Client, text: string, values: ReadonlyArray<unknown> = []) =>
  Effect.tryPromise({ try: () => client.query(text, [...values]), catch: failed })

const failureOf = (client: Client, text: string, values: ReadonlyArray<unknown> = []) =>
  Effect.flip(query(client, text, values))

const pidOf = (client: Client) =>
  Effect.map(query(client, "select pg_backend_pid() as pid"), ({ rows }): unknown => rows[0].pid)

const soon = Schedule.intersect(Schedule.spaced("5 millis"), Schedule.recurs(1_000))

const untilAsleep = (observer: Client, pid: unknown) =>
  query(observer, "select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", [pid]).pipe(
    Effect.filterOrFail(
      ({ rowCount }) => rowCount === 1,
      () => "awake"
    ),
    Effect.retry(soon)
  )

describe("DatabaseError on PostgreSQL", () => {
  layer(TestDatabase.layer(), { excludeTestServices: true })((it) => {
    const open = Effect.flatMap(TestDatabase.TestDatabase, ({ url }) => connect(url))

    it.scoped("reads the constraint, table and column that the server names", () =>
      Effect.gen(function* () {
        const client = yield* open
        yield* query(
          client,
          `create table account (
             id int constraint account_pk primary key,
             parent int constraint account_parent references account,
             email text not null constraint account_email check (email like '%@%'),
             during int4range constraint account_during check (not isempty(during)),
             constraint account_apart exclude using gist (during with &&))`
        )
        yield* query(client, "insert into account values (1, null, 'a@b', '[1,5)')")
        const insert = "insert into account values ($1, $2, $3, $4)"
        const unique = yield* failureOf(client, insert, [1, null, "c@d", "[6,7)"])
        assert.deepInclude(
          { ...unique },
          { reason: "UniqueViolation", schema: "public", table: "account", constraint: "account_pk" }
        )
        const reasons = yield* Effect.forEach(
          [
            [2, 99, "c@d", "[6,7)"],
            [2, null, null, "[6,7)"],
            [2, null, "nobody", "[6,7)"],
            [2, null, "c@d", "[2,3)"]
          ],
          (values) => failureOf(client, insert, values)
        )
        assert.deepStrictEqual(
          reasons.map(({ column, constraint, reason }) => [reason, constraint ?? column]),
          [
            ["ForeignKeyViolation", "account_parent"],
            ["NotNullViolation", "email"],
            ["CheckViolation", "account_email"],
            ["ExclusionViolation", "account_apart"]
          ]
        )
      })
    )

    it.scoped("never repeats a parameter in its message, wherever the server puts it", () =>
      Effect.gen(function* () {
        const client = yield* open
        const secret = `4111"1111 'x`
        const statements = [
          "select $1::int",
          "select $1::uuid",
          "select $1::json",
          "select $1::date",
          "select $1::inet",
          "select $1::int[]",
          "select set_config('work_mem', $1, false)",
          "select to_date($1, 'YYYY-MM-DD')",
          "select format('%' || $1::text)",
          "select regexp_match('a', '(' || $1::text)"
        ]
        for (const statement of statements) {
          const error = yield* failureOf(client, statement, [secret])
          assert.notMatch(`${error.message} ${JSON.stringify(error)}`, /4111|1111/, statement)
        }
      })
    )

    it.scoped("points at the character that a syntax error is at", () =>
      Effect.gen(function* () {
        const error = yield* failureOf(yield* open, "select 1 fro account")
        assert.deepInclude({ ...error }, { reason: "SyntaxError", sqlState: "42601", position: 14 })
      })
    )

    it.scoped("tells the timeouts apart", () =>
      Effect.gen(function* () {
        const [holder, client] = [yield* open, yield* open]
        yield* query(holder, "create table locked ()")
        yield* query(holder, "begin")
        yield* query(holder, "lock table locked")
        yield* query(client, "set statement_timeout = '20ms'")
        assert.strictEqual((yield* failureOf(client, "select pg_sleep(10)")).reason, "StatementTimeout")
        yield* query(client, "set statement_timeout = 0")
        yield* query(client, "set lock_timeout = '20ms'")
        assert.strictEqual((yield* failureOf(client, "table locked")).reason, "LockTimeout")
        yield* query(client, "begin")
        assert.strictEqual((yield* failureOf(client, "lock table locked nowait")).reason, "LockTimeout")
        yield* query(holder, "rollback")
      })
    )

    it.scoped("knows a serialization failure and a statement after it", () =>
      Effect.gen(function* () {
        const [first, second] = [yield* open, yield* open]
        yield* query(first, "create table counter as select 1 as n")
        yield* query(first, "begin isolation level repeatable read")
        yield* query(first, "table counter")
        yield* query(second, "update counter set n = 2")
        const conflict = yield* failureOf(first, "update counter set n = 3")
        assert.strictEqual(conflict.reason, "SerializationFailure")
        assert.isTrue(conflict.isRetryable)
        assert.strictEqual((yield* failureOf(first, "table counter")).reason, "TransactionAborted")
      })
    )

    it.scoped("takes a terminated session for a connection failure", () =>
      Effect.gen(function* () {
        const [killer, victim] = [yield* open, yield* open]
        const pid = yield* pidOf(victim)
        const running = yield* Effect.fork(failureOf(victim, "select pg_sleep(10)"))
        yield* untilAsleep(killer, pid)
        yield* query(killer, "select pg_terminate_backend($1)", [pid])
        const error = yield* Fiber.join(running)
        assert.deepInclude({ ...error }, { reason: "AdminShutdown", sqlState: "57P01", severity: "FATAL" })
        assert.isTrue(error.isConnectionFailure)
        assert.strictEqual((yield* failureOf(victim, "select 1")).reason, "ConnectionLost")
      })
    )

    it.scoped("tells an unknown database, an unknown user and missing TLS apart at connect", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const target = new URL(Redacted.value(url))
        const connectTo = (change: (url: URL) => void) => {
          const changed = new URL(target)
          change(changed)
          return Effect.flip(connect(Redacted.make(changed.toString())))
        }
        const noDatabase = yield* connectTo((changed) => {
          changed.pathname = "/nowhere"
        })
        const noUser = yield* connectTo((changed) => {
          changed.username = "nobody_at_all"
        })
        const noTls = yield* connectTo((changed) => changed.searchParams.set("sslmode", "verify-full"))
        assert.deepStrictEqual(
          [noDatabase, noUser, noTls].map(({ reason }) => reason),
          ["UndefinedObject", "AuthenticationFailed", "TlsFailed"]
        )
      })
    )
  })

  layer(EmbeddedPostgres.layer({ replicas: 1, settings: { max_standby_streaming_delay: "0" } }), {
    excludeTestServices: true,
    timeout: "1 minute"
  })("on a standby", (it) => {
    it.scoped("knows a recovery conflict and a write on a standby", () =>
      Effect.gen(function* () {
        const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
        const replicaUrl = cluster.replicaUrls[0]
        if (replicaUrl === undefined) return assert.fail("no replica")
        const [primary, standby] = [yield* connect(cluster.url), yield* connect(replicaUrl)]
        yield* query(primary, "create table conflicted as select 1 as n")
        const other = yield* connect(replicaUrl)
        yield* query(standby, "table conflicted").pipe(Effect.retry(soon))
        const pid = yield* pidOf(standby)
        const running = yield* Effect.fork(failureOf(standby, "select n, pg_sleep(10) from conflicted"))
        yield* untilAsleep(other, pid)
        // The standby has to replay a lock that the statement stands in the way of.
        yield* query(primary, "alter table conflicted add column m int")
        const conflict = yield* Fiber.join(running)
        assert.deepInclude({ ...conflict }, { reason: "RecoveryConflict", sqlState: "40001" })
        assert.deepInclude(
          { ...(yield* failureOf(other, "insert into conflicted values (2)")) },
          { reason: "ReadOnly", sqlState: "25006" }
        )
      })
    )
  })
})
