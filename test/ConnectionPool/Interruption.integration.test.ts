/**
 * Fibers that are interrupted at random moments, whatever they do: nothing leaks, and nobody else notices.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { ConnectionPool, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "../support/clients.ts"
import { withinSeconds } from "../support/effects.ts"

const rounds = process.env["PLINTH_TEST_LONG"] === undefined ? 200 : 1_000
const seed = Number(process.env["PLINTH_TEST_SEED"] ?? 20_260_101)
const workers = 8
const sizes = [1, 2, 3, 4]

/** What a worker does; each ends with its own tag, so that an answer to somebody else would show. */
const tasks = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const pool = yield* ConnectionPool.ConnectionPool
  const transaction = yield* Transaction.Transaction
  const tagOf = (rows: ReadonlyArray<{ readonly tag: number }>) => rows[0]?.tag
  const short = (tag: number) => Effect.map(sql<{ tag: number }>`SELECT ${tag}::int AS tag`, tagOf)
  const slow = (tag: number) => Effect.map(sql<{ tag: number }>`SELECT ${tag}::int AS tag, pg_sleep(0.003)`, tagOf)
  const insert = (tag: number) => sql`INSERT INTO interrupted VALUES (${tag})`
  const numbers = (tag: number) => sql<{ tag: number }>`SELECT ${tag}::int AS tag FROM generate_series(1, 400)`.stream

  return {
    "a short read": short,
    "a few reads": (tag: number) => Effect.zipRight(short(tag + 1), Effect.zipRight(short(tag + 2), short(tag))),
    "a slow statement": slow,
    "a checkout": (tag: number) =>
      pool.use((connection) =>
        Effect.gen(function* () {
          yield* connection.run([{ text: "SELECT pg_sleep(0.001)", params: [] }])
          const [result] = yield* connection.run([{ text: "SELECT $1::int AS tag", params: [tag] }])
          return Number(result?.rows[0]?.tag)
        })
      ),
    "a transaction": (tag: number) =>
      transaction.run(Effect.zipRight(insert(tag), Effect.zipLeft(slow(tag), insert(tag)))),
    "a transaction with savepoints": (tag: number) =>
      transaction.run(
        Effect.gen(function* () {
          yield* insert(tag)
          yield* Effect.ignore(sql.withTransaction(Effect.zipRight(insert(-tag), Effect.fail("undo"))))
          yield* transaction.run(insert(tag))
          return yield* slow(tag)
        })
      ),
    "a stream": (tag: number) => Stream.runFold(numbers(tag), tag, (_, row) => row.tag),
    "a stream that is cut short": (tag: number) =>
      Stream.runFold(Stream.take(numbers(tag), 3), tag, (_, row) => row.tag),
    "a stream in a transaction": (tag: number) =>
      transaction.run(
        numbers(tag).pipe(
          Stream.zipWithIndex,
          Stream.mapEffect(([row, index]) => (index % 200 === 0 ? Effect.as(short(tag), row) : Effect.succeed(row))),
          Stream.runFold(tag, (_, row) => row.tag)
        )
      )
  }
})

const pause = Effect.flatMap(Random.nextIntBetween(0, 12), (ms) => (ms === 0 ? Effect.yieldNow() : Effect.sleep(ms)))

/** What happens to a worker: nothing, or an interruption after a while, or in the tick in which another one is done. */
type Fate = "left alone" | "interrupted" | { readonly interruptedBy: number }

const fate = Effect.gen(function* () {
  if (yield* Random.nextBoolean) return "left alone"
  return (yield* Random.nextBoolean) ? "interrupted" : { interruptedBy: yield* Random.nextIntBetween(0, workers) }
})

