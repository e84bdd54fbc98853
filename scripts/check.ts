/** `npm run check [gate ..]`: every gate, or the named ones, as many at once as there are cores. */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { availableParallelism } from "node:os"
import type { Gate } from "./gates.ts"
import { gates } from "./gates.ts"
import { run } from "./run.ts"

const pass = (gate: Gate) =>
  Effect.gen(function* () {
    const [duration, { exitCode, output }] = yield* Effect.timed(run(gate.command))
    const seconds = Duration.toSeconds(duration).toFixed(1).padStart(5)
    yield* Console.log(`${exitCode === 0 ? "pass" : "FAIL"} ${seconds} s  ${gate.name}`)
    if (exitCode !== 0) yield* Console.log(`${output}\n`)
    return exitCode === 0
  })

const check = Effect.gen(function* () {
  const wanted = process.argv.slice(2)
  const unknown = wanted.filter((name) => !gates.some((gate) => gate.name === name))
  if (unknown.length > 0) {
    return yield* Effect.fail(
      `no gate called ${unknown.join(", ")}; there are: ${gates.map(({ name }) => name).join(", ")}`
    )
  }
  const chosen = wanted.length === 0 ? gates : gates.filter(({ name }) => wanted.includes(name))
  const results = yield* Effect.forEach(chosen, pass, { concurrency: availableParallelism() })
  const failed = results.filter((passed) => !passed).length
  if (failed > 0) return yield* Effect.fail(`${failed} of ${chosen.length} gates failed`)
  yield* Console.log(`${chosen.length} gates passed`)
})

NodeRuntime.runMain(check.pipe(Effect.provide(NodeContext.layer)))
