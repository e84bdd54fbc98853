/**
 * Nodes for the monitor under test: each with one connection of its own, opened when it is first needed.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { HealthCheck } from "effect-plinth"
import { HealthMonitor } from "effect-plinth"
import { Pool } from "pg"

export const target = (
  name: string,
  role: HealthCheck.Target["role"],
  url: Redacted.Redacted
): Effect.Effect<HealthCheck.Target, never, Scope.Scope> =>
  PgClient.fromPool({
    acquire: Effect.acquireRelease(
      Effect.sync(() => poolOf(url)),
      (pool) => Effect.promise(() => end(pool))
    )
  }).pipe(
    Effect.map((run) => ({ name, role, run })),
    Effect.provide(Reactivity.layer),
    Effect.orDie
  )

const poolOf = (url: Redacted.Redacted): Pool => {
  const pool = new Pool({
    connectionString: Redacted.value(url),
    max: 1,
    connectionTimeoutMillis: 1000,
    application_name: "plinth health test"
  })
  pool.on("error", () => undefined)
  return pool
}

/** A frozen server never says goodbye. */
const end = (pool: Pool): Promise<void> =>
  Promise.race([pool.end(), new Promise<void>((resolve) => setTimeout(resolve, 500).unref())])

/** A client with a few connections, for making the situations. */
export const sessions = (url: Redacted.Redacted, max = 3) =>
  PgClient.make({ url, maxConnections: max, applicationName: "situation" }).pipe(Effect.provide(Reactivity.layer))

/** What the findings of a report say, by check. */
export const findingsOf = (report: HealthMonitor.Report, check: string): ReadonlyArray<HealthMonitor.ReportedFinding> =>
  report.outcomes.filter((outcome) => outcome.check === check).flatMap((outcome) => outcome.findings)

/** The reasons why a check could not see. */
export const unknownsOf = (report: HealthMonitor.Report, check: string): ReadonlyArray<HealthCheck.Unknown> =>
  report.outcomes.filter((outcome) => outcome.check === check).flatMap((outcome) => outcome.unknowns)

/** Checks until the report is as wanted; fails with the last one when that never comes. */
export const until = (
  monitor: HealthMonitor.HealthMonitor["Type"],
  id: string,
  wanted: (report: HealthMonitor.Report) => boolean
) =>
  Effect.gen(function* () {
    const endsAt = (yield* Clock.currentTimeMillis) + 10_000
    while (true) {
      const report = yield* monitor.check({ ids: [id] })
      if (wanted(report)) return report
      if ((yield* Clock.currentTimeMillis) > endsAt) {
        return yield* Effect.dieMessage(`${id} never said what was expected:\n${HealthMonitor.renderText(report)}`)
      }
      yield* Effect.sleep("50 millis")
    }
  })
