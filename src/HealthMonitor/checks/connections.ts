/**
 * How many of the connections that ordinary users can have are taken.
 */
import * as Schema from "effect/Schema"
import { finding, grade, perNode } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  used: Schema.Int,
  available: Schema.Int,
  setting: Schema.Int,
  largest: Schema.NullOr(Schema.String)
})

const percent = (row: typeof Row.Type): number => (100 * row.used) / Math.max(1, row.available)

export const connections = perNode({
  id: "connections",
  title: "Connections left",
  category: "sessions",
  tier: "fast",
  doc: "Client connections against max_connections less the reserved ones. When they are gone, every new connection fails with 53300, that of the person who wants to look, too.",
  on: "each",
  row: Row,
  thresholds: {
    used: {
      warning: 80,
      critical: 95,
      unit: "percent",
      source: "postgres_exporter mixin, alert PostgreSQLHighConnections: 80 % of max less reserved; 95 % leaves minutes"
    }
  },
  // Who may not see others' backend_type still sees their database.
  sql: () => `
SELECT count(*)::int AS "used",
       (current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0)) AS "available",
       current_setting('max_connections')::int AS "setting",
       (SELECT format('%s (%s)', coalesce(nullif(application_name, ''), 'without application_name'), count(*))
        FROM pg_catalog.pg_stat_activity WHERE datid IS NOT NULL GROUP BY application_name
        ORDER BY count(*) DESC, application_name LIMIT 1) AS "largest"
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL`,
  evaluate: (rows, { used }, { node }) =>
    rows.flatMap((row) => {
      const severity = grade(percent(row), used)
      return severity === undefined
        ? []
        : [
            finding({
              severity,
              subject: node,
              evidence: `${row.used} of ${row.available} connections are used (${percent(row).toFixed(0)} %), most by ${row.largest ?? "nobody"}`,
              remediation: `Lower the pool of the largest user or put a pooler before it; after that, with a restart: ALTER SYSTEM SET max_connections = ${row.setting * 2};`
            })
          ]
    }),
  measure: (rows, { used }) =>
    rows.map((row) => ({
      name: "used",
      unit: "percent",
      value: percent(row),
      threshold: used,
      minimum: 0,
      maximum: 100
    }))
})
