/**
 * Is every node what it is meant to be, and is there exactly one primary.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { finding, overCluster, unknown, UnknownReason } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  node: Schema.String,
  meant: Schema.Literal("primary", "replica"),
  /** Undefined when it did not answer. */
  inRecovery: Schema.optional(Schema.Boolean),
  /** Why it did not. */
  failure: Schema.optional(Schema.String)
})

export const role = overCluster({
  id: "role",
  title: "Every node has its role",
  category: "availability",
  tier: "probe",
  doc: "One node accepts writes and all others follow it. Two primaries are a split brain: what is written to one of them will be lost.",
  row: Row,
  thresholds: {},
  read: (nodes) =>
    Effect.succeed(
      nodes.map((node): typeof Row.Type => ({
        node: node.name,
        meant: node.role,
        inRecovery: Either.isRight(node.facts) ? node.facts.right.inRecovery : undefined,
        failure: Either.isLeft(node.facts) ? node.facts.left.description : undefined
      }))
    ),
  evaluate: (rows) => {
    const silent = rows
      .filter((row) => row.inRecovery === undefined)
      .map(({ failure = "it does not answer", node }) =>
        unknown(UnknownReason.Unreachable({ node, description: failure }), node)
      )
    const writable = rows.filter((row) => row.inRecovery === false)
    if (writable.length > 1) {
      return [
        ...silent,
        finding({
          severity: "critical",
          subject: "split brain",
          evidence: `${writable.length} nodes accept writes: ${writable.map((row) => row.node).join(", ")}`,
          remediation:
            "Stop writes to all but the one on the highest timeline (SELECT pg_walfile_name(pg_current_wal_insert_lsn())), then rejoin the others with pg_rewind"
        })
      ]
    }
    const misplaced = rows.flatMap((row) => {
      if (row.meant === "primary" && row.inRecovery === true) {
        const other = writable[0]
        return [
          finding({
            severity: other === undefined ? "critical" : "warning",
            subject: row.node,
            evidence:
              other === undefined
                ? `${row.node} is configured as the primary and is in recovery; no node accepts writes`
                : `${row.node} is configured as the primary and is a standby; ${other.node} accepts writes`,
            remediation:
              other === undefined
                ? "Find out why it is in recovery (a restore, a failover under way), or promote a node: SELECT pg_promote();"
                : "Make the configuration say so: a failover has taken place"
          })
        ]
      }
      return row.meant === "replica" && row.inRecovery === false
        ? [
            finding({
              severity: "warning",
              subject: row.node,
              evidence: `${row.node} is configured as a replica and accepts writes: it was promoted`,
              remediation: "Make the configuration say so, or rejoin it as a standby"
            })
          ]
        : []
    })
    return [...misplaced, ...silent]
  },
  measure: (rows) =>
    rows.flatMap((row) =>
      row.inRecovery === undefined
        ? []
        : [{ name: "in_recovery", unit: "count", value: row.inRecovery ? 1 : 0, subject: row.node }]
    )
})
