/**
 * Three ways to test without a database: a script under the service, a stub in its place, and stubs of Plinth's own.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { DatabaseError, HealthMonitor, Migrator } from "effect-plinth"
import { ScriptedSql } from "effect-plinth/testing"
import * as Accounts from "./Accounts.ts"
import * as Deployment from "./Deployment.ts"

const taken = new DatabaseError.DatabaseError({
  reason: "UniqueViolation",
  operation: "query",
  description: "duplicate key value violates unique constraint",
  sqlState: "23505",
  constraint: "customers_open_email_key"
})

const scripted = (script: ReadonlyArray<ScriptedSql.Expectation>) =>
  Layer.provideMerge(Accounts.layer, ScriptedSql.layer(script))

const commands = Effect.gen(function* () {
  const script = yield* ScriptedSql.ScriptedSql
  assert.deepStrictEqual(yield* script.unmet, [])
  return (yield* script.ran).map(({ sql }) => sql.split(" ", 3).join(" "))
})

describe("the accounts, over a script", () => {
  it.effect("opens an account and orders its letter in one transaction", () =>
    Effect.gen(function* () {
      yield* (yield* Accounts.Accounts).open("ada@example.com", "Ada")
      assert.deepStrictEqual(yield* commands, [
        "BEGIN",
        "INSERT INTO customers",
        "INSERT INTO welcome_letters",
        "COMMIT"
      ])
      const [, insert] = yield* (yield* ScriptedSql.ScriptedSql).ran
      assert.deepStrictEqual(insert?.params, ["ada@example.com", "Ada", "GB"])
    }).pipe(Effect.provide(scripted([{ sql: /INTO customers/ }, { sql: /INTO welcome_letters/ }])))
  )

  it.effect("rolls back and says so when the address is taken", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* Accounts.Accounts).open("ada@example.com", "Ada"))
      assert.strictEqual(error._tag, "EmailTaken")
      assert.deepStrictEqual(yield* commands, ["BEGIN", "INSERT INTO customers", "ROLLBACK"])
    }).pipe(Effect.provide(scripted([{ sql: /INTO customers/, answer: taken }])))
  )

  it.effect("passes on a COMMIT that fails", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* Accounts.Accounts).open("ada@example.com", "Ada"))
      assert.strictEqual(DatabaseError.from(error).reason, "SerializationFailure")
    }).pipe(
      Effect.provide(
        scripted([
          { sql: /INTO customers/ },
          { sql: /INTO welcome_letters/ },
          {
            sql: "commit",
            answer: new DatabaseError.DatabaseError({
              reason: "SerializationFailure",
              operation: "commit",
              description: "could not serialize access"
            })
          }
        ])
      )
    )
  )

  it.effect("answers with rows, whatever the layout of the statement", () =>
    Effect.gen(function* () {
      const accounts = yield* Accounts.Accounts
      assert.isTrue(yield* accounts.close("ada@example.com"))
      assert.isFalse(yield* accounts.close("alan@example.com"))
    }).pipe(
      Effect.provide(
        scripted([
          {
            sql: `UPDATE customers SET closed_at = now() -- now
                  WHERE email = $1 AND closed_at IS NULL RETURNING id`,
            answer: [{ id: "1" }]
          },
          { sql: /^UPDATE customers/ }
        ])
      )
    )
  )

  it.effect("dies of a statement that nobody expects, and says what it expected instead", () =>
    Effect.gen(function* () {
      const { close } = yield* Accounts.Accounts
      const defect = yield* Effect.flip(Effect.sandbox(close("ada@example.com")))
      assert.match(String(defect), /does not expect: UPDATE customers[^]*still expects:\n {2}\/DELETE\//)
    }).pipe(Effect.provide(scripted([{ sql: /DELETE/ }])))
  )
})

describe("the deployment, over stubs of services", () => {
  const ran: Migrator.Ran = { id: "0001", name: "customers", file: "0001_customers.sql", took: Duration.zero }

  /** A database whose only check found nothing. */
  const report = HealthMonitor.reportOf({
    atMillis: 0,
    nodes: ["primary"],
    outcomes: [
      {
        check: "reachable",
        title: "Reachable",
        category: "availability",
        tier: "probe",
        atMillis: 0,
        millis: 1,
        findings: [],
        unknowns: [],
        measurements: []
      }
    ]
  })

  const deploy = (up: Migrator.Migrator["Type"]["up"]) =>
    Deployment.migrate.pipe(
      Effect.provide(
        Layer.merge(Migrator.layerTest({ up }), HealthMonitor.layerTest({ report: Effect.succeed(report) }))
      )
    )

  it.effect("reports how many migrations ran and how the database is afterwards", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* deploy(() => Effect.succeed([ran])), { ran: 1, health: "ok" })
    })
  )

  it.effect("does not ask for the health when a migration fails", () =>
    Effect.gen(function* () {
      const failure = new Migrator.MigrationError({
        reason: "InvalidSource",
        description: "two files",
        advice: "rename"
      })
      assert.strictEqual(yield* Effect.flip(deploy(() => Effect.fail(failure))), failure)
    })
  )
})
