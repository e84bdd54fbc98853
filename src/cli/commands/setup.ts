/**
 * `plinth setup`.
 */
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import { setup as spec } from "../specs/setup.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const setup = Handler.make(
  spec,
  {
    database: Options.database,
    dir: Options.text(spec.options.dir),
    createDatabase: Options.flag(spec.options.createDatabase),
    seed: Options.flag(spec.options.seed),
    seeds: Options.text(spec.options.seeds),
    databaseName: Options.text(spec.options.databaseName),
    plan: Options.flag(spec.options.plan)
  },
  () => import("../programs/setup.ts").then((program) => program.setup)
)
