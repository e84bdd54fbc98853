/**
 * What every standby is doing, by the state machine over both ends.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { DatabaseError } from "../../DatabaseError.ts"
import { finding, grade, grantOf, overCluster, unknown, UnknownReason } from "../../HealthCheck.ts"
import type { Measurement, Node, Result, Snapshot, Threshold } from "../../HealthCheck.ts"
import * as ReplicationState from "../../NodeMonitor/ReplicationState.ts"
import * as NodeFailure from "../NodeFailure.ts"
import { readPrimary, readStandby } from "./replication/samples.ts"

const Primary = Schema.Struct({
  atMillis: Schema.Number,
  systemIdentifier: Schema.String,
  timeline: Schema.Int,
  flushedLsn: Schema.BigIntFromSelf,
  lostSlots: Schema.Array(Schema.String),
  largestReplayLagSeconds: Schema.optional(Schema.Number)
})

const Standby = Schema.Struct({
  atMillis: Schema.Number,
  systemIdentifier: Schema.String,
  inRecovery: Schema.Boolean,
  timeline: Schema.optional(Schema.Int),
  receivedLsn: Schema.optional(Schema.BigIntFromSelf),
  replayedLsn: Schema.optional(Schema.BigIntFromSelf),
  replayPaused: Schema.Boolean,
  receiver: Schema.Union(
    Schema.TaggedStruct("None", {}),
    Schema.TaggedStruct("Hidden", { user: Schema.String }),
    Schema.TaggedStruct("Running", {
      status: Schema.String,
      silentSeconds: Schema.optional(Schema.Number)
    })
  ),
  slot: Schema.optional(Schema.String),
  lastReplayedCommitAgeSeconds: Schema.optional(Schema.Number)
})

const Row = Schema.Struct({
  node: Schema.String,
  user: Schema.String,
  primary: Schema.optional(Primary),
  /** Or why there is none. */
  standby: Schema.Union(Standby, NodeFailure.NodeFailure)
})

type Row = typeof Row.Type

const positions = (earlier: ReadonlyArray<Snapshot<Row>>): ReadonlyArray<ReplicationState.Position> =>
  earlier.flatMap(({ rows }) => {
    const primary = rows.find((row) => row.primary !== undefined)?.primary
    return primary === undefined ? [] : [{ atMillis: primary.atMillis, lsn: primary.flushedLsn }]
  })

const answered = (node: Node): boolean => Either.isRight(node.facts)

const isSame = (node: Node, head: Node | undefined): boolean =>
  head !== undefined &&
  (node === head ||
    (Either.isRight(node.facts) && Either.isRight(head.facts) && node.facts.right.server === head.facts.right.server))

const unseen = (node: Node): ReadonlyArray<Row> =>
  Either.isRight(node.facts)
    ? []
    : [{ node: node.name, user: "", standby: NodeFailure.fromError(node, node.facts.left) }]

const read = (nodes: ReadonlyArray<Node>): Effect.Effect<ReadonlyArray<Row>, DatabaseError> =>
  Effect.gen(function* () {
    const writable = nodes.filter((node) => Either.isRight(node.facts) && !node.facts.right.inRecovery)
    // A node that was promoted beside its primary is the business of the check `role`.
    const head = writable.find((node) => node.role === "primary") ?? writable[0]
    const primary = head === undefined ? undefined : yield* readPrimary(head)
    // That a server is named twice is, too.
    const standbys = nodes.filter((node) => !isSame(node, head) && (node.role === "replica" || answered(node)))
    // Without its primary nobody knows of standbys: that is no cluster without them.
    if (head === undefined && standbys.length === 0) return nodes.flatMap(unseen)
    return yield* Effect.forEach(
      standbys,
      (node) =>
        Effect.map(
          Effect.merge(Effect.mapError(readStandby(node), (error) => NodeFailure.fromError(node, error))),
          (standby): Row => ({
            node: node.name,
            user: Either.isRight(node.facts) ? node.facts.right.user : "",
            primary,
            standby
          })
        ),
      { concurrency: "unbounded" }
    )
  })

