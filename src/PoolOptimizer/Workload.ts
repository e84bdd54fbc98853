/**
 * What a pool is sized for: the work that arrives, the server that does it and the processes that share it.
 */
import type * as Duration from "effect/Duration"

/**
 * The work of all processes together.
 *
 * @since 0.1.0
 * @category models
 */
export interface Workload {
  /** Units of work that ask for a connection: transactions, and statements outside of one. */
  readonly arrivalsPerSecond: number
  /** How long each holds its connection on average, the network's round trips included. */
  readonly use: Duration.DurationInput
  /**
   * Squared coefficient of variation of that (variance / mean²): 0 is constant, 1 exponential.
   *
   * @default 1
   */
  readonly variation?: number | undefined
  /**
   * Of the use, how much is spent on the network: round trips times the time of one.
   *
   * @default "0 millis"
   */
  readonly roundTrip?: Duration.DurationInput | undefined
  /**
   * Of the use, how long the server works. The rest is a held connection that burdens no core.
   *
   * @default the use less `roundTrip`
   */
  readonly active?: Duration.DurationInput | undefined
}

/**
 * The server's limits.
 *
 * @since 0.1.0
 * @category models
 */
export interface Server {
  readonly maxConnections: number
  /** `superuser_reserved_connections`. @default 3 */
  readonly superuserReserved?: number | undefined
  /** `reserved_connections`, from PostgreSQL 16 on. @default 0 */
  readonly reserved?: number | undefined
  /** Connections of other applications. @default 0 */
  readonly others?: number | undefined
  /** Unknown where absent. */
  readonly cores?: number | undefined
  /** HikariCP's effective spindle count: disks that can seek at once, 0 where all data is cached. @default 1 */
  readonly spindles?: number | undefined
}

/**
 * What a process opens to a node beside its pool: the monitor of replication, the health monitor, and the listener.
 *
 * @since 0.1.0
 * @category models
 */
export const onTop = { monitor: 1, health: 1, listener: 1 } as const

/** The connections beside the pool, of one process. */
export const onTopCount = onTop.monitor + onTop.health + onTop.listener

/** What ordinary roles can have, without what others have. */
export const available = (server: Server): number =>
  server.maxConnections - (server.superuserReserved ?? 3) - (server.reserved ?? 0) - (server.others ?? 0)
