/**
 * Runs a program of transactions on a real server and notes what happens.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { DatabaseError, Transaction } from "effect-plinth"
import { inWords, keysPerSession } from "./model.ts"
import type { Behaviour } from "./model.ts"
import { isBlock } from "./program.ts"
import type { Block, Program, Step } from "./program.ts"

/** A failure of any step, by its reason. */
type Outcome = string

type Requirements = PgClient.PgClient | Transaction.Transaction

interface Place {
  /** Of the program's own rows. */
  readonly run: number
  readonly session: number
  readonly path: string
}

export const perform = (program: Program, run: number) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const log: Array<string> = []
    const entered: Array<string> = []
    const note = (line: string) => Effect.sync(() => void log.push(line))

    const rowsOf = Effect.map(
      sql<{ key: number; value: number }>`SELECT key, value FROM programs WHERE run = ${run} ORDER BY key`,
      (rows) => rows.map(({ key, value }) => [key, value] as const)
    )

    const runStep = (step: Step, place: Place): Effect.Effect<void, Outcome, Requirements> => {
      const { path } = place
      const care = (effect: Effect.Effect<void, unknown, Requirements>) =>
        Effect.flatMap(Effect.exit(effect), (exit) => {
          const outcome = outcomeOf(exit)
          const swallowed = outcome === "ok" || ("swallowed" in step && step.swallowed)
          return Effect.zipRight(note(`${path} ${outcome}`), swallowed ? Effect.void : Effect.fail(outcome))
        })
      if (isBlock(step)) return care(runBlock(step, place))
      switch (step.do) {
        case "afterCommit":
          return Transaction.afterCommit(note(`${step.do} ${path}`))
        case "afterRollback":
          return Transaction.afterRollback(note(`${step.do} ${path}`))
        case "siblings":
          return Effect.forEach(
            step.blocks,
            (block, index) => {
              const at = { ...place, path: `${path}.${index}` }
              return Effect.flatMap(Effect.exit(runBlock(block, at)), (exit) => note(`${at.path} ${outcomeOf(exit)}`))
            },
            { concurrency: "unbounded", discard: true }
          )
        case "look":
          return care(Effect.flatMap(rowsOf, (rows) => note(`${path} sees ${inWords(rows)}`)))
      }
      const key = place.session * keysPerSession + step.key
      switch (step.do) {
        case "insert":
          return care(sql`INSERT INTO programs VALUES (${run}, ${key}, ${step.value})`)
        case "update":
          return care(sql`UPDATE programs SET value = ${step.value} WHERE run = ${run} AND key = ${key}`)
        case "delete":
          return care(sql`DELETE FROM programs WHERE run = ${run} AND key = ${key}`)
      }
    }

    const runBlock = (block: Block, outer: Place): Effect.Effect<void, unknown, Requirements> => {
      const place = block.do === "requiresNew" ? { ...outer, session: outer.session + 1 } : outer
      const inside = (reached: Deferred.Deferred<void>): Effect.Effect<void, Outcome, Requirements> =>
        Effect.gen(function* () {
          entered.push(place.path)
          for (const [index, step] of block.body.entries()) {
            yield* runStep(step, { ...place, path: `${place.path}.${index}` })
          }
          if (block.ending === "fails") return yield* Effect.fail("boom")
          if (block.ending === "succeeds") return
          yield* Deferred.succeed(reached, undefined)
          if (block.ending === "is interrupted in a statement") yield* Effect.ignore(sql`SELECT pg_sleep(60)`)
          return yield* Effect.never
        })
      return Effect.gen(function* () {
        const reached = yield* Deferred.make<void>()
        const body = inside(reached)
        const transaction: Effect.Effect<void, unknown, Requirements> =
          block.do === "withTransaction" ? sql.withTransaction(body) : Transaction.run(body, { propagation: block.do })
        const fiber = yield* Effect.fork(transaction)
        yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(fiber))
        if (yield* Deferred.isDone(reached)) yield* Fiber.interrupt(fiber)
        return yield* Effect.flatten(Fiber.await(fiber))
      }).pipe(
        Effect.catchAllCause((cause) =>
          Cause.isInterrupted(cause) ? Effect.fail("interrupted") : Effect.failCause(cause)
        )
      )
    }

    for (const [index, block] of program.entries()) {
      const exit = yield* Effect.exit(runBlock(block, { run, session: 0, path: `${index}` }))
      yield* note(`${index} ${outcomeOf(exit)}`)
    }
    const behaviour: Behaviour = { log, rows: yield* rowsOf }
    return { behaviour, entered }
  })

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return "ok"
  const failure = Cause.failureOption(exit.cause)
  if (Option.isNone(failure)) return Cause.pretty(exit.cause)
  return typeof failure.value === "string" ? failure.value : DatabaseError.from(failure.value).reason
}
