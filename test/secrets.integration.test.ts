/**
 * Secrets: a password and a parameter, looked for in whatever a program can print.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import { AdvisoryLock, ConnectionPool, Database, DatabaseConfig, DatabaseError, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { inspect } from "node:util"
import { plinthAt } from "./support/clients.ts"

const password = "hunter2-the-password"
const parameter = "4111-1111-1111-1111"

/** Everything that `console.log`, a logger, a test runner or an error tracker would show. */
const shown = (value: unknown): string => {
  const json = () => {
    try {
      return JSON.stringify(value, (_, inner: unknown) => (typeof inner === "bigint" ? String(inner) : inner)) ?? ""
    } catch {
      return ""
    }
  }
  return [String(value), inspect(value, { depth: 5 }), json()].join("\n")
}

/** Runs an effect and keeps what it logs and traces, of every level. */
const recorded = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const seen: Array<string> = []
    const logger = Logger.make((entry) => {
      seen.push(shown(entry.message), shown([...entry.annotations]), Cause.pretty(entry.cause), shown(entry.cause))
    })
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        const status: Tracer.SpanStatus = { _tag: "Started", startTime }
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          spanId: "1",
          traceId: "1",
          parent,
          context,
          status,
          attributes,
          links,
          sampled: true,
          kind,
          end: (_, exit) => {
            seen.push(name, shown([...attributes]), shown(exit), Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")
          },
          attribute: (key, value) => void attributes.set(key, value),
          event: (event, _, more) => void seen.push(event, shown(more)),
          addLinks: () => {}
        }
        return span
      },
      context: (f) => f()
    })
    const exit = yield* Effect.exit(effect).pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, logger)),
      Logger.withMinimumLogLevel(LogLevel.All),
      Effect.withTracer(tracer)
    )
    seen.push(shown(exit), Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")
    return seen
  })

const findIn = (texts: ReadonlyArray<string>, secret: string): ReadonlyArray<string> =>
  texts.filter((text) => text.includes(secret)).map((text) => text.slice(Math.max(0, text.indexOf(secret) - 80)))

type Services = Database.Services

/** A role with the password, and a URL with both. */
const withRole = Effect.gen(function* () {
  const { name, url } = yield* TestDatabase.TestDatabase
  const role = `secret_${name}`
  yield* Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'`)
    yield* sql.unsafe(`GRANT ALL ON SCHEMA public TO ${role}`)
    yield* sql.unsafe(`GRANT CREATE ON DATABASE ${name} TO ${role}`)
  }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql.unsafe(`DROP OWNED BY ${role} CASCADE`)
      yield* sql.unsafe(`DROP ROLE ${role}`)
    }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })), Effect.orDie)
  )
  const parsed = new URL(Redacted.value(url))
  parsed.username = role
  parsed.password = password
  return Redacted.make(parsed.href)
})

describe("a secret", () => {
  it.scopedLive("of the configuration is in no value that a program could print", () =>
    Effect.gen(function* () {
      const url = yield* withRole
      const settings = yield* DatabaseConfig.make({ url, replicaUrls: [url] })
      const texts = [shown(settings), shown(settings.primary), shown(settings.entries)]
      const context = yield* Layer.build(Database.layer({ url, health: { background: false } }))
      texts.push(
        ...[...context.unsafeMap.values()].map(shown),
        shown(context),
        shown(Layer.build(Database.layer({ url })))
      )
      const sql = Context.get(context, PgClient.PgClient)
      texts.push(shown(sql), shown(sql.config), shown(sql.withoutTransforms()))
      const pool = yield* ConnectionPool.make({ target: settings.primary, settings: settings.pool })
      texts.push(shown(pool), shown(yield* pool.stats), shown(pool.target))
      yield* pool.use((connection) =>
        Effect.gen(function* () {
          texts.push(shown(connection), shown(yield* pool.holders))
        })
      )
      assert.deepStrictEqual(findIn(texts, password), [])
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer()))
  )

  it.scopedLive("is in no log, span or error of a program that goes wrong", () =>
    Effect.gen(function* () {
      const url = yield* withRole
      const wrong = new URL(Redacted.value(url))
      wrong.password = `${password}-wrong`
      const nowhere = new URL(Redacted.value(url))
      nowhere.port = "1"
      const missing = new URL(Redacted.value(url))
      missing.pathname = "/no_such_database"
      const connecting = (target: URL) =>
        Layer.build(Database.layer({ url: Redacted.make(target.href), health: { background: false } }))
      const working = Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* sql`CREATE TABLE card (number text PRIMARY KEY, n int CHECK (n > 0))`
        const insert = sql`INSERT INTO card VALUES (${parameter}, 1)`
        yield* insert
        yield* Effect.logDebug("a statement", insert)
        const failing: ReadonlyArray<Effect.Effect<unknown, unknown, Services>> = [
          insert,
          sql`INSERT INTO card VALUES (${parameter + "x"}, ${-1})`,
          sql`SELECT ${parameter}::int`,
          sql`SELECT * FROM card WHERE nothing = ${parameter}`,
          sql.withTransaction(Effect.zipRight(sql`SELECT 1`, insert)),
          Transaction.batch([sql`SELECT 1`, insert]),
          Transaction.run(Effect.zipRight(Effect.ignore(insert), sql`SELECT ${parameter}`), {
            settings: { "app.card": parameter }
          }),
          AdvisoryLock.withLock(Effect.zipRight(insert, Effect.void), "card")
        ]
        for (const failure of failing) {
          const exit: Exit.Exit<unknown, unknown> = yield* Effect.exit(Effect.asVoid(failure))
          yield* Effect.logError("it failed", exit)
          if (Exit.isFailure(exit)) yield* Effect.logError("because", exit.cause)
          const found = Exit.isFailure(exit)
            ? Option.map(Cause.failureOption(exit.cause), DatabaseError.from)
            : Option.none()
          if (Option.isSome(found)) yield* Effect.logError(found.value.message, found.value)
        }
      }).pipe(Effect.withSpan("work"), Effect.provide(Database.layer({ url, health: { background: false } })))
      const texts = [
        ...(yield* recorded(Effect.scoped(connecting(wrong)))),
        ...(yield* recorded(Effect.scoped(connecting(nowhere)))),
        ...(yield* recorded(Effect.scoped(connecting(missing)))),
        ...(yield* recorded(DatabaseConfig.make({ url: `postgres://u:${password}@[bad`, maxConnections: -1 }))),
        ...(yield* recorded(working))
      ]
      assert.isAbove(texts.length, 50)
      assert.deepStrictEqual(findIn(texts, password), [])
      assert.deepStrictEqual(findIn(texts, parameter), [])
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer()))
  )
})
