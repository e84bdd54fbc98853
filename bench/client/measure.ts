/**
 * One slice of load on one client.
 */
import * as Effect from "effect/Effect"
import type { Client, Workload } from "./clients.ts"

export interface Slice {
  readonly opsPerSecond: number
  readonly p50Millis: number
  readonly p99Millis: number
  /** User and system time of this process per operation. */
  readonly cpuMicros: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** Loops `concurrency` times side by side for about `millis`. */
export const measure = (
  client: Client,
  workload: Workload,
  options: { readonly concurrency: number; readonly millis: number; readonly rows: number }
): Effect.Effect<Slice, unknown> =>
  Effect.promise(async () => {
    const latencies: Array<number> = []
    const cpu = process.cpuUsage()
    const start = performance.now()
    const end = start + options.millis
    let seed = 12_345
    const nextId = (): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
      return 1 + (seed % options.rows)
    }
    await client.run(workload, options.concurrency, nextId, (latency) => {
      if (latency !== undefined) latencies.push(latency)
      return performance.now() < end
    })
    const seconds = (performance.now() - start) / 1000
    const used = process.cpuUsage(cpu)
    latencies.sort((a, b) => a - b)
    const at = (share: number) =>
      latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN
    return {
      opsPerSecond: latencies.length / seconds,
      p50Millis: at(0.5),
      p99Millis: at(0.99),
      cpuMicros: (used.user + used.system) / latencies.length
    }
  })
