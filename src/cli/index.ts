/**
 * The `plinth` commands as `@effect/cli` commands, to mount in a program of one's own, and the
 * whole program with one's own migrations and checks: `effect-plinth/cli`.
 *
 * @example
 * ```ts
 * import * as Command from "@effect/cli/Command"
 * import { NodeContext, NodeRuntime } from "@effect/platform-node"
 * import { migrate, Stdio } from "effect-plinth/cli"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const app = Command.make("shop").pipe(Command.withSubcommands([migrate]))
 * const run = Command.run(app, { name: "shop", version: "1.0.0" })
 *
 * run(process.argv).pipe(Effect.provide(Layer.merge(NodeContext.layer, Stdio.layer)), NodeRuntime.runMain)
 * ```
 *
 * @since 0.1.0
 */
export { backup } from "./commands/backup.ts"
export { config } from "./commands/config.ts"
export { dev } from "./commands/dev.ts"
export { healthCheck } from "./commands/healthCheck.ts"
export { migrate } from "./commands/migrate.ts"
export { pool } from "./commands/pool.ts"
export { reset } from "./commands/reset.ts"
export { root } from "./commands/root.ts"
export { route } from "./commands/route.ts"
export { setup } from "./commands/setup.ts"
export { CommandError, Finished } from "./Exit.ts"
export { Extended } from "./Extensions.ts"
export type { Extensions } from "./Extensions.ts"
export { mainOptions, run } from "./run.ts"
export * as Stdio from "./Stdio.ts"
