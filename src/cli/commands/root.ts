/**
 * `plinth`: all commands.
 */
import * as Command from "@effect/cli/Command"
import * as spec from "../specs/root.ts"
import { config } from "./config.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const root = Command.make("plinth").pipe(
  Command.withDescription(spec.root.summary),
  Command.withSubcommands([config])
)
