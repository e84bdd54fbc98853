/**
 * The real client over a script instead of a server: statements, spans, transactions and errors are Plinth's own, the
 * answers are the test's.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type { Query } from "../ConnectionPool.ts"
import { make as makeClient } from "../DatabaseClient/make.ts"
import type { ClientOptions, ClientServices } from "../DatabaseClient/make.ts"
import type { ConnectionTarget } from "../DatabaseConfig.ts"
import { DatabaseError } from "../DatabaseError.ts"
import { mayWrite } from "../internal/SqlBackend.ts"
import { builtin, classify } from "../SqlClassifier.ts"
import { normalize } from "../SqlText.ts"
import { askForXid } from "../Transaction/Level.ts"
import { ScriptedConnection } from "./ScriptedConnection.ts"

/**
 * One statement that is expected, once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Expectation {
  /** The whole statement, compared without white space, comments and the case of keywords; or a pattern of its `Ran`. */
  readonly sql: string | RegExp
  /** @default no rows */
  readonly answer?: ReadonlyArray<object> | DatabaseError | undefined
}

/**
 * A statement that was run.
 *
 * @since 0.1.0
 * @category models
 */
export interface Ran {
  /** With single spaces. */
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
}

/**
 * What became of a script.
 *
 * @since 0.1.0
 * @category tags
 */
export class ScriptedSql extends Context.Tag("plinth/ScriptedSql")<
  ScriptedSql,
  {
    /** Everything that was run, BEGIN and COMMIT included, in order. */
    readonly ran: Effect.Effect<ReadonlyArray<Ran>>
    /** The expectations that no statement has met yet. */
    readonly unmet: Effect.Effect<ReadonlyArray<Expectation>>
  }
>() {}

/**
 * A client that answers each statement by the first expectation that it meets and that is still unmet. BEGIN, COMMIT,
 * ROLLBACK and savepoints need no expectation, and can have one that fails. A statement that nobody expects is a defect.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  script: ReadonlyArray<Expectation>,
  options: ClientOptions = {}
): Layer.Layer<ClientServices | ScriptedSql> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const ran: Array<Ran> = []
      const unmet = [...script]

      const answer = (query: Query): Effect.Effect<ReadonlyArray<object>, DatabaseError> =>
        Effect.suspend(() => {
          // A transaction asks by itself, and a script has no ids to tell.
          if (query === askForXid) return Effect.succeed([])
          const sql = query.text.trim().replace(/\s+/g, " ")
          ran.push({ sql, params: query.params })
          const index = unmet.findIndex((expectation) => isMet(expectation, query.text, sql))
          const [found] = index < 0 ? [] : unmet.splice(index, 1)
          if (found === undefined) return isControl(sql) ? Effect.succeed([]) : Effect.die(unexpected(sql, unmet))
          return found.answer instanceof DatabaseError ? Effect.fail(found.answer) : Effect.succeed(found.answer ?? [])
        })

      const connect = Effect.sync(() => new ScriptedConnection(answer))
      const services = yield* makeClient(
        {
          target,
          name: "script",
          keepsSessions: true,
          mayWrite: mayWrite((sql) => classify(sql, builtin)),
          run: (query) => Effect.flatMap(connect, (connection) => connection.run([query])),
          batch: (queries) => Effect.flatMap(connect, (connection) => connection.run(queries)),
          lease: () =>
            Effect.map(connect, (connection) => ({
              connection,
              release: Effect.void,
              remind: () => {},
              outcomeOf: () => Effect.succeedNone
            })),
          capacity: Effect.succeed(Number.POSITIVE_INFINITY)
        },
        { listen: () => Stream.never },
        options
      )
      return Context.add(services, ScriptedSql, {
        ran: Effect.sync(() => [...ran]),
        unmet: Effect.sync(() => [...unmet])
      })
    })
  ).pipe(Layer.provide(Reactivity.layer))

/** Nothing connects to it. */
const target: ConnectionTarget = {
  host: "script",
  port: 5432,
  database: "script",
  username: "script",
  ssl: false,
  applicationName: "script",
  connectTimeout: Duration.zero
}

const isMet = (expected: Expectation, text: string, shown: string): boolean =>
  typeof expected.sql === "string" ? normalize(expected.sql) === normalize(text) : expected.sql.test(shown)

/** What a transaction sends by itself. */
const isControl = (sql: string): boolean =>
  /^(begin|commit|rollback|savepoint|release)\b|^select pg_catalog\.set_config\(/i.test(sql)

const unexpected = (sql: string, unmet: ReadonlyArray<Expectation>): Error =>
  new Error(
    [`the script does not expect: ${sql}`, "it still expects:", ...unmet.map((it) => `  ${String(it.sql)}`)].join("\n")
  )
