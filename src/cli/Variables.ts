/**
 * Fills in what the command line left open: from the option's variable, then from the default.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { CommandError } from "./Exit.ts"
import { misused } from "./Exit.ts"
import type { OptionSpec } from "./Spec.ts"

/** A switch, or its variable. */
export const flag = (given: boolean, spec: OptionSpec): Effect.Effect<boolean, CommandError> =>
  given || spec.variable === undefined
    ? Effect.succeed(given)
    : Config.boolean(spec.variable).pipe(
        Config.withDefault(false),
        Effect.mapError((cause) =>
          misused(`${spec.variable} is not a yes or no`, "Set it to true or false", String(cause))
        )
      )

/** A text, or its variable, or its default. */
export const text = (
  given: Option.Option<string>,
  spec: OptionSpec & { readonly default: string }
): Effect.Effect<string> =>
  Option.match(given, {
    onSome: Effect.succeed,
    onNone: () =>
      spec.variable === undefined
        ? Effect.succeed(spec.default)
        : Effect.orElseSucceed(Config.nonEmptyString(spec.variable), () => spec.default)
  })

/** The text or its variable, where one of them was given. */
export const given = (
  option: Option.Option<string>,
  { variable }: OptionSpec & { readonly variable: string }
): Effect.Effect<Option.Option<string>> =>
  Option.isSome(option) ? Effect.succeed(option) : Effect.option(Config.nonEmptyString(variable))

const defaultFile = "plinth.config.json"

const FileContent = Schema.parseJson(
  Schema.Record({ key: Schema.String, value: Schema.Union(Schema.String, Schema.Number, Schema.Boolean) })
)

/**
 * The environment, and behind it the configuration file: `plinth.config.json` if there is one, or the named one, which
 * must be there.
 */
export const provider = (
  given: Option.Option<string>
): Effect.Effect<ConfigProvider.ConfigProvider, CommandError, FileSystem.FileSystem> =>
  Effect.gen(function* () {
    const environment = yield* Effect.configProviderWith(Effect.succeed)
    const named = Option.orElse(given, () => Option.none<string>())
    const variable = yield* Effect.option(Config.nonEmptyString("PLINTH_CONFIG"))
    const chosen = Option.orElse(named, () => variable)
    const path = Option.getOrElse(chosen, () => defaultFile)
    const files = yield* FileSystem.FileSystem
    const exists = yield* Effect.orElseSucceed(files.exists(path), () => false)
    if (!exists) {
      return Option.isNone(chosen)
        ? environment
        : yield* misused(`There is no configuration file ${path}`, "Check --config and PLINTH_CONFIG")
    }
    const content = yield* files.readFileString(path).pipe(
      Effect.flatMap(Schema.decode(FileContent)),
      Effect.mapError((cause) =>
        misused(
          `The configuration file ${path} cannot be read`,
          'It is one JSON object of settings by variable name: {"DATABASE_URL": "postgres://.."}',
          // Not the content: it may hold a password.
          cause._tag === "ParseError" ? "it is not a JSON object of texts, numbers and booleans" : cause.message
        )
      )
    )
    const settings = new Map(Object.entries(content).map(([name, value]) => [name, String(value)]))
    return ConfigProvider.orElse(environment, () => ConfigProvider.fromMap(settings))
  })
