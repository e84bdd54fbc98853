/**
 * Is every node what it is meant to be, and is there exactly one primary.
 */
import * as Array from "effect/Array"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { finding, overCluster, unknown, UnknownReason } from "../../HealthCheck.ts"
import type { Result } from "../../HealthCheck.ts"

const Row = Schema.Struct({
  node: Schema.String,
  meant: Schema.Literal("primary", "replica"),
  /** Undefined when it did not answer. */
  inRecovery: Schema.optional(Schema.Boolean),
  /** Which running server answered: two names may lead to one. */
  server: Schema.optional(Schema.String),
  /** Why it did not. */
  failure: Schema.optional(Schema.String)
})

type Row = typeof Row.Type

/** The rows of each server, in the order of the configuration: the primary first. What did not answer is by itself. */
const byServer = (rows: ReadonlyArray<Row>): ReadonlyArray<Array.NonEmptyReadonlyArray<Row>> =>
  Object.values(Array.groupBy(rows, (row) => (row.server === undefined ? `name ${row.node}` : `server ${row.server}`)))

const namedTwice = ([first, ...others]: Array.NonEmptyReadonlyArray<Row>): ReadonlyArray<Result> =>
  others.length === 0 || first.server === undefined
    ? []
    : [
        finding({
          severity: "warning",
          subject: first.node,
          evidence: `${listed([first, ...others].map(({ node }) => node))} are one server: ${first.inRecovery === true ? "a standby" : "the primary"}`,
          remediation:
            "Name each server once in DATABASE_URL and DATABASE_REPLICA_URLS; after a failover, see where each address leads now"
        })
      ]

const listed = (names: ReadonlyArray<string>): string => `${names.slice(0, -1).join(", ")} and ${names.at(-1) ?? ""}`

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
        server: Either.isRight(node.facts) ? node.facts.right.server : undefined,
        failure: Either.isLeft(node.facts) ? node.facts.left.description : undefined
      }))
    ),
  evaluate: (rows) => {
    const silent = rows
      .filter((row) => row.inRecovery === undefined)
      .map(({ failure = "it does not answer", node }) =>
        unknown(UnknownReason.Unreachable({ node, description: failure }), node)
      )
    const servers = byServer(rows)
    const twice = servers.flatMap(namedTwice)
    const distinct = servers.map(([row]) => row)
    const writable = distinct.filter((row) => row.inRecovery === false)
    if (writable.length > 1) {
      return [
        finding({
          severity: "critical",
          subject: "split brain",
          evidence: `${writable.length} nodes accept writes: ${writable.map((row) => row.node).join(", ")}`,
          remediation:
            "Stop writes to all but the one on the highest timeline (SELECT pg_walfile_name(pg_current_wal_insert_lsn())), then rejoin the others with pg_rewind"
        }),
        ...twice,
        ...silent
      ]
    }
    const misplaced = distinct.flatMap((row) => {
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
    return [...twice, ...misplaced, ...silent]
  },
  measure: (rows) =>
    rows.flatMap((row) =>
      row.inRecovery === undefined
        ? []
        : [{ name: "in_recovery", unit: "count", value: row.inRecovery ? 1 : 0, subject: row.node }]
    )
})
