import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Database, DatabaseError, QueryRouter, RetryPolicy, Transaction } from "effect-plinth"

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))`
  // The same balances at every start, so that the program says the same each time.
  yield* sql`INSERT INTO accounts VALUES ('ada', 100), ('alan', 0)
             ON CONFLICT (name) DO UPDATE SET balance = excluded.balance`

  // Every statement of the client inside is in the transaction; a serialization failure runs it again.
  const transfer = (amount: number) =>
    Transaction.run(
      Effect.zipRight(
        sql`UPDATE accounts SET balance = balance - ${amount} WHERE name = 'ada'`,
        sql`UPDATE accounts SET balance = balance + ${amount} WHERE name = 'alan'`
      ),
      { isolation: "serializable", retry: RetryPolicy.transaction, label: "transfer" }
    )

  yield* transfer(40)
  yield* transfer(1_000).pipe(
    DatabaseError.catchReason("CheckViolation", (error) => Console.log(`refused by ${error.constraint}`))
  )

  // Reads go to replicas where there are any, and never to one that has not seen this session's writes.
  const accounts = yield* sql<{ name: string; balance: number }>`SELECT name, balance FROM accounts ORDER BY name`
  for (const { balance, name } of accounts) yield* Console.log(`${name} has ${balance}`)
  const { explain } = yield* QueryRouter.QueryRouter
  const { decision, node } = yield* explain("SELECT balance FROM accounts")
  yield* Console.log(`the next read goes to ${node}: ${decision}`)
})

// DATABASE_URL, DATABASE_REPLICA_URLS and PLINTH_* say where and how.
program.pipe(Effect.provide(Database.layerConfig()), NodeRuntime.runMain)
