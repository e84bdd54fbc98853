/**
 * Transactions on a real server.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as TestContext from "effect/TestContext"
import { ConnectionPool, DatabaseError, RetryPolicy, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

/** A client and its transactions on the file's database, with a pool of `max`. */
const stack = (max = 4) =>
  Layer.unwrapEffect(
    Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: max }))
  )

const reasonOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(failureOf(effect), (error) => DatabaseError.from(error).reason)

const clean = Effect.gen(function* () {
  const { sessions } = yield* TestDatabase.TestDatabase
  const open = yield* sessions
  assert.deepStrictEqual(
    open.filter(({ state }) => state?.startsWith("idle in transaction") === true),
    []
  )
})

layer(TestDatabase.layer(), { excludeTestServices: true })("Transaction.run", (it) => {
  it.effect("sends nothing after a BEGIN that failed", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE failed_begin (id int)`
      // The role does not exist, so what travels with BEGIN fails before the INSERT of the same network write.
      const reason = yield* reasonOf(
        Transaction.run(sql`INSERT INTO failed_begin VALUES (1)`, { role: "nobody_at_all" })
      )
      assert.strictEqual(reason, "InvalidData")
      const swallowed = Transaction.run(
        Effect.zipRight(
          Effect.ignore(sql`INSERT INTO failed_begin VALUES (2)`),
          Effect.ignore(sql`INSERT INTO failed_begin VALUES (3)`)
        ),
        { role: "nobody_at_all" }
      )
      assert.strictEqual(yield* reasonOf(swallowed), "TransactionAborted")
      assert.deepStrictEqual(yield* sql`SELECT id FROM failed_begin`, [])
      yield* clean
    }).pipe(Effect.provide(stack()))
  )

  it.effect("opens no transaction for an effect that runs no statement", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Transaction.run(Effect.succeed(1), { isolation: "serializable" }), 1)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("sets isolation, access, timeouts and settings for the transaction only", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const show = sql<{ v: string }>`
        SELECT concat_ws(' ', current_setting('transaction_isolation'), current_setting('transaction_read_only'),
          current_setting('transaction_deferrable'), current_setting('statement_timeout'),
          current_setting('lock_timeout'), current_setting('app.user_id', true)) AS v`
      const [inside] = yield* Transaction.run(show, {
        isolation: "serializable",
        access: "read only",
        deferrable: true,
        timeout: "7 seconds",
        lockTimeout: "3 seconds",
        settings: { "app.user_id": "42" }
      })
      assert.strictEqual(inside?.v, "serializable on on 7s 3s 42")
      const [outside] = yield* show
      assert.match(outside?.v ?? "", /^read committed off off 0 0/)
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("rolls back when the effect fails, dies or is interrupted", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE undone (id int)`
      const insert = sql`INSERT INTO undone VALUES (1)`
      assert.strictEqual(yield* failureOf(Transaction.run(Effect.zipRight(insert, Effect.fail("no")))), "no")
      yield* Effect.exit(Transaction.run(Effect.zipRight(insert, Effect.die("bug"))))
      const inserted = yield* Deferred.make<void>()
      const running = yield* Effect.fork(
        Transaction.run(
          Effect.zipRight(insert, Effect.zipRight(Deferred.succeed(inserted, undefined), sql`SELECT pg_sleep(10)`))
        )
      )
      yield* Deferred.await(inserted)
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(running)
      assert.deepStrictEqual(yield* sql`SELECT id FROM undone`, [])
      yield* clean
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("cancels what runs when its deadline passes", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      assert.include(
        ["TransactionTimeout", "StatementTimeout", "QueryCanceled"],
        yield* reasonOf(Transaction.run(sql`SELECT pg_sleep(10)`, { timeout: "100 millis" }))
      )
      assert.strictEqual(
        yield* reasonOf(Transaction.run(Effect.zipRight(sql`SELECT 1`, Effect.never), { timeout: "50 millis" })),
        "TransactionTimeout"
      )
      yield* clean
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("runs the whole effect again after a serialization failure, and ends write skew serially", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE doctors (name text PRIMARY KEY, on_call boolean NOT NULL)`
      yield* sql`INSERT INTO doctors VALUES ('alice', true), ('bob', true)`
      const attempts = yield* Ref.make(0)
      const bothRead = yield* Deferred.make<void>()
      const leave = (name: string) =>
        Transaction.run(
          Effect.gen(function* () {
            const [row] = yield* sql<{ n: string }>`SELECT count(*) AS n FROM doctors WHERE on_call`
            yield* Ref.update(attempts, (n) => n + 1)
            // Both have read before either writes.
            if ((yield* Ref.get(attempts)) >= 2) yield* Deferred.succeed(bothRead, undefined)
            yield* Deferred.await(bothRead)
            if (Number(row?.n) > 1) yield* sql`UPDATE doctors SET on_call = false WHERE name = ${name}`
          }),
          { isolation: "serializable", retry: RetryPolicy.transaction }
        )
      yield* Effect.all([leave("alice"), leave("bob")], { concurrency: 2 })
      const [row] = yield* sql<{ n: string }>`SELECT count(*) AS n FROM doctors WHERE on_call`
      assert.strictEqual(row?.n, "1")
      assert.isAbove(yield* Ref.get(attempts), 2)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("does not retry without a policy, and never a constraint", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const runs = yield* Ref.make(0)
      const failing = (statement: Effect.Effect<unknown, SqlError>) =>
        Effect.zipRight(
          Ref.update(runs, (n) => n + 1),
          statement
        )
      const serialization = sql`DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$`
      assert.strictEqual(yield* reasonOf(Transaction.run(failing(serialization))), "SerializationFailure")
      const unique = sql`DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '23505'; END $$`
      assert.strictEqual(
        yield* reasonOf(Transaction.run(failing(unique), { retry: RetryPolicy.transaction })),
        "UniqueViolation"
      )
      assert.strictEqual(yield* Ref.get(runs), 2)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("reports a COMMIT whose answer was lost as in doubt, and runs neither afterCommit nor afterRollback", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
        const ran = yield* Ref.make<ReadonlyArray<string>>([])
        const note = (what: string) => Ref.update(ran, (all) => [...all, what])
        const program = Effect.gen(function* () {
          const sql = yield* PgClient.PgClient
          yield* sql`CREATE TABLE in_doubt (id int)`
          const runs = yield* Ref.make(0)
          const reason = yield* reasonOf(
            Transaction.run(
              Effect.gen(function* () {
                yield* Ref.update(runs, (n) => n + 1)
                yield* sql`INSERT INTO in_doubt VALUES (1)`
                yield* Transaction.afterCommit(note("committed"))
                yield* Transaction.afterRollback(note("rolled back"))
                yield* Transaction.onInDoubt(note("in doubt"))
                // The answer to the COMMIT that follows is cut.
                yield* proxy.cutAfter(0)
              }),
              { retry: RetryPolicy.transaction }
            )
          )
          assert.strictEqual(reason, "CommitInDoubt")
          assert.strictEqual(yield* Ref.get(runs), 1)
          assert.deepStrictEqual(yield* Ref.get(ran), ["in doubt"])
          yield* proxy.pass
          assert.strictEqual((yield* sql`SELECT id FROM in_doubt`).length, 1)
        })
        yield* Effect.provide(program, context)
      })
    )
  )

  it.effect("finds out what became of a COMMIT whose answer was lost", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(
          Layer.fresh(plinthAt(proxy.url(url), { minConnections: 2, maxConnections: 3 }))
        )
        const program = Effect.gen(function* () {
          const sql = yield* PgClient.PgClient
          const ran = yield* Ref.make<ReadonlyArray<string>>([])
          const note = (what: string) => Ref.update(ran, (all) => [...all, what])
          const pool = yield* ConnectionPool.ConnectionPool
          yield* sql`CREATE TABLE lost_commit (id int)`
          const insert = (id: number, fault: Effect.Effect<void>) =>
            Effect.gen(function* () {
              yield* Transaction.afterCommit(note("committed"))
              yield* Transaction.afterRollback(note("rolled back"))
              yield* Transaction.onInDoubt(note("in doubt"))
              yield* sql`INSERT INTO lost_commit VALUES (${id})`
              yield* fault
            })
          const rows = Effect.map(sql<{ id: number }>`SELECT id FROM lost_commit ORDER BY id`, (found) =>
            found.map(({ id }) => id)
          )
          // A second session is there before each transaction, to say what became of it.
          const witnessed = withinSeconds(
            5,
            Effect.map(pool.stats, ({ idle }) => idle >= 2)
          )

          yield* witnessed
          yield* Transaction.run(insert(1, proxy.cutNext("answer")))
          assert.deepStrictEqual(yield* Ref.getAndSet(ran, []), ["committed"])
          assert.deepStrictEqual(yield* rows, [1])

          yield* witnessed
          const error = DatabaseError.from(yield* failureOf(Transaction.run(insert(2, proxy.cutNext("request")))))
          assert.strictEqual(error.reason, "ConnectionLost")
          assert.include(error.message, "the server did not commit")
          assert.deepStrictEqual(yield* Ref.getAndSet(ran, []), ["rolled back"])
          assert.deepStrictEqual(yield* rows, [1])

          yield* witnessed
          const once = yield* Ref.make(proxy.cutNext("request"))
          yield* Transaction.run(insert(3, Effect.flatten(Ref.getAndSet(once, Effect.void))), {
            retry: RetryPolicy.transaction
          })
          assert.deepStrictEqual(yield* Ref.get(ran), ["rolled back", "committed"])
          assert.deepStrictEqual(yield* rows, [1, 3])
        })
        yield* Effect.provide(program, context)
      })
    )
  )

  it.effect("does not call a COMMIT in doubt that had nothing to commit", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(
          Layer.fresh(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
        )
        const sql = Context.get(context, PgClient.PgClient)
        const error = yield* failureOf(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, proxy.cutNext("answer"))))
        assert.strictEqual(DatabaseError.from(error).reason, "ConnectionLost")
      })
    )
  )

  it.effect("takes the snapshot of a repeatable read after its locks, with a lock timeout too", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE numbered (n int)`
      const next = Transaction.run(
        Effect.gen(function* () {
          yield* sql`LOCK TABLE numbered IN EXCLUSIVE MODE`
          yield* sql`INSERT INTO numbered SELECT coalesce(max(n), 0) + 1 FROM numbered`
          yield* Effect.sleep("30 millis")
        }),
        {
          isolation: "repeatable read",
          lockTimeout: "5 seconds",
          settings: { "app.user_id": "it's", search_path: "public, pg_temp" }
        }
      )
      yield* Effect.all([next, next, next], { concurrency: 3 })
      const rows = yield* sql<{ n: number }>`SELECT n FROM numbered ORDER BY n`
      assert.deepStrictEqual(
        rows.map(({ n }) => n),
        [1, 2, 3]
      )
    }).pipe(Effect.provide(stack()))
  )

  it.effect("sets what it is told for its own time", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const look = sql`SELECT current_setting('app.user_id', true) AS id, current_setting('search_path') AS path`
      const inside = yield* Transaction.run(look, {
        settings: { "app.user_id": "it's \\", search_path: "pg_catalog, public" }
      })
      assert.deepStrictEqual(inside, [{ id: "it's \\", path: "pg_catalog, public" }])
      assert.notDeepEqual(yield* look, inside)
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("refuses inside another transaction what it could not have there", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const who = sql<{ id: string }>`SELECT current_setting('app.user_id', true) AS id`
      for (const propagation of ["nested", "required"] as const) {
        const nested = Transaction.run(who, { settings: { "app.user_id": "bob" }, propagation })
        const error = DatabaseError.from(
          yield* failureOf(Transaction.run(nested, { settings: { "app.user_id": "alice" } }))
        )
        assert.strictEqual(error.reason, "TransactionAborted")
        assert.include(error.message, "settings cannot be had inside another transaction")
      }
      const same = Transaction.run(Transaction.run(who, { isolation: "serializable" }), { isolation: "serializable" })
      assert.strictEqual((yield* same).length, 1)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("does not let a fiber that outlived its nested transaction write into the outer one", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE outlived (id int)`
      const late = yield* Transaction.run(
        Effect.gen(function* () {
          const over = yield* Deferred.make<void>()
          const fiber = yield* Transaction.run(
            Effect.fork(Effect.zipRight(Deferred.await(over), Effect.flip(sql`INSERT INTO outlived VALUES (1)`)))
          )
          yield* Deferred.succeed(over, undefined)
          return yield* Fiber.join(fiber)
        })
      )
      assert.strictEqual(DatabaseError.from(late).reason, "TransactionAborted")
      assert.strictEqual((yield* sql`SELECT id FROM outlived`).length, 0)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("calls a write in doubt that its pool has cut off", () =>
    Effect.gen(function* () {
      const pool = yield* ConnectionPool.ConnectionPool
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE cut_off (id int)`
      const write = yield* Effect.fork(failureOf(sql`INSERT INTO cut_off SELECT 1 FROM pg_sleep(1)`))
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ used }) => used === 1)
      )
      yield* pool.nodeIs("down")
      const error = DatabaseError.from(yield* Fiber.join(write))
      assert.strictEqual(error.reason, "CommitInDoubt")
      assert.isFalse(error.isRetryable)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("calls a stream of writes in doubt whose COMMIT was not answered", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(
          Layer.fresh(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
        )
        const sql = Context.get(context, PgClient.PgClient)
        yield* sql`CREATE TABLE lost_stream (id int)`
        const written = sql`INSERT INTO lost_stream VALUES (1) RETURNING id`.stream
        const error = yield* failureOf(Stream.runForEach(written, () => proxy.cutNext("answer")))
        assert.strictEqual(DatabaseError.from(error).reason, "CommitInDoubt")
        assert.strictEqual((yield* sql`SELECT id FROM lost_stream`).length, 1)
      })
    )
  )

  it.effect("does not call a COMMIT in doubt that was never sent", () =>
    Effect.gen(function* () {
      const pool = yield* ConnectionPool.ConnectionPool
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE unsent (id int)`
      const error = yield* failureOf(
        Transaction.run(Effect.zipRight(sql`INSERT INTO unsent VALUES (1)`, pool.nodeIs("down")))
      )
      assert.strictEqual(DatabaseError.from(error).reason, "ConnectionLost")
      assert.isTrue(DatabaseError.from(error).isRetryable)
    }).pipe(Effect.provide(stack()))
  )

  it.effect("gives up on a COMMIT that a silent server does not answer", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
        const program = Effect.gen(function* () {
          const sql = yield* PgClient.PgClient
          const silent = yield* Deferred.make<void>()
          yield* sql`CREATE TABLE silent_commit (id int)`
          const body = Effect.gen(function* () {
            yield* sql`INSERT INTO silent_commit VALUES (1)`
            yield* proxy.blackhole
            yield* Deferred.succeed(silent, undefined)
          })
          const fiber = yield* Effect.fork(failureOf(Transaction.run(body)))
          yield* Deferred.await(silent)
          yield* TestClock.adjust("29 seconds")
          assert.isNull(fiber.unsafePoll())
          yield* TestClock.adjust("2 seconds")
          const error = DatabaseError.from(yield* Fiber.join(fiber))
          assert.strictEqual(error.reason, "CommitInDoubt")
          assert.include(String(error.cause), "no answer came within 30 seconds")
          // The pool can close its new connection without a clock that moves.
          yield* proxy.pass
        })
        yield* Effect.provide(program, context)
      })
    ).pipe(Effect.provide(TestContext.TestContext))
  )

  it.effect("reports a write outside of a transaction whose answer was lost as in doubt", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const context = yield* Layer.build(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
        const sql = Context.get(context, PgClient.PgClient)
        yield* sql`CREATE TABLE alone_in_doubt (id int)`
        yield* proxy.cutAfter(0)
        const error = DatabaseError.from(yield* failureOf(sql`INSERT INTO alone_in_doubt VALUES (1)`))
        assert.strictEqual(error.reason, "CommitInDoubt")
        assert.isFalse(error.isRetryable)
      })
    )
  )

  it.effect("runs afterCommit once, after the outermost commit, and not for a savepoint that was undone", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE hooks (id int)`
      const ran = yield* Ref.make<ReadonlyArray<string>>([])
      const note = (what: string) => Ref.update(ran, (all) => [...all, what])
      const seen = Effect.flatMap(sql`SELECT id FROM hooks`, (rows) => note(`${rows.length} rows`))
      yield* Transaction.run(
        Effect.gen(function* () {
          yield* sql`INSERT INTO hooks VALUES (1)`
          yield* Transaction.afterCommit(Effect.orDie(seen))
          yield* Transaction.run(Transaction.afterCommit(note("kept savepoint")))
          yield* Effect.ignore(
            Transaction.run(
              Effect.gen(function* () {
                yield* Transaction.afterCommit(note("undone savepoint"))
                yield* Transaction.afterRollback(note("savepoint rolled back"))
                yield* Effect.fail("undo")
              })
            )
          )
          yield* note("end of the body")
        })
      )
      assert.deepStrictEqual(yield* Ref.get(ran), [
        "end of the body",
        "savepoint rolled back",
        "1 rows",
        "kept savepoint"
      ])
      yield* Ref.set(ran, [])
      yield* Effect.ignore(Transaction.run(Effect.zipRight(Transaction.afterCommit(note("never")), Effect.fail("no"))))
      yield* Transaction.afterCommit(note("at once outside"))
      assert.deepStrictEqual(yield* Ref.get(ran), ["at once outside"])
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("makes a statement of the outer level wait while a nested transaction is open", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE kept_apart (id int)`
      const nested = Transaction.run(
        Effect.zipRight(
          sql`INSERT INTO kept_apart VALUES (1)`,
          Effect.zipRight(Effect.sleep("40 millis"), Effect.fail("undo"))
        )
      )
      const sibling = Effect.zipRight(Effect.sleep("10 millis"), sql`INSERT INTO kept_apart VALUES (2)`)
      yield* Transaction.run(Effect.all([Effect.ignore(nested), sibling], { concurrency: 2 }))
      assert.deepStrictEqual(yield* sql`SELECT id FROM kept_apart`, [{ id: 2 }])
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("undoes a nested transaction whose error was swallowed, and says so", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE nested_swallow (id int)`
      yield* Transaction.run(
        Effect.gen(function* () {
          yield* sql`INSERT INTO nested_swallow VALUES (1)`
          const inner = Transaction.run(
            Effect.zipRight(sql`INSERT INTO nested_swallow VALUES (2)`, Effect.ignore(sql`SELECT 1 / 0`))
          )
          assert.strictEqual(yield* reasonOf(inner), "TransactionAborted")
          yield* sql`INSERT INTO nested_swallow VALUES (3)`
        })
      )
      assert.deepStrictEqual(yield* sql`SELECT id FROM nested_swallow ORDER BY id`, [{ id: 1 }, { id: 3 }])
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("follows propagation: joins, demands, refuses, takes a second connection or fails at once", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const xid = Effect.map(sql<{ x: string }>`SELECT pg_current_xact_id()::text AS x`, ([row]) => row?.x)
      const [outer, joined, fresh] = yield* Transaction.run(
        Effect.all([
          xid,
          Transaction.run(xid, { propagation: "required" }),
          Transaction.run(xid, { propagation: "requiresNew" })
        ])
      )
      assert.strictEqual(outer, joined)
      assert.notStrictEqual(outer, fresh)
      assert.strictEqual(yield* reasonOf(Transaction.run(xid, { propagation: "mandatory" })), "TransactionAborted")
      assert.strictEqual(
        yield* reasonOf(Transaction.run(Transaction.run(xid, { propagation: "never" }))),
        "TransactionAborted"
      )
      const depths = yield* Transaction.run(
        Transaction.run(
          Effect.map(
            Transaction.current,
            Option.map(({ depth, label }) => `${label} ${depth}`)
          )
        ),
        { label: "outer" }
      )
      assert.strictEqual(Option.getOrThrow(depths), "outer 1")
    }).pipe(Effect.provide(stack(2)))
  )

  it.effect("fails requiresNew at once when the pool could never give a second connection", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const inner = Transaction.run(sql`SELECT 1`, { propagation: "requiresNew" })
      assert.strictEqual(yield* reasonOf(Transaction.run(Effect.zipRight(sql`SELECT 1`, inner))), "AcquireTimeout")
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("keeps the statements of every resolver inside the transaction", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`CREATE TABLE resolved (id int)`
      for (const withContext of [true, false]) {
        const Insert = yield* SqlResolver.ordered("Insert", {
          Request: Schema.Number,
          Result: Schema.Struct({ id: Schema.Number }),
          execute: (ids) => sql`INSERT INTO resolved ${sql.insert(ids.map((id) => ({ id })))} RETURNING id`,
          ...(withContext ? { withContext: true as const } : {})
        })
        const Drop = yield* SqlResolver.void("Drop", {
          Request: Schema.Number,
          execute: (ids) => sql`DELETE FROM resolved WHERE ${sql.in("id", ids)}`,
          ...(withContext ? { withContext: true as const } : {})
        })
        const Find = yield* SqlResolver.findById("Find", {
          Id: Schema.Number,
          Result: Schema.Struct({ id: Schema.Number }),
          ResultId: ({ id }) => id,
          execute: (ids) => sql`SELECT id FROM resolved WHERE ${sql.in("id", ids)}`,
          ...(withContext ? { withContext: true as const } : {})
        })
        const Group = yield* SqlResolver.grouped("Group", {
          Request: Schema.Number,
          RequestGroupKey: (id) => id,
          Result: Schema.Struct({ id: Schema.Number }),
          ResultGroupKey: ({ id }) => id,
          execute: (ids) => sql`SELECT id FROM resolved WHERE ${sql.in("id", ids)}`,
          ...(withContext ? { withContext: true as const } : {})
        })
        yield* Effect.ignore(
          Transaction.run(
            Effect.gen(function* () {
              yield* Effect.all([Insert.execute(1), Insert.execute(2)], { batching: true })
              assert.isTrue(Option.isSome(yield* Find.execute(1)))
              assert.strictEqual((yield* Group.execute(2)).length, 1)
              yield* Drop.execute(1)
              assert.isTrue(Option.isNone(yield* Find.execute(1)))
              yield* Effect.fail("undo")
            })
          )
        )
        assert.deepStrictEqual(yield* sql`SELECT id FROM resolved`, [])
      }
    }).pipe(Effect.provide(stack(2)))
  )

  it.effect("finds its own transaction behind another client's, also through a resolver", () =>
    Effect.gen(function* () {
      const a = yield* PgClient.PgClient
      const inA = yield* Transaction.Transaction
      const context = yield* Layer.build(stack(2))
      const b = Context.get(context, PgClient.PgClient)
      const inB = Context.get(context, Transaction.Transaction)
      const pidOf = (sql: PgClient.PgClient) =>
        Effect.map(sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([row]) => row?.pid)
      const Pid = yield* SqlResolver.ordered("Pid", {
        Request: Schema.Number,
        Result: Schema.Struct({ pid: Schema.Number }),
        execute: (ids) =>
          Effect.map(a<{ pid: number }>`SELECT pg_backend_pid() AS pid`, ([row]) => ids.map(() => ({ pid: row?.pid })))
      })
      yield* inA.run(
        Effect.gen(function* () {
          const outer = yield* pidOf(a)
          yield* inB.run(
            Effect.gen(function* () {
              const other = yield* pidOf(b)
              assert.notStrictEqual(other, outer)
              assert.strictEqual(yield* pidOf(a), outer)
              assert.strictEqual((yield* Pid.execute(1)).pid, outer)
              assert.strictEqual(yield* inA.run(pidOf(a)), outer)
              assert.strictEqual(yield* inA.run(pidOf(b)), other)
            })
          )
        })
      )
    }).pipe(Effect.scoped, Effect.provide(stack(2)))
  )

  it.effect("refuses a fiber that outlived its transaction", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const ended = yield* Deferred.make<void>()
      const late = yield* Transaction.run(
        Effect.zipRight(
          sql`SELECT 1`,
          Effect.forkDaemon(Effect.zipRight(Deferred.await(ended), reasonOf(sql`SELECT 1`)))
        )
      )
      yield* Deferred.succeed(ended, undefined)
      assert.strictEqual(yield* Fiber.join(late), "TransactionAborted")
    }).pipe(Effect.provide(stack(2)))
  )

  it.effect("lets statements run between the batches of a stream inside a transaction", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const total = yield* Transaction.run(
        sql<{ n: number }>`SELECT n FROM generate_series(1, 1000) AS n`.stream.pipe(
          Stream.mapEffect(({ n }) => Effect.as(n % 100 === 0 ? sql`SELECT 1` : Effect.void, n)),
          Stream.runFold(0, (sum, n) => sum + n)
        )
      )
      assert.strictEqual(total, 500_500)
    }).pipe(Effect.provide(stack(1)))
  )

  it.effect("commits what a stream outside of a transaction wrote, and gives its connection back when cut short", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const pool = yield* ConnectionPool.ConnectionPool
      yield* sql`CREATE TABLE streamed (id int)`
      yield* Stream.runDrain(sql`INSERT INTO streamed SELECT generate_series(1, 500) RETURNING id`.stream)
      assert.strictEqual((yield* Stream.runCollect(Stream.take(sql`SELECT id FROM streamed`.stream, 3))).length, 3)
      yield* Effect.ignore(
        Stream.runDrain(Stream.concat(sql`INSERT INTO streamed VALUES (0) RETURNING id`.stream, Stream.fail("no")))
      )
      const [row] = yield* sql<{ n: string }>`SELECT count(*) AS n FROM streamed`
      assert.strictEqual(row?.n, "501")
      yield* withinSeconds(
        2,
        Effect.map(pool.stats, ({ idle, used }) => used === 0 && idle === 1)
      )
      assert.strictEqual((yield* pool.stats).leaks, 0)
    }).pipe(Effect.provide(stack(1)))
  )
})
