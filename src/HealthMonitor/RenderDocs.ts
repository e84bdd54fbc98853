/**
 * What a check is, in words: `--explain` and the documentation's paragraph, both from its definition.
 */
import type { HealthCheck, Threshold } from "../HealthCheck.ts"

/**
 * The paragraph of one check in Markdown.
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderDocs = (check: HealthCheck): string =>
  [
    `### ${check.id}`,
    "",
    `**${check.title}.** ${check.doc}`,
    "",
    `Tier ${check.tier}, category ${check.category}, ${where(check)}.${needs(check)}`,
    ...thresholdRows(check)
  ].join("\n")

/**
 * The check for a terminal, with the SQL that it runs.
 *
 * @since 0.1.0
 * @category rendering
 */
export const explain = (check: HealthCheck): string =>
  [
    `${check.id}: ${check.title}`,
    "",
    check.doc,
    "",
    `Tier ${check.tier}, category ${check.category}, ${where(check)}.${needs(check)}`,
    ...Object.entries(check.thresholds).map(
      ([name, threshold]) => `${name}: ${limits(threshold)}. Source: ${threshold.source}.`
    ),
    ...(check._tag === "Node" ? ["", "It runs:", check.sql(exampleFacts).trim()] : [])
  ].join("\n")

const where = (check: HealthCheck): string =>
  check._tag === "Cluster" ? "over the whole cluster" : check.on === "each" ? "on each node" : "on the primary"

const needs = (check: HealthCheck): string => {
  const roles = (check.privileges ?? []).map((role) => (role === "pg_read_all_stats" ? "pg_monitor" : role))
  return roles.length === 0 ? "" : ` Needs ${roles.join(" and ")}.`
}

const limits = ({ bad, critical, unit, warning }: Threshold): string => {
  const direction = bad === "below" ? "at or below" : "from"
  return `warning ${direction} ${warning} ${unit}${critical === undefined ? "" : `, critical ${direction} ${critical} ${unit}`}`
}

const thresholdRows = (check: HealthCheck): ReadonlyArray<string> => {
  const rows = Object.entries(check.thresholds)
  return rows.length === 0
    ? []
    : [
        "",
        "| threshold | default | source |",
        "|---|---|---|",
        ...rows.map(([name, threshold]) => `| ${name} | ${limits(threshold)} | ${threshold.source} |`)
      ]
}

const exampleFacts = {
  serverVersion: 180_000,
  inRecovery: false,
  user: "monitor",
  database: "app",
  server: "",
  privileges: []
} as const
