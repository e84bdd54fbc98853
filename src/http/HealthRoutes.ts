/**
 * Health endpoints for orchestrators and people: `/health/live`, `/health/ready`, `/health/startup` and `/health`.
 *
 * They read the monitor's last report and ask the database nothing, so that a flood of probes costs nothing. The monitor
 * must run its tiers in the background.
 *
 * @since 0.1.0
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Status } from "../HealthCheck.ts"
import { describeUnknown } from "../HealthCheck/Result.ts"
import { HealthMonitor, status, statusOf, toJson } from "../HealthMonitor.ts"
import type { Outcome, Report } from "../HealthMonitor.ts"

/**
 * Something else that must hold before traffic is sent, e.g. that the pool has its minimum.
 *
 * @since 0.1.0
 * @category models
 */
export interface Condition {
  readonly name: string
  /** Undefined when it holds, else why not. */
  readonly unmet: Effect.Effect<string | undefined>
}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /** Conditions of readiness besides a reachable primary and applied migrations. */
  readonly conditions?: ReadonlyArray<Condition> | undefined
  /**
   * An answer older than this does not make the program ready: the monitor is stuck.
   *
   * @default "30 seconds"
   */
  readonly staleAfter?: Duration.DurationInput | undefined
}

/**
 * The four routes.
 *
 * - `live`: 200 as long as the process answers. The database never makes an orchestrator restart a program.
 * - `ready`: 200 when the primary answers, migrations are not behind and the conditions hold, else 503 with the reasons.
 * - `startup`: 503 until the first pass has run.
 * - `/health`: the report as JSON (`HealthMonitor.JsonReport`); 503 when something is critical.
 *
 * @since 0.1.0
 * @category routers
 */
export const make = (options: Options = {}): HttpRouter.HttpRouter<never, HealthMonitor> =>
  HttpRouter.empty.pipe(
    HttpRouter.get("/health/live", answer(200, { status: "live" })),
    HttpRouter.get(
      "/health/ready",
      Effect.flatMap(notReady(options), (reasons) => verdict("ready", reasons))
    ),
    HttpRouter.get(
      "/health/startup",
      Effect.flatMap(notStarted, (reasons) => verdict("started", reasons))
    ),
    HttpRouter.get(
      "/health",
      Effect.flatMap(reportNow, (report) => answer(status(report) === "critical" ? 503 : 200, toJson(report)))
    )
  )

const reportNow = Effect.flatMap(HealthMonitor, (monitor) => monitor.report)

/** `no-store`: an answer that a proxy keeps is a lie about now. */
const answer = (code: number, body: unknown): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.succeed(HttpServerResponse.unsafeJson(body, { status: code, headers: { "cache-control": "no-store" } }))

const verdict = (good: string, reasons: ReadonlyArray<string>) =>
  reasons.length === 0 ? answer(200, { status: good }) : answer(503, { status: `not ${good}`, reasons })

const hasRun = (outcome: Outcome): boolean => outcome.unknowns.every(({ reason }) => reason._tag !== "NotYetRun")

const notStarted = Effect.map(reportNow, (report): ReadonlyArray<string> =>
  report.outcomes.some((outcome) => outcome.tier === "probe" && hasRun(outcome)) ? [] : ["no health check has run yet"]
)

const notReady = Effect.fnUntraced(function* (options: Options) {
  const report = yield* reportNow
  const now = yield* Clock.currentTimeMillis
  const staleAfter = Duration.decode(options.staleAfter ?? "30 seconds")
  const conditions = yield* Effect.forEach(options.conditions ?? [], ({ name, unmet }) =>
    Effect.map(unmet, (why) => (why === undefined ? [] : [`${name}: ${why}`]))
  )
  return [...reachability(report, now, staleAfter), ...migrations(report), ...conditions.flat()]
})

/** Only the primary counts: without its replicas the program reads on the primary. */
const reachability = (report: Report, nowMillis: number, staleAfter: Duration.Duration): ReadonlyArray<string> => {
  const outcome = report.outcomes.find(({ check }) => check === "reachable")
  if (outcome === undefined || !hasRun(outcome)) return ["the nodes have not been asked yet"]
  const age = Duration.millis(Math.max(0, nowMillis - outcome.atMillis))
  if (Duration.greaterThan(age, staleAfter)) return [`the last answer is ${Duration.format(age)} old`]
  const up = outcome.measurements.filter(({ name, value }) => name === "up" && value === 1).map((x) => x.subject)
  const isWritable = report.outcomes
    .find(({ check }) => check === "role")
    ?.measurements.some(({ name, subject, value }) => name === "in_recovery" && value === 0 && up.includes(subject))
  return isWritable === true ? [] : ["no node that accepts writes is reachable", ...words(outcome)]
}

const migrations = (report: Report): ReadonlyArray<string> =>
  report.outcomes.flatMap((outcome) => {
    if (outcome.check !== "migrations-behind" || ready.includes(statusOf(outcome))) return []
    // Drift does not stop a program from working; pending and failed ones may.
    const isDriftOnly = outcome.unknowns.length === 0 && outcome.findings.every(({ subject }) => subject === "drifted")
    return isDriftOnly ? [] : words(outcome)
  })

const ready: ReadonlyArray<Status> = ["ok"]

const words = (outcome: Outcome): ReadonlyArray<string> => [
  ...outcome.findings.map(({ evidence }) => `${outcome.check}: ${evidence}`),
  ...outcome.unknowns.map(({ reason }) => `${outcome.check}: ${describeUnknown(reason)}`)
]
