/**
 * Random transactions on a few lists, many at once, and the history that they made.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { DatabaseError, RetryPolicy, Transaction } from "effect-plinth"
import type { Committed, History, Operation } from "./listAppend.ts"

export interface Load {
  readonly isolation: NonNullable<Transaction.TransactionOptions["isolation"]>
  readonly sessions: number
  /** Transactions of each session. */
  readonly transactions: number
  readonly keys: number
  readonly seed: number
}

/** Whoever was aborted tries again with new values; what became of an attempt that failed must be in no list. */
export const runLists = ({ isolation, keys, seed, sessions, transactions }: Load) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql`CREATE TABLE IF NOT EXISTS lists (key int PRIMARY KEY, items int[] NOT NULL)`
    yield* sql`DELETE FROM lists`
    yield* sql`INSERT INTO lists SELECT key, '{}' FROM generate_series(1, ${keys}::int) AS key`
    const committed: Array<Committed> = []
    let lastValue = 0
    let attempts = 0

    const operation = (random: Random.Random) =>
      Effect.gen(function* () {
        const key = yield* random.nextIntBetween(1, keys + 1)
        if (yield* random.nextBoolean) {
          const value = ++lastValue
          yield* sql`UPDATE lists SET items = items || ${value}::int WHERE key = ${key}`
          return { do: "append", key, value } as const
        }
        const [row] = yield* sql<{ items: ReadonlyArray<number> }>`SELECT items FROM lists WHERE key = ${key}`
        return { do: "read", key, list: row?.items ?? [] } as const
      })
    const transaction = (random: Random.Random) =>
      Effect.gen(function* () {
        attempts++
        const operations: Array<Operation> = []
        for (let left = yield* random.nextIntBetween(2, 5); left > 0; left--) operations.push(yield* operation(random))
        return operations
      }).pipe(
        Transaction.run({
          isolation,
          retry: RetryPolicy.transaction,
          // Conflicts are to be found by row and soon, not by table and after a second.
          settings: { enable_seqscan: "off", deadlock_timeout: "20ms" }
        }),
        Effect.map((operations) => void committed.push(operations)),
        // Its tries are used up.
        Effect.catchAll((error) => (DatabaseError.from(error).isRetryable ? Effect.void : Effect.fail(error)))
      )
    yield* Effect.forEach(
      Array.from({ length: sessions }, (_, session) => Random.make(`${seed} ${session}`)),
      (random) => Effect.repeatN(transaction(random), transactions - 1),
      { concurrency: sessions, discard: true }
    )

    const rows = yield* sql<{ key: number; items: ReadonlyArray<number> }>`SELECT key, items FROM lists`
    const history: History = { committed, lists: new Map(rows.map(({ items, key }) => [key, items])) }
    return { history, attempts }
  })
