/**
 * Limits with a unit and a source, and how a value is graded by them.
 */
import type { Severity } from "./Result.ts"

/**
 * @since 0.1.0
 * @category thresholds
 */
export type Unit = "percent" | "seconds" | "bytes" | "count" | "milliseconds"

/**
 * @since 0.1.0
 * @category thresholds
 */
export interface Threshold {
  readonly warning: number
  /** Undefined where nothing of this kind is ever critical. */
  readonly critical?: number | undefined
  readonly unit: Unit
  /** `below` where small values are bad; a value that equals the limit has reached it. @default "above" */
  readonly bad?: "above" | "below" | undefined
  /** Where the numbers come from. */
  readonly source: string
}

/**
 * How bad a value is, or undefined when it is fine.
 *
 * @since 0.1.0
 * @category thresholds
 */
export const grade = (value: number, threshold: Threshold): Severity | undefined => {
  const reached = (limit: number | undefined): boolean =>
    limit !== undefined && (threshold.bad === "below" ? value <= limit : value >= limit)
  if (reached(threshold.critical)) return "critical"
  return reached(threshold.warning) ? "warning" : undefined
}

/**
 * A number that a check read, with the limits it is held against: one value of Nagios perfdata, one Prometheus sample.
 *
 * @since 0.1.0
 * @category thresholds
 */
export interface Measurement {
  /** snake_case and without the unit; unique within the check. */
  readonly name: string
  readonly unit: Unit
  readonly value: number
  /** What was measured, when a check measures several things. */
  readonly subject?: string | undefined
  readonly threshold?: Threshold | undefined
  readonly minimum?: number | undefined
  readonly maximum?: number | undefined
}
