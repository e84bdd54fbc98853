/**
 * Point selects and small transactions: Plinth beside its peers, interleaved in one run.
 *
 * All clients are in this process with at most 10 connections, the server is another process. Each round gives every
 * client one slice, in an order that rotates, so that a noisy moment hits all alike; figures are medians over rounds.
 * CPU per operation is this process' own (`process.cpuUsage`), the sturdiest figure on a shared machine.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import * as FaultProxy from "../test/support/FaultProxy.ts"
import { clients, type Client, type Workload } from "./client/clients.ts"
import { measure, median, type Slice } from "./client/measure.ts"
import { pgbench } from "./client/pgbench.ts"
import { measureWaiting } from "./client/waiters.ts"

const quick = process.argv.includes("--quick")
const rounds = quick ? 3 : 7
const sliceMillis = quick ? 150 : 400
const rows = 100_000
const poolSize = 10

/** The titles of what is measured, and with how many at a time. */
const workloads: ReadonlyArray<readonly [Workload, title: string, concurrencies: ReadonlyArray<number>]> = [
  ["select", "Point select by primary key", [1, 16, 64]],
  ["transaction", "BEGIN; UPDATE; COMMIT", [1, 16, 64]],
  ["mixed", "Point selects, with every tenth statement taking the server 20 ms", [64]]
]

type Results = Map<string, Array<Slice>>

/** Runs every client on every workload and collects the slices by client. */
const race = (all: ReadonlyArray<Client>, workload: Workload, concurrency: number) =>
  Effect.gen(function* () {
    const candidates = all.filter(({ workloads }) => workloads === undefined || workloads.includes(workload))
    const results: Results = new Map(candidates.map(({ name }) => [name, []]))
    for (let round = -1; round < rounds; round++) {
      for (let i = 0; i < candidates.length; i++) {
        const candidate = candidates[(i + Math.max(round, 0)) % candidates.length]
        if (candidate === undefined) continue
        const slice = yield* measure(candidate, workload, { concurrency, millis: sliceMillis, rows })
        // The first round warms up.
        if (round >= 0) results.get(candidate.name)?.push(slice)
      }
    }
    return results
  })

const table = (results: Results): string => {
  const figure = (name: string, of: (slice: Slice) => number) => median((results.get(name) ?? []).map(of))
  const reference = figure("pg-pool", (slice) => slice.opsPerSecond)
  const stock = figure("@effect/sql-pg", (slice) => slice.opsPerSecond)
  const stockCpu = figure("@effect/sql-pg", (slice) => slice.cpuMicros)
  const lines = [...results.keys()].map((name) => {
    const ops = figure(name, (slice) => slice.opsPerSecond)
    const cpu = figure(name, (slice) => slice.cpuMicros)
    return [
      name,
      Math.round(ops).toLocaleString("en-US"),
      figure(name, (slice) => slice.p50Millis).toFixed(2),
      figure(name, (slice) => slice.p99Millis).toFixed(2),
      cpu.toFixed(1),
      (ops / reference).toFixed(2),
      (ops / stock).toFixed(2),
      (cpu / stockCpu).toFixed(2)
    ]
  })
  const head = ["client", "ops/s", "p50 ms", "p99 ms", "CPU us/op", "x pg-pool", "x sql-pg", "CPU x sql-pg"]
  return [head, head.map((_, i) => (i === 0 ? "---" : "---:")), ...lines]
    .map((line) => `| ${line.join(" | ")} |`)
    .join("\n")
}

const program: Effect.Effect<void, unknown, Scope.Scope | EmbeddedPostgres.EmbeddedPostgres> = Effect.gen(function* () {
  const { serverVersion, url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const candidates = yield* clients(Redacted.value(url), poolSize, rows)
  yield* Console.log(
    `PostgreSQL ${serverVersion}, Node ${process.versions.node}, pools of ${poolSize}, ${rounds} rounds\n`
  )
  let slower = 0
  for (const [workload, title, concurrencies] of workloads) {
    for (const concurrency of concurrencies) {
      const results = yield* race(candidates, workload, concurrency)
      yield* Console.log(`### ${title}, ${concurrency} at a time\n`)
      yield* Console.log(`${table(results)}\n`)
      if (workload !== "mixed") {
        // It has a connection for each, and nobody waits for one.
        const limit = yield* pgbench(Redacted.value(url), workload, Math.min(concurrency, poolSize))
        if (limit !== undefined) {
          yield* Console.log(`pgbench, the server's limit: ${Math.round(limit).toLocaleString("en-US")} a second\n`)
        }
      }
      const of = (name: string) => median((results.get(name) ?? []).map((slice) => slice.opsPerSecond))
      // A mix is bound by its slow statements.
      if (workload !== "mixed" && of("Plinth") < of("@effect/sql-pg")) slower++
    }
  }
  const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
  yield* proxy.latency("1 millis")
  const distant = yield* clients(Redacted.value(proxy.url(url)), poolSize, rows)
  yield* Console.log("### BEGIN; UPDATE; COMMIT over a network of 1 ms each way, 1 at a time\n")
  yield* Console.log(`${table(yield* race(distant, "transaction", 1))}\n`)
  yield* Console.log("### 10,000 that wait for a connection, and a checkout of an idle one\n")
  yield* Console.log(`${yield* measureWaiting(Redacted.value(url))}\n`)
  yield* Console.log(
    slower === 0
      ? "Plinth is not slower than @effect/sql-pg in any row."
      : `Plinth is slower than @effect/sql-pg in ${slower} rows.`
  )
})

export const main = program.pipe(Effect.scoped, Effect.provide(EmbeddedPostgres.layer({ replicas: 0 })))
