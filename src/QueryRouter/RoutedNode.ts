/**
 * A node as the router uses it: its pool, its load, and what its connections speak to.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { ConnectionPool, PooledConnection } from "../ConnectionPool.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { MonitoredNode, NodeSample } from "../NodeMonitor.ts"
import { identitySql } from "../NodeMonitor/sample.ts"
import type { Session } from "./Session.ts"

/** Weight of the newest latency in the moving average. */
const latencyWeight = 0.2

/** A latency that was not confirmed for this long counts for a third (1/e): a node that was slow is tried again. */
const latencyMemoryMs = 1_000

export class RoutedNode {
  outstanding = 0
  /** Samples started before this do not count: the node has failed since. Monotonic milliseconds. */
  ejectedAt = Number.NEGATIVE_INFINITY
  readonly monitored: MonitoredNode
  readonly pool: ConnectionPool["Type"]
  private readonly identities: WeakMap<PooledConnection, string>
  private readonly now: () => number
  private latency = 1
  private latencyAt = 0

  constructor(
    monitored: MonitoredNode,
    pool: ConnectionPool["Type"],
    identities: WeakMap<PooledConnection, string>,
    now: () => number
  ) {
    this.monitored = monitored
    this.pool = pool
    this.identities = identities
    this.now = now
  }

  get name(): string {
    return this.monitored.name
  }

  get sample(): NodeSample | undefined {
    return this.monitored.status._tag === "Up" ? this.monitored.status.sample : undefined
  }

  /** Expected wait in arbitrary units: what the power of two choices compares. */
  load(now: number): number {
    return (this.outstanding + 1) * this.remembered(now)
  }

  /**
   * Whether what the monitor knows of the node holds for a connection: it speaks to the same running server, and was
   * opened before the sample was taken, so that no crash lies between the two.
   */
  vouchesFor(connection: PooledConnection, sample: NodeSample): boolean {
    return connection.openedAt <= sample.startedAt && this.identities.get(connection) === sample.identity
  }

  /** Runs work of a session on the node: it counts as load, and as seen from before it is sent until it has ended. */
  track<A, E, R>(session: Session, work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    // Uninterruptible from the start: work that was counted in is counted out.
    return Effect.uninterruptibleMask((restore) => {
      const startedAt = this.now()
      this.outstanding++
      session.started(this.monitored)
      return Effect.onExit(restore(work), (exit) =>
        Effect.sync(() => {
          const endedAt = this.now()
          this.outstanding--
          // What was measured long ago is forgotten first, or each trial of a node that was frozen would bring most of
          // the frozen latency back. A failure says nothing of how long an answer takes.
          const remembered = this.remembered(endedAt)
          if (Exit.isSuccess(exit)) {
            this.latency = remembered + latencyWeight * (endedAt - startedAt - remembered)
            this.latencyAt = endedAt
          }
          session.finished(this.monitored, endedAt)
        })
      )
    })
  }

  private remembered(now: number): number {
    return this.latency * Math.exp((this.latencyAt - now) / latencyMemoryMs)
  }

  eject(): void {
    this.ejectedAt = this.now()
  }
}

/** Remembers which server each new connection of a pool speaks to. */
export const identify =
  (identities: WeakMap<PooledConnection, string>) =>
  (connection: PooledConnection): Effect.Effect<void, DatabaseError> =>
    Effect.map(
      connection.run([{ text: `SELECT ${identitySql}`, params: [], prepare: false, types: "stock" }], {
        operation: "connect"
      }),
      ([result]) => {
        identities.set(connection, String(result?.rows[0]?.identity))
      }
    )

/** A connection held by a session: whatever runs on it is tracked. */
export class TrackedConnection implements PooledConnection {
  private readonly connection: PooledConnection
  private readonly node: RoutedNode
  private readonly session: Session
  private readonly onDone: () => void

  constructor(connection: PooledConnection, node: RoutedNode, session: Session, onDone: () => void) {
    this.connection = connection
    this.node = node
    this.session = session
    this.onDone = onDone
  }

  get processId(): number {
    return this.connection.processId
  }

  get openedAt(): number {
    return this.connection.openedAt
  }

  get status(): "I" | "T" | "E" {
    return this.connection.status
  }

  get lost(): PooledConnection["lost"] {
    return this.connection.lost
  }

  readonly run: PooledConnection["run"] = (steps, options) =>
    // A heartbeat sees nothing.
    steps.length === 0
      ? this.connection.run(steps, options)
      : Effect.ensuring(
          this.node.track(this.session, this.connection.run(steps, options)),
          Effect.sync(() => this.onDone())
        )
}
