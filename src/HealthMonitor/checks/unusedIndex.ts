/**
 * Indexes that no node has used for a week.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as DatabaseErrors from "../../DatabaseError.ts"
import type { DatabaseError } from "../../DatabaseError.ts"
import { finding, overCluster, unknown, UnknownReason } from "../../HealthCheck.ts"
import type { Node, Threshold } from "../../HealthCheck.ts"
import * as NodeFailure from "../NodeFailure.ts"

const Index = Schema.Struct({
  id: Schema.String,
  index: Schema.String,
  table: Schema.String,
  bytes: Schema.Number
})

/** What one node says. */
const Row = Schema.Struct({
  node: Schema.String,
  /** The beginning of its statistics. */
  sinceMillis: Schema.Number,
  /** Why it could not be read, and so may have used them all. */
  failure: Schema.optional(NodeFailure.NodeFailure),
  /** Of the first node: the largest indexes that it has not used. */
  candidates: Schema.Array(Index),
  /** Of the other nodes: which of the candidates they have used. */
  used: Schema.Array(Schema.String)
})

/**
 * After a crash the counters begin anew, while the database's `stats_reset` stays as it was (NULL on 15); the background
 * writer's, reset by the same recovery, tells. A clean restart keeps the counters, so the start of the server counts only
 * where nothing else is known.
 */
const sinceSql = `
SELECT (1000 * extract(epoch FROM coalesce(
         greatest((SELECT stats_reset FROM pg_catalog.pg_stat_database WHERE datname = current_database()),
                  (SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter)),
         pg_postmaster_start_time())))::float8 AS "sinceMillis"`

/**
 * Ranked by relpages, which is in the catalogue; a size function would open every relation. An index that enforces
 * something, that replication identifies rows by, or that belongs to a partitioned index is never a candidate.
 */
const candidatesSql = `
WITH largest AS (
  SELECT x.indexrelid, x.indrelid, i.relname, i.relnamespace, i.relpages
  FROM pg_catalog.pg_index AS x
  JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
  WHERE i.relkind = 'i' AND NOT i.relispartition AND x.indisvalid AND i.relpersistence <> 't'
    AND NOT x.indisunique AND NOT x.indisexclusion AND NOT x.indisreplident
    AND i.relnamespace <> ALL (ARRAY(SELECT oid FROM pg_catalog.pg_namespace
                                     WHERE nspname IN ('pg_catalog', 'information_schema', 'pg_toast')))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = x.indexrelid)
    AND coalesce(pg_stat_get_numscans(x.indexrelid), 0) = 0
  ORDER BY i.relpages DESC, x.indexrelid
  LIMIT 1000
)
SELECT l.indexrelid::text AS "id", format('%I.%I', n.nspname, l.relname) AS "index",
       format('%I.%I', tn.nspname, t.relname) AS "table",
       l.relpages::float8 * current_setting('block_size')::float8 AS "bytes"
FROM largest AS l
JOIN pg_catalog.pg_namespace AS n ON n.oid = l.relnamespace
JOIN pg_catalog.pg_class AS t ON t.oid = l.indrelid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.relnamespace
ORDER BY l.relpages DESC, 2`

/** The ids are digits, as the candidates' query wrote them. */
const usedSql = (candidates: ReadonlyArray<typeof Index.Type>): string => `
SELECT id::text AS "id" FROM unnest('{${candidates.map((index) => index.id).join(",")}}'::oid[]) AS id
WHERE pg_stat_get_numscans(id) > 0`

const decodeSince = Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ sinceMillis: Schema.Number })))
const decodeIndexes = Schema.decodeUnknown(Schema.Array(Index))
const decodeIds = Schema.decodeUnknown(Schema.Array(Schema.Struct({ id: Schema.String })))

type Row = typeof Row.Type

const blind = (node: Node, error: DatabaseError): Row => ({
  node: node.name,
  sinceMillis: 0,
  candidates: [],
  used: [],
  failure: NodeFailure.fromError(node, error)
})

