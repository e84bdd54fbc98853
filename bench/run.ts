/**
 * `npm run bench -- <name> [--quick]`: runs one benchmark.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"

const benchmarks: Record<string, () => Promise<{ readonly main: Effect.Effect<void, unknown> }>> = {
  backup: () => import("./backup.ts"),
  "cli-startup": () => import("./cli-startup.ts"),
  classifier: () => import("./classifier.ts"),
  client: () => import("./client.ts")
}

const name = process.argv[2] ?? ""
const load = benchmarks[name]

NodeRuntime.runMain(
  load === undefined
    ? Effect.zipRight(
        Console.error(`Which benchmark? ${Object.keys(benchmarks).join(", ")}`),
        Effect.sync(() => {
          process.exitCode = 2
        })
      )
    : Effect.flatMap(Effect.promise(load), ({ main }) => main)
)
