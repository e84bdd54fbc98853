/**
 * The closed formulas of queues: a pool is a queue with as many servers as it has connections.
 *
 * `load` is the offered load in Erlangs, arrivals per second times the seconds that each holds a connection. By
 * Little's law (J. D. C. Little, "A Proof for the Queuing Formula L = λW", Operations Research 9, 1961) it is also how
 * many connections are busy on average.
 */

/**
 * What is queued for. Times in milliseconds.
 *
 * @since 0.1.0
 * @category models
 */
export interface Queue {
  /** Erlangs. */
  readonly load: number
  readonly connections: number
  /** How long one is held on average. */
  readonly useMs: number
  /** Squared coefficient of variation of that: 0 is constant, 1 exponential. */
  readonly variation: number
}

/**
 * The probability that an arrival has to wait, in M/M/c (A. K. Erlang, 1917; Kleinrock, "Queueing Systems" I, 3.5).
 * From Erlang B by its recursion, which needs no factorials. 1 where the load is more than the connections can bear.
 *
 * @since 0.1.0
 * @category formulas
 */
export const waitingProbability = (load: number, connections: number): number => {
  if (load <= 0) return 0
  if (load >= connections) return 1
  let inverse = 1
  for (let k = 1; k <= connections; k++) inverse = 1 + (inverse * k) / load
  return erlangC(1 / inverse, load / connections)
}

const erlangC = (blocking: number, utilisation: number): number => blocking / (1 - utilisation * (1 - blocking))

/**
 * The mean time in the queue: exact for M/M/c, and by Pollaczek and Khinchine for one connection and any use time; for
 * several and any use time the approximation of Allen and Cunneen ("Probability, Statistics, and Queueing Theory", 1990,
 * 5.3.3). `Infinity` where the load is more than the connections can bear.
 *
 * @since 0.1.0
 * @category formulas
 */
export const meanWaitMs = ({ connections, load, useMs, variation }: Queue): number =>
  load >= connections
    ? Infinity
    : ((waitingProbability(load, connections) * useMs) / (connections - load)) * ((1 + variation) / 2)

/**
 * The time that a share of the arrivals waits at most: exact for M/M/c, whose waiting times are exponential for those who
 * wait; with the factor of Allen and Cunneen for any other use time.
 *
 * @since 0.1.0
 * @category formulas
 */
export const waitQuantileMs = (queue: Queue, share: number): number => {
  const { connections, load, useMs, variation } = queue
  if (load >= connections) return Infinity
  const waits = waitingProbability(load, connections)
  return Math.max(0, Math.log(waits / (1 - share)) * (useMs / (connections - load)) * ((1 + variation) / 2))
}

/** The sums take as many steps as there are connections, and no server has that many. */
const greatestLoad = 1e6

/**
 * How many connections are busy at most for a share of the time, if nobody ever has to wait: M/G/∞, in which that number
 * has a Poisson distribution whatever the use time is. `Infinity` for more than a million Erlangs.
 *
 * @since 0.1.0
 * @category formulas
 */
export const busyQuantile = (load: number, share: number): number => {
  if (load <= 0) return 0
  if (!(load <= greatestLoad)) return Infinity
  // In logarithms: e^-load is 0 from a load of 745 on.
  let logTerm = -load
  let cumulative = Math.exp(logTerm)
  let busy = 0
  const limit = load + 40 * Math.sqrt(load) + 40
  while (cumulative < share && busy < limit) {
    busy++
    logTerm += Math.log(load / busy)
    cumulative += Math.exp(logTerm)
  }
  return busy
}

/**
 * What a pool is to be big enough for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  /** At most this share of the arrivals waits. */
  readonly waiting: number
  /** At most this share of the connections is busy on average. */
  readonly utilisation: number
}

/**
 * The fewest connections that keep to the target; `Infinity` for more than a million Erlangs.
 *
 * @since 0.1.0
 * @category formulas
 */
export const connectionsFor = (load: number, target: Target): number => {
  if (!(load <= greatestLoad && target.utilisation > 0)) return Infinity
  let inverse = 1
  for (let connections = 1; ; connections++) {
    inverse = 1 + (inverse * connections) / Math.max(load, Number.MIN_VALUE)
    const utilisation = load / connections
    if (utilisation > target.utilisation || utilisation >= 1) continue
    if (erlangC(1 / inverse, utilisation) <= target.waiting) return connections
  }
}
