/**
 * `plinth config`.
 */
import * as Command from "@effect/cli/Command"
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import * as spec from "../specs/config.ts"

const show = Handler.make(spec.show, { database: Options.database }, () =>
  import("../programs/config.ts").then((program) => program.show)
)

const mark = Handler.make(
  spec.mark,
  {
    database: Options.database,
    environment: Options.argument(spec.mark.arguments[0]),
    databaseName: Options.text(spec.mark.options.databaseName)
  },
  () => import("../programs/config.ts").then((program) => program.mark)
)

/**
 * @since 0.1.0
 * @category commands
 */
export const config = Command.make("config").pipe(
  Command.withDescription(spec.config.summary),
  Command.withSubcommands([show, mark])
)
