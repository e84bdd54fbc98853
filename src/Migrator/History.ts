/**
 * What was applied to this database: the table `plinth.migration`, read and written. The server's clock is the only one.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Lock } from "./Lock.ts"
import { lost } from "./Lock.ts"
import type { MigrationError } from "./MigrationError.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import type { Session } from "./Session.ts"

/** A statement outside of a transaction that was begun and not yet recorded as done. */
export const InFlight = Schema.Struct({
  statement: Schema.Int,
  /** Indexes that its table had before, as `schema.name`. */
  indexes: Schema.Array(Schema.String)
})

/** A row of the history without its long texts. */
export const Row = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  kind: Schema.Literal("versioned", "repeatable"),
  status: Schema.Literal("started", "applied", "reverting", "reverted"),
  transactional: Schema.Boolean,
  rawChecksum: Schema.String,
  semanticChecksum: Schema.String,
  statements: Schema.Int,
  statementsDone: Schema.Int,
  inFlight: Schema.NullOr(InFlight),
  startedAt: Schema.DateTimeUtc,
  finishedAt: Schema.NullOr(Schema.DateTimeUtc),
  durationMs: Schema.NullOr(Schema.Number),
  appliedBy: Schema.String,
  host: Schema.String,
  application: Schema.String,
  version: Schema.String,
  run: Schema.Int
})

export type Row = typeof Row.Type

const utc = (column: string): string =>
  `pg_catalog.to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** Every migration that the database knows, in the order of the last run of each. */
export const read = (session: Session): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  session.read(
    Row,
    `SELECT id, name, kind, status, transactional,
      raw_checksum AS "rawChecksum", semantic_checksum AS "semanticChecksum",
      statements, statements_done AS "statementsDone", in_flight AS "inFlight",
      ${utc("started_at")} AS "startedAt", ${utc("finished_at")} AS "finishedAt", duration_ms AS "durationMs",
      applied_by AS "appliedBy", host, application, plinth_version AS version, run
    FROM plinth.migration ORDER BY run`
  )

const Texts = Schema.Struct({ id: Schema.String, applied: Schema.String, down: Schema.NullOr(Schema.String) })

/** The texts as they were applied, for those few migrations where they matter. */
export const texts = (
  session: Session,
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyMap<string, typeof Texts.Type>, SqlError> =>
  ids.length === 0
    ? Effect.succeed(new Map())
    : session.connection
        .execute(
          "SELECT id, applied_text AS applied, down_text AS down FROM plinth.migration WHERE id = ANY($1::text[])",
          [ids],
          undefined
        )
        .pipe(
          Effect.flatMap((rows) => Effect.orDie(Schema.decodeUnknown(Schema.Array(Texts))(rows))),
          Effect.map((rows) => new Map(rows.map((row) => [row.id, row])))
        )

/** Who runs migrations, as the history remembers it. */
export interface Author {
  readonly host: string
  readonly application: string
  readonly version: string
}

/** What changes in a row while its migration runs. */
export interface Progress {
  readonly status: Row["status"]
  readonly done: number
  readonly of: number
}

/** Writes to the history, each only while the lock is held: without it nothing is written and the run stops. */
export interface Writer {
  /** A migration begins, goes on with a corrected text, or is applied in one go. */
  readonly put: (
    file: MigrationFile,
    transactional: boolean,
    progress: Progress
  ) => Effect.Effect<void, SqlError | MigrationError>
  /** Statements were done; nothing is in flight any more. */
  readonly advance: (id: string, progress: Progress) => Effect.Effect<void, SqlError | MigrationError>
  /** A statement outside of a transaction is about to run. */
  readonly launch: (id: string, inFlight: typeof InFlight.Type) => Effect.Effect<void, SqlError | MigrationError>
  /** Repeatable objects may have lost what they stand on, so they are applied again by the next run. */
  readonly renewRepeatables: Effect.Effect<void, SqlError>
}

const finished = `CASE WHEN $1::text IN ('applied', 'reverted') THEN pg_catalog.clock_timestamp() END`

/** `now()` is the start of the transaction, and so of a migration that runs in one. */
const putStatement = (lock: Lock): string => `INSERT INTO plinth.migration AS m (
  status, id, name, kind, transactional, raw_checksum, semantic_checksum, applied_text, down_text,
  statements_done, statements, host, application, plinth_version, started_at, finished_at, duration_ms
)
SELECT $1::text, $2::text, $3::text, $4::text, $5::boolean, $6::text, $7::text, $8::text, $9::text,
  $10::int, $11::int, $12::text, $13::text, $14::text, now(), ${finished},
  CASE WHEN $1::text = 'applied' THEN EXTRACT(epoch FROM pg_catalog.clock_timestamp() - now()) * 1000 END
WHERE ${lock.isHeld}
ON CONFLICT (id) DO UPDATE SET
  status = excluded.status, name = excluded.name, transactional = excluded.transactional,
  raw_checksum = excluded.raw_checksum, semantic_checksum = excluded.semantic_checksum,
  applied_text = excluded.applied_text, down_text = excluded.down_text,
  statements_done = excluded.statements_done, statements = excluded.statements,
  applied_by = session_user, host = excluded.host, application = excluded.application,
  plinth_version = excluded.plinth_version, finished_at = excluded.finished_at, duration_ms = excluded.duration_ms,
  started_at = CASE WHEN m.status = 'started' THEN m.started_at ELSE excluded.started_at END,
  in_flight = CASE WHEN m.status = 'started' AND excluded.status = 'started' THEN m.in_flight END,
  run = DEFAULT
RETURNING id`

const advanceStatement = (lock: Lock): string => `UPDATE plinth.migration SET
  status = $1::text, statements_done = $3::int, statements = $4::int, in_flight = NULL,
  finished_at = ${finished},
  duration_ms = CASE
    WHEN $1::text = 'applied' THEN EXTRACT(epoch FROM pg_catalog.clock_timestamp() - started_at) * 1000
    ELSE duration_ms
  END,
  run = CASE WHEN $1::text = 'reverted' THEN pg_catalog.nextval('plinth.migration_run_seq') ELSE run END
WHERE id = $2::text AND ${lock.isHeld}
RETURNING id`

const launchStatement = (lock: Lock): string =>
  `UPDATE plinth.migration SET in_flight = $2::jsonb WHERE id = $1::text AND ${lock.isHeld} RETURNING id`

/** A writer on the session whose transactions the rows belong to. */
export const writer = (session: Session, lock: Lock, author: Author): Writer => {
  const fenced = (sql: string, parameters: ReadonlyArray<unknown>): Effect.Effect<void, SqlError | MigrationError> =>
    Effect.flatMap(session.connection.execute(sql, parameters, undefined), (rows) =>
      rows.length === 1 ? Effect.void : Effect.fail(lost())
    )
  return {
    put: (file, transactional, { done, of, status }) =>
      fenced(putStatement(lock), [
        status,
        file.id,
        file.name,
        file.kind,
        transactional,
        file.rawChecksum,
        file.semanticChecksum,
        file.text,
        file.downText ?? null,
        done,
        of,
        author.host,
        author.application,
        author.version
      ]),
    advance: (id, { done, of, status }) => fenced(advanceStatement(lock), [status, id, done, of]),
    launch: (id, inFlight) => fenced(launchStatement(lock), [id, JSON.stringify(inFlight)]),
    renewRepeatables: session.run(
      "UPDATE plinth.migration SET status = 'reverted' WHERE kind = 'repeatable' AND status = 'applied'"
    )
  }
}
