/**
 * `plinth migrate`: what each command does.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Migrator from "../../Migrator.ts"
import * as BackupFirst from "../BackupFirst.ts"
import { onPrimary } from "../Clients.ts"
import * as Confirm from "../Confirm.ts"
import * as Durations from "../Durations.ts"
import * as Exit from "../Exit.ts"
import * as Failure from "../Failure.ts"
import * as Format from "../Format.ts"
import * as Mark from "../Mark.ts"
import * as Migrations from "../Migrations.ts"
import { narrateRun } from "../MigrationEvents.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import * as standard from "../specs/standardOptions.ts"
import * as Variables from "../Variables.ts"
import * as text from "./migrateText.ts"

/** Which migrations of which database. */
interface Input {
  readonly database: DatabaseOptions
  readonly dir: Option.Option<string>
}

/** Shows what `up` would do. */
export const plan = (input: Input & { readonly exitCode: boolean }) =>
  withMigrator(input, {}, (migrator) => showPlan(migrator.plan(), input.exitCode))

/** Applies what is pending. */
export const up = (
  input: Input & {
    readonly to: Option.Option<string>
    readonly dryRun: boolean
    readonly outOfOrder: boolean
    readonly lockWait: Option.Option<string>
  }
) =>
  withMigrator(input, runOptions(input), (migrator) =>
    Effect.gen(function* () {
      const to = Option.getOrUndefined(input.to)
      if (input.dryRun) return yield* showPlan(migrator.plan({ direction: "up", to }), false)
      const { result } = yield* Output
      const done = yield* migrator.up({ to })
      yield* result({ text: () => text.ran(done, "up"), json: () => text.ranJson(done, "up") })
    })
  )

/** Takes migrations back, after a look at what is lost. */
export const down = (
  input: Input & {
    readonly to: Option.Option<string>
    readonly steps: Option.Option<number>
    readonly dryRun: boolean
    readonly lockWait: Option.Option<string>
    readonly databaseName: Option.Option<string>
    readonly backup: boolean
    readonly storage: Option.Option<string>
    readonly yes: boolean
  }
) =>
  withMigrator(input, runOptions(input), (migrator, { settings }) =>
    Effect.gen(function* () {
      const { notice, noticeStyle, result } = yield* Output
      if (Option.isSome(input.to) && Option.isSome(input.steps)) {
        return yield* Exit.misused("--to and --steps say two different things", "Give one of them")
      }
      const range = { steps: Option.getOrUndefined(input.steps), to: Option.getOrUndefined(input.to) }
      const planned = migrator.plan({ direction: "down", ...range })
      if (input.dryRun) return yield* showPlan(planned, false)

      const found = yield* planned
      const [problem] = found.problems
      if (problem !== undefined) return yield* problem
      if (found.migrations.length > 0) {
        yield* notice(text.plan(found, noticeStyle))
        yield* confirm(found, settings.primary.database, input)
        if (input.backup) {
          const taken = yield* BackupFirst.take(settings, input.storage)
          yield* notice(`To get back at what is lost: \`${BackupFirst.restoring(taken)}\``)
        }
      }
      const done = yield* migrator.down(range)
      yield* result({ text: () => text.ran(done, "down"), json: () => text.ranJson(done, "down") })
    })
  )

/** What holds data, or production, is lost only for the name of its database; else yes is enough. */
const confirm = (
  found: Migrator.Plan,
  database: string,
  input: { readonly databaseName: Option.Option<string>; readonly yes: boolean; readonly backup: boolean }
) =>
  Effect.gen(function* () {
    const { notice } = yield* Output
    const isAnswered = yield* Variables.flag(input.yes, standard.yes)
    if (Option.isSome(input.databaseName) || !found.migrations.some(({ losesData }) => losesData)) {
      yield* Mark.confirmProduction(database, input.databaseName)
      if (!isAnswered) yield* Confirm.yes(`Take back ${Format.plural(found.migrations.length, "migration")}?`)
      return
    }
    if (!input.backup) yield* notice("--backup takes a backup first.")
    const instead = `--yes --database-name ${database}`
    const why = "data would be lost"
    if (!isAnswered) return yield* Confirm.typed(`Type ${database} to lose this:`, database, instead, why)
    return yield* Exit.misused("--yes alone does not say which database is to lose data", `Give ${instead}`, why)
  })

/** Shows where every migration stands. */
export const status = (input: Input & { readonly exitCode: boolean }) =>
  withMigrator(input, {}, (migrator) =>
    Effect.gen(function* () {
      const { result, style, width } = yield* Output
      const found = yield* migrator.status
      const columns = yield* width
      yield* result({ text: () => text.status(found, style, columns), json: () => text.statusJson(found) })
      yield* Exit.finish(codeOf(found.problems, input.exitCode ? found.pending : 0))
    })
  )

/** Writes an empty migration. */
export const create = (input: {
  readonly dir: Option.Option<string>
  readonly kind: "sql" | "ts" | "repeatable"
  readonly name: string
}) =>
  Effect.gen(function* () {
    const { result } = yield* Output
    const folder = yield* Variables.text(input.dir, standard.dir)
    const file = yield* Migrator.create({ folder, name: input.name, kind: input.kind })
    yield* result({ text: () => file, json: () => ({ schema: "plinth.migrate.create/1", file }) })
  })

const showPlan = <E, R>(planned: Effect.Effect<Migrator.Plan, E, R>, exitCode: boolean) =>
  Effect.gen(function* () {
    const { result, style } = yield* Output
    const found = yield* planned
    yield* result({ text: () => text.plan(found, style), json: () => text.planJson(found) })
    yield* Exit.finish(codeOf(found.problems, exitCode ? found.migrations.length : 0))
  })

/** A refusal says more than that something is pending, and fails a pipeline whether it asked or not. */
const codeOf = (problems: ReadonlyArray<Migrator.MigrationError>, pending: number): number =>
  problems[0] !== undefined
    ? Failure.codeOf(problems[0]._tag, problems[0].reason)
    : pending > 0
      ? Exit.findings
      : Exit.done

const runOptions = (input: {
  readonly lockWait: Option.Option<string>
  readonly outOfOrder?: boolean
}): Pick<Migrator.MigratorOptions, "lockWait" | "outOfOrder"> => ({
  lockWait: Option.getOrUndefined(Option.map(input.lockWait, Durations.fromText)),
  outOfOrder: input.outOfOrder === true ? "apply" : "error"
})

const withMigrator = <A, E, R>(
  input: Input,
  options: Pick<Migrator.MigratorOptions, "lockWait" | "outOfOrder">,
  use: (migrator: Migrator.Migrator["Type"], database: Session.Database) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    // Before a cluster is started, or made, for a folder that is not there.
    const folder = yield* Migrations.require(input.dir)
    const database = yield* Session.open(input.database, "embedded")
    const { interrupted, onEvent } = yield* narrateRun
    return yield* onPrimary(
      Effect.flatMap(Migrator.make({ ...options, source: Migrations.source(folder), onEvent }), (migrator) =>
        use(
          {
            ...migrator,
            up: (options) => Effect.onInterrupt(migrator.up(options), () => interrupted),
            down: (options) => Effect.onInterrupt(migrator.down(options), () => interrupted)
          },
          database
        )
      ),
      database.settings
    )
  }).pipe(Effect.scoped)
