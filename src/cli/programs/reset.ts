/**
 * `plinth reset`: drops a development database and makes it again, behind guard rails.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import type { Settings } from "../../DatabaseConfig.ts"
import * as DatabaseErrors from "../../DatabaseError.ts"
import * as Migrator from "../../Migrator.ts"
import * as Administration from "../Administration.ts"
import * as BackupFirst from "../BackupFirst.ts"
import { onPrimary } from "../Clients.ts"
import * as Confirm from "../Confirm.ts"
import * as Exit from "../Exit.ts"
import * as Failure from "../Failure.ts"
import * as Format from "../Format.ts"
import { isLocal } from "../Locality.ts"
import * as Mark from "../Mark.ts"
import * as Migrations from "../Migrations.ts"
import { narrate } from "../MigrationEvents.ts"
import { isMissing } from "../MissingDatabase.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Seeds from "../Seeds.ts"
import * as Session from "../Session.ts"
import * as standard from "../specs/standardOptions.ts"
import type { Step } from "../Steps.ts"
import * as Steps from "../Steps.ts"
import type { Style } from "../Style.ts"
import * as Survey from "../Survey.ts"
import * as Variables from "../Variables.ts"

/** What the command line says. */
export interface Input {
  readonly database: DatabaseOptions
  readonly dir: Option.Option<string>
  readonly seed: boolean
  readonly seeds: Option.Option<string>
  readonly storage: Option.Option<string>
  readonly noBackup: boolean
  readonly databaseName: Option.Option<string>
  readonly allowRemote: boolean
  readonly force: boolean
  readonly plan: boolean
  readonly yes: boolean
}

/** Our own name among the connections, to tell them from those of others. */
const application = "plinth reset"

/** Shows what would be lost, asks, and does it. */
export const reset = (input: Input) =>
  Effect.gen(function* () {
    const { notice, noticeStyle, result, style } = yield* Output
    const folder = yield* Migrations.require(input.dir)
    const seeds = input.seed ? yield* Seeds.read(yield* Variables.text(input.seeds, standard.seeds)) : []
    const settings = withApplication((yield* Session.open(input.database, "embedded")).settings)
    const node = DatabaseConfig.nodeName(settings.primary)

    yield* refuseElsewhere(settings, input)
    yield* Confirm.named(settings.primary.database, input.databaseName)
    yield* refuseUnplannable(folder)
    const lost = yield* look(settings, input)
    if (input.plan) {
      return yield* result({
        json: () => ({
          schema: "plinth.reset/1",
          database: node,
          plan: true,
          lost: lostJson(lost),
          backup: null,
          steps: []
        }),
        text: () => loss(node, lost, style)
      })
    }
    if (lost.tables.length > 0) {
      yield* notice(loss(node, lost, noticeStyle))
      yield* confirm(settings.primary.database, input)
    }
    const backup =
      input.noBackup || lost.rows === 0
        ? Option.none()
        : Option.some(yield* BackupFirst.take(settings, input.storage, " (--no-backup leaves it out)"))
    const isDropped = yield* replace(settings, input.force)
    const fill = onPrimary(
      Effect.gen(function* () {
        const migrator = yield* Migrator.make({ source: Migrations.source(folder), onEvent: yield* narrate })
        const ran = yield* migrator.up()
        yield* Seeds.load(seeds)
        return ran.length
      }),
      settings
    )
    const applied = yield* isDropped ? admitting(settings.primary.database, backup)(fill) : fill
    const steps: ReadonlyArray<Step> = [
      Option.match(backup, {
        onNone: () => ({ step: "backup", state: "skipped", detail: lost.rows === 0 ? "there were no rows" : "" }),
        onSome: ({ directory, label }) => ({ step: "backup", state: "done", detail: `${label} in ${directory}` })
      }),
      { step: "database", state: "done", detail: `dropped and created ${node}` },
      { step: "migrations", state: "done", detail: `applied ${Format.plural(applied, "migration")}` },
      input.seed
        ? { step: "seeds", state: "done", detail: `loaded ${Format.plural(seeds.length, "file")}` }
        : { step: "seeds", state: "skipped", detail: "--seed loads them" }
    ]
    yield* result({
      json: () => ({
        schema: "plinth.reset/1",
        database: node,
        plan: false,
        lost: lostJson(lost),
        backup: Option.getOrNull(Option.map(backup, ({ label }) => label)),
        steps
      }),
      text: () => Steps.render(steps, style)
    })
  }).pipe(Effect.scoped)

const withApplication = (settings: Settings): Settings => ({
  ...settings,
  primary: { ...settings.primary, applicationName: application }
})

/** What is wrong with the migrations is found while there is still a database. */
const refuseUnplannable = (folder: string) =>
  Effect.gen(function* () {
    const { problems } = yield* Migrator.planFresh({ source: Migrations.source(folder) })
    const [problem] = problems
    if (problem !== undefined) return yield* problem
  })

/** What can be refused without asking the server. */
const refuseElsewhere = (settings: Settings, input: Input): Effect.Effect<void, Exit.CommandError> => {
  const node = DatabaseConfig.nodeName(settings.primary)
  if (settings.profile === "production") {
    return Exit.refused(
      `${node} is not reset`,
      "Reset is for development databases",
      "this runs under NODE_ENV=production"
    )
  }
  return isLocal(settings.primary) || input.allowRemote
    ? Effect.void
    : Exit.refused(
        `${node} is not reset`,
        "Give --allow-remote if it is a development database nevertheless",
        "it is not on this machine"
      )
}

