/**
 * One look at a node, in one statement.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { DatabaseError } from "../DatabaseError.ts"
import type { WireConnection } from "../internal/pg/WireConnection.ts"
import { parseLsn } from "./ReplicationState.ts"

/**
 * What a node said of itself.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeSample {
  /** Before the statement was sent, in monotonic milliseconds: everything that ended earlier is covered by `lsn`. */
  readonly startedAt: number
  /** When the monitor's connection was opened. A crash of the server ends it, so the server ran through since then. */
  readonly connectionOpenedAt: number
  readonly role: "primary" | "standby"
  readonly systemIdentifier: string
  /** Where the answer came from: address, port and start time of the server. A node is not a URL. */
  readonly identity: string
  readonly timeline: number
  /**
   * On a primary where the last inserted record ends: the write position can be behind a commit when
   * `synchronous_commit` is off. On a standby how far it is replayed.
   */
  readonly lsn: bigint
  /** Of a standby: whether WAL arrives now; undefined where the user may not see it. */
  readonly streaming: boolean | undefined
  readonly paused: boolean
}

/**
 * The statement that names a server: one connection's answer equals another's when they speak to the same running
 * server.
 */
export const identitySql =
  "(SELECT system_identifier FROM pg_catalog.pg_control_system())::text AS system, " +
  "concat_ws(' ', pg_catalog.inet_server_addr(), pg_catalog.inet_server_port(), pg_catalog.pg_postmaster_start_time()) AS identity"

/**
 * Timelines: a primary's is in the name of its current WAL file (the control file is late after a promotion), a
 * standby's is the larger of what it receives and what it must reach.
 */
const sampleSql = `
  SELECT recovering AS standby, ${identitySql},
    CASE WHEN recovering THEN pg_catalog.pg_last_wal_replay_lsn()
         ELSE pg_catalog.pg_current_wal_insert_lsn() END::text AS lsn,
    CASE WHEN recovering THEN greatest(receiver.received_tli,
           (SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()),
           (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()))
         ELSE ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
         END AS timeline,
    CASE WHEN NOT recovering THEN NULL
         WHEN receiver.pid IS NULL THEN false
         WHEN receiver.status IS NULL THEN NULL
         ELSE receiver.status = 'streaming' END AS streaming,
    CASE WHEN recovering THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END AS paused,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size'))::text AS segment,
    pg_catalog.current_setting('wal_block_size') AS block
  FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovering OFFSET 0) AS node
  LEFT JOIN pg_catalog.pg_stat_wal_receiver AS receiver ON true`

const Row = Schema.Struct({
  standby: Schema.Boolean,
  system: Schema.String,
  identity: Schema.String,
  lsn: Schema.NullOr(Schema.String),
  timeline: Schema.NullOr(Schema.Number),
  streaming: Schema.NullOr(Schema.Boolean),
  paused: Schema.Boolean,
  segment: Schema.BigInt,
  block: Schema.BigInt
})
const decode = Schema.decodeUnknown(Row)

/** Headers of WAL pages in xlog_internal.h: the first of a segment, and any other. */
const longHeader = 40n
const shortHeader = 24n

/**
 * The end of the last record before an insert position. After a record that fills its page, as the one that switches
 * segments does, the insert position is behind the header of a page that has no record yet; replay stops before it, and
 * without this no standby would ever be level with an idle primary.
 */
export const recordEnd = (insert: bigint, segment: bigint, block: bigint): bigint =>
  insert % segment === longHeader ? insert - longHeader : insert % block === shortHeader ? insert - shortHeader : insert

/** Fails when the node does not answer in time; its connection is of no use then. */
export const sample = (
  connection: WireConnection,
  now: () => number,
  timeout: Duration.Duration
): Effect.Effect<NodeSample, DatabaseError> =>
  Effect.suspend(() => {
    const startedAt = now()
    const lost = (description: string) =>
      new DatabaseError({ reason: "ConnectionLost", operation: "monitor", description, node: connection.node })
    // Without a canceller: a server that does not answer this would not answer a CancelRequest either.
    const answered = Deferred.unsafeMake<unknown, DatabaseError>(FiberId.none)
    connection.unsafeRun([{ text: sampleSql, params: [] }], { operation: "monitor" }, (error, results) =>
      Deferred.unsafeDone(answered, error === undefined ? Effect.succeed(results[0]?.rows[0]) : Effect.fail(error))
    )
    return Deferred.await(answered).pipe(
      Effect.timeoutOption(timeout),
      // After a pause of this process the timer fires before the socket is read, so the answer gets one more chance.
      Effect.flatMap(
        Option.match({
          onNone: () =>
            Effect.timeoutFail(Deferred.await(answered), {
              duration: "100 millis",
              onTimeout: () => lost("it did not answer in time")
            }),
          onSome: Effect.succeed
        })
      ),
      Effect.flatMap((row) =>
        Effect.mapError(decode(row), (cause) => lost(`an answer of another shape: ${cause.message}`))
      ),
      Effect.map((row) => ({
        startedAt,
        connectionOpenedAt: connection.openedAt,
        role: row.standby ? "standby" : "primary",
        systemIdentifier: row.system,
        identity: row.identity,
        timeline: row.timeline ?? 0,
        lsn: row.standby ? parseLsn(row.lsn ?? "0/0") : recordEnd(parseLsn(row.lsn ?? "0/0"), row.segment, row.block),
        streaming: row.streaming ?? undefined,
        paused: row.paused
      }))
    )
  })
