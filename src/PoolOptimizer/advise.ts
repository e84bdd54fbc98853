/**
 * How large a pool should be: what the work needs, held below what the server can do and what it lets in.
 */
import * as Duration from "effect/Duration"
import { significant } from "../internal/significant.ts"
import type { Advice, Limit } from "./Advice.ts"
import type { Alert } from "./alerts.ts"
import { alerts, thresholds } from "./alerts.ts"
import type { Knee, LatencyPoint } from "./knee.ts"
import { knee } from "./knee.ts"
import { busyQuantile, connectionsFor, meanWaitMs, waitingProbability, waitQuantileMs } from "./queueing.ts"
import type { Server, Workload } from "./Workload.ts"
import { available, onTop, onTopCount } from "./Workload.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface AdviseOptions {
  readonly server: Server
  /** Unknown where absent: then the server alone decides. */
  readonly workload?: Workload | undefined
  /**
   * Processes with a pool to this server. Count those of a deployment that overlaps, too.
   *
   * @default 1
   */
  readonly processes?: number | undefined
  /** Latencies of the server, at three numbers of busy connections at least: where the knee is. */
  readonly latencies?: ReadonlyArray<LatencyPoint> | undefined
  /**
   * At most this share of the checkouts is to wait.
   *
   * @default 0.01
   */
  readonly waiting?: number | undefined
}

/** Where nothing is known; HikariCP's `maximumPoolSize`. */
const defaultMax = 10

/**
 * Recommends the minimum and maximum of a pool.
 *
 * - **Need**: the load in Erlangs is arrivals per second x use time (Little's law). Each process has a queue of its own,
 *   so each needs the fewest connections with which Erlang C keeps the probability of waiting at `waiting` and the
 *   utilisation below its alert.
 * - **Ceiling**: the knee of the measured latencies, else HikariCP's cores x 2 + spindles (wiki, "About Pool Sizing",
 *   from the PostgreSQL project) as the starting point, for connections on which the server works.
 * - **Bound**: (max_connections - reserved - others - what each process opens on top) / processes.
 *
 * The minimum is what is busy on average, so that ordinary load opens no connection.
 *
 * @since 0.1.0
 * @category advice
 */
export const advise = (options: AdviseOptions): Advice => {
  const processes = Math.max(1, Math.floor(options.processes ?? 1))
  const need = needOf(options, processes)
  const ceiling = ceilingOf(options)
  const bound = boundOf(options.server, processes)
  const ceilingPerProcess = ceiling.total === undefined ? undefined : Math.max(1, Math.floor(ceiling.total / processes))

  const candidates: ReadonlyArray<readonly [Limit, number | undefined]> = [
    ["need", need?.perProcess],
    [ceiling.knee === undefined ? "cores" : "knee", ceilingPerProcess],
    ["server", Math.max(1, bound.perProcess)],
    ["default", need === undefined && ceilingPerProcess === undefined ? defaultMax : undefined]
  ]
  const [limit, max] = candidates.reduce<readonly [Limit, number]>(
    (least, [name, value]) => (value !== undefined && value < least[1] ? [name, value] : least),
    ["default", Infinity]
  )
  const min = need === undefined ? 1 : Math.min(max, Math.max(1, Math.ceil(need.load / processes)))
  const outcome = need === undefined ? undefined : outcomeOf(need, max, processes)
  const { startingPoint } = ceiling

  return {
    perProcess: { min, max },
    total: { min: min * processes, max: max * processes },
    limit,
    figures: {
      processes,
      arrivalsPerSecond: options.workload?.arrivalsPerSecond,
      useMs: need?.useMs,
      load: need?.load,
      busyPerProcess99: need === undefined ? undefined : busyQuantile(need.load / processes, 0.99),
      needPerProcess: need?.perProcess,
      needTotal: need === undefined ? undefined : need.perProcess * processes,
      ceilingTotal: ceiling.total,
      startingPoint,
      knee: ceiling.knee,
      boundPerProcess: bound.perProcess,
      ...outcome?.figures
    },
    reasons: [
      ...(need?.reasons ?? []),
      ...ceiling.reasons,
      ...bound.reasons,
      ...(outcome?.reasons ?? []),
      `At least ${min} ${min === 1 ? "is" : "are"} kept open per process${
        need === undefined ? "" : ", which is what is busy on average, so that ordinary load opens none"
      }`
    ],
    unknowns: [
      ...(need === undefined ? ["What the work needs: give the arrivals per second and the time of one use"] : []),
      ...ceiling.unknowns
    ],
    alerts: [...bound.alerts, ...(outcome?.alerts ?? [])]
  }
}

interface Need {
  readonly load: number
  readonly useMs: number
  readonly variation: number
  readonly perProcess: number
  readonly reasons: ReadonlyArray<string>
}

const needOf = ({ waiting = 0.01, workload }: AdviseOptions, processes: number): Need | undefined => {
  if (workload === undefined) return undefined
  const { arrivalsPerSecond, variation = 1 } = workload
  const useMs = Duration.toMillis(workload.use)
  const load = (arrivalsPerSecond * useMs) / 1000
  const target = { waiting, utilisation: thresholds.utilisation.warning }
  const perProcess = connectionsFor(load / processes, target)
  const each = `${perProcess} ${plural(perProcess, "connection")}`
  const needed =
    perProcess === Infinity
      ? "no pool is large enough"
      : processes === 1
        ? `it takes ${each}`
        : `each process needs ${each}, ${perProcess * processes} in all; one pool for all would need ${connectionsFor(load, target)}`
  return {
    load,
    useMs,
    variation,
    perProcess,
    reasons: [
      `${significant(arrivalsPerSecond)} uses a second of ${significant(useMs)} ms each keep ${significant(load)} ${plural(load, "connection")} busy on average (Little's law)` +
        (processes === 1 ? "" : `, ${significant(load / processes)} in each of ${processes} processes`),
      `For at most ${percent(waiting)} of the checkouts to wait (Erlang C), at a utilisation of at most ${percent(target.utilisation)}, ${needed}`
    ]
  }
}

