/**
 * `plinth health-check`.
 */
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import { healthCheck as spec } from "../specs/healthCheck.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const healthCheck = Handler.make(
  spec,
  {
    database: Options.database,
    check: Options.texts(spec.options.check),
    tier: Options.choice(spec.options.tier),
    format: Options.choice(spec.options.format),
    failOn: Options.choice(spec.options.failOn),
    explain: Options.text(spec.options.explain),
    list: Options.flag(spec.options.list),
    dir: Options.text(spec.options.dir)
  },
  () => import("../programs/healthCheck.ts").then((program) => program.healthCheck)
)
