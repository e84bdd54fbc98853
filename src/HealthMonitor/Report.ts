/**
 * What a pass found: one outcome per check and place, and how outcomes become a report.
 */
import type { Category, Finding, Measurement, Result, Status, Tier, Unknown, UnknownReason } from "../HealthCheck.ts"
import { describeUnknown } from "../HealthCheck/Result.ts"

/**
 * A finding that somebody has decided to live with until a date.
 *
 * @since 0.1.0
 * @category models
 */
export interface Suppression {
  /** Check id and subject, `unused-index: public.orders_note_idx`. */
  readonly key: string
  /** The finding counts again from here on. */
  readonly until: Date
  /** Why. */
  readonly note: string
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ReportedFinding extends Finding {
  readonly key: string
  readonly suppressed?: Suppression | undefined
}

/**
 * What one check said at one place.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outcome {
  readonly check: string
  readonly title: string
  readonly category: Category
  readonly tier: Tier
  /** Undefined for a check over the whole cluster. */
  readonly node?: string | undefined
  readonly atMillis: number
  readonly millis: number
  readonly findings: ReadonlyArray<ReportedFinding>
  readonly unknowns: ReadonlyArray<Unknown>
  readonly measurements: ReadonlyArray<Measurement>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Report {
  /** The worst of the outcomes. */
  readonly status: Status
  readonly atMillis: number
  readonly nodes: ReadonlyArray<string>
  readonly outcomes: ReadonlyArray<Outcome>
}

/**
 * The stable key of a finding.
 *
 * @since 0.1.0
 * @category keys
 */
export const keyOf = (check: string, subject: string): string => `${check}: ${subject}`

/**
 * Results as an outcome's findings and unknowns, worst first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sortResults = (
  check: string,
  results: ReadonlyArray<Result>,
  suppressions: ReadonlyArray<Suppression>,
  nowMillis: number
): Pick<Outcome, "findings" | "unknowns"> => ({
  findings: results
    .filter((result) => result._tag === "Finding")
    .map((finding): ReportedFinding => {
      const key = keyOf(check, finding.subject)
      return { ...finding, key, suppressed: suppressions.find((x) => x.key === key && x.until.getTime() > nowMillis) }
    })
    .sort((a, b) => severityRank[b.severity] - severityRank[a.severity]),
  unknowns: results.filter((result) => result._tag === "Unknown")
})

/**
 * Suppressed findings do not count; unknown is worse than ok and better than any finding, as in Nagios' `max_state_alt`.
 *
 * @since 0.1.0
 * @category status
 */
export const statusOf = (outcome: Outcome): Status => {
  const severities = outcome.findings.filter((finding) => finding.suppressed === undefined).map((x) => x.severity)
  if (severities.includes("critical")) return "critical"
  if (severities.includes("warning")) return "warning"
  return outcome.unknowns.length > 0 ? "unknown" : "ok"
}

const rank: { readonly [S in Status]: number } = { ok: 0, unknown: 1, warning: 2, critical: 3 }

const severityRank = { warning: 0, critical: 1 } as const

/**
 * The worst status of a report, or of a part of one.
 *
 * @since 0.1.0
 * @category status
 */
export const status = (report: Pick<Report, "outcomes">): Status =>
  report.outcomes.map(statusOf).reduce<Status>((worst, next) => (rank[next] > rank[worst] ? next : worst), "ok")

/**
 * Outcomes as a report, with their status.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reportOf = (fields: Omit<Report, "status">): Report => ({ status: status(fields), ...fields })

/**
 * The outcomes of a report, worst first; the order of the registry within one status.
 *
 * @since 0.1.0
 * @category status
 */
export const worstFirst = (report: Report): ReadonlyArray<Outcome> =>
  report.outcomes
    .map((outcome, index) => ({ outcome, index, rank: rank[statusOf(outcome)] }))
    .sort((a, b) => b.rank - a.rank || a.index - b.index)
    .map(({ outcome }) => outcome)

/**
 * Why something is unknown, each reason once with the checks that it blinds: a node that is away blinds every check in
 * the same way.
 */
export const unknownsByReason = (
  outcomes: ReadonlyArray<Outcome>
): ReadonlyArray<{
  readonly reason: UnknownReason
  readonly words: string
  readonly checks: ReadonlyArray<string>
}> => {
  const found = new Map<string, { readonly reason: UnknownReason; readonly checks: Set<string> }>()
  for (const { check, unknowns } of outcomes) {
    for (const { reason, subject } of unknowns) {
      const words = describeUnknown(reason)
      const known = found.get(words) ?? { reason, checks: new Set<string>() }
      // The words about a node that is away name it.
      const isNamed = subject === undefined || (reason._tag === "Unreachable" && reason.node === subject)
      known.checks.add(isNamed ? check : `${check} (${subject})`)
      found.set(words, known)
    }
  }
  return [...found].map(([words, { checks, reason }]) => ({ reason, words, checks: [...checks] }))
}

/**
 * Exit code of a program that shows a report or its status: 0 ok, 1 warning, 2 critical, 3 unknown. With
 * `failOn: "critical"` a warning is 0; what was not seen stays 3, which only the report tells of a warning.
 *
 * @since 0.1.0
 * @category status
 */
export const exitCode = (
  report: Report | Status,
  options?: { readonly failOn?: "warning" | "critical" | undefined }
): number => {
  const worst = typeof report === "string" ? report : status(report)
  if (worst === "critical") return 2
  if (worst === "warning" && options?.failOn === "critical") {
    return typeof report !== "string" && report.outcomes.some((outcome) => outcome.unknowns.length > 0) ? 3 : 0
  }
  return { ok: 0, warning: 1, unknown: 3 }[worst]
}

/** Identifies an outcome across passes. */
export const placeOf = (outcome: Pick<Outcome, "check" | "node">): string => `${outcome.check}@${outcome.node ?? ""}`
