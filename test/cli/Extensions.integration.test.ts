import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import { withDatabase } from "../support/migrators.ts"
import { start } from "./support/Plinth.ts"

const program = new URL("./support/shopProgram.ts", import.meta.url).pathname

const Checks = Schema.parseJson(Schema.Struct({ checks: Schema.Array(Schema.Struct({ id: Schema.String })) }))

describe("a program that runs plinth with its own migrations and checks", () => {
  it.live("applies its migrations, lists its checks, and ends with plinth's exit codes", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const shop = (...args: ReadonlyArray<string>) =>
        Effect.promise(
          () =>
            start(process.execPath, ["--import", "tsx", program, ...args], {
              env: { DATABASE_URL: Redacted.value(url) }
            }).ended
        )
      const up = yield* shop("migrate", "up")
      assert.strictEqual(up.code, 0, up.stderr)
      assert.match(up.stdout, /^Applied 0001_shop\.sql/)
      const { checks } = yield* Schema.decode(Checks)((yield* shop("health-check", "--list", "--json")).stdout)
      assert.include(
        checks.map(({ id }) => id),
        "shop-open"
      )
      const found = yield* shop("health-check", "--check", "shop-open")
      assert.strictEqual(found.code, 1, found.stderr)
      assert.include(found.stdout, "the shop is closed")
      assert.strictEqual((yield* shop("migrat")).code, 2)
    }).pipe(withDatabase)
  )
})
