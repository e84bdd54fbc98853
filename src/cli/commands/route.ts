/**
 * `plinth route`.
 */
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import { route as spec } from "../specs/route.ts"

/**
 * @since 0.1.0
 * @category commands
 */
export const route = Handler.make(
  spec,
  { database: Options.database, sql: Options.manyArguments(spec.arguments[0]) },
  () => import("../programs/route.ts").then((program) => program.route)
)
