/**
 * A report as one line for Nagios, Icinga and their kin, with perfdata.
 *
 * @see https://nagios-plugins.org/doc/guidelines.html#AEN200
 */
import type { Measurement, Threshold, Unit } from "../HealthCheck.ts"
import { status, unknownsByReason, worstFirst } from "./Report.ts"
import type { Report } from "./Report.ts"
import { reachable } from "./checks/reachable.ts"

/**
 * `PLINTH CRITICAL - .. | 'connections.used@node'=96%;80;95;0;100`
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderNagios = (report: Report): string => {
  const outcomes = worstFirst(report)
  const findings = outcomes.flatMap(({ check, findings }) =>
    findings
      .filter((finding) => finding.suppressed === undefined)
      .map(({ evidence, subject }) => ({ check, subject, text: `${check}: ${evidence}` }))
  )
  // That a node is away is said by the check that looks for it, and then by no other.
  const saidAway = new Set(findings.filter(({ check }) => check === reachable.id).map(({ subject }) => subject))
  const unknowns = unknownsByReason(outcomes)
    .filter(({ reason }) => reason._tag !== "Unreachable" || !saidAway.has(reason.node))
    .map(({ checks, words }) => `${checks.join(", ")}: ${words}`)
  const said = [...findings.map(({ text }) => text), ...unknowns]
  const text = said.length === 0 ? "nothing found" : said.join("; ")
  const perfdata = report.outcomes.flatMap(({ check, measurements, node }) =>
    measurements.map((measurement) => perf(check, node, measurement))
  )
  // A bar would begin the perfdata, a line feed the long text.
  const line = `PLINTH ${status(report).toUpperCase()} - ${text.replaceAll("|", "/").replaceAll(/\s+/g, " ")}`
  return perfdata.length === 0 ? line : `${line} | ${perfdata.join(" ")}`
}

const perf = (check: string, node: string | undefined, measurement: Measurement): string => {
  const place = [node, measurement.subject].filter((part) => part !== undefined && part !== "").join("/")
  const label = `${check}.${measurement.name}${place === "" ? "" : `@${place}`}`.replaceAll(/['=]/g, "_")
  const { maximum, minimum, threshold, unit, value } = measurement
  const fields = [
    range(threshold, threshold?.warning),
    range(threshold, threshold?.critical),
    plain(minimum),
    plain(maximum)
  ]
  return `'${label}'=${plain(value)}${uom[unit]};${fields.join(";")}`.replace(/;+$/, "")
}

/** `90:` alerts below 90; a bare number alerts above it. */
const range = (threshold: Threshold | undefined, limit: number | undefined): string =>
  limit === undefined ? "" : `${plain(limit)}${threshold?.bad === "below" ? ":" : ""}`

const plain = (value: number | undefined): string => (value === undefined ? "" : String(Number(value.toFixed(3))))

const uom: { readonly [U in Unit]: string } = { percent: "%", seconds: "s", milliseconds: "ms", bytes: "B", count: "" }
