/**
 * What the suite of `SqlPersistedQueue` of `@effect/sql` asks of a client, and that of `PersistedQueue` of a store.
 */
import * as PersistedQueue from "@effect/experimental/PersistedQueue"
import * as SqlClient from "@effect/sql/SqlClient"
import * as SqlPersistedQueue from "@effect/sql/SqlPersistedQueue"
import { assert, layer } from "@effect/vitest"
import * as Array from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { withinSeconds } from "../support/effects.ts"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"

const Item = Schema.Struct({ n: Schema.BigInt })

const queueOf = (name: string) => PersistedQueue.make({ name, schema: Item })

const store = { pollInterval: "20 millis" } as const

/** How many elements of a queue are completed and how many are held by a worker. */
const stateOf = (name: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ completed: number; held: number; attempts: number }>`
        SELECT count(*) FILTER (WHERE completed)::int AS completed,
               count(*) FILTER (WHERE acquired_by IS NOT NULL)::int AS held,
               max(attempts)::int AS attempts
        FROM effect_queue WHERE queue_name = ${name}`,
      ([row]) => row
    )
  )

const suite = (name: string, client: Client) =>
  layer(PersistedQueue.layer.pipe(Layer.provide(SqlPersistedQueue.layerStore(store)), Layer.provideMerge(client)), {
    excludeTestServices: true
  })(name, (it) => {
    it.effect("hands on what was offered and completes it", () =>
      Effect.gen(function* () {
        const queue = yield* queueOf("offered")
        yield* queue.offer({ n: 42n })
        assert.strictEqual(yield* queue.take(({ n }) => Effect.succeed(n)), 42n)
        assert.deepStrictEqual(yield* stateOf("offered"), { completed: 1, held: 0, attempts: 1 })
      })
    )

    it.effect("gives an element to one taker, and to the next when that one is interrupted", () =>
      Effect.gen(function* () {
        const queue = yield* queueOf("interrupted")
        const taken = yield* Deferred.make<void>()
        yield* queue.offer({ n: 42n })
        const first = yield* Effect.fork(
          queue.take(() => Effect.zipRight(Deferred.succeed(taken, undefined), Effect.never))
        )
        yield* Deferred.await(taken)
        const second = yield* Effect.fork(queue.take(Effect.succeed))
        // Many polls later it still waits.
        assert.isTrue(Option.isNone(yield* Effect.timeoutOption(Fiber.join(second), "300 millis")))
        yield* Fiber.interrupt(first)
        assert.strictEqual((yield* Fiber.join(second)).n, 42n)
        assert.deepStrictEqual(yield* stateOf("interrupted"), { completed: 1, held: 0, attempts: 1 })
      })
    )

    it.effect("counts a failed attempt and offers the element again", () =>
      Effect.gen(function* () {
        const queue = yield* queueOf("failed")
        yield* queue.offer({ n: 42n })
        assert.strictEqual(yield* Effect.flip(queue.take(() => Effect.fail("boom"))), "boom")
        const again = queue.take(({ n }, { attempts }) => Effect.succeed([n, attempts] as const))
        assert.deepStrictEqual(yield* again, [42n, 1])
        assert.deepStrictEqual(yield* stateOf("failed"), { completed: 1, held: 0, attempts: 2 })
      })
    )

    it.effect("keeps one element of several with the same id", () =>
      Effect.gen(function* () {
        const queue = yield* queueOf("idempotent")
        yield* queue.offer({ n: 42n }, { id: "custom-id" })
        yield* queue.offer({ n: 43n }, { id: "custom-id" })
        assert.strictEqual((yield* queue.take(Effect.succeed)).n, 42n)
        const more = yield* Effect.timeoutOption(queue.take(Effect.succeed), "200 millis")
        assert.isTrue(Option.isNone(more))
      })
    )

    it.effect("gives every element to one of many takers, of two workers", () =>
      Effect.gen(function* () {
        const amount = 60
        const numbers: ReadonlyArray<number> = Array.range(1, amount)
        const other = yield* Layer.build(
          PersistedQueue.layer.pipe(Layer.provide(Layer.fresh(SqlPersistedQueue.layerStore(store))))
        )
        const queues = [yield* queueOf("shared"), yield* Effect.provide(queueOf("shared"), other)]
        const [queue] = queues
        assert(queue !== undefined)
        yield* Effect.forEach(numbers, (n) => queue.offer({ n: BigInt(n) }), { concurrency: 4 })
        const taken = yield* Effect.forEach(
          numbers,
          (n) => (queues[n % 2] ?? queue).take(({ n }) => Effect.succeed(Number(n))),
          { concurrency: 10 }
        )
        assert.deepStrictEqual(
          taken.toSorted((a, b) => a - b),
          numbers
        )
        yield* withinSeconds(
          5,
          Effect.map(stateOf("shared"), (state) => state?.completed === amount && state.held === 0)
        )
      }).pipe(Effect.scoped)
    )
  })

for (const { make, name } of contestants) suite(name, make())
