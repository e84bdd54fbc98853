/**
 * The program as a process.
 */
import * as Command from "@effect/platform/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { Database } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("./main.ts", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))

const Observer = Layer.unwrapEffect(
  Effect.map(EmbeddedPostgres.EmbeddedPostgres, ({ url }) =>
    Database.layer({ url, applicationName: "observer", health: { background: false } })
  )
)

const Environment = Observer.pipe(Layer.provideMerge(EmbeddedPostgres.layer()), Layer.merge(NodeContext.layer))

/** The program's sessions, and what the busy ones run. */
const sessions = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql<{ state: string; query: string }>`
    SELECT state, query FROM pg_stat_activity WHERE application_name LIKE 'runtime-example%'`
)

const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>) =>
  condition.pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("20 millis") }),
    Effect.timeoutFail({ duration: "15 seconds", onTimeout: () => new Error("the condition did not come to hold") })
  )

layer(Environment, { excludeTestServices: true, timeout: 60_000 })("a plain Node program", (it) => {
  it.scoped("answers the running request after SIGTERM, exits with 0 and leaves no session", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const program = yield* Command.make(process.execPath, "--import", "tsx", main).pipe(
        Command.workingDirectory(root),
        Command.env({ DATABASE_URL: Redacted.value(url), PLINTH_APPLICATION_NAME: "runtime-example", PORT: "0" }),
        Command.stderr("inherit"),
        Command.start
      )
      const line = yield* program.stdout.pipe(Stream.decodeText(), Stream.splitLines, Stream.runHead)
      const port = /listening on (\d+)/.exec(Option.getOrElse(line, () => ""))?.[1]
      const ask = (path: string) =>
        Effect.tryPromise(async () => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`)
          return { status: response.status, text: await response.text() }
        })
      assert.match((yield* ask("/")).text, /^\d+\n$/)
      assert.isAbove((yield* sessions).length, 0)

      const running = yield* Effect.fork(ask("/?seconds=1"))
      yield* eventually(Effect.map(sessions, (all) => all.some(({ query }) => query.includes("pg_sleep"))))
      yield* Effect.fork(program.kill("SIGTERM"))
      assert.strictEqual((yield* Fiber.join(running)).status, 200)
      assert.strictEqual(yield* program.exitCode, 0)
      yield* eventually(Effect.map(sessions, (all) => all.length === 0))
    })
  )
})
