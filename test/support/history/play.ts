/**
 * Plays planned sessions against clients of a router and records what they see.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Cause from "effect/Cause"
import * as Chunk from "effect/Chunk"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { QueryRouter } from "effect-plinth"
import type { Transaction, DatabaseError } from "effect-plinth"
import type { Entry, Observation, Outcome } from "./Operation.ts"
import { keys } from "./plan.ts"
import type { Step } from "./plan.ts"
import type { About, Recorder } from "./Recorder.ts"

/** One client over all nodes; a process would have one. */
export interface Client {
  readonly sql: PgClient.PgClient
  readonly router: QueryRouter.QueryRouter["Type"]
  readonly transaction: Transaction.Transaction["Type"]
}

/** What sessions make of the router; the broken ones differ here. */
export interface Conduct {
  /** Around every statement and transaction of a session. */
  readonly statement: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Whether a session takes its token along to another client. */
  readonly carriesToken: boolean
}

export const proper: Conduct = { statement: (effect) => effect, carriesToken: true }

export interface Stage {
  readonly clients: readonly [Client, Client]
  readonly recorder: Recorder
  /** Names of servers by their port. */
  readonly nodes: ReadonlyMap<number, string>
  readonly conduct: Conduct
}

/** Backstop of every step: a node may be frozen. */
const stepTimeout = "10 seconds"

class RolledBack extends Data.TaggedError("RolledBack")<{}> {}

const isRolledBack = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Option.exists(Cause.failureOption(exit.cause), (error) => error instanceof RolledBack)

/** What a database is allowed to answer; a defect is not among it. */
type Failure = SqlError | DatabaseError.DatabaseError | RolledBack

interface Row {
  readonly value: number
  readonly writer: number | null
  readonly entry: number
  readonly port: number
}

export const createSchema = (sql: PgClient.PgClient) =>
  Effect.gen(function* () {
    yield* sql`DROP TABLE IF EXISTS counters, entries`
    yield* sql`CREATE TABLE counters (key int PRIMARY KEY, value int NOT NULL, writer int)`
    yield* sql`CREATE TABLE entries (key int, value int, writer int NOT NULL UNIQUE, PRIMARY KEY (key, value))`
    yield* sql`INSERT INTO counters SELECT key, 0, NULL FROM generate_series(0, ${keys - 1}) AS key`
  })

export const readEntries = (sql: PgClient.PgClient) => sql<Entry>`SELECT key, value, writer FROM entries`

