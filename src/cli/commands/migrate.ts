/**
 * `plinth migrate`.
 */
import * as Command from "@effect/cli/Command"
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import * as spec from "../specs/migrate.ts"

const program = () => import("../programs/migrate.ts")
const shared = { database: Options.database, dir: Options.text(spec.plan.options.dir) }

const plan = Handler.make(spec.plan, { ...shared, exitCode: Options.flag(spec.plan.options.exitCode) }, () =>
  program().then((migrate) => migrate.plan)
)

const up = Handler.make(
  spec.up,
  {
    ...shared,
    to: Options.text(spec.up.options.to),
    dryRun: Options.flag(spec.up.options.dryRun),
    outOfOrder: Options.flag(spec.up.options.outOfOrder),
    lockWait: Options.text(spec.up.options.lockWait)
  },
  () => program().then((migrate) => migrate.up)
)

const down = Handler.make(
  spec.down,
  {
    ...shared,
    to: Options.text(spec.down.options.to),
    steps: Options.integer(spec.down.options.steps),
    dryRun: Options.flag(spec.down.options.dryRun),
    lockWait: Options.text(spec.down.options.lockWait),
    backup: Options.flag(spec.down.options.backup),
    storage: Options.text(spec.down.options.storage),
    databaseName: Options.text(spec.down.options.databaseName),
    yes: Options.flag(spec.down.options.yes)
  },
  () => program().then((migrate) => migrate.down)
)

const status = Handler.make(spec.status, { ...shared, exitCode: Options.flag(spec.status.options.exitCode) }, () =>
  program().then((migrate) => migrate.status)
)

const create = Handler.make(
  spec.create,
  { dir: shared.dir, kind: Options.choice(spec.create.options.kind), name: Options.argument(spec.create.arguments[0]) },
  () => program().then((migrate) => migrate.create)
)

/**
 * @since 0.1.0
 * @category commands
 */
export const migrate = Command.make("migrate").pipe(
  Command.withDescription(spec.migrate.summary),
  Command.withSubcommands([plan, up, down, status, create])
)
