/**
 * Which of the nodes is the primary, and which replicas may serve reads, by what the monitor last heard.
 */
import * as Either from "effect/Either"
import { DatabaseError } from "../DatabaseError.ts"
import type { MonitoredNode, NodeSample } from "../NodeMonitor.ts"

/** What keeps a node from serving a read. */
export type Exclusion =
  "not seen yet" | "down" | "not a standby" | "another cluster" | "on an older timeline" | "too far behind" | "ejected"

/** What a node was when it was last heard; a node that is down is still known to have been what it was. */
const known = ({ status }: MonitoredNode): NodeSample | undefined =>
  status._tag === "Up" ? status.sample : status._tag === "Down" ? status.last : undefined

/**
 * The primary is the node that is not in recovery on the highest timeline that any node of the cluster was ever seen on.
 * A primary on a lower one is fenced, also while the newer primary is down: it has been replaced and does not know. Two
 * on the same timeline are a split brain: writes would go to both histories, so there is none until one of them goes
 * away. Nodes of another cluster than the configured one's do not count.
 */
export const primaryOf = <N extends MonitoredNode>(
  nodes: ReadonlyArray<N>,
  configured: N
): Either.Either<N, DatabaseError> => {
  const cluster = known(configured) ?? nodes.map(known).find((sample) => sample !== undefined)
  let newest: { readonly node: N; readonly timeline: number } | undefined
  const primaries: Array<{ readonly node: N; readonly sample: NodeSample }> = []
  for (const node of nodes) {
    const sample = known(node)
    if (sample === undefined || sample.systemIdentifier !== cluster?.systemIdentifier) continue
    if (newest === undefined || sample.timeline > newest.timeline) newest = { node, timeline: sample.timeline }
    if (sample.role === "primary") primaries.push({ node, sample })
  }
  // Nobody has shown to be the primary: ask the configured one, and let its answer be the error.
  if (newest === undefined || primaries.length === 0) return Either.right(configured)

  const { node: witness, timeline } = newest
  const current = primaries.filter(({ sample }) => sample.timeline === timeline)
  const up = current.filter(({ node }) => node.status._tag === "Up")
  const [first] = up.length > 0 ? up : current
  if (first === undefined) {
    const [fenced] = primaries
    return fenced === undefined || fenced.node.status._tag !== "Up"
      ? Either.right(configured)
      : splitBrain(
          `${fenced.node.name} is a primary on timeline ${fenced.sample.timeline}, and ${witness.name} has seen ` +
            `timeline ${timeline}`,
          fenced.node
        )
  }
  const other = up.find(({ sample }) => sample.identity !== first.sample.identity)
  return other === undefined
    ? Either.right(first.node)
    : splitBrain(`${first.node.name} and ${other.node.name} are both primaries on the same timeline`, first.node)
}

const splitBrain = (description: string, node: MonitoredNode): Either.Either<never, DatabaseError> =>
  Either.left(new DatabaseError({ reason: "SplitBrain", operation: "route", description, node: node.name }))

/** How far a replica is behind the primary. */
export interface Lag {
  readonly bytes: bigint
  readonly millis: number
}

/** The primary's WAL ended at one place for a while. */
interface Position {
  readonly from: number
  until: number
  readonly lsn: bigint
}

/** Where the primary's WAL ended at some moments, oldest first: what turns bytes into time. */
export class Positions {
  private entries: Array<Position> = []
  private timeline = 0

  record(sample: NodeSample): void {
    // The old timeline may have gone further than the point where the new one left it.
    if (sample.timeline !== this.timeline) this.entries = []
    this.timeline = sample.timeline
    const last = this.entries[this.entries.length - 1]
    if (last === undefined || sample.lsn > last.lsn) {
      this.entries.push({ from: sample.startedAt, until: sample.startedAt, lsn: sample.lsn })
    } else if (sample.startedAt > last.until) {
      last.until = sample.startedAt
    }
    if (this.entries.length > 600) this.entries.splice(0, 300)
  }

  /** Zero when everything known is replayed, however long ago that was. */
  lagOf(sample: NodeSample, now: number): Lag {
    const last = this.entries[this.entries.length - 1]
    if (last === undefined || sample.lsn >= last.lsn) return { bytes: 0n, millis: 0 }
    const first = this.entries.find((entry) => entry.lsn > sample.lsn)
    return { bytes: last.lsn - sample.lsn, millis: first === undefined ? 0 : Math.max(0, now - first.from) }
  }

  /** A moment as of which a replica certainly has everything; minus infinity where none is known. */
  asOf(sample: NodeSample): number {
    return this.entries.findLast((entry) => entry.lsn <= sample.lsn)?.until ?? Number.NEGATIVE_INFINITY
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
  const primary = known(context.primary)
  if (primary !== undefined) {
    if (primary.systemIdentifier !== sample.systemIdentifier) return "another cluster"
    // Streaming does not help: it may stream from an old primary that came back. One that follows is there in no time.
    if (sample.timeline < primary.timeline) return "on an older timeline"
  }
  const lag = context.positions.lagOf(sample, context.now)
  return lag.millis > context.maxLagMillis || lag.bytes > BigInt(context.maxLagBytes) ? "too far behind" : undefined
}
