/**
 * A row that is written with COMMIT, so that what became of the transaction can be told after a crash or a failover too.
 *
 * Whoever lost the answer inserts the same key with the other outcome. A transaction that still ends is waited for by the
 * unique index; one that was not committed finds the key taken if it ever tries. So the row that stays is the truth, for
 * as long as the server that has it does not lose it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { XactOutcome } from "../ConnectionPool/xactStatus.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import { setLocal } from "./begin.ts"

export interface CommitMarkers {
  /** Makes the table where there is none, and now and then removes rows that nobody asks for any more. */
  readonly ready: Effect.Effect<void, DatabaseError>
  readonly outcomeOf: (key: string) => Effect.Effect<Option.Option<XactOutcome>>
}

/** How long a failover may take before the outcome is called unknown. */
const resolveTimeout = "30 seconds"

/** Between attempts to ask. */
const askAgain = Schedule.jittered(Schedule.spaced("200 millis"))

/** How often old rows are removed, in milliseconds. */
const cleaningInterval = 3_600_000

/** Rows that one cleaning removes at most: it runs in front of somebody's transaction. */
const mostCleaned = 10_000

const install = `CREATE SCHEMA IF NOT EXISTS plinth;
CREATE TABLE IF NOT EXISTS plinth.commit_marker (
  key uuid PRIMARY KEY,
  outcome text NOT NULL CHECK (outcome IN ('committed', 'aborted')),
  at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE plinth.commit_marker IS 'What became of transactions that asked for a confirmation; rows of a day ago may go'`

const exists: Query = {
  text: "SELECT pg_catalog.to_regclass('plinth.commit_marker') IS NOT NULL AS found",
  params: [],
  types: "stock"
}

const clean: Query = {
  text:
    "DELETE FROM plinth.commit_marker WHERE key IN (SELECT key FROM plinth.commit_marker " +
    `WHERE at < pg_catalog.clock_timestamp() - interval '1 day' LIMIT ${mostCleaned})`,
  params: []
}

/**
 * What travels with COMMIT. A role that the transaction has taken need not be able to write markers, but what is deferred
 * to COMMIT is done as that role.
 */
export const markerSteps = (key: string, role: string | undefined): ReadonlyArray<Query> => {
  const insert = { text: "INSERT INTO plinth.commit_marker (key, outcome) VALUES ($1, 'committed')", params: [key] }
  return role === undefined ? [insert] : [setLocal("role", "none"), insert, setLocal("role", role)]
}

const settle = (key: string): ReadonlyArray<Query> => [
  {
    text: "INSERT INTO plinth.commit_marker (key, outcome) VALUES ($1, 'aborted') ON CONFLICT DO NOTHING",
    params: [key]
  },
  { text: "SELECT outcome FROM plinth.commit_marker WHERE key = $1", params: [key], types: "stock" }
]

export const make = (backend: SqlBackend): CommitMarkers => {
  let cleanedAt = Number.NEGATIVE_INFINITY
  const prepare = Effect.fnUntraced(function* (now: number) {
    const [result] = yield* backend.batch([exists])
    if (result?.rows[0]?.found !== true) {
      yield* backend.run({ text: install, params: [], protocol: "simple" }).pipe(
        // Another process may be as far as we are: IF NOT EXISTS looks before it is alone.
        Effect.catchIf(
          ({ reason }) => reason === "UniqueViolation" || reason === "DuplicateObject",
          () => Effect.void
        )
      )
    }
    // One does it for all that begin meanwhile. Rows that stay for longer are no reason to fail what came with its own.
    cleanedAt = now
    yield* Effect.catchAll(backend.batch([clean]), (error) => Effect.logDebug("Old commit markers stay", error))
  })
  return {
    ready: Effect.flatMap(Clock.currentTimeMillis, (now) =>
      now - cleanedAt < cleaningInterval ? Effect.void : prepare(now)
    ),
    outcomeOf: (key) =>
      backend.batch(settle(key)).pipe(
        Effect.retry({ while: ({ isTransient }) => isTransient, schedule: askAgain }),
        Effect.map(([, result]): Option.Option<XactOutcome> => {
          const outcome: unknown = result?.rows[0]?.outcome
          return outcome === "committed" || outcome === "aborted" ? Option.some(outcome) : Option.none()
        }),
        Effect.catchAll(() => Effect.succeedNone),
        Effect.interruptible,
        Effect.timeoutTo({ duration: resolveTimeout, onTimeout: Option.none, onSuccess: (outcome) => outcome })
      )
  }
}
