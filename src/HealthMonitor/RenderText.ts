/**
 * A report for people: worst first, one line per finding, what mends it under it, a summary at the end.
 */
import type { Severity, Status } from "../HealthCheck.ts"
import { status, statusOf, unknownsByReason, worstFirst } from "./Report.ts"
import type { Outcome, Report } from "./Report.ts"

/**
 * @since 0.1.0
 * @category rendering
 */
export interface TextOptions {
  /** ANSI colours. @default false */
  readonly colour?: boolean | undefined
  /** Also list the checks that found nothing. @default false */
  readonly verbose?: boolean | undefined
}

/**
 * @since 0.1.0
 * @category rendering
 */
export const renderText = (report: Report, options: TextOptions = {}): string => {
  const paint = painter(options.colour === true)
  const lines = [
    ...worstFirst(report).flatMap((outcome) => findingLines(outcome, paint)),
    ...suppressedLines(report, paint),
    ...unknownLines(report, paint),
    ...(options.verbose === true ? okLines(report, paint) : [])
  ]
  return [...lines, ...(lines.length === 0 ? [] : [""]), summary(report, paint)].join("\n")
}

const findingLines = (outcome: Outcome, paint: Paint): ReadonlyArray<string> =>
  outcome.findings
    .filter((finding) => finding.suppressed === undefined)
    .flatMap((finding) => [
      `${paint(finding.severity, finding.severity.padEnd(8))}  ${outcome.check}: ${finding.evidence}`,
      ...(finding.detail ?? []).map((line) => `${indent}${line}`),
      `${indent}${paint("dim", `-> ${finding.remediation}`)}`
    ])

const suppressedLines = (report: Report, paint: Paint): ReadonlyArray<string> =>
  report.outcomes
    .flatMap((outcome) => outcome.findings)
    .flatMap(({ key, suppressed }) =>
      suppressed === undefined
        ? []
        : [paint("dim", `${"ignored".padEnd(8)}  ${key} until ${isoDate(suppressed.until)}: ${suppressed.note}`)]
    )

const unknownLines = (report: Report, paint: Paint): ReadonlyArray<string> =>
  unknownsByReason(report.outcomes).map(
    ({ checks, words }) => `${paint("unknown", "unknown ")}  ${checks.join(", ")}: ${words}`
  )

const okLines = (report: Report, paint: Paint): ReadonlyArray<string> =>
  report.outcomes
    .filter((outcome) => statusOf(outcome) === "ok")
    .map(
      ({ node, title, check }) =>
        `${paint("ok", "ok".padEnd(8))}  ${check}: ${title}${node === undefined ? "" : paint("dim", ` (${node})`)}`
    )

const summary = (report: Report, paint: Paint): string => {
  const findings = report.outcomes.flatMap((outcome) => outcome.findings)
  const of = (severity: Severity) =>
    findings.filter((x) => x.suppressed === undefined && x.severity === severity).length
  const count = (state: Status) => report.outcomes.filter((outcome) => statusOf(outcome) === state).length
  const parts = [
    [of("critical"), "critical"],
    [of("warning"), "warning"],
    [report.outcomes.filter((outcome) => outcome.unknowns.length > 0).length, "unknown"],
    [count("ok"), "ok"],
    [findings.filter((finding) => finding.suppressed !== undefined).length, "ignored"]
  ] as const
  const worst = status(report)
  const told = parts
    .filter(([number, name]) => number > 0 || name === "ok")
    .map(([number, name]) => `${number} ${name}`)
  const nodes = report.nodes.length === 1 ? "1 node" : `${report.nodes.length} nodes`
  return `${paint(worst, worst)}: ${told.join(", ")} on ${nodes}`
}

const isoDate = (date: Date): string => date.toISOString().slice(0, 10)

const indent = " ".repeat(10)

type Paint = (colour: Status | "dim", text: string) => string

const codes: { readonly [C in Status | "dim"]: number } = { ok: 32, warning: 33, critical: 31, unknown: 35, dim: 2 }

const painter =
  (colour: boolean): Paint =>
  (name, text) =>
    colour ? `\u001b[${codes[name]}m${text}\u001b[0m` : text
