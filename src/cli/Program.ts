/**
 * The whole program behind a checked command line.
 */
import * as Command from "@effect/cli/Command"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { root as commands } from "./commands/root.ts"
import { Finished } from "./Exit.ts"
import * as Stdio from "./Stdio.ts"
import { packageVersion } from "../internal/packageVersion.ts"

const cli = Command.run(commands, { name: "plinth", version: packageVersion, executable: "plinth" })

/**
 * Runs a command. `args` are in the order that `Argv.parse` puts them into, and were checked by it: what `@effect/cli`
 * still refuses is a difference between a definition and its command.
 */
export const program = (args: ReadonlyArray<string>): Effect.Effect<void, Finished> =>
  cli(["node", "plinth", ...args]).pipe(
    Effect.catchAll((error) => (error instanceof Finished ? Effect.fail(error) : Effect.die(error))),
    Effect.provide(Layer.merge(NodeContext.layer, Stdio.layer))
  )
