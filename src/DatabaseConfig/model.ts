/**
 * What configuration becomes: plain values with every default filled in.
 */
import type * as Duration from "effect/Duration"
import type { Profile } from "./profile.ts"
import type { Password } from "./table.ts"
import type { TlsMode } from "./tls.ts"

/**
 * libpq's `target_session_attrs`.
 *
 * @since 0.1.0
 * @category models
 */
export type TargetSessionAttrs = "any" | "read-write" | "read-only" | "primary" | "standby" | "prefer-standby"

/**
 * One place to connect to.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConnectionTarget {
  /** A name, an address, or the directory of a Unix socket (it starts with a slash). */
  readonly host: string
  readonly port: number
  /** Further hosts of the same target, tried after the first. */
  readonly alternatives?: ReadonlyArray<{ readonly host: string; readonly port: number }> | undefined
  /** Which of the hosts is accepted. `any` when absent. */
  readonly targetSessionAttrs?: TargetSessionAttrs | undefined
  /** Whether the hosts are shuffled. `disable` when absent. */
  readonly loadBalanceHosts?: "disable" | "random" | undefined
  readonly database: string
  readonly username: string
  readonly password?: Password | undefined
  readonly ssl: TlsMode
  /** `prefer` when absent. */
  readonly channelBinding?: "disable" | "prefer" | "require" | undefined
  readonly applicationName: string
  /** Command-line options for the server process, such as `-c search_path=app`. */
  readonly options?: string | undefined
  readonly connectTimeout: Duration.Duration
}

/**
 * How one pool behaves.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolSettings {
  readonly min: number
  readonly max: number
  readonly acquireTimeout: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly idleTimeout: Duration.Duration
  readonly maxLifetime: Duration.Duration
  readonly maxWaiting: number
  readonly validateAfter: Duration.Duration
  readonly validateTimeout: Duration.Duration
  readonly leakAfter: Duration.Duration
  readonly connectConcurrency: number
  readonly closeTimeout: Duration.Duration
  readonly statementTimeout?: Duration.Duration | undefined
  readonly prepare: boolean
  readonly sessionReset: "none" | "discard"
  readonly pooler: "none" | "pgbouncer"
}

/**
 * How reads are routed.
 *
 * @since 0.1.0
 * @category models
 */
export interface RouterSettings {
  readonly level: "strong" | "session" | "bounded" | "eventual"
  /** Of `bounded` reads. */
  readonly maxStaleness: Duration.Duration
  readonly maxLag: Duration.Duration
  readonly maxLagBytes: number
}

/**
 * How nodes are watched.
 *
 * @since 0.1.0
 * @category models
 */
export interface MonitorSettings {
  readonly interval: Duration.Duration
}

/**
 * One line of `plinth config`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Entry {
  readonly option: string
  /** The variable that sets it, Plinth's own or else libpq's. */
  readonly variable: string
  /** For people; secrets are masked. */
  readonly value: string
  /** `option`, a variable, `DATABASE_URL sslmode`, a file, `default of production`. */
  readonly source: string
}

/**
 * The whole configuration.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings {
  readonly profile: Profile
  readonly primary: ConnectionTarget
  readonly replicas: ReadonlyArray<ConnectionTarget>
  /** False when neither a URL nor a host was named anywhere, and the primary is only the default. */
  readonly hasTarget: boolean
  readonly pool: PoolSettings
  readonly router: RouterSettings
  readonly monitor: MonitorSettings
  readonly entries: ReadonlyArray<Entry>
}
