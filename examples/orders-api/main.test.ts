/**
 * The service as a process.
 */
import * as Command from "@effect/platform/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { Database, Migrator } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("./main.ts", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = fileURLToPath(new URL("../../migrations", import.meta.url))

const Observer = Layer.unwrapEffect(
  Effect.map(TestDatabase.TestDatabase, ({ url }) =>
    Database.layer({ url, applicationName: "observer", health: { background: false } })
  )
)

const Environment = Migrator.layer({ source: Migrator.fromFolder(folder), onEvent: () => Effect.void }).pipe(
  Layer.provideMerge(Observer),
  Layer.provideMerge(Layer.merge(TestDatabase.layer(), NodeContext.layer))
)

/** The service's sessions. */
const sessions = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'orders-example%'`
)

const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, holds: (found: A) => boolean) =>
  Effect.delay(effect, "50 millis").pipe(
    Effect.repeat({ until: holds }),
    Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => new Error("the condition did not come to hold") })
  )

layer(Environment, { excludeTestServices: true, timeout: 60_000 })("the orders service as a process", (it) => {
  it.scoped("is ready once its migrations are applied, and ends on SIGTERM with 0 and without a session", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const service = yield* Command.make(process.execPath, "--import", "tsx", main).pipe(
        Command.workingDirectory(root),
        Command.env({ DATABASE_URL: Redacted.value(url), PLINTH_APPLICATION_NAME: "orders-example", PORT: "0" }),
        Command.stderr("inherit"),
        Command.start
      )
      const line = yield* service.stdout.pipe(
        Stream.decodeText(),
        Stream.splitLines,
        Stream.filter((text) => text.includes("Listening on")),
        Stream.runHead
      )
      const address = /http:\/\/[\d.]+:\d+/.exec(Option.getOrElse(line, () => ""))?.[0]
      const ready = Effect.tryPromise(async () => {
        const response = await fetch(`${address}/health/ready`)
        return { status: response.status, text: await response.text() }
      })
      const behind = yield* eventually(ready, ({ text }) => text.includes("not applied: 0001"))
      assert.strictEqual(behind.status, 503)

      yield* (yield* Migrator.Migrator).up()
      yield* eventually(ready, ({ status }) => status === 200)
      assert.isAbove((yield* sessions).length, 0)

      yield* Effect.fork(service.kill("SIGTERM"))
      assert.strictEqual(yield* service.exitCode, 0)
      assert.isFalse(yield* service.isRunning)
      yield* eventually(sessions, (rows) => rows.length === 0)
    })
  )
})
