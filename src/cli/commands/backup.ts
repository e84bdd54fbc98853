/**
 * `plinth backup`.
 */
import * as Command from "@effect/cli/Command"
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import * as spec from "../specs/backup.ts"

const program = () => import("../programs/backup.ts")
const storage = Options.text(spec.list.options.storage)

const create = Handler.make(
  spec.create,
  { database: Options.database, storage, compress: Options.choice(spec.create.options.compress) },
  () => program().then((backup) => backup.create)
)

const list = Handler.make(spec.list, { storage }, () => program().then((backup) => backup.list))

const show = Handler.make(spec.show, { storage, label: Options.optionalArgument(spec.show.arguments[0]) }, () =>
  program().then((backup) => backup.show)
)

const verify = Handler.make(spec.verify, { storage, label: Options.optionalArgument(spec.verify.arguments[0]) }, () =>
  program().then((backup) => backup.verify)
)

const restore = Handler.make(
  spec.restore,
  {
    storage,
    into: Options.text(spec.restore.options.into),
    label: Options.optionalArgument(spec.restore.arguments[0])
  },
  () => program().then((backup) => backup.restore)
)

/**
 * @since 0.1.0
 * @category commands
 */
export const backup = Command.make("backup").pipe(
  Command.withDescription(spec.backup.summary),
  Command.withSubcommands([create, list, show, verify, restore])
)
