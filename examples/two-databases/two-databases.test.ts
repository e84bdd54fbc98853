/**
 * The program as a process, on two databases.
 */
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { TestDatabase } from "effect-plinth/testing"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"

const main = fileURLToPath(new URL("./main.ts", import.meta.url))
const root = fileURLToPath(new URL("../..", import.meta.url))

const databaseUrl = Effect.map(Layer.build(TestDatabase.layer()), (context) =>
  Redacted.value(Context.get(context, TestDatabase.TestDatabase).url)
)

const run = (environment: Record<string, string>) =>
  Effect.async<string, Error>((resume) => {
    execFile(
      process.execPath,
      ["--import", "tsx", main],
      { cwd: root, env: { ...process.env, ...environment } },
      (error, stdout) => resume(error === null ? Effect.succeed(stdout) : Effect.fail(error))
    )
  })

it.scopedLive("keeps the event of an order that was rolled back in the other database", () =>
  Effect.gen(function* () {
    const printed = yield* run({ DATABASE_URL: yield* databaseUrl, ANALYTICS_URL: yield* databaseUrl })
    assert.deepStrictEqual(printed.trim().split("\n"), ["out of stock: lamp", "orders: 2", "tried: 3", "placed: 2"])
  })
)
