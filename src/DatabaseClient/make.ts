/**
 * Builds the client: statements by the public constructors of `@effect/sql`, everything that runs them by Plinth.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { AdvisoryLock } from "../AdvisoryLock.ts"
import { make as makeLocks } from "../AdvisoryLock/make.ts"
import type { ConnectionTarget } from "../DatabaseConfig.ts"
import { DatabaseError, toSqlError } from "../DatabaseError.ts"
import type { PooledConnection } from "../ConnectionPool.ts"
import { reserve } from "../internal/SqlBackend.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import type { Listener } from "../Listener.ts"
import { isNotification } from "../Listener.ts"
import { Transaction } from "../Transaction.ts"
import type { BatchOptions } from "../Transaction.ts"
import * as Runner from "../Transaction/Runner.ts"
import { defaults } from "../Transaction/begin.ts"
import { inDoubtIf } from "../Transaction/inDoubt.ts"
import type { Level } from "../Transaction/Level.ts"
import { assembleClient } from "../internal/pg/assembleClient.ts"
import { batchRows } from "../internal/pg/batchRows.ts"
import type { BatchRows } from "../internal/pg/batchRows.ts"
import { jsonFragment } from "./json.ts"
import { LevelSqlConnection, ownedBy, SqlConnection } from "./SqlConnection.ts"
import type { Executor } from "./SqlConnection.ts"
import * as PlannedStatement from "./Statement.ts"
import { streamAlone, streamPortal } from "./streamPortal.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface ClientOptions {
  readonly transformResultNames?: ((name: string) => string) | undefined
  readonly transformQueryNames?: ((name: string) => string) | undefined
  /** Whether names inside JSON values are transformed too. @default true */
  readonly transformJson?: boolean | undefined
  readonly spanAttributes?: Record<string, unknown> | undefined
  /** Rows per fetch of a stream. @default 128 */
  readonly streamBatch?: number | undefined
}

/** What belongs to one client. */
export type ClientServices = SqlClient.SqlClient | PgClient.PgClient | Transaction | AdvisoryLock

/** Rows per fetch of a stream; `@effect/sql-pg` fetches as many. */
const defaultStreamBatch = 128

