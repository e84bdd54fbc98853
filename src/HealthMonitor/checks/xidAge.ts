/**
 * How far transaction ids and multixact ids are from wraparound.
 */
import * as Schema from "effect/Schema"
import { finding, grade, perNode } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  database: Schema.String,
  xids: Schema.Number,
  multixacts: Schema.Number,
  freezeMaxAge: Schema.Number,
  multixactFreezeMaxAge: Schema.Number,
  /** Of the connected database only. */
  oldestTable: Schema.NullOr(Schema.String)
})

type Row = typeof Row.Type

/** Ids are compared modulo 2^32, so half of them are the past. */
const horizon = 2 ** 31

const kinds = [
  { what: "transaction id", ids: (row: Row) => row.xids, emergency: (row: Row) => row.freezeMaxAge },
  { what: "multixact id", ids: (row: Row) => row.multixacts, emergency: (row: Row) => row.multixactFreezeMaxAge }
]

export const xidAge = perNode({
  id: "xid-age",
  title: "Wraparound is far away",
  category: "storage",
  tier: "catalogue",
  doc: "Age of the oldest unfrozen transaction id and multixact id of each database against the 2^31 at which the server stops to accept writes. Something keeps vacuum from freezing: a long transaction, a forgotten slot or prepared transaction, or autovacuum that is too slow.",
  on: "primary",
  row: Row,
  thresholds: {
    used: {
      warning: 50,
      critical: 75,
      unit: "percent",
      source:
        "vacuum_failsafe_age is 1.6 billion, 75 % of 2^31; autovacuum_freeze_max_age is 10 %, so 50 % is five missed rounds"
    }
  },
  sql: () => `
SELECT d.datname::text AS "database", age(d.datfrozenxid)::float8 AS "xids", mxid_age(d.datminmxid)::float8 AS "multixacts",
       current_setting('autovacuum_freeze_max_age')::float8 AS "freezeMaxAge",
       current_setting('autovacuum_multixact_freeze_max_age')::float8 AS "multixactFreezeMaxAge",
       CASE WHEN d.datname = current_database() THEN (
         SELECT format('%I.%I', n.nspname, c.relname)
         FROM pg_catalog.pg_class AS c
         JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
         WHERE c.relkind IN ('r', 'm')
         ORDER BY greatest(age(c.relfrozenxid), age(t.relfrozenxid)) DESC LIMIT 1) END AS "oldestTable"
FROM pg_catalog.pg_database AS d`,
  evaluate: (rows, { used }) =>
    rows.flatMap((row) =>
      kinds.flatMap(({ emergency, ids, what }) => {
        const percent = (100 * ids(row)) / horizon
        const severity = grade(percent, used)
        const table = row.oldestTable
        return severity === undefined
          ? []
          : [
              finding({
                severity,
                subject: `${what}s of ${row.database}`,
                evidence: `The oldest ${what} of ${row.database} is ${millions(ids(row))} million old, ${percent.toFixed(0)} % of the way to wraparound; autovacuum should have frozen it at ${millions(emergency(row))} million`,
                remediation: `Find what holds it back (pg_stat_activity.backend_xmin, pg_replication_slots.xmin, pg_prepared_xacts), then ${
                  table === null ? `vacuumdb --freeze --dbname=${row.database}` : `VACUUM (FREEZE, VERBOSE) ${table};`
                }`
              })
            ]
      })
    ),
  measure: (rows, { used }) =>
    rows.flatMap((row) =>
      kinds.map(({ ids, what }) => ({
        name: what.startsWith("multi") ? "multixact_age" : "xid_age",
        unit: "percent",
        value: (100 * ids(row)) / horizon,
        subject: row.database,
        threshold: used,
        minimum: 0,
        maximum: 100
      }))
    )
})

const millions = (ids: number): string => (ids / 1e6).toFixed(0)