interface Ceiling {
  /** Held connections of all processes. */
  readonly total?: number | undefined
  readonly knee?: number | undefined
  readonly startingPoint?: number | undefined
  readonly reasons: ReadonlyArray<string>
  readonly unknowns: ReadonlyArray<string>
}

const ceilingOf = ({ latencies, server, workload }: AdviseOptions): Ceiling => {
  const found: Knee = knee(latencies ?? [])
  const { cores, spindles = 1 } = server
  const startingPoint = cores === undefined ? undefined : cores * 2 + spindles
  if (found._tag === "Found") {
    return {
      total: found.concurrency,
      knee: found.concurrency,
      startingPoint,
      reasons: [
        `Measured, the server does best with ${found.concurrency} busy connections, at ${significant(found.latencyMs)} ms: beyond, latency grows by more than throughput, and waiting in the pool is cheaper than in the server`
      ],
      unknowns: []
    }
  }
  const beyond =
    found._tag === "Beyond" ? [`Up to ${found.concurrency} busy connections no knee of latency was measured`] : []
  if (cores === undefined || startingPoint === undefined) {
    return {
      // What was seen to go well is no ceiling.
      reasons: beyond,
      unknowns: [
        "Where the server gets no more done: its cores are not known, nor were latencies measured at several loads"
      ]
    }
  }
  const share = activeShare(workload)
  const total = Math.max(startingPoint, Math.floor(startingPoint / share))
  return {
    total,
    startingPoint,
    reasons: [
      ...beyond,
      `A server with ${cores} ${plural(cores, "core")} works on about ${startingPoint} connections at once (HikariCP: cores x 2 + ${spindles} for the disk), a starting point until latencies are measured`,
      ...(total === startingPoint
        ? []
        : [
            `It works ${percent(share)} of the time that a connection is held, the rest is network and application, so ${total} may be held`
          ])
    ],
    unknowns: []
  }
}

/** Of the time that a connection is held, when does the server work? Never taken for less than a twentieth. */
const activeShare = (workload: Workload | undefined): number => {
  if (workload === undefined) return 1
  const use = Duration.toMillis(workload.use)
  const active =
    workload.active === undefined
      ? use - Duration.toMillis(workload.roundTrip ?? 0)
      : Duration.toMillis(workload.active)
  return use <= 0 ? 1 : Math.min(1, Math.max(0.05, active / use))
}

const boundOf = (server: Server, processes: number) => {
  const { maxConnections, others = 0, reserved = 0, superuserReserved = 3 } = server
  const perProcess = Math.floor((available(server) - onTopCount * processes) / processes)
  const needed = processes * (1 + onTopCount)
  const alert: Alert = {
    severity: "critical",
    measure: "capacity",
    value: needed,
    threshold: Math.max(0, available(server)),
    message: `${processes} ${plural(processes, "process", "processes")} with one pooled connection each take ${needed}, and the server has ${Math.max(0, available(server))} to give: put a pooler before it, or raise max_connections (a restart)`
  }
  return {
    perProcess: Math.max(0, perProcess),
    reasons: [
      `The server lets ${available(server)} in: max_connections ${maxConnections}, less ${superuserReserved + reserved} reserved` +
        (others === 0 ? "" : ` and ${others} of other applications`) +
        `. Each process takes ${onTopCount} beside its pool (monitor ${onTop.monitor}, health ${onTop.health}, listener ${onTop.listener}), which leaves ${Math.max(0, perProcess)} to ${processes === 1 ? "its pool" : "each pool"}`
    ],
    alerts: perProcess >= 1 ? [] : [alert]
  }
}

/** What the recommended maximum makes of the work. */
const outcomeOf = ({ load, useMs, variation }: Need, max: number, processes: number) => {
  const queue = { load: load / processes, connections: max, useMs, variation }
  const utilisation = queue.load / max
  const meanWait = meanWaitMs(queue)
  const isStable = meanWait !== Infinity
  const overload: Alert = {
    severity: "critical",
    measure: "capacity",
    value: load,
    threshold: max * processes,
    message: `the work keeps ${significant(load)} connections busy and ${max * processes} is all there can be: the queue grows without end. Make the uses shorter, read from replicas, or get a larger server`
  }
  return {
    figures: {
      utilisation,
      waiting: waitingProbability(queue.load, max),
      meanWaitMs: isStable ? meanWait : undefined
    },
    reasons: isStable
      ? [
          `With ${max} ${plural(max, "connection")}${processes === 1 ? "" : " per process"} the pool is ${percent(utilisation)} busy, ${percent(waitingProbability(queue.load, max))} of the checkouts wait, and the mean wait is ${significant(meanWait)} ms`
        ]
      : [],
    alerts: isStable
      ? alerts({ subject: "the recommended pool", utilisation, acquireMs: waitQuantileMs(queue, 0.95) })
      : [overload]
  }
}

const percent = (share: number): string => `${significant(100 * share)} %`

const plural = (value: number, one: string, many = `${one}s`): string => (value === 1 ? one : many)
