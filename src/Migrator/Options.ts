/**
 * What a caller chooses: once for the migrator, and for each run.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { RetryPolicy } from "../RetryPolicy.ts"
import type { MigrationEvent } from "./Event.ts"
import type { MigrationError } from "./MigrationError.ts"
import type { Source } from "./Source.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface MigratorOptions<R = never> {
  /** Where the migrations are: `Migrator.fromFolder("migrations")`, `Migrator.fromRecord({ .. })`. */
  readonly source: Effect.Effect<Source, MigrationError, R>
  /**
   * A dedicated connection to the primary. A run holds two at once.
   *
   * @default the client's `reserve`
   */
  readonly session?: Effect.Effect<Connection, SqlError, Scope.Scope> | undefined
  /** How long to wait for another process that migrates the same database. @default 10 minutes */
  readonly lockWait?: Duration.DurationInput | undefined
  /**
   * How long a statement may wait for a lock. Everybody who comes after it waits as long, so it is short, and the
   * statement or its transaction is tried again.
   *
   * @default 2 seconds
   */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /** How often, and after which pauses, it is tried again. @default `RetryPolicy.ddlLock`: ten times, two minutes in all */
  readonly lockRetry?: RetryPolicy | undefined
  /** How long a statement may take; zero is no limit. @default 0 */
  readonly statementTimeout?: Duration.DurationInput | undefined
  /** How long a statement with CONCURRENTLY may take; it waits for all older transactions. @default 6 hours */
  readonly concurrentlyTimeout?: Duration.DurationInput | undefined
  /** What to do with a pending migration that is older than an applied one. @default "error" */
  readonly outOfOrder?: "error" | "apply" | undefined
  /** What this database is for, as in `-- plinth: environment=staging`. @default none */
  readonly environment?: string | undefined
  /** Who migrates, for the history. @default "plinth" */
  readonly application?: string | undefined
  /** Hears what happens. @default logs it */
  readonly onEvent?: ((event: MigrationEvent) => Effect.Effect<void>) | undefined
}

/**
 * @since 0.1.0
 * @category options
 */
export interface UpOptions {
  /** The id of the last migration to apply. @default every pending one */
  readonly to?: string | undefined
}

/**
 * @since 0.1.0
 * @category options
 */
export interface DownOptions {
  /** How many migrations to take back, the last applied first. @default 1 */
  readonly steps?: number | undefined
  /** The id of the migration to go back to, which stays; "0" takes everything back. Excludes `steps`. */
  readonly to?: string | undefined
}

/**
 * @since 0.1.0
 * @category options
 */
export type PlanOptions = ({ readonly direction: "up" } & UpOptions) | ({ readonly direction: "down" } & DownOptions)
