/**
 * Every resolver of one client inside transactions of two: what it runs is in the transaction of its own client.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"

const Row = Schema.Struct({ id: Schema.Number })

/** One of each constructor, all on one table of one client. */
const resolversOf = (sql: PgClient.PgClient, table: string, options: { readonly withContext?: true }) =>
  Effect.all({
    insert: SqlResolver.ordered(`Insert ${table}`, {
      Request: Schema.Number,
      Result: Row,
      execute: (ids) => sql`INSERT INTO ${sql(table)} ${sql.insert(ids.map((id) => ({ id })))} RETURNING id`,
      ...options
    }),
    remove: SqlResolver.void(`Remove ${table}`, {
      Request: Schema.Number,
      execute: (ids) => sql`DELETE FROM ${sql(table)} WHERE ${sql.in("id", ids)}`,
      ...options
    }),
    find: SqlResolver.findById(`Find ${table}`, {
      Id: Schema.Number,
      Result: Row,
      ResultId: ({ id }) => id,
      execute: (ids) => sql`SELECT id FROM ${sql(table)} WHERE ${sql.in("id", ids)}`,
      ...options
    }),
    group: SqlResolver.grouped(`Group ${table}`, {
      Request: Schema.Number,
      RequestGroupKey: (id) => id,
      Result: Row,
      ResultGroupKey: ({ id }) => id,
      execute: (ids) => sql`SELECT id FROM ${sql(table)} WHERE ${sql.in("id", ids)}`,
      ...options
    })
  })

type Resolvers = Effect.Effect.Success<ReturnType<typeof resolversOf>>

/** Inserts two rows in a batch, finds both, and removes the second. */
const exercise = ({ find, group, insert, remove }: Resolvers, first: number) =>
  Effect.gen(function* () {
    yield* Effect.all([insert.execute(first), insert.execute(first + 1)], { batching: true })
    assert.isTrue(Option.isSome(yield* find.execute(first)), "findById sees what ordered has inserted")
    assert.strictEqual((yield* group.execute(first + 1)).length, 1, "grouped sees what ordered has inserted")
    yield* remove.execute(first + 1)
    assert.isTrue(Option.isNone(yield* find.execute(first + 1)), "findById does not see what void has removed")
  })

layer(TestDatabase.layer(), { excludeTestServices: true })("the resolvers of a client", (it) => {
  for (const withContext of [true, false]) {
    it.scoped(
      `stay in its own transaction, also behind another client's, with ${withContext ? "all" : "no"} context`,
      () =>
        Effect.gen(function* () {
          const { url } = yield* TestDatabase.TestDatabase
          const build = Layer.build(Layer.fresh(plinthAt(url, { minConnections: 1, maxConnections: 2 })))
          const [inA, inB] = [yield* build, yield* build]
          const [a, b] = [Context.get(inA, PgClient.PgClient), Context.get(inB, PgClient.PgClient)]
          const [runA, runB] = [
            Context.get(inA, Transaction.Transaction).run,
            Context.get(inB, Transaction.Transaction).run
          ]
          yield* a`DROP TABLE IF EXISTS of_a, of_b`
          yield* a`CREATE TABLE of_a (id int)`
          yield* a`CREATE TABLE of_b (id int)`
          const options = withContext ? { withContext: true as const } : {}
          const ofA = yield* resolversOf(a, "of_a", options)
          const ofB = yield* resolversOf(b, "of_b", options)
          const rows = (sql: PgClient.PgClient, table: string) =>
            Effect.map(sql<{ id: number }>`SELECT id FROM ${sql(table)} ORDER BY id`, (all) => all.map(({ id }) => id))

          // A around B around A: B is committed while A is still open, and a savepoint of A is undone inside B.
          const behind = runA(
            Effect.gen(function* () {
              yield* exercise(ofA, 10)
              yield* runB(
                Effect.gen(function* () {
                  yield* exercise(ofA, 20)
                  yield* exercise(ofB, 30)
                  yield* Effect.ignore(runA(Effect.zipRight(exercise(ofA, 40), Effect.fail("undo the savepoint"))))
                  yield* runA(exercise(ofA, 50))
                  yield* runA(exercise(ofB, 60))
                  assert.deepStrictEqual(yield* rows(b, "of_a"), [], "A has committed nothing")
                  assert.deepStrictEqual(yield* rows(a, "of_b"), [], "B has committed nothing")
                })
              )
              assert.deepStrictEqual(yield* rows(a, "of_a"), [10, 20, 50])
              assert.deepStrictEqual(yield* rows(a, "of_b"), [30, 60])
              assert.deepStrictEqual(yield* rows(b, "of_a"), [])
              return yield* Effect.fail("undo A" as const)
            })
          )
          assert.strictEqual(yield* Effect.flip(behind), "undo A")
          assert.deepStrictEqual(yield* rows(b, "of_a"), [], "A is undone with all that its resolvers did")
          assert.deepStrictEqual(yield* rows(a, "of_b"), [30, 60], "B is kept")
          yield* exercise(ofA, 70)
          assert.deepStrictEqual(yield* rows(b, "of_a"), [70], "outside of transactions they commit by themselves")
        })
    )
  }
})
