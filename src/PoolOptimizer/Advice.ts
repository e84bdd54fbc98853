/**
 * A recommendation, with the figures and sentences that it stands on; text and JSON are made from the same value.
 */
import type { Alert } from "./alerts.ts"

/**
 * What decided the maximum: the need, the measured knee of the server, its cores, its `max_connections`, or nothing that
 * is known.
 *
 * @since 0.1.0
 * @category models
 */
export type Limit = "need" | "knee" | "cores" | "server" | "default"

/**
 * @since 0.1.0
 * @category models
 */
export interface PoolSize {
  readonly min: number
  readonly max: number
}

/**
 * Absent is what could not be known.
 *
 * @since 0.1.0
 * @category models
 */
export interface Figures {
  readonly processes: number
  readonly arrivalsPerSecond?: number | undefined
  readonly useMs?: number | undefined
  /** Erlangs: connections busy on average in all processes. */
  readonly load?: number | undefined
  /** Connections that a process has busy at most for 99 % of the time, if nobody waits. */
  readonly busyPerProcess99?: number | undefined
  /** What a process needs to keep to the targets. */
  readonly needPerProcess?: number | undefined
  readonly needTotal?: number | undefined
  /** Where the server gets no more done, in busy connections of all processes. */
  readonly ceilingTotal?: number | undefined
  /** HikariCP's cores x 2 + spindles. */
  readonly startingPoint?: number | undefined
  /** The measured knee. */
  readonly knee?: number | undefined
  /** What `max_connections` leaves to one process' pool. */
  readonly boundPerProcess: number
  /** Of the recommended pool. */
  readonly utilisation?: number | undefined
  /** Of the recommended pool: the probability that a checkout waits. */
  readonly waiting?: number | undefined
  /** Of the recommended pool; absent too where it falls behind. */
  readonly meanWaitMs?: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Advice {
  readonly perProcess: PoolSize
  readonly total: PoolSize
  readonly limit: Limit
  readonly figures: Figures
  /** Why, in sentences. */
  readonly reasons: ReadonlyArray<string>
  /** What could not be known, and what would tell. */
  readonly unknowns: ReadonlyArray<string>
  readonly alerts: ReadonlyArray<Alert>
}

const limits: Readonly<Record<Limit, string>> = {
  need: "what the work needs",
  knee: "the measured knee of the server",
  cores: "the server's cores",
  server: "max_connections",
  default: "nothing that is known: a common default"
}

/**
 * The recommendation as text for a person.
 *
 * @since 0.1.0
 * @category rendering
 */
export const renderText = (advice: Advice): string => {
  const { alerts, figures, limit, perProcess, reasons, total, unknowns } = advice
  const size = ({ max, min }: PoolSize) => (min === max ? `${max}` : `${min} to ${max}`)
  const list = (title: string, lines: ReadonlyArray<string>) =>
    lines.length === 0 ? [] : ["", title, ...lines.map((line) => `- ${line}.`)]
  return [
    figures.processes === 1
      ? `Recommended: a pool of ${size(perProcess)}. The limit is ${limits[limit]}.`
      : `Recommended: a pool of ${size(perProcess)} in each of ${figures.processes} processes, ${size(total)} in all. The limit is ${limits[limit]}.`,
    ...list("Why", reasons),
    ...list("Not known", unknowns),
    ...list(
      "Alerts",
      alerts.map(({ message, severity }) => `${severity}: ${message}`)
    )
  ].join("\n")
}
