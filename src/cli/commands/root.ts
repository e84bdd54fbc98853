/**
 * `plinth`: all commands.
 */
import * as Command from "@effect/cli/Command"
import * as spec from "../specs/root.ts"
import { backup } from "./backup.ts"
import { config } from "./config.ts"
import { dev } from "./dev.ts"
import { healthCheck } from "./healthCheck.ts"
import { migrate } from "./migrate.ts"
import { pool } from "./pool.ts"
import { reset } from "./reset.ts"
import { route } from "./route.ts"
import { setup } from "./setup.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const root = Command.make("plinth").pipe(
  Command.withDescription(spec.root.summary),
  Command.withSubcommands([setup, migrate, reset, healthCheck, backup, dev, config, route, pool])
)
