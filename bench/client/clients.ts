/**
 * The clients under measurement, each doing the same work in its own idiom.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { eq, sql as drizzleSql } from "drizzle-orm"
import { drizzle } from "drizzle-orm/node-postgres"
import { integer, pgTable, text } from "drizzle-orm/pg-core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { ConnectionPool, Database, DatabaseClient, DatabaseConfig, Listener, Transaction } from "effect-plinth"
import pg from "pg"
import { floor } from "./floor.ts"
import postgres from "postgres"

/** What is measured, and in what its operations consist. */
export type Operation = "select" | "transaction" | "slow"

/** An operation, or a mix that counts the selects alone while every tenth operation takes the server 20 ms. */
export type Workload = "select" | "transaction" | "mixed"

export interface Client {
  readonly name: string
  /** Of which workloads it takes part. @default all */
  readonly workloads?: ReadonlyArray<Workload>
  /** Runs loops side by side; each asks `done(latency)` after an operation whether to go on. */
  readonly run: (
    workload: Workload,
    concurrency: number,
    nextId: () => number,
    goOn: (latencyMillis: number | undefined) => boolean
  ) => Promise<void>
}

export type Work<A> = { readonly [operation in Operation]: (id: number) => A }

/** Which operation is next: in a mix a slow one behind nine selects. */
const operationOf = (workload: Workload, count: number): Operation =>
  workload !== "mixed" ? workload : count % 10 === 9 ? "slow" : "select"

const ofPromises = (name: string, work: Work<Promise<unknown>>): Client => ({
  name,
  run: async (workload, concurrency, nextId, goOn) => {
    let count = 0
    const loop = async () => {
      for (let more = true; more;) {
        const operation = operationOf(workload, count++)
        const start = performance.now()
        await work[operation](nextId())
        more = goOn(operation === "slow" ? undefined : performance.now() - start)
      }
    }
    await Promise.all(Array.from({ length: concurrency }, loop))
  }
})

const ofEffects = (name: string, work: Work<Effect.Effect<unknown, unknown>>): Client => ({
  name,
  run: (workload, concurrency, nextId, goOn) => {
    let count = 0
    const loop = Effect.gen(function* () {
      for (let more = true; more;) {
        const operation = operationOf(workload, count++)
        const start = performance.now()
        yield* work[operation](nextId())
        more = goOn(operation === "slow" ? undefined : performance.now() - start)
      }
    })
    const loops = Effect.all(
      Array.from({ length: concurrency }, () => loop),
      { concurrency: "unbounded", discard: true }
    )
    return Effect.runPromise(loops)
  }
})

const ofSqlClient = (name: string, sql: PgClient.PgClient): Client =>
  ofEffects(name, {
    select: (id) => sql`SELECT id, filler, balance FROM bench WHERE id = ${id}`,
    transaction: (id) => sql.withTransaction(sql`UPDATE bench SET balance = balance + 1 WHERE id = ${id}`),
    slow: () => sql`SELECT pg_sleep(0.02)`
  })

const selectText = "SELECT id, filler, balance FROM bench WHERE id = $1"
const updateText = "UPDATE bench SET balance = balance + 1 WHERE id = $1"

const ofPgPool = (name: string, pool: pg.Pool, named: boolean): Client => {
  const query = (key: string, text: string, id: number) =>
    named ? { name: key, text, values: [id] } : { text, values: [id] }
  return ofPromises(name, {
    select: (id) => pool.query(query("select", selectText, id)),
    slow: () => pool.query("SELECT pg_sleep(0.02)"),
    transaction: async (id) => {
      const client = await pool.connect()
      try {
        await client.query("BEGIN")
        await client.query(query("update", updateText, id))
        await client.query("COMMIT")
      } finally {
        client.release()
      }
    }
  })
}

const bench = pgTable("bench", {
  id: integer("id").primaryKey(),
  filler: text("filler").notNull(),
  balance: integer("balance").notNull()
})

