/**
 * Every option of a database, from wherever it is set to one checked value with its sources; the only reader of
 * configuration.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type { DatabaseConfigError } from "./DatabaseConfig/DatabaseConfigError.ts"
import type { ConnectionTarget, Settings } from "./DatabaseConfig/model.ts"
import { resolve } from "./DatabaseConfig/resolve.ts"
import * as reference from "./DatabaseConfig/reference.ts"
import type { TableOptions } from "./DatabaseConfig/table.ts"
import { readVariables } from "./DatabaseConfig/variables.ts"

export { DatabaseConfigError } from "./DatabaseConfig/DatabaseConfigError.ts"
export type {
  ConnectionTarget,
  Entry,
  MonitorSettings,
  PoolSettings,
  RouterSettings,
  Settings,
  TargetSessionAttrs
} from "./DatabaseConfig/model.ts"
export type { Reference } from "./DatabaseConfig/reference.ts"
export type { Profile } from "./DatabaseConfig/profile.ts"
export type { Password } from "./DatabaseConfig/table.ts"
export type { SslMode, TlsMode, TlsOptions } from "./DatabaseConfig/tls.ts"

/**
 * What a program may say; every option, its variable and its default are in `docs/configuration.md` and in
 * `plinth config`.
 *
 * @since 0.1.0
 * @category options
 */
export interface Options extends TableOptions {}

/**
 * The settings that the options and the defaults of their profile make. No variable is read.
 *
 * Files (certificates, a password file) are read through `FileSystem` where it is provided.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Settings, DatabaseConfigError> => resolve(options, new Map())

/**
 * The settings that the options, else the variables, else the defaults of the profile make. Variables are read through
 * the current `ConfigProvider`: `DATABASE_URL`, `DATABASE_REPLICA_URLS`, `PLINTH_*`, and libpq's own.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromEnv = (options: Options = {}): Effect.Effect<Settings, DatabaseConfigError> =>
  Effect.flatMap(readVariables, (variables) => resolve(options, variables))

/**
 * One target from a connection URL. Options win over the URL.
 *
 * @since 0.1.0
 * @category constructors
 */
export const parseUrl = (
  url: string | Redacted.Redacted<string>,
  overrides: Omit<Options, "url" | "replicaUrls"> = {}
): Effect.Effect<ConnectionTarget, DatabaseConfigError> =>
  Effect.map(make({ ...overrides, url }), (settings) => settings.primary)

/**
 * `host:port/database`: what a node is called in errors, spans and metrics. It holds no credentials.
 *
 * @since 0.1.0
 * @category conversions
 */
export const nodeName = (target: Pick<ConnectionTarget, "host" | "port" | "database">): string =>
  `${target.host.includes(":") ? `[${target.host}]` : target.host}:${target.port}/${target.database}`

/**
 * Every option with its variables, default and meaning, as `docs/configuration.md` lists them.
 *
 * @since 0.1.0
 * @category documentation
 */
export const references: ReadonlyArray<reference.Reference> = reference.references
