/**
 * Up to how many busy connections a server gets more done, from latencies measured at several numbers of them.
 */

/**
 * A latency, and how many connections were busy on the server meanwhile.
 *
 * @since 0.1.0
 * @category models
 */
export interface LatencyPoint {
  readonly concurrency: number
  readonly latencyMs: number
}

/**
 * @since 0.1.0
 * @category models
 */
export type Knee =
  | { readonly _tag: "Found"; readonly concurrency: number; readonly latencyMs: number }
  /** The best was the most that was measured: the knee is there or beyond. */
  | { readonly _tag: "Beyond"; readonly concurrency: number }
  /** Fewer than three different concurrencies were measured. */
  | { readonly _tag: "Unknown" }

/**
 * The concurrency of the greatest power, throughput over latency (L. Kleinrock, "Power and deterministic rules of thumb
 * for probabilistic problems in computer communications", ICC 1979): with one more connection latency grows by a greater
 * share than throughput. The throughput is concurrency over latency, by Little's law. Measurements of the same whole
 * number of connections are averaged.
 *
 * @since 0.1.0
 * @category measuring
 */
export const knee = (points: ReadonlyArray<LatencyPoint>): Knee => {
  const latencies = new Map<number, Array<number>>()
  for (const { concurrency, latencyMs } of points) {
    const busy = Math.round(concurrency)
    if (busy < 1 || !(latencyMs > 0)) continue
    latencies.set(busy, [...(latencies.get(busy) ?? []), latencyMs])
  }
  const averaged = Array.from(latencies, ([concurrency, measured]) => {
    const latencyMs = measured.reduce((sum, one) => sum + one, 0) / measured.length
    return { concurrency, latencyMs, power: concurrency / latencyMs ** 2 }
  })
  const best = averaged.reduce((a, b) => (b.power > a.power ? b : a), { concurrency: 0, latencyMs: 0, power: 0 })
  if (averaged.length < 3) return { _tag: "Unknown" }
  if (averaged.every(({ concurrency }) => concurrency <= best.concurrency)) {
    return { _tag: "Beyond", concurrency: best.concurrency }
  }
  return { _tag: "Found", concurrency: best.concurrency, latencyMs: best.latencyMs }
}