/** One session from its beginning to its end. Failures of the database are part of the history. */
export const playSession = (stage: Stage, session: string, steps: ReadonlyArray<Step>): Effect.Effect<void> => {
  const { conduct, recorder } = stage

  const observe = ({ entry, port, value, writer }: Row): Observation => ({
    value,
    writer: writer ?? undefined,
    entry,
    node: stage.nodes.get(port) ?? String(port)
  })

  const select = ({ sql }: Client, key: number) => sql<Row>`
    SELECT value, writer, pg_catalog.inet_server_port() AS port,
      coalesce((SELECT max(entries.value) FROM entries WHERE entries.key = counters.key), 0) AS entry
    FROM counters WHERE key = ${key}`

  const increment = ({ sql }: Client, key: number, id: number) => sql<Row>`
    WITH next AS (
      UPDATE counters SET value = value + 1, writer = ${id} WHERE key = ${key} RETURNING key, value, writer
    )
    INSERT INTO entries SELECT key, value, writer FROM next
    RETURNING value, writer, value AS entry, pg_catalog.inet_server_port() AS port`

  /** Records one operation that is one statement. */
  const record = (about: About, run: (id: number) => Effect.Effect<Observation, Failure>) =>
    Effect.suspend(() => {
      const operation = recorder.invoke(about)
      return Effect.onExit(conduct.statement(run(operation.id)), (exit) =>
        Effect.sync(() =>
          operation.complete(Exit.isSuccess(exit) ? { _tag: "Done", observation: exit.value } : { _tag: "Unknown" })
        )
      )
    })

  const first = (rows: ReadonlyArray<Row>): Effect.Effect<Observation> => {
    const [row] = rows
    return row === undefined ? Effect.dieMessage("the counter is gone") : Effect.succeed(observe(row))
  }

  const reading = (key: number, how: string): About => ({ session, key, kind: "read", level: "session", how })
  const writing = (key: number, how: string): About => ({ session, key, kind: "write", level: "session", how })

  const update = (client: Client, key: number, end: "commit" | "rollback") =>
    Effect.suspend(() => {
      const before = recorder.invoke(reading(key, "first in a transaction"))
      const write = recorder.invoke(writing(key, "in a transaction"))
      const after = recorder.invoke(reading(key, "last in a transaction"))
      const work = Effect.gen(function* () {
        const seen = yield* Effect.flatMap(select(client, key), first)
        const written = yield* Effect.flatMap(increment(client, key, write.id), first)
        const again = yield* Effect.flatMap(select(client, key), first)
        if (end === "rollback") return yield* new RolledBack()
        return [seen, written, again] as const
      })
      return Effect.onExit(conduct.statement(client.transaction.run(work)), (exit) =>
        Effect.sync(() => {
          const outcomes: ReadonlyArray<Outcome> = Exit.isSuccess(exit)
            ? exit.value.map((observation): Outcome => ({ _tag: "Done", observation }))
            : []
          const otherwise: Outcome = isRolledBack(exit) ? { _tag: "Undone" } : { _tag: "Unknown" }
          ;[before, write, after].forEach((operation, index) => operation.complete(outcomes[index] ?? otherwise))
        })
      )
    })

  const report = (client: Client, [one, other]: readonly [number, number]) =>
    Effect.suspend(() => {
      const operations = [one, other].map((key) => recorder.invoke(reading(key, "in a read-only transaction")))
      const work = Effect.forEach([one, other], (key) => Effect.flatMap(select(client, key), first))
      return Effect.onExit(conduct.statement(client.transaction.run(work, { access: "read only" })), (exit) =>
        Effect.sync(() =>
          operations.forEach((operation, index) => {
            const observation = Exit.isSuccess(exit) ? exit.value[index] : undefined
            operation.complete(observation === undefined ? { _tag: "Unknown" } : { _tag: "Done", observation })
          })
        )
      )
    })

  const play = (client: Client, step: Exclude<Step, { _tag: "Move" }>): Effect.Effect<unknown, Failure> => {
    switch (step._tag) {
      case "Read":
        return record(reading(step.key, "select"), () => Effect.flatMap(select(client, step.key), first))
      case "Stream":
        return record(reading(step.key, "stream"), () =>
          Effect.flatMap(Stream.runCollect(select(client, step.key).stream), (rows) =>
            first(Chunk.toReadonlyArray(rows))
          )
        )
      case "StaleRead":
        return record({ ...reading(step.key, "select"), level: "eventual" }, () =>
          QueryRouter.onReplica(Effect.flatMap(select(client, step.key), first))
        )
      case "Increment":
        return record(writing(step.key, "increment"), (id) => Effect.flatMap(increment(client, step.key, id), first))
      case "Update":
        return update(client, step.key, step.end)
      case "Report":
        return report(client, step.keys)
      case "Both":
        return Effect.all([playAll(client, step.left), playAll(client, step.right)], { concurrency: 2 })
      case "Rest":
        return Effect.sleep(step.millis)
    }
  }

  const playAll = (client: Client, some: ReadonlyArray<Step>): Effect.Effect<void> =>
    Effect.forEach(
      some,
      (step) => {
        if (step._tag === "Move") return Effect.void
        const patience = "patience" in step && step.patience !== undefined ? step.patience : stepTimeout
        return Effect.ignore(Effect.timeoutOption(play(client, step), patience))
      },
      { discard: true }
    )

  /** Up to the next move in one client, the rest in the other. */
  const playFrom = (index: 0 | 1, rest: ReadonlyArray<Step>, token: Option.Option<string>): Effect.Effect<void> => {
    const client = stage.clients[index]
    const move = rest.findIndex((step) => step._tag === "Move")
    const here = playAll(client, move < 0 ? rest : rest.slice(0, move))
    const leave = conduct.carriesToken && move >= 0 ? client.router.token : Effect.succeedNone
    const inSession = Option.match(token, {
      onNone: () => QueryRouter.session(Effect.zipRight(here, leave)),
      onSome: (text) => client.router.withToken(Effect.zipRight(here, leave), text)
    })
    return Effect.flatMap(inSession, (next) =>
      move < 0 ? Effect.void : playFrom(index === 0 ? 1 : 0, rest.slice(move + 1), next)
    )
  }

  return playFrom(0, steps, Option.none())
}
