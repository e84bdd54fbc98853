import * as HttpApp from "@effect/platform/HttpApp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { HealthCheck, HealthMonitor } from "effect-plinth"
import { HealthRoutes } from "effect-plinth/http"

const now = Date.now()

const outcome = (check: string, fields: Partial<HealthMonitor.Outcome> = {}): HealthMonitor.Outcome => ({
  check,
  title: check,
  category: "availability",
  tier: "probe",
  atMillis: now,
  millis: 1,
  findings: [],
  unknowns: [],
  measurements: [],
  ...fields
})

const count = (name: string, subject: string, value: number) => ({ name, unit: "count", value, subject }) as const

const healthy = [
  outcome("reachable", { measurements: [count("up", "primary", 1), count("up", "replica", 1)] }),
  outcome("role", { measurements: [count("in_recovery", "primary", 0), count("in_recovery", "replica", 1)] })
]

const bad = (severity: HealthCheck.Severity, subject: string): HealthMonitor.ReportedFinding => ({
  ...HealthCheck.finding({ severity, subject, evidence: `${subject} is bad`, remediation: "mend it" }),
  key: subject
})

const Verdict = Schema.Struct({ status: Schema.String, reasons: Schema.optional(Schema.Array(Schema.String)) })

/** Asks one path of a program with this monitor. */
const askMonitor = (path: string, monitor: HealthMonitor.HealthMonitor["Type"], options: HealthRoutes.Options = {}) =>
  Effect.gen(function* () {
    const app = HttpApp.toWebHandlerLayer(
      HealthRoutes.make(options),
      Layer.succeed(HealthMonitor.HealthMonitor, monitor)
    )
    const response = yield* Effect.promise(() => app.handler(new Request(`http://localhost${path}`)))
    const body: unknown = yield* Effect.promise(() => response.json())
    yield* Effect.promise(app.dispose)
    return { response, status: response.status, body }
  })

/** Asks one path of a program whose monitor knows these outcomes. */
const ask = (path: string, outcomes: ReadonlyArray<HealthMonitor.Outcome>, options: HealthRoutes.Options = {}) =>
  Effect.flatMap(HealthMonitor.HealthMonitor, (monitor) => askMonitor(path, monitor, options)).pipe(
    Effect.provide(
      HealthMonitor.layerTest({
        report: Effect.succeed(HealthMonitor.reportOf({ atMillis: now, nodes: ["primary", "replica"], outcomes }))
      })
    )
  )

const reasonsOf = (body: unknown) =>
  Effect.map(Schema.decodeUnknown(Verdict)(body), ({ reasons }) => (reasons ?? []).join("; "))

const away = outcome("reachable", {
  findings: [bad("critical", "primary")],
  measurements: [count("up", "primary", 0), count("up", "replica", 1)]
})

