/**
 * `plinth setup`: takes a database from nothing to ready, step by step, and leaves alone what is there.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import * as HealthMonitor from "../../HealthMonitor.ts"
import * as Migrator from "../../Migrator.ts"
import * as Administration from "../Administration.ts"
import { onPrimary } from "../Clients.ts"
import * as Exit from "../Exit.ts"
import { Extended } from "../Extensions.ts"
import * as Format from "../Format.ts"
import * as Migrations from "../Migrations.ts"
import { narrate } from "../MigrationEvents.ts"
import * as Mark from "../Mark.ts"
import { isMissing } from "../MissingDatabase.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as PlinthSchema from "../PlinthSchema.ts"
import * as Seeds from "../Seeds.ts"
import * as Session from "../Session.ts"
import * as standard from "../specs/standardOptions.ts"
import type { Step } from "../Steps.ts"
import * as Steps from "../Steps.ts"
import * as Variables from "../Variables.ts"

/** What the command line says. */
export interface Input {
  readonly database: DatabaseOptions
  readonly dir: Option.Option<string>
  readonly createDatabase: boolean
  readonly seed: boolean
  readonly seeds: Option.Option<string>
  readonly databaseName: Option.Option<string>
  readonly plan: boolean
}

/** Runs or shows the steps. */
export const setup = (input: Input) =>
  Effect.gen(function* () {
    const { result, style } = yield* Output
    const folder = yield* Migrations.find(input.dir)
    const seedsFolder = yield* Variables.text(input.seeds, standard.seeds)
    const seeds = input.seed ? yield* Seeds.read(seedsFolder) : undefined
    const database = yield* Session.open(input.database, "embedded")
    const { settings } = database

    const made = yield* ensureDatabase(settings, input)
    const steps =
      made.state === "to do"
        ? [made]
        : [
            made,
            ...(yield* onPrimary(
              Effect.gen(function* () {
                const privileges = yield* checkPrivileges
                if (!input.plan && (input.seed || Option.isSome(input.databaseName))) {
                  yield* Mark.confirmProduction(settings.primary.database, input.databaseName)
                }
                const migrations = yield* migrate(folder, input.plan)
                const seeded = yield* seed(seedsFolder, seeds, input.plan)
                const health = input.plan ? [] : [yield* checkHealth(settings)]
                return [privileges, migrations, seeded, ...health]
              }),
              settings
            ))
          ]
    yield* result({
      json: () => ({ schema: "plinth.setup/1", database: DatabaseConfig.nodeName(settings.primary), steps }),
      text: () => Steps.render(steps, style)
    })
    const open = steps.some(({ state }) => state === (input.plan ? "to do" : "warning"))
    yield* Exit.finish(open ? Exit.findings : Exit.done)
  }).pipe(Effect.scoped)

/** Reaches the server, and makes the database where that was asked for. */
const ensureDatabase = (settings: DatabaseConfig.Settings, input: Input) => {
  const { database, username } = settings.primary
  const node = DatabaseConfig.nodeName(settings.primary)
  const version = Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.flatMap(
      sql`SELECT pg_catalog.current_setting('server_version') AS version`,
      Schema.decodeUnknown(Schema.Tuple(Schema.Struct({ version: Schema.String })))
    )
  )
  return onPrimary(version, settings).pipe(
    Effect.map(([row]): Step => ({
      step: "database",
      state: "ok",
      detail: `${node}, PostgreSQL ${row.version}, as ${username}`
    })),
    Effect.catchIf(isMissing, (missing) =>
      Effect.gen(function* () {
        if (!input.createDatabase) {
          return yield* new Exit.CommandError({
            what: `The database "${database}" does not exist on ${node}`,
            advice: "Give --create-database to create it",
            code: Exit.failed,
            cause: missing
          })
        }
        if (input.plan) return { step: "database", state: "to do", detail: `create ${node}` } satisfies Step
        yield* Administration.inMaintenance(Administration.createPlain(database), settings)
        return { step: "database", state: "done", detail: `created ${node}` } satisfies Step
      })
    )
  )
}

