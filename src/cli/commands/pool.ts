/**
 * `plinth pool`.
 */
import * as Command from "@effect/cli/Command"
import * as Handler from "../Handler.ts"
import * as Options from "../Options.ts"
import * as spec from "../specs/pool.ts"

const advise = Handler.make(
  spec.advise,
  {
    database: Options.database,
    processes: Options.integer(spec.advise.options.processes),
    cores: Options.integer(spec.advise.options.cores),
    arrivals: Options.text(spec.advise.options.arrivals),
    service: Options.text(spec.advise.options.service),
    sample: Options.text(spec.advise.options.sample),
    application: Options.text(spec.advise.options.application)
  },
  () => import("../programs/poolAdvise.ts").then((program) => program.advise)
)

const simulate = Handler.make(
  spec.simulate,
  {
    arrivals: Options.text(spec.simulate.options.arrivals),
    service: Options.text(spec.simulate.options.service),
    connections: Options.integer(spec.simulate.options.connections),
    distribution: Options.choice(spec.simulate.options.distribution),
    duration: Options.text(spec.simulate.options.duration),
    acquireTimeout: Options.text(spec.simulate.options.acquireTimeout),
    cores: Options.integer(spec.simulate.options.cores),
    seed: Options.integer(spec.simulate.options.seed)
  },
  () => import("../programs/poolSimulate.ts").then((program) => program.simulate)
)

/**
 * @since 0.1.0
 * @category commands
 */
export const pool = Command.make("pool").pipe(
  Command.withDescription(spec.pool.summary),
  Command.withSubcommands([advise, simulate])
)