/** What is there, and what can be refused by looking at it. A database that does not exist holds nothing. */
const look = (settings: Settings, input: Input) =>
  onPrimary(
    Effect.gen(function* () {
      const { database } = settings.primary
      const node = DatabaseConfig.nodeName(settings.primary)
      if (yield* Mark.isProduction) {
        return yield* Exit.refused(
          `${node} is not reset`,
          "If that is wrong, `plinth config mark development` takes the mark back",
          "it is marked as production"
        )
      }
      if (yield* Survey.inRecovery) {
        return yield* Exit.refused(`${node} is not reset`, "Give the URL of the primary", "the server is a standby")
      }
      const others = yield* Survey.others(database, application)
      if (others.length > 0 && !input.force) {
        const named = others
          .slice(0, 5)
          .map(
            ({ address, application, pid, user }) =>
              `${application || "?"} of ${user ?? "?"} from ${address} (pid ${pid})`
          )
        const more = others.length > named.length ? `, and ${others.length - named.length} more` : ""
        return yield* Exit.refused(
          `${node} is not reset`,
          "Close them, or give --force to end them",
          `others are connected to it: ${named.join(", ")}${more}`
        )
      }
      return yield* Survey.take
    }),
    settings
  ).pipe(Effect.catchIf(isMissing, () => Effect.succeed(Survey.empty)))

const confirm = (database: string, input: Input) =>
  Effect.gen(function* () {
    const isAnswered = yield* Variables.flag(input.yes, standard.yes)
    const instead = `--yes --database-name ${database}`
    if (!isAnswered) return yield* Confirm.typed(`Type ${database} to lose all this:`, database, instead)
    if (Option.isNone(input.databaseName)) {
      return yield* Exit.misused("--yes alone does not say which database is to be lost", `Give ${instead}`)
    }
  })

/**
 * Made beside the old one first, so that what cannot be made is known before anything is dropped. Uninterruptible: between
 * the drop and the rename there is no database of that name. The result says whether one was dropped.
 */
const replace = (settings: Settings, force: boolean) => {
  const { database } = settings.primary
  const swap = Effect.gen(function* () {
    const definition = yield* Administration.read(database)
    if (Option.isNone(definition)) return yield* Effect.as(Administration.createPlain(database), false)
    const successor = `plinth_reset_${(yield* Random.nextIntBetween(0, 2 ** 32)).toString(36)}`
    yield* Effect.zipRight(
      Administration.create(successor, definition.value),
      Administration.drop(database, force)
    ).pipe(Effect.tapError(() => Effect.ignoreLogged(Administration.dropIfExists(successor))))
    return yield* Effect.mapBoth(Administration.rename(successor, database), {
      onFailure: (cause) =>
        new Exit.CommandError({
          what: `"${database}" was dropped, and the new one could not be given its name: ${DatabaseErrors.from(cause).description}`,
          advice: `Rename it: ALTER DATABASE ${successor} RENAME TO ..`,
          code: Exit.failed,
          cause
        }),
      onSuccess: () => true
    })
  })
  return Administration.inMaintenance(Effect.uninterruptible(swap), settings).pipe(
    Effect.mapError((error) => (error._tag === "SqlError" ? DatabaseErrors.from(error) : error))
  )
}

/** Whatever ends the command from here on, what was in the database is gone, and that is said. */
const admitting =
  (database: string, backup: Option.Option<BackupFirst.Taken>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      const { notice } = yield* Output
      const said =
        `"${database}" was dropped and made again before this, so what was in it is gone. ` +
        Option.match(backup, {
          onNone: () => "No backup was taken.",
          onSome: (taken) => `Backup ${taken.label} holds it: \`${BackupFirst.restoring(taken)}\``
        })
      return yield* effect.pipe(
        Effect.onInterrupt(() => notice(`Interrupted. ${said}`)),
        Effect.catchAllCause((cause): Effect.Effect<never, E | Exit.CommandError> => {
          const failure = Failure.of(cause)
          if (Option.isNone(failure)) return Effect.failCause(cause)
          const what = `${failure.value.message}\n${said}`
          return Effect.fail(new Exit.CommandError({ what, code: Exit.failed, cause: Cause.squash(cause) }))
        })
      )
    })

/** How many tables are named one by one. */
const namedTables = 8

const loss = (node: string, lost: Survey.Survey, style: Style): string => {
  if (lost.tables.length === 0) return `${node} holds no tables.`
  const rows = lost.tables
    .slice(0, namedTables)
    .map(({ isExact, name, rows }) => `  ${name}  ${isExact ? "" : "about "}${Format.plural(rows, "row")}`)
  const more = lost.tables.length - rows.length
  return [
    `${style.bad("This would be lost")} with ${style.bold(node)}: ` +
      `${Format.plural(lost.tables.length, "table")}, ${Format.plural(lost.rows, "row")}, ${Format.bytes(lost.bytes)}`,
    ...rows,
    ...(more > 0 ? [`  and ${Format.plural(more, "more table")}`] : [])
  ].join("\n")
}

const lostJson = ({ bytes, rows, tables }: Survey.Survey) => ({ tables, rows, bytes })
