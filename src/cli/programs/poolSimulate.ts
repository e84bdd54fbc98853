/**
 * `plinth pool simulate`: how long work waits in pools of several sizes.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { significant } from "../../internal/significant.ts"
import * as PoolOptimizer from "../../PoolOptimizer.ts"
import * as Bounds from "../Bounds.ts"
import * as Durations from "../Durations.ts"
import * as Exit from "../Exit.ts"
import * as Format from "../Format.ts"
import { Output } from "../Output.ts"
import { simulate as spec } from "../specs/pool.ts"
import { table } from "../Table.ts"

/** What the command line says. */
export interface Input {
  readonly arrivals: Option.Option<string>
  readonly service: Option.Option<string>
  readonly connections: Option.Option<number>
  readonly distribution: PoolOptimizer.UseDistribution
  readonly duration: Option.Option<string>
  readonly acquireTimeout: Option.Option<string>
  readonly cores: Option.Option<number>
  readonly seed: Option.Option<number>
}

/** Work that is simulated in a few seconds and 100 MB. */
const maxArrivals = 5_000_000

/** Connections that a server could conceivably have: max_connections goes up to 262,143. */
const maxLoad = 262_143

/** The fewest connections with which one in a hundred waits, and no alert is given. */
const target = { waiting: 0.01, utilisation: PoolOptimizer.thresholds.utilisation.warning }

const shortest = Duration.millis(0.001)

/** Simulates, and prints a line for each size. */
export const simulate = (input: Input) =>
  Effect.gen(function* () {
    const output = yield* Output
    const { options } = spec
    const arrivals = yield* required(Bounds.rate(input.arrivals, options.arrivals), "--arrivals", "--arrivals 500/s")
    const service = yield* required(
      Bounds.duration(input.service, options.service, shortest),
      "--service",
      "--service 4ms"
    )
    const given = yield* Bounds.count(input.connections, options.connections)
    const cores = Option.getOrUndefined(yield* Bounds.count(input.cores, options.cores))
    const duration = yield* orDefault(input.duration, options.duration)
    const acquireTimeout = yield* orDefault(input.acquireTimeout, options.acquireTimeout)
    const seed = Option.getOrElse(input.seed, () => Number(options.seed.default))
    const useMs = Duration.toMillis(service)
    const load = (arrivals * useMs) / 1000
    yield* refuseTooMuch(arrivals, duration, load)

    const recommended = PoolOptimizer.connectionsFor(load, target)
    const variation = PoolOptimizer.variationOf({ distribution: input.distribution })
    const sizes = Option.match(given, { onSome: (size) => [size], onNone: () => sizesAround(load, recommended) })
    const results = sizes.map((connections) => ({
      ...PoolOptimizer.simulate({
        arrivals,
        use: service,
        connections,
        distribution: input.distribution,
        duration,
        acquireTimeout,
        cores,
        seed
      }),
      formulaMeanWaitMs:
        cores === undefined ? finite(PoolOptimizer.meanWaitMs({ load, connections, useMs, variation })) : null
    }))
    const width = yield* output.width
    yield* output.result({
      json: () => ({
        schema: spec.json.schema,
        arrivalsPerSecond: arrivals,
        serviceMs: useMs,
        distribution: input.distribution,
        seed,
        load,
        recommended,
        sizes: results
      }),
      text: () =>
        [
          `${significant(arrivals)}/s of ${time(useMs)} each keep ${significant(load)} connections busy on average; for at most one in a hundred to wait it takes ${recommended}.`,
          "",
          table(
            ["connections", "busy", "waited", "mean wait", "by formula", "p50", "p95", "p99", "timed out"].map(
              (title) => ({ title, align: "right" as const })
            ),
            results.map((result) => [
              result.connections === recommended
                ? { text: String(result.connections), mark: output.style.good }
                : String(result.connections),
              percent(result.utilisation),
              percent(result.waitedShare),
              time(result.wait.meanMs),
              result.formulaMeanWaitMs === null ? "-" : time(result.formulaMeanWaitMs),
              time(result.wait.p50Ms),
              time(result.wait.p95Ms),
              time(result.wait.p99Ms),
              percent(result.timeouts / Math.max(1, result.arrivals))
            ]),
            { width, heading: output.style.bold }
          )
        ].join("\n")
    })
  })

const required = <A, E>(value: Effect.Effect<Option.Option<A>, E>, name: string, example: string) =>
  Effect.flatMap(
    value,
    Option.match({
      onSome: Effect.succeed,
      onNone: () => Exit.misused(`\`plinth pool simulate\` needs ${name}`, `Write it as in ${example}`)
    })
  )

const orDefault = (
  given: Option.Option<string>,
  option: { readonly name: string; readonly default: string; readonly description: string }
) =>
  Effect.map(
    Bounds.duration(given, option, shortest),
    Option.getOrElse(() => Durations.fromText(option.default))
  )

const refuseTooMuch = (arrivals: number, duration: Duration.Duration, load: number) => {
  const expected = arrivals * Duration.toSeconds(duration)
  if (load > maxLoad) {
    return Exit.misused(
      `That work keeps ${Format.count(Math.round(load))} connections busy`,
      "Give fewer --arrivals or a shorter --service",
      `no server has more than ${Format.count(maxLoad)}`
    )
  }
  return expected <= maxArrivals
    ? Effect.void
    : Exit.misused(
        `${Format.count(Math.round(expected))} arrivals are too many to simulate`,
        "Give a shorter --duration: some ten thousand arrivals tell as much",
        `the limit is ${Format.count(maxArrivals)}`
      )
}

/** Sizes below and above the recommended one, from the least that can bear the load. */
const sizesAround = (load: number, recommended: number): ReadonlyArray<number> => {
  const least = Math.floor(load) + 1
  const step = Math.max(1, Math.round((recommended - least) / 4))
  const sizes = [-3, -2, -1, 0, 1, 2].map((steps) => recommended + steps * step).filter((size) => size > least)
  return [...new Set([least, ...sizes, recommended])].sort((a, b) => a - b)
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

const percent = (share: number): string => `${significant(100 * share)} %`

const time = (ms: number): string => `${significant(ms)} ms`
