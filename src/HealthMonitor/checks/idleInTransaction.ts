/**
 * Sessions that have begun a transaction and do nothing in it.
 */
import * as Schema from "effect/Schema"
import { finding, grade, migrationLockApplication, perNode } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  pid: Schema.Int,
  application: Schema.String,
  user: Schema.String,
  aborted: Schema.Boolean,
  idleSeconds: Schema.Number
})

type Row = typeof Row.Type

/** By application, oldest first: a pid is a new subject in every pass and could not be suppressed. */
const byApplication = (rows: ReadonlyArray<Row>): ReadonlyArray<readonly [string, ReadonlyArray<Row>]> => {
  const groups = new Map<string, Array<Row>>()
  for (const row of rows) {
    if (row.application.startsWith(migrationLockApplication)) continue
    const name = row.application === "" ? `user ${row.user}` : row.application
    groups.set(name, [...(groups.get(name) ?? []), row])
  }
  return [...groups].map(([name, group]) => [name, group.sort((a, b) => b.idleSeconds - a.idleSeconds)])
}

export const idleInTransaction = perNode({
  id: "idle-in-transaction",
  title: "No session idles in a transaction",
  category: "sessions",
  tier: "fast",
  doc: "A session that is idle in a transaction keeps its locks, and keeps vacuum from removing any row version younger than its snapshot. The session that holds the migration lock is meant to be idle and is left out.",
  on: "each",
  privileges: ["pg_read_all_stats"],
  row: Row,
  thresholds: {
    idle: {
      warning: 300,
      critical: 900,
      unit: "seconds",
      source: "Heroku pg:diagnose and pgEdge's alert rules warn at 300 s; three times that is nobody's think time"
    }
  },
  sql: () => `
SELECT pid, coalesce(application_name, '') AS "application", quote_ident(usename) AS "user",
       state LIKE '%(aborted)' AS "aborted",
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS "idleSeconds"
FROM pg_catalog.pg_stat_activity
WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()`,
  evaluate: (rows, { idle }, { node }) =>
    byApplication(rows).flatMap(([name, group]) => {
      const oldest = group[0]
      const severity = oldest === undefined ? undefined : grade(oldest.idleSeconds, idle)
      return oldest === undefined || severity === undefined
        ? []
        : [
            finding({
              severity,
              subject: `${name} on ${node}`,
              evidence: `${group.length} session${group.length === 1 ? "" : "s"} of ${name} idle in ${oldest.aborted ? "an aborted" : "a"} transaction, the oldest (pid ${oldest.pid}) for ${Math.round(oldest.idleSeconds)} s`,
              remediation: `SELECT pg_terminate_backend(${oldest.pid}); and so that it does not come back: ALTER ROLE ${oldest.user} SET idle_in_transaction_session_timeout = '5min';`
            })
          ]
    }),
  measure: (rows, { idle }) => [
    {
      name: "oldest",
      unit: "seconds",
      value: Math.max(0, ...byApplication(rows).map(([, group]) => group[0]?.idleSeconds ?? 0)),
      threshold: idle,
      minimum: 0
    }
  ]
})
