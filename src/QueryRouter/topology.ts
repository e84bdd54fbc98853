/**
 * Which of the nodes is the primary, and which replicas may serve reads, by what the monitor last heard.
 */
import * as Either from "effect/Either"
import { DatabaseError } from "../DatabaseError.ts"
import type { MonitoredNode, NodeSample } from "../NodeMonitor.ts"

/** What keeps a node from serving a read. */
export type Exclusion =
  "not seen yet" | "down" | "not a standby" | "another cluster" | "on an older timeline" | "too far behind" | "ejected"

const sampleOf = (node: MonitoredNode): NodeSample | undefined =>
  node.status._tag === "Up" ? node.status.sample : undefined

/**
 * The primary is the reachable node that is not in recovery on the highest timeline. Two on the same timeline are a
 * split brain: writes would go to both histories, so there is none until one of them goes away.
 */
export const primaryOf = <N extends MonitoredNode>(
  nodes: ReadonlyArray<N>,
  configured: N
): Either.Either<N, DatabaseError> => {
  let best: N | undefined
  let tie: N | undefined
  for (const node of nodes) {
    const sample = sampleOf(node)
    if (sample?.role !== "primary") continue
    const timeline = best === undefined ? -1 : (sampleOf(best)?.timeline ?? -1)
    if (sample.timeline > timeline) {
      best = node
      tie = undefined
    } else if (
      sample.timeline === timeline &&
      sample.identity !== (best === undefined ? "" : sampleOf(best)?.identity)
    ) {
      tie = node
    }
  }
  if (best !== undefined && tie !== undefined) {
    return Either.left(
      new DatabaseError({
        reason: "SplitBrain",
        operation: "route",
        description: `${best.name} and ${tie.name} are both primaries on the same timeline`,
        node: best.name
      })
    )
  }
  // Nobody has shown to be the primary: ask the configured one, and let its answer be the error.
  return Either.right(best ?? configured)
}

/** How far a replica is behind the primary. */
export interface Lag {
  readonly bytes: bigint
  readonly millis: number
}

/** Where the primary's WAL ended at some moments, oldest first: what turns bytes into time. */
export class Positions {
  private readonly entries: Array<{ readonly at: number; readonly timeline: number; readonly lsn: bigint }> = []

  record(sample: NodeSample): void {
    const last = this.entries[this.entries.length - 1]
    if (last !== undefined && last.timeline === sample.timeline && sample.lsn <= last.lsn) return
    this.entries.push({ at: sample.startedAt, timeline: sample.timeline, lsn: sample.lsn })
    if (this.entries.length > 600) this.entries.splice(0, 300)
  }

  /** Zero when everything known is replayed, however long ago that was. */
  lagOf(sample: NodeSample, now: number): Lag {
    const last = this.entries[this.entries.length - 1]
    if (last === undefined || sample.lsn >= last.lsn) return { bytes: 0n, millis: 0 }
    const first = this.entries.find((entry) => entry.lsn > sample.lsn)
    return { bytes: last.lsn - sample.lsn, millis: first === undefined ? 0 : Math.max(0, now - first.at) }
  }
}

/** Why a node must not serve reads at all, or undefined. */
export const excluded = (
  node: MonitoredNode,
  context: {
    readonly primary: MonitoredNode
    readonly positions: Positions
    readonly now: number
    readonly maxLagMillis: number
    readonly maxLagBytes: number
    /** Samples from before this do not count: the node has failed since. */
    readonly ejectedAt: number
  }
): Exclusion | undefined => {
  const { status } = node
  if (status._tag === "Unknown") return "not seen yet"
  if (status._tag === "Down") return "down"
  const { sample } = status
  if (sample.startedAt <= context.ejectedAt) return "ejected"
  if (sample.role !== "standby") return "not a standby"
  const primary = sampleOf(context.primary)
  if (primary !== undefined) {
    if (primary.systemIdentifier !== sample.systemIdentifier) return "another cluster"
    // A standby that streams follows; one that does not, on an older timeline, is stuck on an abandoned history.
    if (sample.timeline < primary.timeline && sample.streaming !== true) return "on an older timeline"
  }
  const lag = context.positions.lagOf(sample, context.now)
  return lag.millis > context.maxLagMillis || lag.bytes > BigInt(context.maxLagBytes) ? "too far behind" : undefined
}