describe("HealthRoutes", () => {
  it.live("is live whatever the database does", () =>
    Effect.gen(function* () {
      const { response, status } = yield* ask("/health/live", [away])
      assert.strictEqual(status, 200)
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
    })
  )

  it.live("is ready when the primary answers, with or without its replicas", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* ask("/health/ready", healthy)).status, 200)
      const alone = outcome("reachable", {
        findings: [bad("critical", "replica")],
        measurements: [count("up", "primary", 1), count("up", "replica", 0)]
      })
      assert.strictEqual((yield* ask("/health/ready", [alone, ...healthy.slice(1)])).status, 200)
    })
  )

  it.live("is not ready without the primary, and says why", () =>
    Effect.gen(function* () {
      const role = outcome("role", { measurements: [count("in_recovery", "replica", 1)] })
      const { body, status } = yield* ask("/health/ready", [away, role])
      assert.strictEqual(status, 503)
      assert.match(yield* reasonsOf(body), /no node that accepts writes is reachable; reachable: primary is bad/)
    })
  )

  it.live("is ready again on a promoted replica", () =>
    Effect.gen(function* () {
      const role = outcome("role", { measurements: [count("in_recovery", "replica", 0)] })
      assert.strictEqual((yield* ask("/health/ready", [away, role])).status, 200)
    })
  )

  it.live("is not ready while migrations are pending or cannot be seen, and is while they have only drifted", () =>
    Effect.gen(function* () {
      const migrations = (fields: Partial<HealthMonitor.Outcome>) => [...healthy, outcome("migrations-behind", fields)]
      const blind = HealthCheck.unknown(HealthCheck.UnknownReason.Failed({ description: "no table" }))
      assert.strictEqual(
        (yield* ask("/health/ready", migrations({ findings: [bad("warning", "pending")] }))).status,
        503
      )
      assert.strictEqual((yield* ask("/health/ready", migrations({ unknowns: [blind] }))).status, 503)
      assert.strictEqual(
        (yield* ask("/health/ready", migrations({ findings: [bad("warning", "drifted")] }))).status,
        200
      )
      assert.strictEqual((yield* ask("/health/ready", migrations({}))).status, 200)
    })
  )

  it.live("is not ready on the word of a monitor that has stopped", () =>
    Effect.gen(function* () {
      const old = healthy.map((outcome) => ({ ...outcome, atMillis: now - 60_000 }))
      const { body, status } = yield* ask("/health/ready", old)
      assert.strictEqual(status, 503)
      assert.match(yield* reasonsOf(body), /the last answer is 1m.* old/)
      assert.strictEqual((yield* ask("/health/ready", old, { staleAfter: "5 minutes" })).status, 200)
    })
  )

  it.live("asks the conditions of the program, too", () =>
    Effect.gen(function* () {
      const conditions = [{ name: "pool", unmet: Effect.succeed("1 of 2 connections") }]
      const { body, status } = yield* ask("/health/ready", healthy, { conditions })
      assert.strictEqual(status, 503)
      assert.strictEqual(yield* reasonsOf(body), "pool: 1 of 2 connections")
    })
  )

  it.live("has started when a pass has run, even one that found the database away", () =>
    Effect.gen(function* () {
      const pending = outcome("reachable", {
        unknowns: [HealthCheck.unknown(HealthCheck.UnknownReason.NotYetRun({ description: "not yet" }))]
      })
      assert.strictEqual((yield* ask("/health/startup", [pending])).status, 503)
      assert.strictEqual((yield* ask("/health/ready", [pending])).status, 503)
      assert.strictEqual((yield* ask("/health/startup", [away])).status, 200)
    })
  )

  it.live("reports as JSON of the schema, with 503 when something is critical", () =>
    Effect.gen(function* () {
      const fine = yield* ask("/health", healthy)
      const decode = Schema.decodeUnknown(HealthMonitor.JsonReport)
      assert.strictEqual(fine.status, 200)
      assert.strictEqual((yield* decode(fine.body)).status, "ok")
      const critical = yield* ask("/health", [away])
      assert.strictEqual(critical.status, 503)
      assert.strictEqual((yield* decode(critical.body)).checks[0]?.findings[0]?.subject, "primary")
    })
  )

  it.scopedLive("works with a running monitor: not ready until the migrations are applied", () =>
    Effect.gen(function* () {
      const facts = yield* Ref.make<HealthCheck.MigrationFacts>({ pending: ["0001_a"], failed: [], drifted: [] })
      const monitor = yield* HealthMonitor.make({
        nodes: [],
        migrations: { name: "test", read: Ref.get(facts) },
        background: false
      })
      yield* monitor.check()
      const before = yield* askMonitor("/health/ready", monitor)
      assert.match(yield* reasonsOf(before.body), /migrations-behind: 1 not applied: 0001_a/)
      yield* Ref.set(facts, { pending: [], failed: [], drifted: [] })
      yield* monitor.check()
      const after = yield* askMonitor("/health/ready", monitor)
      assert.notMatch(yield* reasonsOf(after.body), /migrations-behind/)
    })
  )
})
