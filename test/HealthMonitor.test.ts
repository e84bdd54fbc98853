import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { HealthCheck, HealthMonitor } from "effect-plinth"
import { findingsOf, unknownsOf } from "./HealthMonitor/nodes.ts"

/** A check of no node that finds something as long as its number is 1 or more. */
const numbered = (
  id: string,
  read: Effect.Effect<number>,
  fields: { readonly tier?: HealthCheck.Tier; readonly remember?: number; readonly interval?: string } = {}
) =>
  HealthCheck.overCluster({
    id,
    title: "A number",
    category: "plinth",
    tier: fields.tier ?? "fast",
    doc: "It counts.",
    ...(fields.remember === undefined ? {} : { remember: fields.remember }),
    ...(fields.interval === undefined ? {} : { interval: "2 seconds" as const }),
    row: Schema.Struct({ value: Schema.Number }),
    thresholds: { value: { warning: 1, critical: 10, unit: "count", source: "this test" } },
    read: () => Effect.map(read, (value) => [{ value }]),
    evaluate: (rows, { value }, { earlier }) =>
      rows.flatMap((row) => {
        const before = earlier.at(-1)?.rows[0]?.value ?? 0
        const severity = HealthCheck.grade(row.value - before, value)
        return severity === undefined
          ? []
          : [
              HealthCheck.finding({
                severity,
                subject: "it",
                evidence: `${row.value} is too much`,
                remediation: "count less"
              })
            ]
      })
  })

const monitorOf = (options: Partial<HealthMonitor.Options>) =>
  HealthMonitor.make({
    nodes: [],
    background: false,
    disable: HealthMonitor.builtIn.map((check) => check.id),
    ...options
  })

