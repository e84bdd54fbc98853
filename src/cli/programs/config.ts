/**
 * `plinth config`: the settings in force, and the mark of a database.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as DatabaseConfig from "../../DatabaseConfig.ts"
import { onPrimary } from "../Clients.ts"
import * as Exit from "../Exit.ts"
import * as Mark from "../Mark.ts"
import * as PlinthSchema from "../PlinthSchema.ts"
import type { DatabaseOptions } from "../Options.ts"
import { Output } from "../Output.ts"
import * as Session from "../Session.ts"
import { table } from "../Table.ts"

/** Every setting in force, without secrets. */
export const show = (input: { readonly database: DatabaseOptions }) =>
  Effect.gen(function* () {
    const output = yield* Output
    const settings = yield* Session.settings(input.database)
    const { entries, profile } = settings
    if (!Session.isConfigured(settings)) {
      yield* output.notice(
        "No database is configured: setup, migrate, reset and dev use the embedded PostgreSQL in .plinth/ instead of this one."
      )
    }
    const width = yield* output.width
    yield* output.result({
      json: () => ({ schema: "plinth.config/1", profile, settings: entries }),
      text: () =>
        table(
          [{ title: "option" }, { title: "value" }, { title: "from" }, { title: "variable" }],
          entries.map((entry) => [
            entry.option,
            entry.source.startsWith("default") ? { text: entry.value, mark: output.style.dim } : entry.value,
            entry.source,
            entry.variable
          ]),
          { width, heading: output.style.bold }
        )
    })
  })

/** Stores what the database is for. */
export const mark = (input: {
  readonly database: DatabaseOptions
  readonly environment: string
  readonly databaseName: Option.Option<string>
}) =>
  Effect.gen(function* () {
    const output = yield* Output
    const environment = yield* Effect.mapError(Schema.decodeUnknown(Mark.Environment)(input.environment), () =>
      Exit.misused(
        `A database cannot be marked as "${input.environment}"`,
        "Mark it as production, or as development to take the mark back"
      )
    )
    const { settings } = yield* Session.open(input.database, "none")
    const { database } = settings.primary
    yield* onPrimary(
      Effect.gen(function* () {
        // Taking the mark back opens the way for everything that it holds up.
        if (environment === "development") yield* Mark.confirmProduction(database, input.databaseName)
        yield* PlinthSchema.install
        yield* Mark.write(environment)
      }),
      settings
    )
    yield* output.result({
      json: () => ({
        schema: "plinth.config.mark/1",
        database: DatabaseConfig.nodeName(settings.primary),
        environment
      }),
      text: () => `${DatabaseConfig.nodeName(settings.primary)} is marked as ${environment}`
    })
  }).pipe(Effect.scoped)
