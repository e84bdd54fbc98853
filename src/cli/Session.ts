/**
 * Which database a command works on: the one of the options, else of the variables, else the embedded one where that
 * cannot be a mistake.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as DatabaseConfig from "../DatabaseConfig.ts"
import type { Settings } from "../DatabaseConfig.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { EmbeddedPostgresError } from "../embedded/EmbeddedPostgresError.ts"
import type { CommandError } from "./Exit.ts"
import { misused } from "./Exit.ts"
import type { DatabaseOptions } from "./Options.ts"
import { Output } from "./Output.ts"
import * as Variables from "./Variables.ts"
import * as standard from "./specs/standardOptions.ts"

/** The options that say where to connect. If all have their defaults, nobody has said it. */
const connectionOptions = new Set(["url", "replicaUrls", "host", "port", "database", "username", "password", "service"])

/** The settings that the options and the variables make. */
export const settings = (options: DatabaseOptions): Effect.Effect<Settings, DatabaseConfig.DatabaseConfigError> =>
  Effect.zipRight(
    Option.isSome(options.url) ? Effect.void : refuseEmptyUrl,
    DatabaseConfig.fromEnv({
      url: Option.getOrUndefined(options.url),
      replicaUrls: options.replicaUrl.length === 0 ? undefined : options.replicaUrl
    })
  )

const urlVariable = standard.database.url.variable

/** A secret that a pipeline failed to fill in. To take it for absent would be to migrate a throw-away cluster. */
const refuseEmptyUrl = Effect.filterOrFail(
  Effect.orElseSucceed(Config.string(urlVariable), () => "unset"),
  (value) => value.trim() !== "",
  () =>
    new DatabaseConfig.DatabaseConfigError({
      reason: "InvalidValue",
      option: "url",
      source: urlVariable,
      description: "it is set and empty; give it a URL, or unset it"
    })
)

/** Somebody has said where to connect. */
export const isConfigured = (given: Settings): boolean =>
  given.entries.some((entry) => connectionOptions.has(entry.option) && !entry.source.startsWith("default"))

/** A database to work on. */
export interface Database {
  readonly settings: Settings
  readonly isEmbedded: boolean
}

/** What can go wrong before a command has its database. */
export type OpenError = CommandError | DatabaseConfig.DatabaseConfigError | EmbeddedPostgresError | DatabaseError

/**
 * Decides which database it is, and starts the embedded one where it is that; it stops with the scope.
 *
 * `fallback` says whether the embedded one may stand in when nobody has named a database.
 */
export const open = (
  options: DatabaseOptions,
  fallback: "embedded" | "none"
): Effect.Effect<Database, OpenError, Output | Scope.Scope> =>
  Effect.gen(function* () {
    const { notice } = yield* Output
    const wantsEmbedded = yield* Variables.flag(options.embedded, standard.database.embedded)
    if (wantsEmbedded && (Option.isSome(options.url) || options.replicaUrl.length > 0)) {
      return yield* misused("--url and --embedded name two different databases", "Give one of them")
    }
    if (!wantsEmbedded) {
      const given = yield* settings(options)
      if (isConfigured(given)) return { settings: given, isEmbedded: false }
      yield* refuseFallback(fallback, given)
      yield* notice(
        "No database is configured: using the embedded PostgreSQL in .plinth/ (stopped at the end, unless `plinth dev` runs it)."
      )
    }
    return yield* embedded
  })

const refuseFallback = (fallback: "embedded" | "none", given: Settings): Effect.Effect<void, CommandError> =>
  Effect.gen(function* () {
    const advice = "Give --url or set DATABASE_URL, or give --embedded for the embedded PostgreSQL in .plinth/"
    const isCi = yield* Effect.orElseSucceed(Config.boolean("CI"), () => false)
    const why =
      fallback === "none"
        ? "this command never guesses"
        : given.profile === "production"
          ? "under NODE_ENV=production nothing stands in for it"
          : isCi
            ? "under CI=true nothing stands in for it"
            : undefined
    if (why !== undefined) return yield* misused("No database is configured", advice, why)
  })

/** The embedded cluster as a database to work on. Its code is loaded only here. */
const embedded: Effect.Effect<Database, OpenError, Scope.Scope> = Effect.gen(function* () {
  const { directory, start } = yield* Effect.promise(() => import("./Embedded.ts"))
  const { replicaUrls, url } = yield* start({ directory })
  return { settings: yield* DatabaseConfig.make({ url, replicaUrls }), isEmbedded: true }
})
