/**
 * A server that freezes and one that restarts while many fibers work: every request ends in time, and typed.
 */
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { withinSeconds } from "../support/effects.ts"
import { inRealTime, timesFaster } from "../support/fastClock.ts"
import * as Stages from "../support/stage.ts"
import type { Stage } from "../support/stage.ts"

const isLong = process.env["PLINTH_TEST_LONG"] !== undefined

/** What may happen to a request while its server is away. */
const typed = new Set([
  "success",
  "ConnectionLost",
  "ConnectionRefused",
  "CannotConnectNow",
  "AdminShutdown",
  "AcquireTimeout",
  "StatementTimeout",
  "CommitInDoubt"
])

interface Finding {
  readonly outcomes: { readonly [outcome: string]: number }
  readonly slowest: number
}

/** Reads, writes and transactions of 64 fibers that go on until they are told to stop; each request is looked at. */
const load = ({ sql }: Stage, stopped: Ref.Ref<boolean>, ended: Array<number>) =>
  Effect.gen(function* () {
    const outcomes = new Map<string, number>()
    let slowest = 0
    const requests = [
      sql`SELECT 1, pg_sleep(0.002)::text`,
      sql`SELECT 2 AS short`,
      sql`INSERT INTO outages VALUES (1)`,
      sql.withTransaction(Effect.zipRight(sql`INSERT INTO outages VALUES (2)`, sql`SELECT 3`)),
      sql.withTransaction(sql.withTransaction(sql`SELECT 4`))
    ]
    const worker = (i: number) =>
      Effect.gen(function* () {
        const [took, outcome] = yield* Effect.timed(Stages.outcomeOf(requests[i % requests.length] ?? Effect.void))
        slowest = Math.max(slowest, Duration.toMillis(took))
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        ended[i] = (ended[i] ?? 0) + 1
        // A refused request takes no time at all.
        if (outcome !== "success") yield* Effect.sleep("20 millis")
      }).pipe(Effect.repeat({ until: () => Ref.get(stopped) }))
    yield* Effect.forEach(ended.keys(), worker, { concurrency: "unbounded", discard: true })
    const finding: Finding = { outcomes: Object.fromEntries(outcomes), slowest }
    return finding
  })

/** Everything ended as something that a program can meet. */
const assertEnded = ({ outcomes }: Finding) => {
  assert.isEmpty(
    Object.keys(outcomes).filter((outcome) => !typed.has(outcome)),
    JSON.stringify(outcomes)
  )
  assert.isAbove(outcomes["success"] ?? 0, 64, JSON.stringify(outcomes))
}

const settings = {
  minConnections: 8,
  maxConnections: 12,
  acquireTimeout: "2 seconds",
  connectTimeout: "10 seconds",
  statementTimeout: "1 second",
  validateTimeout: "1 second"
} as const

const soon = <E, R>(condition: Effect.Effect<boolean, E, R>) => inRealTime(withinSeconds(30, condition))

const staged = (name: string) =>
  Effect.gen(function* () {
    const { primary, url } = yield* EmbeddedPostgres.EmbeddedPostgres
    const direct = yield* Stages.openDirect(url)
    yield* direct.run([Stages.query("CREATE TABLE IF NOT EXISTS outages (id int)")])
    const stage = yield* Stages.make(url, name, settings)
    const stopped = yield* Ref.make(false)
    /** Requests of each fiber that have ended. */
    const ended = Array.from({ length: 64 }, () => 0)
    const working = yield* Effect.fork(load(stage, stopped, ended))
    yield* soon(
      Effect.map(stage.pool.stats, ({ acquired, total }) => total >= settings.minConnections && acquired > 200)
    )
    const isFull = Effect.map(stage.pool.stats, ({ total }) => total >= settings.minConnections)
    /** Ends the load some time after the server is back. */
    const finish = Effect.gen(function* () {
      const [took] = yield* inRealTime(Effect.timed(soon(isFull)))
      const { acquired } = yield* stage.pool.stats
      yield* soon(Effect.map(stage.pool.stats, (stats) => stats.acquired > acquired + 200))
      yield* Ref.set(stopped, true)
      const finding = yield* Fiber.join(working)
      yield* Effect.log(
        `full again after ${Math.round(Duration.toMillis(took))} ms, slowest request ${Math.round(finding.slowest)} ms, ` +
          JSON.stringify(finding.outcomes)
      )
      return finding
    })
    /** Every fiber has come out of what it is in now. */
    const allCameOut = Effect.suspend(() => {
      const before = [...ended]
      return soon(Effect.sync(() => ended.every((count, i) => count > (before[i] ?? 0))))
    })
    return { allCameOut, direct, finish, primary, stage }
  })

layer(EmbeddedPostgres.layer(), { excludeTestServices: true, timeout: 120_000 })("a pool under load", (it) => {
  it.scoped("lets nobody hang while its server is frozen, fails typed, and works when it is thawed", () =>
    Effect.gen(function* () {
      const { allCameOut, direct, finish, primary, stage } = yield* staged("frozen")
      for (let round = 0; round < (isLong ? 10 : 1); round++) {
        yield* primary.freeze
        // Statements have their second and five more, COMMIT has half a minute.
        yield* allCameOut.pipe(Effect.ensuring(Effect.orDie(primary.thaw)))
        yield* allCameOut
      }
      const finding = yield* finish
      assert.isAbove(finding.outcomes["ConnectionLost"] ?? 0, 0)
      assertEnded(finding)
      yield* Stages.assertSound(stage, direct)
      // Ten seconds of these pools pass in one.
    }).pipe(timesFaster(10))
  )

  it.scoped("is full again soon after a restart of its server, and nothing hung meanwhile", () =>
    Effect.gen(function* () {
      const { direct, finish, primary, stage } = yield* staged("restarted")
      for (let round = 0; round < (isLong ? 8 : 1); round++) {
        yield* primary.restart
        if (isLong) yield* Effect.sleep("2 seconds")
      }
      assertEnded(yield* finish)
      yield* Stages.assertSound(stage, direct)
    })
  )
})
