/**
 * Indexes that are maintained by every write and serve no query.
 */
import * as Schema from "effect/Schema"
import { finding, perNode } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  index: Schema.String,
  table: Schema.String,
  partitioned: Schema.Boolean,
  /** Left behind by REINDEX CONCURRENTLY. */
  leftover: Schema.Boolean,
  unique: Schema.Boolean
})

export const invalidIndex = perNode({
  id: "invalid-index",
  title: "Every index is valid",
  category: "schema",
  tier: "catalogue",
  doc: "What a failed CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY leaves behind: an index that costs every write and serves no query; a unique one still rejects rows. Those that are being built are left out.",
  on: "primary",
  // Without it others' rows of pg_stat_progress_create_index are empty, and an index under construction looks broken.
  privileges: ["pg_read_all_stats"],
  row: Row,
  thresholds: {},
  // DROP INDEX CONCURRENTLY and REINDEX CONCURRENTLY hold SHARE UPDATE EXCLUSIVE on the index until they are done.
  sql: () => `
SELECT format('%I.%I', n.nspname, i.relname) AS "index", format('%I.%I', tn.nspname, t.relname) AS "table",
       i.relkind = 'I' AS "partitioned", i.relname ~ '_cc(new|old)[0-9]*$' AS "leftover", x.indisunique AS "unique"
FROM pg_catalog.pg_index AS x
JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = i.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
WHERE NOT (x.indisvalid AND x.indisready AND x.indislive)
  AND NOT pg_is_other_temp_schema(i.relnamespace)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                  WHERE p.datname = current_database() AND p.relid = x.indrelid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks AS l
                  JOIN pg_catalog.pg_database AS d ON d.oid = l.database AND d.datname = current_database()
                  WHERE l.relation = x.indexrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)
ORDER BY 1
LIMIT 200`,
  evaluate: (rows) =>
    rows.map((row) => {
      if (row.partitioned) {
        return finding({
          severity: "warning",
          subject: row.index,
          evidence: `The partitioned index ${row.index} is invalid: a partition of ${row.table} has no index attached to it`,
          remediation: `Create the index on each partition, CONCURRENTLY, then: ALTER INDEX ${row.index} ATTACH PARTITION <index of the partition>;`
        })
      }
      return finding({
        severity: "warning",
        subject: row.index,
        evidence: `${row.index} on ${row.table} is invalid: ${row.unique ? "it rejects rows and serves no query" : "writes maintain it and no query uses it"}`,
        remediation: row.leftover
          ? `DROP INDEX CONCURRENTLY ${row.index};`
          : `REINDEX INDEX CONCURRENTLY ${row.index}; or, if it is not wanted: DROP INDEX CONCURRENTLY ${row.index};`
      })
    }),
  measure: (rows) => [{ name: "indexes", unit: "count", value: rows.length, minimum: 0 }]
})
