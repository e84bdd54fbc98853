/**
 * A pool as a discrete-event simulation: arrivals, one queue, first come first served, and a deadline in it.
 *
 * Arrivals and use times have a random stream each, and an arrival keeps its use time whatever the size of the pool is:
 * two sizes are compared under the same work (common random numbers).
 */
import { PCGRandom } from "effect/Utils"

/** Milliseconds throughout. */
export interface SimulationOptions {
  readonly arrivals: Arrivals
  readonly use: UseTime
  readonly connections: number
  readonly acquireTimeout: number
  /** Cores of the server: with more connections busy than that, each takes proportionally longer. None: never. */
  readonly cores: number | undefined
  readonly seed: number
}

/** When work arrives. */
export type Arrivals =
  | { readonly _tag: "Poisson"; readonly perSecond: number }
  | { readonly _tag: "Recorded"; readonly atMs: ReadonlyArray<number> }

/** How long it holds a connection. */
export type UseTime =
  | { readonly _tag: "Exponential"; readonly meanMs: number }
  | { readonly _tag: "Constant"; readonly meanMs: number }
  /** `variation` is the squared coefficient of variation. */
  | { readonly _tag: "Lognormal"; readonly meanMs: number; readonly variation: number }

/** Told of everything that happens. */
export interface Observer {
  /** Work got a connection `waitedMs` after it came, and will hold it for `useMs`. */
  readonly onStart: (waitedMs: number, useMs: number) => void
  readonly onEnd: (useMs: number) => void
  readonly onTimeout: () => void
}

interface Work {
  readonly at: number
  /** Before the server slows it down. */
  readonly use: number
}

interface Running {
  readonly until: number
  readonly use: number
}

/** A pool under load, moved forward in time by `advance`. */
export class Simulation {
  now = 0
  /** Integral of the busy connections over time, in connections x ms. */
  busyMs = 0
  longestQueue = 0
  private readonly acquireTimeout: number
  private readonly cores: number
  private readonly observer: Observer
  private readonly nextArrival: () => number
  private readonly drawUse: () => number
  private readonly running = new FirstEnding()
  // Taken from at `head`, and cut when half of it is gone: `shift` moves the whole array.
  private queue: Array<Work> = []
  private head = 0
  private max: number
  private pending: Work

  constructor(options: SimulationOptions, observer: Observer) {
    this.max = options.connections
    this.acquireTimeout = options.acquireTimeout
    this.cores = options.cores ?? Infinity
    this.observer = observer
    this.nextArrival = arrivalTimes(options.arrivals, new PCGRandom(options.seed))
    this.drawUse = useTimes(options.use, new PCGRandom(options.seed ^ 0x9e3779b9))
    this.pending = this.draw()
  }

  get busy(): number {
    return this.running.size
  }

  get waiting(): number {
    return this.queue.length - this.head
  }

  /** Work that is held keeps its connection; a larger pool serves who waits at once. */
  resize(max: number): void {
    this.max = max
    this.serve()
  }

  /** Lets everything happen that happens up to a time. */
  advance(until: number): void {
    for (;;) {
      const ending = this.running.first?.until ?? Infinity
      const next = Math.min(ending, this.pending.at)
      if (next > until) break
      this.moveTo(next)
      if (ending <= this.pending.at) this.end()
      else this.arrive()
    }
    this.moveTo(until)
    this.expire()
  }

  /** Lets the work end that has arrived; nothing arrives any more. */
  drain(): void {
    this.pending = { at: Infinity, use: 0 }
    while (this.running.first !== undefined) {
      this.moveTo(this.running.first.until)
      this.end()
    }
  }

  private draw(): Work {
    return { at: this.nextArrival(), use: this.drawUse() }
  }

  private moveTo(time: number): void {
    this.busyMs += (time - this.now) * this.running.size
    this.now = time
  }

  private arrive(): void {
    this.queue.push(this.pending)
    this.pending = this.draw()
    this.expire()
    this.serve()
    this.longestQueue = Math.max(this.longestQueue, this.waiting)
  }

  private end(): void {
    const ended = this.running.take()
    if (ended !== undefined) this.observer.onEnd(ended.use)
    this.expire()
    this.serve()
  }

  private serve(): void {
    while (this.running.size < this.max) {
      const work = this.queue[this.head]
      if (work === undefined) return
      this.dequeue()
      const use = work.use * Math.max(1, (this.running.size + 1) / this.cores)
      this.running.add({ until: this.now + use, use })
      this.observer.onStart(this.now - work.at, use)
    }
  }

  /** All have the same patience, so the first to come is the first to go. */
  private expire(): void {
    for (;;) {
      const work = this.queue[this.head]
      if (work === undefined || this.now - work.at < this.acquireTimeout) return
      this.dequeue()
      this.observer.onTimeout()
    }
  }

  private dequeue(): void {
    this.head++
    if (this.head * 2 > this.queue.length && this.head > 64) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    } else if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    }
  }
}

/** What runs, the one that ends first on top: a binary heap. */
class FirstEnding {
  private readonly heap: Array<Running> = []

  get size(): number {
    return this.heap.length
  }

  get first(): Running | undefined {
    return this.heap[0]
  }

  add(running: Running): void {
    let index = this.heap.push(running) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.swapUnless(parent, index)) return
      index = parent
    }
  }

  take(): Running | undefined {
    const first = this.heap[0]
    const last = this.heap.pop()
    if (last === undefined || last === first) return first
    this.heap[0] = last
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      const smaller = this.untilAt(left + 1) < this.untilAt(left) ? left + 1 : left
      if (!this.swapUnless(index, smaller)) return first
      index = smaller
    }
  }

  private untilAt(index: number): number {
    return this.heap[index]?.until ?? Infinity
  }

  private swapUnless(upper: number, lower: number): boolean {
    const above = this.heap[upper]
    const below = this.heap[lower]
    if (above === undefined || below === undefined || above.until <= below.until) return false
    this.heap[upper] = below
    this.heap[lower] = above
    return true
  }
}

const arrivalTimes = (arrivals: Arrivals, random: PCGRandom): (() => number) => {
  let time = 0
  let index = 0
  return () => {
    if (arrivals._tag === "Recorded") return arrivals.atMs[index++] ?? Infinity
    return (time += exponential(random, 1000 / arrivals.perSecond))
  }
}

const useTimes = (use: UseTime, random: PCGRandom): (() => number) => {
  switch (use._tag) {
    case "Constant":
      return () => use.meanMs
    case "Exponential":
      return () => exponential(random, use.meanMs)
    case "Lognormal": {
      // Mean m and squared coefficient of variation v: sigma² = ln(1 + v), mu = ln m - sigma² / 2.
      const variance = Math.log1p(use.variation)
      return () => use.meanMs * Math.exp(Math.sqrt(variance) * normal(random) - variance / 2)
    }
  }
}

const exponential = (random: PCGRandom, mean: number): number => -Math.log(1 - random.number()) * mean

/** Box and Muller, one of the two. */
const normal = (random: PCGRandom): number =>
  Math.sqrt(-2 * Math.log(1 - random.number())) * Math.cos(2 * Math.PI * random.number())