export const make = (
  backend: SqlBackend,
  listener: Listener["Type"],
  options: ClientOptions
): Effect.Effect<Context.Context<ClientServices>, never, Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const reactivity = yield* Reactivity.Reactivity
    const owner = {}
    const fetch = options.streamBatch ?? defaultStreamBatch

    const inLevel = (level: Level): Executor => ({
      run: (query) => level.run([query]),
      stream: (query) =>
        Stream.suspend(() =>
          streamPortal(query, {
            fetch,
            name: level.session.name("portal"),
            run: (steps, options) => level.run(steps, options?.operation)
          })
        )
    })
    /** A statement on its own is a transaction of its own; a stream commits at its end. */
    const settled = (query: Query, commits: "query" | "commit") =>
      inDoubtIf(() => backend.mayWrite(query.text), commits)
    const onConnection = (connection: PooledConnection): Executor => ({
      run: (query) =>
        Effect.suspend(() => {
          // What is inside a transaction of the holder's own is lost with the connection, and not in doubt.
          const alone = connection.status === "I"
          const running = connection.run([query])
          return alone ? Effect.mapError(running, settled(query, "query")) : running
        }),
      stream: (query) =>
        Stream.mapError(streamAlone(query, Effect.succeed(connection), fetch), settled(query, "commit"))
    })
    const autocommit = new SqlConnection({
      run: (query) => Effect.mapError(backend.run(query), settled(query, "query")),
      stream: (query) =>
        Stream.mapError(streamAlone(query, reserve(backend, { sql: query.text }), fetch), settled(query, "commit"))
    })

    const runner = Runner.make({
      backend,
      connect: (level, enclosing) => new LevelSqlConnection(inLevel(level), owner, level, enclosing),
      own: (connection) => ownedBy(owner, connection)
    })

    const connectionOf = (context: Context.Context<never>): Connection => runner.current(context) ?? autocommit
    const acquirer: Connection.Acquirer = Effect.map(Effect.context<never>(), connectionOf)
    const compiler = PgClient.makeCompiler(options.transformQueryNames, options.transformJson)
    const transformRows =
      options.transformResultNames === undefined
        ? undefined
        : Statement.defaultTransforms(options.transformResultNames, options.transformJson).array
    const spanAttributes = [
      ...Object.entries(options.spanAttributes ?? {}),
      ["db.system.name", "postgresql"] as const,
      ["plinth.node", backend.name] as const
    ]

    const common = {
      config: configOf(backend.target),
      reserve: Effect.mapBoth(reserve(backend, { access: "read write" }), {
        onFailure: toSqlError,
        onSuccess: (connection): Connection => new SqlConnection(onConnection(connection))
      }),
      withTransaction: <R, E, A>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> =>
        runner.runWith(self, defaults, toSqlError),
      reactive: reactivity.stream,
      reactiveMailbox: reactivity.query,
      listen: (channel: string): Stream.Stream<string, SqlError> =>
        listener.listen(channel).pipe(
          Stream.filter(isNotification),
          Stream.map((event) => event.payload),
          Stream.mapError(toSqlError)
        )
    }

    const build = (
      names: "transformed" | "bare",
      withoutTransforms: (self: PgClient.PgClient) => PgClient.PgClient
    ): PgClient.PgClient => {
      const statements = statementsOf(names)
      return assembleClient(statements, {
        ...common,
        json: jsonFragment(
          names === "bare" || options.transformJson === false ? undefined : options.transformQueryNames
        ),
        // NOTIFY takes no parameters; the function does, and belongs to the transaction that it is called in.
        notify: (channel, payload) =>
          Effect.asVoid(
            Effect.zipRight(
              checkPayload(payload, backend.name),
              statements`SELECT pg_catalog.pg_notify(${channel}, ${payload})`
            )
          ),
        withoutTransforms
      })
    }
    const statementsOf = (names: "transformed" | "bare"): Statement.Constructor => {
      const rows = names === "bare" ? undefined : transformRows
      const compile = names === "bare" ? compiler.withoutTransform : compiler
      return PlannedStatement.make(Statement.make(acquirer, compile, spanAttributes, rows), {
        connectionOf,
        transformRows: rows
      })
    }

    let bare: PgClient.PgClient | undefined
    const client = build("transformed", (self) => {
      if (transformRows === undefined) return self
      bare ??= build("bare", (it) => it)
      return bare
    })
    const batch = <const Statements extends ReadonlyArray<Statement.Statement<unknown>>>(
      statements: Statements,
      options: BatchOptions = defaults
    ): Effect.Effect<BatchRows<Statements>, DatabaseError> =>
      Effect.map(
        runner.batch(
          statements.map((statement) => {
            const [text, params] = statement.compile()
            return { text, params }
          }),
          options
        ),
        (results) =>
          batchRows<Statements>(results.map(({ rows }) => (transformRows === undefined ? rows : transformRows(rows))))
      )
    return Context.make(PgClient.PgClient, client).pipe(
      Context.add(SqlClient.SqlClient, client),
      Context.add(Transaction, { ...runner.service, batch }),
      Context.add(AdvisoryLock, makeLocks(backend, runner))
    )
  })

/** Bytes that a notification must stay below (PostgreSQL, `NOTIFY`). */
const payloadLimit = 8_000

/** The server would say so too, but not how long it was, and the transaction would be lost. */
const checkPayload = (payload: string, node: string): Effect.Effect<void, SqlError> =>
  Effect.suspend(() => {
    const bytes = new TextEncoder().encode(payload).length
    return bytes < payloadLimit
      ? Effect.void
      : Effect.fail(
          toSqlError(
            new DatabaseError({
              reason: "InvalidData",
              operation: "notify",
              description: `the payload has ${bytes} bytes and must have fewer than ${payloadLimit}: send a key, and keep the rest in a table`,
              node
            })
          )
        )
  })

/** What tools that start other programs, such as pg_dump, ask a client for; a password that has to be fetched is not there. */
const configOf = (target: ConnectionTarget): PgClient.PgClientConfig => ({
  host: target.host,
  port: target.port,
  database: target.database,
  username: target.username,
  password: Effect.isEffect(target.password) ? undefined : target.password,
  ssl: target.ssl !== false,
  applicationName: target.applicationName,
  connectTimeout: target.connectTimeout
})
