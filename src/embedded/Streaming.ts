/**
 * Who writes WAL on which timeline, and who receives it: the proof that a standby follows its primary.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { ControlSession } from "./ControlSession.ts"
import * as Control from "./ControlSession.ts"
import { EmbeddedPostgresError } from "./EmbeddedPostgresError.ts"
import type { Endpoint } from "./Endpoint.ts"

const often = Schedule.spaced(Duration.millis(10))

const giveUpAfter = (patience: Duration.DurationInput, operation: string, node: Endpoint, description: string) =>
  Effect.timeoutFail({
    duration: patience,
    onTimeout: () => new EmbeddedPostgresError({ reason: "NotStreaming", operation, node: node.name, description })
  })

const Count = Schema.Struct({ streaming: Schema.Number })
const streamingStandbys = (names: ReadonlyArray<string>) =>
  `select count(distinct application_name)::int as streaming from pg_catalog.pg_stat_replication
   where state = 'streaming' and application_name in (${names.map((name) => `'${name}'`).join(", ")})`

/** Waits until the primary sends its newest WAL to all of these standbys. */
export const awaitStreaming = (
  primary: Endpoint,
  names: ReadonlyArray<string>,
  patience: Duration.DurationInput
): Effect.Effect<void, EmbeddedPostgresError> =>
  names.length === 0
    ? Effect.void
    : Effect.flatMap(Control.open(primary, "await streaming"), (session) =>
        session
          .rows(Count, streamingStandbys(names))
          .pipe(Effect.repeat({ until: ([row]) => row?.streaming === names.length, schedule: often }))
      ).pipe(
        Effect.scoped,
        giveUpAfter(
          patience,
          "await streaming",
          primary,
          `not all of ${names.join(", ")} receive WAL after ${Duration.format(patience)}`
        ),
        Effect.asVoid
      )

const Timeline = Schema.Struct({ timeline: Schema.NullOr(Schema.Number) })

// pg_walfile_name answers with the timeline in its first eight hexadecimal digits, and fails on a standby. The control
// file is late after a promotion.
const written = `select case when pg_catalog.pg_is_in_recovery() then null
  else ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int end as timeline`
const received = `select max(received_tli) as timeline from pg_catalog.pg_stat_wal_receiver where status = 'streaming'`

const timelineOf = (session: ControlSession, statement: string) =>
  Effect.map(session.rows(Timeline, statement), ([row]) => row?.timeline ?? 0)

/** The timeline on which a node writes; 0 for a standby. */
export const writtenTimeline = (node: Endpoint, operation: string): Effect.Effect<number, EmbeddedPostgresError> =>
  Effect.scoped(Effect.flatMap(Control.open(node, operation), (session) => timelineOf(session, written)))

/**
 * Waits until a standby receives the timeline that its primary writes. One whose history has diverged is sent what both
 * have in common, again and again: it streams for moments, but never on the timeline of the primary.
 */
export const awaitTimeline = (
  standby: Endpoint,
  primary: Endpoint,
  patience: Duration.DurationInput
): Effect.Effect<void, EmbeddedPostgresError> =>
  Effect.gen(function* () {
    const current = yield* writtenTimeline(primary, "await timeline")
    const session = yield* Control.open(standby, "await timeline")
    yield* timelineOf(session, received).pipe(
      Effect.repeat({ until: (timeline) => timeline > 0 && timeline === current, schedule: often })
    )
  }).pipe(
    Effect.scoped,
    giveUpAfter(patience, "await timeline", standby, `it does not follow the timeline of ${primary.name}`)
  )