/** Starts workers at once and interrupts some; whoever is left alone must end as if nobody had been. */
const round = (tag: number) =>
  Effect.gen(function* () {
    const all = Object.entries(yield* tasks)
    const fates: ReadonlyArray<Fate> = yield* Effect.replicateEffect(fate, workers)
    const fibers: Array<Fiber.RuntimeFiber<number | undefined, unknown>> = []
    // Then a connection has just been given to the next one, who does not know of it yet.
    const interruptOthers = (by: number) =>
      Effect.forEach(fates, (other, index) => {
        const fiber = fibers[index]
        const isMeant = typeof other === "object" && other.interruptedBy === by && index !== by
        return isMeant && fiber !== undefined ? Fiber.interruptAsFork(fiber, FiberId.none) : Effect.void
      })
    const names: Array<string> = []
    for (let index = 0; index < workers; index++) {
      const [name, task] = all[yield* Random.nextIntBetween(0, all.length)] ?? []
      if (name === undefined || task === undefined) return yield* Effect.dieMessage("no task")
      names.push(name)
      fibers.push(yield* Effect.fork(Effect.ensuring(task(tag + index), interruptOthers(index))))
    }
    const done = yield* Effect.forEach(
      fibers,
      (fiber, index) =>
        Effect.gen(function* () {
          if (fates[index] === "interrupted") yield* Effect.zipRight(pause, Fiber.interruptFork(fiber))
          const exit = yield* Fiber.await(fiber)
          const name = names[index] ?? ""
          if (Exit.isSuccess(exit)) assert.strictEqual(exit.value, tag + index, `${name} has its own answer`)
          else if (fates[index] === "left alone" || !Cause.isInterruptedOnly(exit.cause)) {
            assert.fail(`${name} (${JSON.stringify(fates[index])}): ${Cause.pretty(exit.cause)}`)
          }
          return name.startsWith("a transaction") && Exit.isSuccess(exit) ? [tag + index] : []
        }),
      { concurrency: workers }
    )
    return done.flat()
  })

const plinthOf = (max: number) =>
  Layer.unwrapEffect(
    Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: max }))
  )

layer(TestDatabase.layer(), { excludeTestServices: true })("a pool whose users are interrupted", (it) => {
  for (const max of sizes) {
    it.effect(`of ${max} leaks nothing and cancels nobody else`, () =>
      Effect.gen(function* () {
        const { sessions } = yield* TestDatabase.TestDatabase
        const sql = yield* PgClient.PgClient
        const pool = yield* ConnectionPool.ConnectionPool
        yield* sql`CREATE TABLE IF NOT EXISTS interrupted (tag int)`
        yield* sql`DELETE FROM interrupted`
        const committed: Array<number> = []
        for (let number = 1; number <= rounds / sizes.length; number++) {
          committed.push(...(yield* round(number * 100)))
          yield* withinSeconds(
            20,
            Effect.map(pool.stats, ({ lanes, used, waiting }) => used === lanes && waiting === 0)
          )
          const { closed, leaks, opened, total } = yield* pool.stats
          const { busy, idle, invalid, lifetime, lost, shrunk } = closed
          assert.deepStrictEqual({ leaks, busy, invalid, lost }, { leaks: 0, busy: 0, invalid: 0, lost: 0 })
          assert.strictEqual(opened, total + idle + lifetime + shrunk + closed.closed)
          assert.isAtMost(total, max)
        }
        // Two rows each: with what was interrupted at its COMMIT too, all or nothing.
        const rows = yield* sql<{ tag: number; n: number }>`
          SELECT tag, count(*)::int AS n FROM interrupted GROUP BY tag ORDER BY tag`
        assert.deepStrictEqual(
          rows.filter(({ n, tag }) => n !== 2 || tag < 0),
          []
        )
        assert.includeMembers(
          rows.map(({ tag }) => tag),
          committed
        )
        assert.isTrue((yield* sessions).every(({ state }) => state === "idle"))
      }).pipe(Effect.withRandom(Random.make(`${seed} ${max}`)), Effect.provide(plinthOf(max)))
    )
  }
})
