/**
 * How far sequences are from the end of their own range or of the column behind them.
 */
import * as Schema from "effect/Schema"
import { finding, grade, grantOf, perNode, unknown, UnknownReason } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  sequence: Schema.String,
  /** The narrowest column that takes its values. */
  column: Schema.NullOr(Schema.Struct({ table: Schema.String, name: Schema.String, type: Schema.String })),
  /** NULL where the sequence was never used, or may not be read. */
  percent: Schema.NullOr(Schema.Number),
  /** How many sequences the user may not read, the same in each row. */
  unreadable: Schema.Int
})

export const sequenceExhaustion = perNode({
  id: "sequence-exhaustion",
  title: "Sequences have values left",
  category: "schema",
  tier: "catalogue",
  doc: "The last value of each sequence against the end of its range and of the type of the column behind it: a bigint sequence that feeds an integer column ends at 2,147,483,647.",
  on: "primary",
  row: Row,
  thresholds: {
    used: {
      warning: 80,
      critical: 95,
      unit: "percent",
      source: "changing a column to bigint rewrites the table: 20 % is the time to plan it, 5 % to do it"
    }
  },
  // A user with pg_monitor alone sees last_value as NULL, like that of a sequence that was never used.
  sql: () => `
WITH fed AS (
  SELECT s.seqrelid AS sequence, d.refobjid AS relation, d.refobjsubid AS number
  FROM pg_catalog.pg_sequence AS s
  JOIN pg_catalog.pg_depend AS d ON d.objid = s.seqrelid AND d.classid = 'pg_catalog.pg_class'::regclass
  WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION ALL
  SELECT s.seqrelid, a.adrelid, a.adnum
  FROM pg_catalog.pg_sequence AS s
  JOIN pg_catalog.pg_depend AS d ON d.refobjid = s.seqrelid AND d.refclassid = 'pg_catalog.pg_class'::regclass
  JOIN pg_catalog.pg_attrdef AS a ON a.oid = d.objid AND d.classid = 'pg_catalog.pg_attrdef'::regclass
), narrowest AS (
  SELECT DISTINCT ON (f.sequence) f.sequence, f.relation, c.attname, c.atttypid, c.atttypmod, r.highest
  FROM fed AS f
  JOIN pg_catalog.pg_attribute AS c ON c.attrelid = f.relation AND c.attnum = f.number
  JOIN pg_catalog.pg_type AS t ON t.oid = c.atttypid
  JOIN (VALUES (21::oid, 32767::numeric), (23, 2147483647), (20, 9223372036854775807)) AS r (type, highest)
    ON r.type = coalesce(nullif(t.typbasetype, 0), t.oid)
  ORDER BY f.sequence, r.highest
), ranges AS (
  SELECT s.seqrelid, c.relname, c.relnamespace, x.relation, x.attname, x.atttypid, x.atttypmod,
         CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END::numeric AS beginning,
         CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, x.highest) ELSE greatest(s.seqmin, -x.highest - 1) END AS ending,
         has_sequence_privilege(s.seqrelid, 'SELECT, USAGE') AS readable
  FROM pg_catalog.pg_sequence AS s
  JOIN pg_catalog.pg_class AS c ON c.oid = s.seqrelid
  LEFT JOIN narrowest AS x ON x.sequence = s.seqrelid
  WHERE NOT s.seqcycle AND NOT pg_is_other_temp_schema(c.relnamespace)
), used AS (
  SELECT *, CASE WHEN readable THEN
           100 * (pg_sequence_last_value(seqrelid) - beginning) / nullif(ending - beginning, 0) END AS percent,
         (count(*) FILTER (WHERE NOT readable) OVER ())::int AS unreadable
  FROM ranges
), most AS (
  SELECT * FROM used ORDER BY percent DESC NULLS LAST, seqrelid LIMIT 200
)
SELECT format('%I.%I', n.nspname, u.relname) AS "sequence",
       CASE WHEN u.relation IS NOT NULL THEN json_build_object(
         'table', (SELECT format('%I.%I', tn.nspname, t.relname) FROM pg_catalog.pg_class AS t
                   JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace WHERE t.oid = u.relation),
         'name', quote_ident(u.attname), 'type', format_type(u.atttypid, u.atttypmod)) END AS "column",
       u.percent::float8 AS "percent", u.unreadable AS "unreadable"
FROM most AS u
JOIN pg_catalog.pg_namespace AS n ON n.oid = u.relnamespace
ORDER BY u.percent DESC NULLS LAST, 1`,
  evaluate: (rows, { used }, { facts }) => {
    const hidden = rows[0]?.unreadable ?? 0
    const found = rows.flatMap((row) => {
      const severity = row.percent === null ? undefined : grade(row.percent, used)
      if (row.percent === null || severity === undefined) return []
      const { column, sequence } = row
      const isNarrow = column !== null && column.type !== "bigint"
      return [
        finding({
          severity,
          subject: sequence,
          evidence: `${sequence}${column === null ? "" : `, which feeds ${column.table}.${column.name} (${column.type}),`} has used ${row.percent.toFixed(1)} % of its values`,
          remediation: isNarrow
            ? `ALTER SEQUENCE ${sequence} AS bigint; ALTER TABLE ${column.table} ALTER COLUMN ${column.name} TYPE bigint; (rewrites the table under ACCESS EXCLUSIVE: for a large one add a bigint column, fill it in batches and swap)`
            : `ALTER SEQUENCE ${sequence} AS bigint MAXVALUE 9223372036854775807;`
        })
      ]
    })
    const grant = grantOf("pg_read_all_data", facts.user)
    return hidden === 0
      ? found
      : [
          ...found,
          unknown(
            UnknownReason.Privilege({ lacking: "pg_read_all_data", grant }),
            hidden === 1 ? "one sequence" : `${hidden} sequences`
          )
        ]
  },
  measure: (rows, { used }) =>
    rows.length === 0
      ? []
      : [
          {
            name: "used",
            unit: "percent",
            value: Math.max(0, ...rows.map((row) => row.percent ?? 0)),
            threshold: used,
            minimum: 0,
            maximum: 100
          }
        ]
})
