/**
 * A report in the text format of Prometheus.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
import type { Status, Unit } from "../HealthCheck.ts"
import { statusOf } from "./Report.ts"
import type { Report } from "./Report.ts"

/**
 * Status and findings of each check, and every number it read as `plinth_health_<check>_<name>_<unit>`.
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderPrometheus = (report: Report): string => {
  const families = new Map<string, Family>()
  const add = (name: string, help: string, labels: Labels, value: number) => {
    const family = families.get(name) ?? { help, samples: [] }
    families.set(name, { help, samples: [...family.samples, `${name}${labelled(labels)} ${value}`] })
  }
  for (const outcome of report.outcomes) {
    const { check, node } = outcome
    add(
      "plinth_health_check_status",
      "0 ok, 1 warning, 2 critical, 3 unknown.",
      { check, node },
      statusNumber[statusOf(outcome)]
    )
    for (const severity of ["warning", "critical"] as const) {
      const open = outcome.findings.filter((finding) => finding.suppressed === undefined)
      add(
        "plinth_health_findings",
        "Findings that are not suppressed.",
        { check, node, severity },
        open.filter((finding) => finding.severity === severity).length
      )
    }
    const suppressed = outcome.findings.filter((finding) => finding.suppressed !== undefined).length
    add("plinth_health_suppressed_findings", "Findings that are suppressed.", { check, node }, suppressed)
    add("plinth_health_check_duration_seconds", "How long the check took.", { check, node }, outcome.millis / 1000)
    for (const { name, subject, unit, value } of outcome.measurements) {
      const base = units[unit]
      add(
        `plinth_health_${check.replaceAll(/[^a-zA-Z0-9]/g, "_")}_${name}${base.suffix}`,
        `${outcome.title}: ${name.replaceAll("_", " ")}.`,
        { node, subject },
        value * base.factor
      )
    }
  }
  return [...families]
    .flatMap(([name, { help, samples }]) => [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...samples])
    .concat("")
    .join("\n")
}

interface Family {
  readonly help: string
  readonly samples: ReadonlyArray<string>
}

type Labels = { readonly [name: string]: string | undefined }

const labelled = (labels: Labels): string => {
  const pairs = Object.entries(labels).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${escape(value)}"`]
  )
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`
}

const escape = (value: string): string => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

/** Prometheus has base units: seconds, bytes, ratios. */
const units: { readonly [U in Unit]: { readonly suffix: string; readonly factor: number } } = {
  percent: { suffix: "_ratio", factor: 0.01 },
  seconds: { suffix: "_seconds", factor: 1 },
  milliseconds: { suffix: "_seconds", factor: 0.001 },
  bytes: { suffix: "_bytes", factor: 1 },
  count: { suffix: "", factor: 1 }
}

const statusNumber: { readonly [S in Status]: number } = { ok: 0, warning: 1, critical: 2, unknown: 3 }
