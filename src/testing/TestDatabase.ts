/**
 * One database per test file: a copy of a template on a shared cluster, dropped afterwards, and a failure when the file
 * leaves a connection open.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import type { ControlSession } from "../embedded/ControlSession.ts"
import * as Control from "../embedded/ControlSession.ts"
import * as EmbeddedPostgres from "../embedded/EmbeddedPostgres.ts"
import { EmbeddedPostgresError } from "../embedded/EmbeddedPostgresError.ts"
import { inRealTime } from "../embedded/Node.ts"

/**
 * The database of one test file.
 *
 * @since 0.1.0
 * @category tags
 */
export class TestDatabase extends Context.Tag("plinth/TestDatabase")<
  TestDatabase,
  {
    /** The superuser's URL of this database on the primary. */
    readonly url: Redacted.Redacted
    /** The same database on the replicas; as many as were asked for. */
    readonly replicaUrls: ReadonlyArray<Redacted.Redacted>
    readonly name: string
    /** The sessions that are connected to this database now, on whatever node of the shared cluster. */
    readonly sessions: Effect.Effect<ReadonlyArray<Session>, EmbeddedPostgresError>
  }
>() {}

/**
 * A server session, as `pg_stat_activity` shows it.
 *
 * @since 0.1.0
 * @category models
 */
export class Session extends Schema.Class<Session>("plinth/TestDatabase/Session")({
  pid: Schema.Number,
  applicationName: Schema.String,
  state: Schema.NullOr(Schema.String),
  query: Schema.String
}) {}

/**
 * A database that is made once per cluster and copied for each test file.
 *
 * @since 0.1.0
 * @category models
 */
export interface Template {
  /** Letters, digits and `_`; files that give the same name share the template. */
  readonly name: string
  /** Fills the new database. */
  readonly build: (url: Redacted.Redacted) => Effect.Effect<unknown, unknown>
}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /**
   * How many replicas the file needs.
   *
   * @default 0
   */
  readonly replicas?: number | undefined
  /**
   * What the database is a copy of.
   *
   * @default an empty database
   */
  readonly template?: Template | undefined
  /**
   * Fail when a connection to this database is still open at the end.
   *
   * @default true
   */
  readonly leakCheck?: boolean | undefined
}

/** The variables by which a test run tells its workers of the shared cluster. */
const Shared = Config.all({
  url: Config.option(Config.nonEmptyString("PLINTH_TEST_URL")),
  replicaUrls: Config.withDefault(Config.array(Config.nonEmptyString(), "PLINTH_TEST_REPLICA_URLS"), [])
})

interface Servers {
  readonly primary: { readonly name: string; readonly url: Redacted.Redacted }
  readonly replicas: ReadonlyArray<{ readonly name: string; readonly url: Redacted.Redacted }>
}

// The shared cluster when it has enough replicas, else one of our own.
const servers = (replicas: number): Effect.Effect<Servers, EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const shared = yield* Effect.orDie(Shared)
    if (Option.isSome(shared.url) && shared.replicaUrls.length >= replicas) {
      return {
        primary: { name: "primary", url: Redacted.make(shared.url.value) },
        replicas: shared.replicaUrls
          .slice(0, replicas)
          .map((url, index) => ({ name: `replica-${index + 1}`, url: Redacted.make(url) }))
      }
    }
    return yield* EmbeddedPostgres.make({ replicas })
  })

const withDatabase = (url: Redacted.Redacted, database: string): Redacted.Redacted => {
  const parsed = new URL(Redacted.value(url))
  parsed.pathname = `/${database}`
  return Redacted.make(parsed.href)
}

const Nothing = Schema.Struct({})
const Found = Schema.Struct({ found: Schema.Boolean })

const databaseExists = (session: ControlSession, name: string) =>
  session
    .rows(Found, `select exists (select from pg_catalog.pg_database where datname = '${name}') as found`)
    .pipe(Effect.map(([row]) => row?.found === true))

// `file_copy` takes a third of the time of the default, which is for large templates on busy servers. Before 15 there
// is no choice.
const createDatabase = (session: ControlSession, name: string, template: string) =>
  session
    .rows(
      Schema.Struct({ version: Schema.NumberFromString }),
      "select pg_catalog.current_setting('server_version_num') as version"
    )
    .pipe(
      Effect.map(([row]) => ((row?.version ?? 0) >= 150_000 ? " strategy file_copy" : "")),
      Effect.flatMap((strategy) => session.rows(Nothing, `create database "${name}" template "${template}"${strategy}`))
    )