/** Opens all clients on one table of `rows` rows. */
export const clients = (
  url: string,
  max: number,
  rows: number
): Effect.Effect<ReadonlyArray<Client>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const pool = yield* Effect.acquireRelease(
      Effect.sync(() => new pg.Pool({ connectionString: url, max })),
      (pool) => Effect.promise(() => pool.end())
    )
    yield* Effect.promise(() =>
      pool.query(
        `DROP TABLE IF EXISTS bench; CREATE TABLE bench (id int PRIMARY KEY, filler text NOT NULL, balance int NOT NULL) WITH (fillfactor = 70);
         INSERT INTO bench SELECT n, repeat('x', 80), 0 FROM generate_series(1, ${rows}) AS n; ANALYZE bench`
      )
    )
    const bare = yield* Effect.acquireRelease(
      Effect.promise(() => floor(new URL(url), max)),
      ({ end }) => Effect.sync(end)
    )
    const postgresJs = yield* Effect.acquireRelease(
      Effect.sync(() => postgres(url, { max })),
      (sql) => Effect.promise(() => sql.end())
    )
    const orm = drizzle(pool)
    const prepared = orm
      .select()
      .from(bench)
      .where(eq(bench.id, drizzleSql.placeholder("id")))
      .prepare("bench_select")
    const slow = () => orm.execute(drizzleSql`SELECT pg_sleep(0.02)`)
    const stock = Context.get(
      yield* Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: max })),
      PgClient.PgClient
    )
    const { pool: settings, primary } = yield* DatabaseConfig.make({ url, minConnections: 1, maxConnections: max })
    const plinth = yield* Layer.build(
      DatabaseClient.layer().pipe(
        Layer.provide(Layer.merge(ConnectionPool.layer({ target: primary, settings }), Listener.layer(primary)))
      )
    )
    const plain = Context.get(plinth, PgClient.PgClient)
    const { batch } = Context.get(plinth, Transaction.Transaction)
    const routed = Context.get(
      yield* Layer.build(
        Database.layer({ url, minConnections: 1, maxConnections: max, health: { background: false } })
      ),
      PgClient.PgClient
    )
    return [
      ofPromises("bare sockets", bare.work),
      ofPgPool("pg-pool", pool, false),
      ofPgPool("pg-pool named", pool, true),
      ofPromises("postgres.js", {
        slow: () => postgresJs`SELECT pg_sleep(0.02)`,
        select: (id) => postgresJs`SELECT id, filler, balance FROM bench WHERE id = ${id}`,
        transaction: (id) => postgresJs.begin((sql) => sql`UPDATE bench SET balance = balance + 1 WHERE id = ${id}`)
      }),
      ofPromises("drizzle", {
        slow,
        select: (id) => orm.select().from(bench).where(eq(bench.id, id)),
        transaction: (id) =>
          orm.transaction((tx) =>
            tx
              .update(bench)
              .set({ balance: drizzleSql`${bench.balance} + 1` })
              .where(eq(bench.id, id))
          )
      }),
      ofPromises("drizzle prepared", {
        slow,
        select: (id) => prepared.execute({ id }),
        transaction: (id) =>
          orm.transaction((tx) =>
            tx
              .update(bench)
              .set({ balance: drizzleSql`${bench.balance} + 1` })
              .where(eq(bench.id, id))
          )
      }),
      ofSqlClient("@effect/sql-pg", stock),
      ofSqlClient("Plinth", plain),
      ofSqlClient("Plinth routed", routed),
      {
        ...ofEffects("Plinth batch", {
          select: (id) => plain`SELECT id, filler, balance FROM bench WHERE id = ${id}`,
          transaction: (id) => batch([plain`UPDATE bench SET balance = balance + 1 WHERE id = ${id}`]),
          slow: () => plain`SELECT pg_sleep(0.02)`
        }),
        workloads: ["transaction"]
      }
    ]
  })
