/**
 * `plinth reset`: drops a development database and makes it again, behind guard rails.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Backup from "../../Backup.ts"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import type { Settings } from "../../DatabaseConfig.ts"
import * as DatabaseErrors from "../../DatabaseError.ts"
import * as Migrator from "../../Migrator.ts"
import * as Administration from "../Administration.ts"
import { onPrimary } from "../Clients.ts"
import * as Confirm from "../Confirm.ts"
import * as Exit from "../Exit.ts"
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
    const folder = yield* Variables.text(input.dir, standard.dir)
    const seeds = input.seed ? yield* Seeds.read(yield* Variables.text(input.seeds, standard.seeds)) : []
    const settings = withApplication((yield* Session.open(input.database, "embedded")).settings)
    const node = DatabaseConfig.nodeName(settings.primary)

    yield* refuseElsewhere(settings, input)
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
    const backup = input.noBackup || lost.rows === 0 ? Option.none() : Option.some(yield* backUp(settings, input))
    yield* replace(settings, input.force)
    const applied = yield* onPrimary(
      Effect.gen(function* () {
        const migrator = yield* Migrator.make({ source: Migrations.source(folder), onEvent: yield* narrate })
        const ran = yield* migrator.up()
        yield* Effect.forEach(seeds, Seeds.load, { discard: true })
        return ran.length
      }),
      settings
    )
    const steps: ReadonlyArray<Step> = [
      Option.match(backup, {
        onNone: () => ({ step: "backup", state: "skipped", detail: lost.rows === 0 ? "there were no rows" : "" }),
        onSome: (label) => ({ step: "backup", state: "done", detail: label })
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
        backup: Option.getOrNull(backup),
        steps
      }),
      text: () => Steps.render(steps, style)
    })
  }).pipe(Effect.scoped)

const withApplication = (settings: Settings): Settings => ({
  ...settings,
  primary: { ...settings.primary, applicationName: application }
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
    if (Option.isNone(input.databaseName) || input.databaseName.value !== database) {
      return yield* Exit.misused("--yes alone does not say which database is to be lost", `Give ${instead}`)
    }
  })

/** A backup of the whole cluster, which holds this database too. */
const backUp = (settings: Settings, input: Input) =>
  Effect.gen(function* () {
    const { notice } = yield* Output
    const directory = yield* Variables.text(input.storage, standard.storage)
    yield* notice(`Taking a backup into ${directory} first (--no-backup leaves it out) ..`)
    const { label } = yield* Effect.provide(
      Effect.flatMap(Backup.Backup, (backup) => backup.create()),
      Backup.layer({ source: settings.primary, directory })
    )
    return label
  })

/** Uninterruptible: between the two there is no database. */
const replace = (settings: Settings, force: boolean) => {
  const { database } = settings.primary
  const swap = Effect.gen(function* () {
    const definition = yield* Administration.read(database)
    if (Option.isNone(definition)) return yield* Administration.createPlain(database)
    yield* Administration.drop(database, force)
    yield* Administration.create(database, definition.value)
  })
  return Administration.inMaintenance(Effect.uninterruptible(swap), settings).pipe(Effect.mapError(DatabaseErrors.from))
}

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