/** One node's answer; one that cannot be read is an answer, too. */
const ask = <E>(node: Node, what: Effect.Effect<Pick<Row, "candidates" | "used">, E>): Effect.Effect<Row> => {
  if (Either.isLeft(node.facts)) return Effect.succeed(blind(node, node.facts.left))
  return Effect.gen(function* () {
    const [{ sinceMillis }] = yield* Effect.flatMap(node.query(sinceSql), decodeSince)
    return { node: node.name, sinceMillis, ...(yield* what) }
  }).pipe(Effect.catchAll((error) => Effect.succeed(blind(node, DatabaseErrors.from(error)))))
}

const read = Effect.fnUntraced(function* (nodes: ReadonlyArray<Node>) {
  const first = nodes.find((node) => Either.isRight(node.facts)) ?? nodes[0]
  if (first === undefined) return []
  const head = yield* ask(
    first,
    first.query(candidatesSql).pipe(
      Effect.flatMap(decodeIndexes),
      Effect.map((candidates) => ({ candidates, used: [] }))
    )
  )
  const others = yield* Effect.forEach(
    nodes.filter((node) => node !== first),
    (node) =>
      ask(
        node,
        node.query(usedSql(head.candidates)).pipe(
          Effect.flatMap(decodeIds),
          Effect.map((rows) => ({ candidates: [], used: rows.map((row) => row.id) }))
        )
      ),
    { concurrency: "unbounded" }
  )
  return [head, ...others]
})

/** Unused on every node that answered, and large enough to matter. */
const unusedOf = (rows: ReadonlyArray<Row>, size: Threshold): ReadonlyArray<typeof Index.Type> => {
  const used = new Set(rows.flatMap((row) => row.used))
  return rows.flatMap((row) => row.candidates).filter(({ bytes, id }) => bytes >= size.warning && !used.has(id))
}

export const unusedIndex = overCluster({
  id: "unused-index",
  title: "Every index is used",
  category: "schema",
  tier: "catalogue",
  doc: "Indexes that no query has used on any node since the statistics began, a week ago at least. Each write pays for them. What enforces a constraint is never listed.",
  row: Row,
  thresholds: {
    window: {
      warning: Duration.toSeconds("7 days"),
      unit: "seconds",
      bad: "below",
      source: "a week holds the weekly report; an index for the month's end needs a suppression with a note"
    },
    size: {
      warning: 128 * 8192,
      unit: "bytes",
      source: "128 pages: below that an index costs next to nothing, and bloat estimates stop there, too"
    }
  },
  read,
  evaluate: (rows, { size, window }, { nowMillis }) => {
    const [failed] = rows.flatMap(({ failure, node }) => (failure === undefined ? [] : [{ node, failure }]))
    const unused = unusedOf(rows, size)
    if (failed !== undefined && (unused.length > 0 || rows.every((row) => row.failure !== undefined))) {
      return [unknown(NodeFailure.toUnknown(failed.node, failed.failure))]
    }
    if (unused.length === 0) return []
    const sinceMillis = Math.max(...rows.map((row) => row.sinceMillis))
    if (nowMillis - sinceMillis < window.warning * 1000) {
      return [unknown(UnknownReason.StatisticsWindow({ sinceMillis, needed: Duration.seconds(window.warning) }))]
    }
    const days = ((nowMillis - sinceMillis) / 86_400_000).toFixed(0)
    return unused.map((index) =>
      finding({
        severity: "warning",
        subject: index.index,
        evidence: `${index.index} on ${index.table} (${(index.bytes / 1024 ** 2).toFixed(1)} MB) was used on no node in ${days} days`,
        remediation: `If it is not younger than that: DROP INDEX CONCURRENTLY ${index.index};`
      })
    )
  },
  measure: (rows, { size }) => [
    {
      name: "unused",
      unit: "bytes",
      value: unusedOf(rows, size).reduce((sum, { bytes }) => sum + bytes, 0),
      minimum: 0
    }
  ]
})
