/**
 * Nodes for the monitor under test: each with one connection of its own, opened when it is first needed, as
 * `Database.layer` makes them.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import type { HealthCheck } from "effect-plinth"
import { Database, DatabaseConfig, HealthMonitor } from "effect-plinth"

export const target = (
  name: string,
  role: HealthCheck.Target["role"],
  url: Redacted.Redacted
): Effect.Effect<HealthCheck.Target, never, Scope.Scope> =>
  Effect.gen(function* () {
    const settings = yield* DatabaseConfig.make({ url, connectTimeout: "1 second" })
    const context = yield* Layer.build(Database.layerNode(settings.primary, settings, { max: 1, lazy: true }))
    return { name, role, run: Context.get(context, SqlClient) }
  }).pipe(Effect.orDie)

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
