/**
 * A report for programs: JSON by a versioned schema.
 */
import * as DateTime from "effect/DateTime"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import { describeUnknown } from "../HealthCheck/Result.ts"
import { status, statusOf } from "./Report.ts"
import type { Outcome, Report } from "./Report.ts"

const Status = Schema.Literal("ok", "warning", "critical", "unknown")

/**
 * Version 1. Fields may be added within a version; none changes its meaning or goes away.
 *
 * @since 0.1.0
 * @category schemas
 */
export const JsonReport = Schema.Struct({
  schemaVersion: Schema.Literal(1),
  status: Status,
  at: Schema.String,
  nodes: Schema.Array(Schema.String),
  checks: Schema.Array(
    Schema.Struct({
      id: Schema.String,
      title: Schema.String,
      category: Schema.String,
      tier: Schema.Literal("probe", "fast", "catalogue"),
      node: Schema.optional(Schema.String),
      status: Status,
      at: Schema.String,
      millis: Schema.Number,
      findings: Schema.Array(
        Schema.Struct({
          key: Schema.String,
          severity: Schema.Literal("warning", "critical"),
          subject: Schema.String,
          evidence: Schema.String,
          detail: Schema.Array(Schema.String),
          remediation: Schema.String,
          suppressed: Schema.optional(Schema.Struct({ until: Schema.String, note: Schema.String }))
        })
      ),
      unknowns: Schema.Array(
        Schema.Struct({
          subject: Schema.optional(Schema.String),
          reason: Schema.String,
          description: Schema.String,
          grant: Schema.optional(Schema.String)
        })
      ),
      measurements: Schema.Array(
        Schema.Struct({
          name: Schema.String,
          unit: Schema.String,
          value: Schema.Number,
          subject: Schema.optional(Schema.String),
          warning: Schema.optional(Schema.Number),
          critical: Schema.optional(Schema.Number)
        })
      )
    })
  )
})

/**
 * @since 0.1.0
 * @category schemas
 */
export type JsonReport = typeof JsonReport.Type

/**
 * The report as the schema's value.
 *
 * @since 0.1.0
 * @category rendering
 */
export const toJson = (report: Report): JsonReport => ({
  schemaVersion: 1,
  status: status(report),
  at: iso(report.atMillis),
  nodes: report.nodes,
  checks: report.outcomes.map(outcomeToJson)
})

/**
 * @since 0.1.0
 * @category rendering
 */
export const renderJson = (report: Report): string => JSON.stringify(toJson(report), null, 2)

const outcomeToJson = (outcome: Outcome): JsonReport["checks"][number] => ({
  id: outcome.check,
  title: outcome.title,
  category: outcome.category,
  tier: outcome.tier,
  ...given("node", outcome.node),
  status: statusOf(outcome),
  at: iso(outcome.atMillis),
  millis: outcome.millis,
  findings: outcome.findings.map((finding) => ({
    key: finding.key,
    severity: finding.severity,
    subject: finding.subject,
    evidence: finding.evidence,
    detail: finding.detail ?? [],
    remediation: finding.remediation,
    ...(finding.suppressed === undefined
      ? {}
      : { suppressed: { until: finding.suppressed.until.toISOString(), note: finding.suppressed.note } })
  })),
  unknowns: outcome.unknowns.map(({ reason, subject }) => ({
    ...given("subject", subject),
    reason: reason._tag,
    description: describeUnknown(reason),
    ...(reason._tag === "Privilege" ? { grant: reason.grant } : {})
  })),
  measurements: outcome.measurements.map(({ name, subject, threshold, unit, value }) => ({
    name,
    unit,
    value,
    ...given("subject", subject),
    ...given("warning", threshold?.warning),
    ...given("critical", threshold?.critical)
  }))
})

const iso = (millis: number): string => DateTime.formatIso(DateTime.unsafeMake(millis))

/** A field only where there is a value: `undefined` is no JSON. */
const given = <const K extends string, A>(key: K, value: A | undefined): { readonly [P in K]?: A } =>
  value === undefined ? {} : Record.singleton(key, value)
