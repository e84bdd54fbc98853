/**
 * Random sessions over a primary and two replicas that pause, lag, freeze, crash and die: no session reads backwards.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { QueryRouter } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import type { Rule } from "./support/history/check.ts"
import { perform } from "./support/history/perform.ts"
import { proper } from "./support/history/play.ts"
import type { Conduct } from "./support/history/play.ts"

const isLong = process.env["PLINTH_TEST_LONG"] === "1"
const seed = Number(process.env["PLINTH_TEST_SEED"] ?? 20_260_101)

/** A router that forgets is caught by the same checker, over replicas that are merely late. */
const caught = (conduct: Conduct, rules: ReadonlyArray<Rule>) =>
  Effect.gen(function* () {
    const { summary, violations } = yield* perform({
      seed,
      conduct,
      lasts: "20 seconds",
      until: rules,
      lateBy: ["50 millis", "300 millis"]
    })
    yield* Effect.log(summary)
    const found = new Set(violations.map(({ rule }) => rule))
    for (const rule of rules) assert.isTrue(found.has(rule), `no violation of "${rule}": ${summary}`)
    // Nothing but the order of what a session sees is wrong with it.
    assert.isEmpty([...found].filter((rule) => rule !== "read your writes" && rule !== "monotonic reads"))
  })

layer(EmbeddedPostgres.layer({ replicas: 2 }), { excludeTestServices: true, timeout: 60_000 })(
  "a history of sessions",
  (it) => {
    it.effect(
      "shows no read that goes backwards, no write that is lost and no value that was not written",
      () =>
        Effect.gen(function* () {
          const { explanation, replicaShare, summary, violations } = yield* perform({
            seed,
            conduct: proper,
            lasts: isLong ? "25 seconds" : "5 seconds"
          })
          yield* Effect.log(summary)
          assert.isEmpty(violations, explanation)
          assert.isAbove(replicaShare, 0.1, summary)
        }),
      120_000
    )

    it.effect(
      "is seen through when the stamp is switched off",
      () => caught({ ...proper, statement: QueryRouter.level("eventual") }, ["read your writes", "monotonic reads"]),
      60_000
    )

    it.effect(
      "is seen through when every statement is a session of its own",
      () => caught({ ...proper, statement: QueryRouter.session }, ["read your writes", "monotonic reads"]),
      60_000
    )

    it.effect(
      "is seen through when sessions leave their token behind",
      () => caught({ ...proper, carriesToken: false }, ["read your writes"]),
      60_000
    )
  }
)
