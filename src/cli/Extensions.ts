/**
 * What an application adds to the commands that it mounts: its own migrations and checks.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { HealthCheck } from "../HealthCheck.ts"
import type { MigrationError, Source } from "../Migrator.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface Extensions {
  /**
   * Where the migrations are.
   *
   * @default the folder of `--dir`
   */
  readonly migrations?: Effect.Effect<Source, MigrationError> | undefined
  /** Health checks besides the built-in ones. */
  readonly checks?: ReadonlyArray<HealthCheck> | undefined
}

/**
 * The extensions in force; none unless they are provided.
 *
 * @since 0.1.0
 * @category references
 */
export class Extended extends Context.Reference<Extended>()("plinth/cli/Extended", {
  defaultValue: (): Extensions => ({})
}) {}
