/**
 * What became of a transaction whose COMMIT was not answered.
 *
 * After a crash a transaction id that was never committed is given to another transaction, and reads as committed. So an
 * answer counts only from a session that was open before COMMIT was sent and is open still: a crash ends every session.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { PooledConnection } from "../ConnectionPool.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"

/** A definite end. */
export type XactOutcome = "committed" | "aborted"

/** How long connections may be in use, and a transaction in progress, before its end is called unknown. */
export const resolveTimeout = "5 seconds"

/** A transaction that is still in progress is asked for again after this long. */
const pollInterval = "20 millis"

/** Asks on a session until the transaction has ended; none when the server does not know it any more. */
export const askForOutcome = (
  connection: PooledConnection,
  xid: string
): Effect.Effect<Option.Option<XactOutcome>, DatabaseError> => {
  const text = "SELECT pg_catalog.pg_xact_status($1::xid8) AS status"
  const query: Query = { text, params: [xid], prepare: false, types: "stock" }
  const ask: Effect.Effect<Option.Option<XactOutcome>, DatabaseError> = Effect.flatMap(
    connection.run([query], { operation: "resolve" }),
    ([result]) => {
      const status: unknown = result?.rows[0]?.status
      if (status === "in progress") return Effect.delay(ask, pollInterval)
      return Effect.succeed(status === "committed" || status === "aborted" ? Option.some(status) : Option.none())
    }
  )
  // The id was not given to anybody yet, so the server has lost it: it was not committed.
  return Effect.catchIf(
    ask,
    ({ sqlState }) => sqlState === "22023",
    () => Effect.succeedSome("aborted" as const)
  )
}