const judge = (
  row: Row,
  state: ReplicationState.ReplicationState,
  lag: Threshold,
  backlog: Threshold
): ReadonlyArray<Result> => {
  const subject = row.node
  const critical = (evidence: string, remediation: string): ReadonlyArray<Result> => [
    finding({ severity: "critical", subject, evidence: `${subject}: ${evidence}`, remediation })
  ]
  switch (state._tag) {
    case "CaughtUp":
      return []
    case "Streaming": {
      const severity = worst(grade(state.seconds, lag), grade(Number(state.bytes), backlog))
      const evidence = `${subject}: ${formatBytes(state.bytes)} and ${state.seconds.toFixed(1)} s behind the primary`
      const remediation =
        "On the standby, look for a query that holds replay back: SELECT pid, now() - xact_start, query FROM pg_stat_activity WHERE backend_type = 'client backend' ORDER BY xact_start;"
      return severity === undefined ? [] : [finding({ severity, subject, evidence, remediation })]
    }
    case "Paused": {
      const severity =
        state.bytes === 0n
          ? "warning"
          : worst("warning", grade(state.seconds ?? 0, lag), grade(Number(state.bytes ?? 0n), backlog))
      const behind = state.bytes === undefined ? "" : `; ${formatBytes(state.bytes)} wait`
      const remediation = "On the standby: SELECT pg_wal_replay_resume();"
      return [
        finding({
          severity: severity ?? "warning",
          subject,
          evidence: `${subject}: ${state.reason}${behind}`,
          remediation
        })
      ]
    }
    case "Disconnected":
      return critical(
        `disconnected: ${state.reason}${state.bytes === undefined ? "" : `; ${formatBytes(state.bytes)} wait`}`,
        "On the standby: SHOW primary_conninfo; and read its log. On the primary: SELECT * FROM pg_stat_replication; and pg_hba.conf"
      )
    case "WrongTimeline":
      return critical(
        state.reason,
        "If it has not written past the fork: ALTER SYSTEM SET primary_conninfo = '<new primary>'; SELECT pg_reload_conf(); otherwise pg_rewind, or a new base backup"
      )
    case "SlotLost":
      return critical(
        state.reason,
        `Make a new copy of the standby; on the primary: SELECT pg_drop_replication_slot('${state.slot}');`
      )
    case "OtherCluster":
      return critical(`it is no copy of the primary: ${state.reason}`, "Check the URL, or make a new base backup")
    case "NotStandby":
      return critical(
        `it does not follow the primary: ${state.reason}`,
        "Make the configuration say so, or rejoin it with pg_rewind"
      )
    case "Unknown":
      return [
        unknown(
          state.grant === undefined
            ? UnknownReason.Failed({ description: state.reason })
            : UnknownReason.Privilege({ lacking: state.grant, grant: grantOf("pg_read_all_stats", row.user) }),
          subject
        )
      ]
  }
}

const worst = (...severities: ReadonlyArray<"warning" | "critical" | undefined>): "warning" | "critical" | undefined =>
  severities.includes("critical") ? "critical" : severities.find((severity) => severity !== undefined)

const formatBytes = (bytes: bigint): string => {
  const units = ["bytes", "kB", "MB", "GB", "TB"]
  let [value, unit] = [Number(bytes), 0]
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1]
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

const stateOf = (row: Row, earlier: ReadonlyArray<Snapshot<Row>>): ReplicationState.ReplicationState | undefined =>
  "description" in row.standby
    ? undefined
    : ReplicationState.decide({ primary: row.primary, standby: row.standby, positions: positions(earlier) })

export const replication = overCluster({
  id: "replication",
  title: "Standbys follow the primary",
  category: "replication",
  tier: "probe",
  doc: "The state of each standby, from samples of both ends. The usual formulas say 0 while the link is cut and grow while the primary is idle; this is a state machine.",
  row: Row,
  remember: 120,
  thresholds: {
    lag: {
      warning: 30,
      critical: 300,
      unit: "seconds",
      source: "max_standby_streaming_delay is 30 s: a replay that waits for a query longer than that cancels it"
    },
    backlog: {
      warning: 256 * 1024 ** 2,
      critical: 1024 ** 3,
      unit: "bytes",
      source: "max_wal_size is 1 GB: past it the primary removes WAL that no slot keeps; a quarter of it warns"
    }
  },
  read,
  evaluate: (rows, { backlog, lag }, { earlier }) =>
    rows.flatMap((row) => {
      if ("description" in row.standby) return [unknown(NodeFailure.toUnknown(row.node, row.standby), row.node)]
      const state = stateOf(row, earlier)
      return state === undefined ? [] : judge(row, state, lag, backlog)
    }),
  measure: (rows, { backlog, lag }, { earlier }) =>
    rows.flatMap((row): ReadonlyArray<Measurement> => {
      const state = stateOf(row, earlier)
      if (state === undefined) return []
      const bytes = state._tag === "CaughtUp" ? 0n : "bytes" in state ? state.bytes : undefined
      const seconds = state._tag === "CaughtUp" ? 0 : "seconds" in state ? state.seconds : undefined
      const subject = row.node
      return [
        ...(seconds === undefined
          ? []
          : [{ name: "lag", unit: "seconds" as const, value: seconds, subject, threshold: lag, minimum: 0 }]),
        ...(bytes === undefined
          ? []
          : [
              { name: "backlog", unit: "bytes" as const, value: Number(bytes), subject, threshold: backlog, minimum: 0 }
            ])
      ]
    })
})
