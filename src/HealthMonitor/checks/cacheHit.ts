/**
 * How much of what is read comes from shared buffers, since the reading before.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { finding, grade, perNode, unknown, UnknownReason } from "../../HealthCheck.ts"
import type { NodeContext } from "../../HealthCheck.ts"

const Row = Schema.Struct({ hit: Schema.Number, read: Schema.Number })

type Row = typeof Row.Type

/** Statistics are flushed once a second by each backend. */
const interval = Duration.seconds(1)

/** Below this (78 MB) a percentage says something about chance. */
const enoughBlocks = 10_000

/**
 * The percentage over the interval: undefined when too little was read, `reset` when the counters went back.
 */
const overInterval = (rows: ReadonlyArray<Row>, context: NodeContext<Row>): number | "first" | "reset" | undefined => {
  const before = context.earlier.at(-1)?.rows[0]
  const now = rows[0]
  if (before === undefined || now === undefined) return "first"
  const hit = now.hit - before.hit
  const read = now.read - before.read
  if (hit < 0 || read < 0) return "reset"
  return hit + read < enoughBlocks ? undefined : (100 * hit) / (hit + read)
}

export const cacheHit = perNode({
  id: "cache-hit",
  title: "Reads come from shared buffers",
  category: "performance",
  tier: "fast",
  doc: "Share of block requests answered from shared buffers, over the time since the reading before. A ratio since ever hides that an index was dropped this morning.",
  on: "each",
  remember: 1,
  interval,
  row: Row,
  thresholds: {
    ratio: {
      warning: 90,
      critical: 80,
      unit: "percent",
      bad: "below",
      source: "check_postgres, action hitratio: its documented example limits are 90 % and 80 %"
    }
  },
  sql: () => `
SELECT blks_hit::float8 AS "hit", blks_read::float8 AS "read"
FROM pg_catalog.pg_stat_database WHERE datname = current_database()`,
  evaluate: (rows, { ratio }, context) => {
    const percent = overInterval(rows, context)
    if (percent === "first")
      return [unknown(UnknownReason.StatisticsWindow({ sinceMillis: undefined, needed: interval }))]
    if (percent === "reset") {
      return [unknown(UnknownReason.StatisticsWindow({ sinceMillis: context.nowMillis, needed: interval }))]
    }
    const severity = percent === undefined ? undefined : grade(percent, ratio)
    return percent === undefined || severity === undefined
      ? []
      : [
          finding({
            severity,
            subject: `${context.facts.database} on ${context.node}`,
            evidence: `${percent.toFixed(1)} % of block requests were answered from shared buffers since the reading before`,
            remediation:
              "Find what reads: SELECT relname, heap_blks_read, idx_blks_read FROM pg_statio_user_tables ORDER BY heap_blks_read DESC LIMIT 10; then an index, or ALTER SYSTEM SET shared_buffers (restart)"
          })
        ]
  },
  measure: (rows, { ratio }, context) => {
    const percent = overInterval(rows, context)
    return typeof percent === "number"
      ? [{ name: "ratio", unit: "percent", value: percent, threshold: ratio, minimum: 0, maximum: 100 }]
      : []
  }
})