const Privileges = Schema.Tuple(
  Schema.Struct({ inRecovery: Schema.Boolean, canCreate: Schema.Boolean, canUsePublic: Schema.Boolean })
)

/** What the migrations need: a primary, and the right to create in the database and in its first schema. */
const checkPrivileges = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT
    pg_catalog.pg_is_in_recovery() AS "inRecovery",
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AS "canCreate",
    coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE'), false) AS "canUsePublic"`
  const [{ canCreate, canUsePublic, inRecovery }] = yield* Effect.orDie(Schema.decodeUnknown(Privileges)(rows))
  if (inRecovery) {
    return yield* Exit.refused("The server is a standby and cannot be set up", "Give the URL of the primary")
  }
  const missing = [
    ...(canCreate ? [] : ["GRANT CREATE ON DATABASE .. (for the schema plinth)"]),
    ...(canUsePublic ? [] : ["GRANT CREATE ON SCHEMA .. (for the tables)"])
  ]
  return {
    step: "privileges",
    state: missing.length === 0 ? "ok" : "warning",
    detail: missing.length === 0 ? "schemas and tables can be created" : `missing: ${missing.join("; ")}`
  } satisfies Step
})

const migrate = (found: Option.Option<string>, plan: boolean) =>
  Effect.gen(function* () {
    if (Option.isNone(found)) {
      if (!plan) yield* PlinthSchema.install
      const detail = `there is no folder ${standard.dir.default}`
      return { step: "migrations", state: "skipped", detail } satisfies Step
    }
    const folder = found.value
    const migrator = yield* Migrator.make({ source: Migrations.source(folder), onEvent: yield* narrate })
    const { migrations, problems } = yield* migrator.plan()
    const [problem] = problems
    if (problem !== undefined) return yield* problem
    const files = Format.plural(migrations.length, "migration")
    if (plan && migrations.length > 0) {
      return { step: "migrations", state: "to do", detail: `apply ${files} of ${folder}` } satisfies Step
    }
    const ran = plan ? [] : yield* migrator.up()
    return ran.length === 0
      ? ({ step: "migrations", state: "ok", detail: "nothing is pending" } satisfies Step)
      : ({
          step: "migrations",
          state: "done",
          detail: `applied ${Format.plural(ran.length, "migration")}`
        } satisfies Step)
  })

const seed = (folder: string, seeds: ReadonlyArray<Seeds.Seed> | undefined, plan: boolean) =>
  Effect.gen(function* () {
    if (seeds === undefined) return { step: "seeds", state: "skipped", detail: "--seed loads them" } satisfies Step
    const open = yield* Seeds.pending(seeds)
    const before =
      open.length === seeds.length ? "" : `; ${Format.plural(seeds.length - open.length, "file")} loaded before`
    if (seeds.length > 0 && open.length === 0) {
      const detail = `${Format.plural(seeds.length, "file")} of ${folder} loaded before, so nothing was loaded again`
      return { step: "seeds", state: "ok", detail } satisfies Step
    }
    const named = `${Format.plural(open.length, "file")} of ${folder}`
    if (plan) return { step: "seeds", state: "to do", detail: `load ${named}${before}` } satisfies Step
    const started = yield* Clock.currentTimeMillis
    yield* Seeds.load(seeds)
    const took = Duration.millis((yield* Clock.currentTimeMillis) - started)
    return {
      step: "seeds",
      state: "done",
      detail: `loaded ${named} in ${Format.duration(took)}${before}`
    } satisfies Step
  })

const checkHealth = (settings: DatabaseConfig.Settings) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const monitor = yield* HealthMonitor.make({
      nodes: [{ name: DatabaseConfig.nodeName(settings.primary), role: "primary", run: sql }],
      checks: (yield* Extended).checks,
      background: false
    })
    const report = yield* monitor.check({ tier: "fast" })
    const status = HealthMonitor.status(report)
    const found = HealthMonitor.worstFirst(report)
      .flatMap(({ findings }) => findings)
      .map(({ evidence }) => evidence)
    return {
      step: "health",
      state: status === "critical" ? "warning" : "ok",
      detail: found[0] === undefined ? status : `${status}: ${found.join("; ")}`
    } satisfies Step
  }).pipe(Effect.scoped)
