/**
 * Which database a command works on: the one of the options, else of the variables, else the embedded one, where that
 * cannot be a mistake.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as DatabaseConfig from "../DatabaseConfig.ts"
import type { DatabaseOptions } from "./Options.ts"

/** The options that say where to connect. If all have their defaults, nobody has said it. */
const connectionOptions = new Set(["url", "replicaUrls", "host", "port", "database", "username", "password", "service"])

/** The settings that the options and the variables make. */
export const settings = (
  options: DatabaseOptions
): Effect.Effect<DatabaseConfig.Settings, DatabaseConfig.DatabaseConfigError> =>
  DatabaseConfig.fromEnv({
    url: Option.getOrUndefined(options.url),
    replicaUrls: options.replicaUrl.length === 0 ? undefined : options.replicaUrl
  })

/** Somebody has said where to connect. */
export const isConfigured = (given: DatabaseConfig.Settings): boolean =>
  given.entries.some((entry) => connectionOptions.has(entry.option) && !entry.source.startsWith("default of "))
