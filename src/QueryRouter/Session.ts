/**
 * What a session has seen, so that it never reads from before that.
 *
 * A session is a mutable object: child fibers, timeouts and races of one session share it.
 */
import type { MonitoredNode, NodeSample } from "../NodeMonitor.ts"

/** A position in the history of a database. */
export interface Floor {
  readonly systemIdentifier: string
  readonly timeline: number
  readonly lsn: bigint
}

/** Statements that a session has on a node, or had since that node's last sample. */
interface Pending {
  running: number
  /** When the first of them was known to have finished, in monotonic milliseconds. */
  firstFinishedAt: number
  /** When the last of them was. */
  finishedAt: number
}

export class Session {
  floor: Floor | undefined
  private readonly pending = new Map<MonitoredNode, Pending>()

  constructor(floor?: Floor) {
    this.floor = floor
  }

  /** A statement is about to be sent to a node. From now on the session has seen whatever that node has. */
  started(node: MonitoredNode): void {
    const pending = this.pending.get(node)
    if (pending === undefined)
      this.pending.set(node, { running: 1, firstFinishedAt: Number.POSITIVE_INFINITY, finishedAt: 0 })
    else pending.running++
  }

  /** The backend is known to be done with it, whatever became of it. */
  finished(node: MonitoredNode, now: number): void {
    const pending = this.pending.get(node)
    if (pending === undefined) return
    pending.running--
    pending.firstFinishedAt = Math.min(pending.firstFinishedAt, now)
    pending.finishedAt = Math.max(pending.finishedAt, now)
  }

  /** The session has seen what a node holds at a moment, by hearsay: a token that cannot be placed. */
  sawAsOf(node: MonitoredNode, now: number): void {
    this.started(node)
    this.finished(node, now)
  }

  /**
   * Turns pending statements into a floor: a sample that was started after a statement had finished is an upper bound
   * of what that statement saw, because positions only grow. They go back only when a standby crashes, which also ends
   * the monitor's connection to it. What no sample can place any more is placed at the primary. Returns the node that
   * has all that stays pending: where it was seen, and of several nodes the primary.
   */
  settle(primary: MonitoredNode, now: number): MonitoredNode | undefined {
    let open: MonitoredNode | undefined
    for (const [node, pending] of this.pending) {
      if (pending.running === 0) {
        const { status } = node
        const sample = status._tag === "Up" && status.sample.startedAt >= pending.finishedAt ? status.sample : undefined
        if (
          sample !== undefined &&
          (sample.role === "primary" || sample.connectionOpenedAt <= pending.firstFinishedAt)
        ) {
          this.raise(sample)
          this.pending.delete(node)
          continue
        }
        if (node !== primary && (sample !== undefined || status._tag === "Down")) {
          this.pending.delete(node)
          this.sawAsOf(primary, now)
          open = primary
          continue
        }
      }
      open = open === undefined ? node : primary
    }
    return open
  }

  /** The moment after which a sample of `node` would settle it; undefined while a statement runs there. */
  settlesAfter(node: MonitoredNode): number | undefined {
    const pending = this.pending.get(node)
    return pending === undefined || pending.running > 0 ? undefined : pending.finishedAt
  }

  /** Whether a sample shows everything that the session has seen. */
  covers(sample: NodeSample): boolean {
    const { floor } = this
    return (
      floor === undefined ||
      (sample.systemIdentifier === floor.systemIdentifier &&
        sample.timeline >= floor.timeline &&
        sample.lsn >= floor.lsn)
    )
  }

  private raise(sample: NodeSample): void {
    const { floor } = this
    const { lsn, systemIdentifier, timeline } = sample
    if (floor === undefined || floor.systemIdentifier !== systemIdentifier || timeline > floor.timeline) {
      // Positions of an older timeline count up to where the newer one left it, so the larger of both is safe.
      this.floor = { systemIdentifier, timeline, lsn: floor !== undefined && floor.lsn > lsn ? floor.lsn : lsn }
    } else if (lsn > floor.lsn) {
      this.floor = { ...floor, lsn }
    }
  }
}
