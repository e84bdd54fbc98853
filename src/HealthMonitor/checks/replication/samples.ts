/**
 * Reads both ends of a replication link.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as DatabaseErrors from "../../../DatabaseError.ts"
import type { DatabaseError } from "../../../DatabaseError.ts"
import type { Node } from "../../../HealthCheck.ts"
import { parseLsn } from "../../../NodeMonitor/ReplicationState.ts"
import type { PrimarySample, StandbySample } from "../../../NodeMonitor/ReplicationState.ts"

const PrimaryRow = Schema.Struct({
  systemIdentifier: Schema.String,
  timeline: Schema.Int,
  flushed: Schema.String,
  lostSlots: Schema.Array(Schema.String),
  replayLag: Schema.NullOr(Schema.Number)
})

/** `pg_control_checkpoint().timeline_id` is late after a promotion, so the timeline is that of the WAL file in use. */
const primarySql = `
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier",
       ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int AS "timeline",
       pg_current_wal_flush_lsn()::text AS "flushed",
       ARRAY(SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE wal_status = 'lost') AS "lostSlots",
       CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
            THEN coalesce((SELECT extract(epoch FROM max(replay_lag)) FROM pg_catalog.pg_stat_replication), 0)::float8
       END AS "replayLag"`

const StandbyRow = Schema.Struct({
  systemIdentifier: Schema.String,
  inRecovery: Schema.Boolean,
  recoveryTimeline: Schema.NullOr(Schema.Int),
  received: Schema.NullOr(Schema.String),
  replayed: Schema.NullOr(Schema.String),
  paused: Schema.Boolean,
  slot: Schema.NullOr(Schema.String),
  commitAge: Schema.NullOr(Schema.Number),
  receivers: Schema.Int,
  status: Schema.NullOr(Schema.String),
  receivedTimeline: Schema.NullOr(Schema.Int),
  silent: Schema.NullOr(Schema.Number)
})

/** Without pg_read_all_stats the receiver's row has a pid and nothing else. */
const standbySql = `
SELECT (SELECT system_identifier::text FROM pg_control_system()) AS "systemIdentifier",
       r.recovering AS "inRecovery",
       (SELECT nullif(min_recovery_end_timeline, 0) FROM pg_control_recovery()) AS "recoveryTimeline",
       CASE WHEN r.recovering THEN pg_last_wal_receive_lsn() END::text AS "received",
       CASE WHEN r.recovering THEN pg_last_wal_replay_lsn() END::text AS "replayed",
       CASE WHEN r.recovering THEN pg_get_wal_replay_pause_state() = 'paused' ELSE false END AS "paused",
       nullif(current_setting('primary_slot_name'), '') AS "slot",
       extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS "commitAge",
       (SELECT count(*)::int FROM pg_catalog.pg_stat_wal_receiver) AS "receivers",
       w.status AS "status",
       w.received_tli AS "receivedTimeline",
       extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time)::float8 AS "silent"
FROM (SELECT pg_is_in_recovery() AS recovering) AS r
LEFT JOIN pg_catalog.pg_stat_wal_receiver AS w ON true`

const one = <A, I>(schema: Schema.Schema<A, I>, node: Node, sql: string): Effect.Effect<A, DatabaseError> =>
  node.query(sql).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.Tuple(schema))),
    Effect.map(([row]) => row),
    Effect.mapError(DatabaseErrors.from)
  )

export const readPrimary = Effect.fnUntraced(function* (node: Node) {
  const atMillis = yield* Clock.currentTimeMillis
  const row = yield* one(PrimaryRow, node, primarySql)
  return {
    atMillis,
    systemIdentifier: row.systemIdentifier,
    timeline: row.timeline,
    flushedLsn: parseLsn(row.flushed),
    lostSlots: row.lostSlots,
    largestReplayLagSeconds: row.replayLag ?? undefined
  } satisfies PrimarySample
})

export const readStandby = Effect.fnUntraced(function* (node: Node) {
  if (Either.isLeft(node.facts)) return yield* node.facts.left
  const row = yield* one(StandbyRow, node, standbySql)
  const timelines = [row.receivedTimeline, row.recoveryTimeline].filter((timeline) => timeline !== null)
  return {
    atMillis: yield* Clock.currentTimeMillis,
    systemIdentifier: row.systemIdentifier,
    inRecovery: row.inRecovery,
    timeline: timelines.length === 0 ? undefined : Math.max(...timelines),
    receivedLsn: row.received === null ? undefined : parseLsn(row.received),
    replayedLsn: row.replayed === null ? undefined : parseLsn(row.replayed),
    replayPaused: row.paused,
    receiver: receiverOf(row, node.facts.right.user),
    slot: row.slot ?? undefined,
    lastReplayedCommitAgeSeconds: row.commitAge ?? undefined
  } satisfies StandbySample
})

const receiverOf = (row: typeof StandbyRow.Type, user: string): StandbySample["receiver"] => {
  if (row.receivers === 0) return { _tag: "None" }
  return row.status === null
    ? { _tag: "Hidden", user }
    : { _tag: "Running", status: row.status, silentSeconds: row.silent ?? undefined }
}
