/**
 * `plinth dev`.
 */
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import { dev as spec } from "../specs/dev.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const dev = Handler.make(
  spec,
  {
    replicas: Options.integer(spec.options.replicas),
    lag: Options.text(spec.options.lag),
    directory: Options.text(spec.options.directory),
    temporary: Options.flag(spec.options.temporary)
  },
  () => import("../programs/dev.ts").then((program) => program.dev)
)