describe("HealthMonitor", () => {
  it.scoped("says ok only for what it has seen: before the first pass everything is unknown", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({ checks: [numbered("number", Effect.succeed(0))] })
      assert.strictEqual(HealthMonitor.status(yield* monitor.report), "unknown")
      assert.strictEqual(HealthMonitor.exitCode(yield* monitor.report), 3)
      assert.strictEqual(HealthMonitor.status(yield* monitor.check()), "ok")
      assert.strictEqual(HealthMonitor.status(yield* monitor.report), "ok")
    })
  )

  it.scoped("keeps the last answer of every check when only one runs", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({
        checks: [numbered("bad", Effect.succeed(1)), numbered("good", Effect.succeed(0))]
      })
      yield* monitor.check()
      const report = yield* monitor.check({ ids: ["good"] })
      assert.deepStrictEqual(
        report.outcomes.map((outcome) => outcome.check),
        ["good"]
      )
      assert.lengthOf(findingsOf(yield* monitor.report, "bad"), 1)
    })
  )

  it.scoped("makes a check that misses its deadline unknown, and runs the others", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({
        checks: [numbered("slow", Effect.never), numbered("quick", Effect.succeed(1))]
      })
      const fiber = yield* Effect.fork(monitor.check())
      yield* TestClock.adjust("3 seconds")
      const report = yield* Fiber.join(fiber)
      assert.deepInclude(unknownsOf(report, "slow")[0]?.reason, { _tag: "Deadline", of: "check" })
      assert.lengthOf(findingsOf(report, "quick"), 1)
    })
  )

  it.scoped("ends a pass at its deadline, whatever is left of it", () =>
    Effect.gen(function* () {
      const slow = ["a", "b", "c", "d", "e", "f", "g", "h"].map((id) => numbered(id, Effect.never))
      const monitor = yield* monitorOf({ checks: slow })
      const fiber = yield* Effect.fork(monitor.check())
      yield* TestClock.adjust("10 seconds")
      const report = yield* Fiber.join(fiber)
      assert.deepInclude(unknownsOf(report, "h")[0]?.reason, { _tag: "Deadline", of: "pass" })
    })
  )

  it.scoped("runs one pass at a time", () =>
    Effect.gen(function* () {
      const running = yield* Ref.make(0)
      const most = yield* Ref.make(0)
      const read = Effect.gen(function* () {
        const now = yield* Ref.updateAndGet(running, (n) => n + 1)
        yield* Ref.update(most, (n) => Math.max(n, now))
        yield* Effect.yieldNow()
        yield* Ref.update(running, (n) => n - 1)
        return 0
      })
      const monitor = yield* monitorOf({ checks: [numbered("counted", read)] })
      yield* Effect.all([monitor.check(), monitor.check(), monitor.check()], { concurrency: "unbounded" })
      assert.strictEqual(yield* Ref.get(most), 1)
    })
  )

  it.scoped("survives a check that dies", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({
        checks: [numbered("dying", Effect.die("a bug")), numbered("other", Effect.succeed(1))]
      })
      const report = yield* monitor.check()
      assert.strictEqual(unknownsOf(report, "dying")[0]?.reason._tag, "Failed")
      assert.lengthOf(findingsOf(report, "other"), 1)
    })
  )

  it.scoped("reads twice, an interval apart, what is compared with the reading before", () =>
    Effect.gen(function* () {
      const reads = yield* Ref.make(0)
      const read = Ref.updateAndGet(reads, (n) => n + 5)
      const monitor = yield* monitorOf({ checks: [numbered("rate", read, { remember: 1, interval: "2 seconds" })] })
      const first = yield* Effect.fork(monitor.check())
      yield* TestClock.adjust("1 second")
      assert.isNull(yield* Fiber.poll(first).pipe(Effect.map((exit) => (exit._tag === "None" ? null : exit))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(findingsOf(yield* Fiber.join(first), "rate")[0]?.evidence, "10 is too much")
      yield* TestClock.adjust("1 minute")
      const second = yield* monitor.check()
      assert.strictEqual(findingsOf(second, "rate")[0]?.evidence, "15 is too much", "it has read only once more")
    })
  )

  it.scoped("takes changed thresholds by id", () =>
    Effect.gen(function* () {
      const checks = [numbered("number", Effect.succeed(5))]
      const lenient = yield* monitorOf({ checks, thresholds: { number: { value: { warning: 6 } } } })
      assert.strictEqual(HealthMonitor.status(yield* lenient.check()), "ok")
      const strict = yield* monitorOf({ checks, thresholds: { number: { value: { critical: 5 } } } })
      assert.strictEqual(HealthMonitor.status(yield* strict.check()), "critical")
    })
  )

  it.effect("refuses names that do not exist and says what was meant", () =>
    Effect.gen(function* () {
      const disabled = yield* Effect.flip(HealthMonitor.make({ nodes: [], disable: ["blockin"] }))
      assert.match(disabled.message, /no health check blockin; did you mean blocking\?/)
      const threshold = yield* Effect.flip(
        HealthMonitor.make({ nodes: [], thresholds: { connections: { usd: { warning: 1 } } } })
      )
      assert.match(threshold.message, /thresholds of connections: there is no threshold usd; did you mean used\?/)
      const twice = yield* Effect.flip(HealthMonitor.make({ nodes: [], checks: HealthMonitor.builtIn.slice(0, 1) }))
      assert.match(twice.message, /two health checks have the id reachable/)
      const monitor = yield* monitorOf({})
      const selected = yield* Effect.flip(monitor.check({ ids: ["nothing-like-it"] }))
      assert.strictEqual(selected.reason, "UnknownCheck")
    }).pipe(Effect.scoped)
  )

  it.scoped("counts a suppressed finding again when its date has come", () =>
    Effect.gen(function* () {
      const until = new Date(60_000)
      const monitor = yield* monitorOf({
        checks: [numbered("number", Effect.succeed(1))],
        suppress: [{ key: "number: it", until, note: "known" }]
      })
      const before = yield* monitor.check()
      assert.strictEqual(HealthMonitor.status(before), "ok")
      assert.strictEqual(findingsOf(before, "number")[0]?.suppressed?.note, "known")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(HealthMonitor.status(yield* monitor.check()), "warning")
    })
  )

  it.scoped("tells of changes and of nothing else", () =>
    Effect.gen(function* () {
      const value = yield* Ref.make(0)
      const monitor = yield* monitorOf({ checks: [numbered("number", Ref.get(value))] })
      const subscribed = yield* Deferred.make<void>()
      const changes = yield* monitor.changes.pipe(
        Stream.onStart(Deferred.succeed(subscribed, undefined)),
        Stream.take(3),
        Stream.runCollect,
        Effect.fork
      )
      yield* Deferred.await(subscribed)
      yield* Effect.yieldNow()
      for (const next of [0, 0, 5, 5, 0]) {
        yield* Ref.set(value, next)
        yield* monitor.check()
      }
      const seen = Chunk.toReadonlyArray(yield* Fiber.join(changes)).map(({ from, to }) => `${from} -> ${to}`)
      assert.deepStrictEqual(seen, ["unknown -> ok", "ok -> warning", "warning -> ok"])
    })
  )

  it.scoped("runs each tier in the background at its own pace, and stops with its scope", () =>
    Effect.gen(function* () {
      const counts = { probe: 0, fast: 0, catalogue: 0 }
      const count = (tier: HealthCheck.Tier) =>
        numbered(
          tier,
          Effect.sync(() => counts[tier]++),
          { tier }
        )
      const checks = [count("probe"), count("fast"), count("catalogue")]
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* monitorOf({ checks, background: true })
          yield* TestClock.adjust("20 seconds")
          assert.deepStrictEqual(counts, { probe: 5, fast: 3, catalogue: 1 })
        })
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(counts, { probe: 5, fast: 3, catalogue: 1 })
    })
  )

  it.effect("can be replaced in a test of something else", () =>
    Effect.gen(function* () {
      const monitor = yield* HealthMonitor.HealthMonitor
      assert.deepStrictEqual((yield* monitor.report).nodes, ["stub"])
    }).pipe(
      Effect.provide(
        HealthMonitor.layerTest({
          report: Effect.succeed(HealthMonitor.reportOf({ atMillis: 0, nodes: ["stub"], outcomes: [] }))
        })
      )
    )
  )
})

describe("the built-in checks", () => {
  it("have stable, unique ids in kebab-case, a doc sentence and a source for every number", () => {
    const ids = HealthMonitor.builtIn.map((check) => check.id)
    assert.strictEqual(new Set(ids).size, ids.length)
    for (const check of HealthMonitor.builtIn) {
      assert.match(check.id, /^[a-z]+(-[a-z]+)*$/)
      assert.match(check.doc, /\.$/)
      for (const threshold of Object.values(check.thresholds)) assert.isAbove(threshold.source.length, 10)
    }
  })

  it("qualify every relation that they name, since pg_temp is searched first", () => {
    for (const check of HealthMonitor.builtIn) {
      if (check._tag !== "Node") continue
      const sql = check.sql({
        serverVersion: 150_000,
        inRecovery: false,
        user: "u",
        database: "d",
        privileges: [],
        server: ""
      })
      assert.notMatch(sql, /\b(FROM|JOIN)\s+pg_(?!catalog\.)/i, check.id)
    }
  })
})
