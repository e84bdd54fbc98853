/**
 * `plinth reset`.
 */
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import { reset as spec } from "../specs/reset.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const reset = Handler.make(
  spec,
  {
    database: Options.database,
    dir: Options.text(spec.options.dir),
    seed: Options.flag(spec.options.seed),
    seeds: Options.text(spec.options.seeds),
    storage: Options.text(spec.options.storage),
    noBackup: Options.flag(spec.options.noBackup),
    databaseName: Options.text(spec.options.databaseName),
    allowRemote: Options.flag(spec.options.allowRemote),
    force: Options.flag(spec.options.force),
    plan: Options.flag(spec.options.plan),
    yes: Options.flag(spec.options.yes)
  },
  () => import("../programs/reset.ts").then((program) => program.reset)
)
