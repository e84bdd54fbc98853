/**
 * Servers that let nobody in: a password that was changed under load, and no connection left.
 */
import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { withinSeconds } from "../support/effects.ts"
import { makeScramRole } from "../support/scramRole.ts"
import * as Stages from "../support/stage.ts"
import type { Stage } from "../support/stage.ts"

const { query } = Stages

const rotations = process.env["PLINTH_TEST_LONG"] === undefined ? 3 : 30

interface Request {
  readonly startedAt: number
  readonly outcome: string
}

/** Short statements of 16 fibers, until they are told to stop. */
const load = ({ sql }: Stage, stopped: Ref.Ref<boolean>) =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const worker = Effect.gen(function* () {
      const startedAt = yield* Clock.currentTimeMillis
      const outcome = yield* Stages.outcomeOf(sql`SELECT pg_sleep(0.005)::text`)
      requests.push({ startedAt, outcome })
      if (outcome !== "success") yield* Effect.sleep("10 millis")
    }).pipe(Effect.repeat({ until: () => Ref.get(stopped) }))
    yield* Effect.replicateEffect(worker, 16, { concurrency: "unbounded", discard: true })
    return requests
  })

const kill = (direct: Effect.Effect.Success<ReturnType<typeof Stages.openDirect>>, name: string, limit: number) =>
  direct.run([
    query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT $2",
      [name, limit]
    )
  ])

const settings = { max_connections: "12", superuser_reserved_connections: "4", reserved_connections: "0" }

layer(EmbeddedPostgres.layer({ settings }), { excludeTestServices: true, timeout: 120_000 })("a pool", (it) => {
  it.scoped("asks for the password again when it was changed, and nobody who comes after that is refused", () =>
    Effect.gen(function* () {
      const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
      const direct = yield* Stages.openDirect(cluster.url)
      const url = yield* makeScramRole(cluster, direct, "rotated", "password 0")
      const current = yield* Ref.make("password 0")
      const asked = yield* Ref.make(0)
      const password = Effect.zipRight(
        Ref.update(asked, (n) => n + 1),
        Effect.map(Ref.get(current), (secret) => Redacted.make(secret))
      )
      const stage = yield* Stages.make(url, "rotating", { password, minConnections: 2, maxConnections: 4 })
      const { pool } = stage
      const stopped = yield* Ref.make(false)
      const working = yield* Effect.fork(load(stage, stopped))
      const killing = yield* Effect.fork(
        Effect.forever(Effect.zipRight(kill(direct, "rotating", 1), Effect.sleep("20 millis")))
      )
      const changes: Array<{ readonly from: number; readonly to: number }> = []
      for (let i = 1; i <= rotations; i++) {
        const before = yield* pool.stats
        const from = yield* Clock.currentTimeMillis
        yield* direct.run([query(`ALTER ROLE rotated PASSWORD 'password ${i}'`)])
        // The old password has been refused before anybody knows the new one.
        yield* withinSeconds(
          20,
          Effect.map(pool.stats, ({ connectFailures }) => connectFailures > before.connectFailures)
        )
        yield* Ref.set(current, `password ${i}`)
        changes.push({ from, to: yield* Clock.currentTimeMillis })
        yield* withinSeconds(
          20,
          Effect.map(pool.stats, ({ opened }) => opened > before.opened + 2)
        )
      }
      yield* Fiber.interrupt(killing)
      yield* Ref.set(stopped, true)
      const requests = yield* Fiber.join(working)

      const refused = requests.filter(({ outcome }) => outcome === "AuthenticationFailed")
      const during = ({ startedAt }: Request) =>
        changes.some(({ from, to }) => startedAt >= from - 1_000 && startedAt <= to)
      assert.isEmpty(refused.filter((request) => !during(request)))
      const others = new Set(requests.map(({ outcome }) => outcome))
      others.delete("AuthenticationFailed")
      assert.isEmpty([...others].filter((outcome) => !["success", "AdminShutdown", "ConnectionLost"].includes(outcome)))
      const { connectFailures, opened } = yield* pool.stats
      assert.isAtLeast(yield* Ref.get(asked), opened + connectFailures)
      yield* Effect.log(`${requests.length} requests, ${refused.length} refused, ${opened} connections opened`)
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("goes on with what it has when the server has no connection left, and does not storm it", () =>
    Effect.gen(function* () {
      const { url } = yield* EmbeddedPostgres.EmbeddedPostgres
      // Past the limit: the superuser has connections in reserve.
      const direct = yield* Stages.openDirect(url)
      yield* direct.run([query("CREATE ROLE crowded LOGIN")])
      const crowded = new URL(Redacted.value(url))
      crowded.username = "crowded"
      const asCrowded = Redacted.make(crowded.href)
      const scope = yield* Scope.make()
      // Of the eight that are not in reserve the test itself has one or two, too.
      yield* Scope.extend(Stages.make(asCrowded, "others", { minConnections: 5, maxConnections: 5 }), scope).pipe(
        Effect.flatMap(({ pool }) =>
          withinSeconds(
            20,
            Effect.map(pool.stats, ({ idle }) => idle === 5)
          )
        ),
        Effect.onError(() => Scope.close(scope, Exit.void))
      )
      const stage = yield* Stages.make(asCrowded, "crowded", { minConnections: 1, maxConnections: 6 })
      const { pool, sql } = stage
      const stopped = yield* Ref.make(false)
      const working = yield* Effect.fork(load(stage, stopped))
      const [took] = yield* Effect.timed(
        withinSeconds(
          30,
          Effect.map(pool.stats, ({ connectFailures, total }) => total >= 1 && total < 4 && connectFailures >= 6)
        )
      )
      // Two at once and two more after at least 100 ms; a success, of which there may be one, begins anew.
      assert.isAbove(Duration.toMillis(took), 150)
      const { reason } = yield* Effect.flip(Stages.make(asCrowded, "one more")).pipe(
        Effect.map((error) => ({ reason: "reason" in error ? error.reason : String(error) }))
      )
      assert.strictEqual(reason, "TooManyConnections")
      assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])

      yield* Scope.close(scope, Exit.void)
      yield* withinSeconds(
        30,
        Effect.map(pool.stats, ({ total }) => total === 6)
      )
      yield* Ref.set(stopped, true)
      const requests = yield* Fiber.join(working)
      assert.isEmpty(requests.filter(({ outcome }) => outcome !== "success"))
      assert.isAbove(requests.length, 50)
      // Doubled up to five seconds, at most two at a time.
      assert.isBelow((yield* pool.stats).connectFailures, 20)
      yield* Stages.assertSound(stage, direct)
    })
  )
})
