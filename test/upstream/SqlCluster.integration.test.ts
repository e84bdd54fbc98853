/**
 * Entities and workflows of `@effect/cluster` on a runner whose storages are in SQL, the cases of its integration suites
 * that a single runner has: what was asked is done once, whatever ends in between. Streamed replies are not among them:
 * 0.60 reads every stored chunk as an end (`Number(null) === 0`), on any client.
 */
import * as ClusterSchema from "@effect/cluster/ClusterSchema"
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as Entity from "@effect/cluster/Entity"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as Rpc from "@effect/rpc/Rpc"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Activity from "@effect/workflow/Activity"
import * as DurableClock from "@effect/workflow/DurableClock"
import * as DurableDeferred from "@effect/workflow/DurableDeferred"
import * as Workflow from "@effect/workflow/Workflow"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import { withinSeconds } from "../support/effects.ts"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"

const request = { payload: { id: Schema.String }, primaryKey: ({ id }: { readonly id: string }) => id }

const Counter = Entity.make("Counter", [
  Rpc.make("Count", { ...request, success: Schema.Number }),
  Rpc.make("Refuse", { ...request, error: Schema.String }),
  Rpc.make("Stall", { ...request, success: Schema.Number })
]).annotateRpcs(ClusterSchema.Persisted, true)

const Approval = DurableDeferred.make("Approval", { success: Schema.String })

const Order = Workflow.make({
  name: "Order",
  payload: { id: Schema.String },
  idempotencyKey: ({ id }) => id,
  success: Schema.String
})

/** A runner until the scope closes; `runs` counts what its handlers did. */
const runner = (runs: Ref.Ref<number>) => {
  const run = Ref.updateAndGet(runs, (n) => n + 1)
  const counter = Counter.toLayer({
    Count: () => run,
    Refuse: ({ payload }) => Effect.zipRight(run, Effect.fail(`refused ${payload.id}`)),
    // Does not end the first time.
    Stall: () => Effect.flatMap(run, (n) => (n === 1 ? Effect.never : Effect.succeed(n)))
  })
  const order = Order.toLayer(({ id }) =>
    Effect.gen(function* () {
      const reserved = yield* Activity.make({ name: "Reserve", success: Schema.Number, execute: run })
      yield* DurableClock.sleep({ name: "Pause", duration: "50 millis" })
      return `${id}: ${reserved}, ${yield* DurableDeferred.await(Approval)}`
    })
  )
  return Layer.build(
    Layer.merge(counter, order).pipe(
      Layer.provideMerge(ClusterWorkflowEngine.layer),
      Layer.provideMerge(
        SingleRunner.layer({
          runnerStorage: "sql",
          shardingConfig: {
            shardsPerGroup: 20,
            entityMessagePollInterval: "100 millis",
            entityReplyPollInterval: "50 millis",
            refreshAssignmentsInterval: "100 millis",
            entityTerminationTimeout: "200 millis"
          }
        })
      ),
      Layer.fresh
    )
  )
}

/** Requests that a runner took and did not answer. */
const unanswered = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql<{ n: number }>`SELECT count(*)::int AS n FROM cluster_messages WHERE kind = 0 AND NOT processed`,
    ([row]) => row?.n
  )
)

const suite = (name: string, client: Client) =>
  layer(client, { excludeTestServices: true })(name, (it) => {
    it.effect("answers a request once, and its duplicates from the stored reply, on the next runner too", () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const ask = Effect.gen(function* () {
          const context = yield* runner(runs)
          const counter = yield* Effect.provide(Counter.client, context)
          return yield* Effect.all([counter("a").Count({ id: "same" }), counter("a").Count({ id: "same" })])
        }).pipe(Effect.scoped)
        assert.deepStrictEqual(yield* ask, [1, 1])
        assert.deepStrictEqual(yield* ask, [1, 1])
        assert.strictEqual(yield* Ref.get(runs), 1)
      })
    )

    it.effect("stores a failure, and answers what comes after it", () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const counter = yield* Effect.provide(Counter.client, yield* runner(runs))
        const refused = Effect.flip(counter("b").Refuse({ id: "refused" }))
        assert.deepStrictEqual([yield* refused, yield* refused], ["refused refused", "refused refused"])
        assert.strictEqual(yield* counter("b").Count({ id: "after" }), 2)
      }).pipe(Effect.scoped)
    )

    it.effect("answers requests of many entities at once", () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const counter = yield* Effect.provide(Counter.client, yield* runner(runs))
        const answers = yield* Effect.forEach(
          Chunk.range(1, 60),
          (n) => counter(`many ${n % 15}`).Count({ id: `${n}` }),
          { concurrency: 30 }
        )
        assert.deepStrictEqual(
          answers.toSorted((a, b) => a - b),
          Array.from(Chunk.range(1, 60))
        )
      }).pipe(Effect.scoped)
    )

    it.effect("does on the next runner what the last one did not finish", () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        yield* Effect.gen(function* () {
          const counter = yield* Effect.provide(Counter.client, yield* runner(runs))
          yield* counter("d").Stall({ id: "stalled" }, { discard: true })
          yield* withinSeconds(
            5,
            Effect.map(Ref.get(runs), (n) => n === 1)
          )
        }).pipe(Effect.scoped)
        assert.strictEqual(yield* unanswered, 1)
        yield* runner(runs)
        yield* withinSeconds(
          5,
          Effect.map(unanswered, (n) => n === 0)
        )
        assert.strictEqual(yield* Ref.get(runs), 2)
      }).pipe(Effect.scoped)
    )

    it.effect("goes on with a workflow on the next runner, and does not do its activities again", () =>
      Effect.gen(function* () {
        const runs = yield* Ref.make(0)
        const executionId = yield* Effect.gen(function* () {
          const context = yield* runner(runs)
          const id = yield* Effect.provide(Order.execute({ id: "order" }, { discard: true }), context)
          yield* withinSeconds(
            5,
            Effect.map(Ref.get(runs), (n) => n === 1)
          )
          return id
        }).pipe(Effect.scoped)

        const context = yield* runner(runs)
        const token = DurableDeferred.tokenFromExecutionId(Approval, { workflow: Order, executionId })
        const result = yield* Effect.fork(Effect.provide(Order.execute({ id: "order" }), context))
        yield* Effect.provide(DurableDeferred.done(Approval, { token, exit: Exit.succeed("approved") }), context)
        assert.strictEqual(yield* Fiber.join(result), "order: 1, approved")
        assert.strictEqual(yield* Ref.get(runs), 1)
      }).pipe(Effect.scoped)
    )
  })

for (const { make, name } of contestants) suite(name, make())
