/**
 * One step of the search for the size at which a server does best, by the gradient of latency.
 *
 * The model is Gradient2 of Netflix' concurrency-limits: limit x clamp(tolerance x long average / short average) + a
 * little room, smoothed. Two things differ, since a pool, unlike a server's request limit, may stay full for hours:
 *
 * - Gradient2's long average follows the short one, so that under lasting load any latency becomes normal and the limit
 *   creeps upwards. Here a slower window is learnt only if no more connections were busy than when the average was
 *   learnt: a latency that came with more connections is the answer and not the question.
 * - A pool that starts too large has never seen a low latency, and an average that was learnt long ago may be of other
 *   work. Where latency holds back a full pool, or the average was learnt with about as many busy connections as there
 *   are, half of the pool is taken away for one window now and then, and what that shows is the new average (as
 *   Gradient2's predecessor did by its probes, and BBR does by ProbeRTT).
 */

/**
 * @since 0.1.0
 * @category options
 */
export interface GradientOptions {
  /** The bounds, connections. */
  readonly min: number
  readonly max: number
  /**
   * How much slower than the long average is no sign of queueing in the server. Gradient2 has 1.5 for single requests;
   * means of a window scatter less.
   *
   * @default 1.25
   */
  readonly tolerance?: number | undefined
  /** Share of a step that is taken; Gradient2's. @default 0.2 */
  readonly smoothing?: number | undefined
  /** Connections beyond the gradient's that are tried. Gradient2 has 4, for limits of hundreds. @default 1 */
  readonly queueSize?: number | undefined
  /** Windows that the long average is over. Gradient2 has 600, of a second. @default 120 */
  readonly longWindow?: number | undefined
  /** Windows that the short average is over. @default 5 */
  readonly shortWindow?: number | undefined
  /** A window with fewer uses says nothing. @default 50 */
  readonly minSamples?: number | undefined
  /** Windows between two looks below at least. @default 60 */
  readonly probeEvery?: number | undefined
}

/** What a window showed. */
export interface Window {
  /** Uses that ended. */
  readonly samples: number
  /** Their mean time. */
  readonly meanMs: number
  /** Mean of the busy connections. */
  readonly busy: number
  /** Somebody waited at the end, or went away without a connection. */
  readonly hadWaiters: boolean
}

/**
 * What is remembered from window to window.
 *
 * @since 0.1.0
 * @category models
 */
export interface GradientState {
  /** With its fraction; the pool gets the whole number. */
  readonly limit: number
  /** The long average of the latency; absent until one was measured. */
  readonly longMs?: number | undefined
  /** How many connections were busy when it was learnt. */
  readonly longBusy: number
  readonly shortMs?: number | undefined
  /** Windows that were learnt from. */
  readonly windows: number
  readonly sinceProbe: number
  /** Half of the pool is away in this window. */
  readonly isProbing: boolean
}

/**
 * Why the limit is what it is after a step.
 *
 * @since 0.1.0
 * @category models
 */
export type Verdict =
  /** Too few uses, or less than half of the connections busy: nothing is known, nothing is moved. */
  | "quiet"
  /** Nobody asked for more, and latency asks for no less. */
  | "enough"
  | "grown"
  | "shrunk"
  /** At a bound. */
  | "held"
  /** Half of the pool is taken away, to see. */
  | "probing"
  | "probed"

/** A fresh search from a size. */
export const start = (limit: number): GradientState => ({
  limit,
  longBusy: 0,
  windows: 0,
  sinceProbe: 0,
  isProbing: false
})

/** How many connections a state wants, within bounds. */
export const sizeOf = (state: GradientState, options: Pick<GradientOptions, "min" | "max">): number =>
  clamp(Math.floor(state.isProbing ? state.limit / 2 : state.limit), options.min, options.max)

/** Below this share of busy connections more of them are of no use: the threshold of the alert. */
const demand = 0.7

/** Windows that the long average is a plain mean of at first; Gradient2's warm-up. */
const warmUp = 10

/** The state after a window, and what it did. */
export const step = (
  state: GradientState,
  window: Window,
  options: GradientOptions
): { readonly state: GradientState; readonly verdict: Verdict } => {
  const { longWindow = 120, minSamples = 50, probeEvery = 60, queueSize = 1 } = options
  const { shortWindow = 5, smoothing = 0.2, tolerance = 1.25 } = options
  if (state.isProbing) return { state: probed(state, window, minSamples), verdict: "probed" }
  if (window.samples < minSamples) return { state, verdict: "quiet" }

  const learnt = learn(state, window, { longWindow, shortWindow })
  const { limit, longBusy, longMs = window.meanMs, shortMs = window.meanMs, sinceProbe, windows } = learnt
  if (window.busy < limit / 2) return { state: learnt, verdict: "quiet" }

  const isFull = window.hadWaiters || window.busy >= demand * limit
  const gradient = clamp((tolerance * longMs) / shortMs, 0.5, 1)
  const isDoubtful = gradient < 1 || longBusy > 0.6 * limit
  if (isFull && isDoubtful && windows > warmUp && sinceProbe >= probeEvery && limit / 2 >= options.min) {
    return { state: { ...learnt, isProbing: true, sinceProbe: 0 }, verdict: "probing" }
  }
  const wanted = limit * (1 - smoothing) + (limit * gradient + queueSize) * smoothing
  if (wanted > limit && !isFull) return { state: learnt, verdict: "enough" }
  const next = clamp(wanted, options.min, options.max)
  const verdict = next === limit ? "held" : next > limit ? "grown" : "shrunk"
  return { state: { ...learnt, limit: next }, verdict }
}

const learn = (
  state: GradientState,
  window: Window,
  { longWindow, shortWindow }: { readonly longWindow: number; readonly shortWindow: number }
): GradientState => {
  const { longBusy, longMs, shortMs, windows } = state
  const next = { ...state, windows: windows + 1, sinceProbe: state.sinceProbe + 1 }
  if (longMs === undefined || shortMs === undefined) {
    return { ...next, longMs: window.meanMs, longBusy: window.busy, shortMs: window.meanMs }
  }
  const toward = (average: number, value: number, weight: number) => average + weight * (value - average)
  const short = toward(shortMs, window.meanMs, 2 / (shortWindow + 1))
  const weight = Math.max(windows < warmUp ? 1 / (windows + 1) : 0, 2 / (longWindow + 1))
  const isBaseline = window.meanMs <= longMs || window.busy <= longBusy
  const long = isBaseline ? toward(longMs, window.meanMs, weight) : longMs
  return {
    ...next,
    shortMs: short,
    // Back to normal after a long time of too much: do not wait for the average to find out.
    longMs: long > 2 * short ? long * 0.9 : long,
    longBusy: isBaseline ? toward(longBusy, window.busy, weight) : longBusy
  }
}

/** The pool has its size back, and what half of it showed is the new baseline. */
const probed = (state: GradientState, window: Window, minSamples: number): GradientState => ({
  ...state,
  isProbing: false,
  ...(window.samples < minSamples ? {} : { longMs: window.meanMs, longBusy: window.busy })
})

const clamp = (value: number, min: number, max: number): number => Math.min(max, Math.max(min, value))
