/**
 * When a pool is to be looked at.
 */

/**
 * Shares of 1, and milliseconds.
 *
 * - Utilisation: from 0.7 on waiting grows faster than load, and at 0.9 a tenth more work is ten times the wait (in M/M/1
 *   the wait is proportional to 1 / (1 - utilisation)).
 * - Acquire: half a second is felt by a person, and after one second they think of something else (J. Nielsen,
 *   "Usability Engineering", 1993, 5.5).
 * - Errors: one in fifty is a bad day for somebody, one in twenty for everybody.
 *
 * @since 0.1.0
 * @category alerts
 */
export const thresholds = {
  utilisation: { warning: 0.7, critical: 0.9 },
  acquireMs: { warning: 500, critical: 1000 },
  errors: { warning: 0.02, critical: 0.05 }
} as const

/**
 * @since 0.1.0
 * @category models
 */
export interface Alert {
  readonly severity: "warning" | "critical"
  /** `capacity`: the pools do not fit on the server. */
  readonly measure: "utilisation" | "acquire" | "errors" | "capacity"
  readonly value: number
  /** What it has reached. */
  readonly threshold: number
  readonly message: string
}

/**
 * What is looked at. What is not known is not judged.
 *
 * @since 0.1.0
 * @category models
 */
export interface Observation {
  /** Of what, as the beginning of a sentence. @default "the pool" */
  readonly subject?: string | undefined
  /** Mean share of the connections that are busy. */
  readonly utilisation?: number | undefined
  /** What 95 % of the checkouts get their connection within. */
  readonly acquireMs?: number | undefined
  /** Share of the checkouts that failed. */
  readonly errorShare?: number | undefined
}

/**
 * The alerts of an observation.
 *
 * @since 0.1.0
 * @category alerts
 */
export const alerts = (observation: Observation): ReadonlyArray<Alert> => {
  const subject = observation.subject ?? "the pool"
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`
  return [
    ...judge(
      "utilisation",
      observation.utilisation,
      thresholds.utilisation,
      (value, limit) =>
        `${subject} is ${percent(value)} busy on average; from ${percent(limit)} on waiting grows faster than load`
    ),
    ...judge("acquire", observation.acquireMs, thresholds.acquireMs, (value, limit) =>
      value === Infinity
        ? `${subject} falls behind: the wait for a connection grows without end`
        : `one checkout in twenty of ${subject} waits ${Math.round(value)} ms or longer for a connection (limit ${limit} ms)`
    ),
    ...judge(
      "errors",
      observation.errorShare,
      thresholds.errors,
      (value, limit) => `${percent(value)} of the checkouts of ${subject} get no connection (limit ${percent(limit)})`
    )
  ]
}

const judge = (
  measure: Alert["measure"],
  value: number | undefined,
  limits: { readonly warning: number; readonly critical: number },
  message: (value: number, limit: number) => string
): ReadonlyArray<Alert> => {
  if (value === undefined || !(value >= limits.warning)) return []
  const severity = value >= limits.critical ? "critical" : "warning"
  return [{ severity, measure, value, threshold: limits[severity], message: message(value, limits[severity]) }]
}