// The lock is the session's: whoever comes second waits here and finds the template made.
const ensureTemplate = (primary: Servers["primary"], template: Template) =>
  Effect.gen(function* () {
    const name = `plinth_template_${template.name}`
    const session = yield* Control.open(primary, "make the test template")
    yield* session.rows(Nothing, `select from pg_catalog.pg_advisory_lock(pg_catalog.hashtext('${name}'))`)
    if (yield* databaseExists(session, name)) return name
    const building = `${name}_building`
    yield* session.rows(Nothing, `drop database if exists "${building}" with (force)`)
    yield* createDatabase(session, building, "template0")
    yield* template.build(withDatabase(primary.url, building)).pipe(
      Effect.mapError(
        (cause) =>
          new EmbeddedPostgresError({
            reason: "ControlFailed",
            operation: `build the test template ${template.name}`,
            description: cause instanceof Error ? cause.message : String(cause),
            cause
          })
      )
    )
    // A template with a session on it cannot be copied.
    yield* session.rows(Nothing, `alter database "${building}" with allow_connections false`)
    yield* session.rows(Nothing, `alter database "${building}" rename to "${name}"`)
    return name
  }).pipe(Effect.scoped)

const often = Schedule.spaced(Duration.millis(10))

const awaitOnReplica = (replica: Servers["primary"], name: string) =>
  Effect.flatMap(Control.open(replica, "await the test database"), (session) =>
    Effect.repeat(databaseExists(session, name), { until: (found) => found, schedule: often })
  ).pipe(Effect.scoped)

const sessionsOn = (server: Servers["primary"], name: string) =>
  Effect.flatMap(Control.open(server, "list sessions"), (session) =>
    session.rows(
      Session,
      `select pid, application_name as "applicationName", state, query from pg_catalog.pg_stat_activity
       where datname = '${name}' and backend_type = 'client backend'`
    )
  ).pipe(Effect.scoped)

const dieOfLeak = (name: string, sessions: TestDatabase["Type"]["sessions"]) =>
  Effect.flatMap(sessions, (open) => {
    const list = open.map((s) => `  ${s.pid} ${s.applicationName} (${s.state ?? "unknown"}): ${s.query}`)
    const message = `${open.length} connection(s) to ${name} are still open after its tests:`
    return open.length === 0 ? Effect.void : Effect.die(new Error([message, ...list].join("\n")))
  })

/**
 * Makes a database that is dropped when the scope closes. With the leak check, closing the scope dies when a connection
 * to the database is still open 2 s later.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<TestDatabase["Type"], EmbeddedPostgresError, Scope.Scope> =>
  Effect.gen(function* () {
    const { primary, replicas } = yield* servers(options.replicas ?? 0)
    const template = options.template === undefined ? "template0" : yield* ensureTemplate(primary, options.template)
    const name = `test_${randomBytes(6).toString("hex")}`
    const sessions = Effect.map(
      Effect.forEach([primary, ...replicas], (server) => sessionsOn(server, name), { concurrency: 4 }),
      (lists) => lists.flat()
    )

    const drop = Effect.flatMap(Control.open(primary, "drop the test database"), (session) =>
      session.rows(Nothing, `drop database if exists "${name}" with (force)`)
    ).pipe(Effect.scoped)
    // A server ends a session a moment after its client has said goodbye. Bounded by the schedule: nothing can interrupt
    // a finalizer, no timeout either.
    const checkLeaks = sessions.pipe(
      Effect.repeat({
        until: (open) => open.length === 0,
        schedule: Schedule.spaced("50 millis").pipe(Schedule.upTo("2 seconds"))
      }),
      Effect.zipRight(dieOfLeak(name, sessions))
    )
    yield* Effect.acquireRelease(
      Effect.flatMap(Control.open(primary, "create the test database"), (session) =>
        createDatabase(session, name, template)
      ).pipe(Effect.scoped),
      () =>
        inRealTime(
          (options.leakCheck === false ? Effect.void : checkLeaks).pipe(
            Effect.ensuring(Effect.ignoreLogged(drop)),
            Effect.orDie
          )
        )
    )
    yield* Effect.forEach(replicas, (replica) => awaitOnReplica(replica, name), { concurrency: 4, discard: true })
    return {
      name,
      url: withDatabase(primary.url, name),
      replicaUrls: replicas.map((replica) => withDatabase(replica.url, name)),
      sessions: inRealTime(sessions)
    }
  }).pipe(inRealTime)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<TestDatabase, EmbeddedPostgresError> =>
  Layer.scoped(TestDatabase, make(options))
