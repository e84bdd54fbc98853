/**
 * Which node serves a read, and why.
 */
import * as Duration from "effect/Duration"
import type { RouterSettings } from "../DatabaseConfig.ts"
import type { Level, RoutingOptions } from "./context.ts"
import type { NodeSample } from "../NodeMonitor.ts"
import type { RoutedNode } from "./RoutedNode.ts"
import type { Session } from "./Session.ts"
import { excluded } from "./topology.ts"
import type { Positions } from "./topology.ts"

export interface Choice {
  readonly node: RoutedNode
  readonly reason: string
  /** The sample that the choice rests on, where it must hold for the very connection that is used. */
  readonly vouchedBy: NodeSample | undefined
}

export interface ReadRequest {
  readonly session: Session
  readonly routing: RoutingOptions
  readonly primary: RoutedNode
  readonly now: number
}

export interface Chooser {
  readonly nodes: ReadonlyArray<RoutedNode>
  readonly positions: Positions
  readonly settings: RouterSettings
  /** Uniform in [0, 1). */
  readonly random: () => number
}

export const chooseForRead = (chooser: Chooser, request: ReadRequest): Choice => {
  const { nodes, positions, settings } = chooser
  const { now, primary, routing, session } = request
  const level: Level = routing.level ?? settings.level
  const onPrimary = (reason: string): Choice => ({ node: primary, reason, vouchedBy: undefined })
  if (level === "strong") return onPrimary("strong reads are the primary's")

  // Every statement of the session moves its floor, whatever this read asks for.
  const pending = session.settle(primary.monitored, now)
  const staleness = Duration.toMillis(routing.staleness ?? settings.maxStaleness)
  const healthy = nodes.filter(
    (node) =>
      node !== primary &&
      excluded(node.monitored, {
        primary: primary.monitored,
        positions,
        now,
        maxLagMillis: Duration.toMillis(settings.maxLag),
        maxLagBytes: settings.maxLagBytes,
        ejectedAt: node.ejectedAt
      }) === undefined
  )
  if (healthy.length === 0) return onPrimary("no replica is healthy")

  switch (level) {
    case "eventual":
      return { node: least(healthy, chooser.random, now), reason: "any healthy replica", vouchedBy: undefined }
    case "bounded": {
      const fresh = healthy.filter(({ sample }) => sample !== undefined && now - positions.asOf(sample) <= staleness)
      return fresh.length === 0
        ? onPrimary("no replica is within the staleness asked for")
        : {
            node: least(fresh, chooser.random, now),
            reason: "a replica within the staleness asked for",
            vouchedBy: undefined
          }
    }
    case "session": {
      const served = (node: RoutedNode, reason: string): Choice => ({ node, reason, vouchedBy: node.sample })
      const caughtUp = healthy.filter(({ sample }) => sample !== undefined && session.covers(sample))
      if (pending !== undefined) {
        // It was perhaps read with less in mind, and is behind what the session saw elsewhere.
        const same = caughtUp.find((node) => node.monitored === pending)
        return same === undefined
          ? onPrimary("the session's last statement is not placed yet")
          : served(same, "the replica that the session has just read from")
      }
      return caughtUp.length === 0
        ? onPrimary("no replica has everything that the session has seen")
        : served(least(caughtUp, chooser.random, now), "a replica with everything that the session has seen")
    }
  }
}

/** Power of two choices: of two drawn at random the less loaded one. */
const least = (nodes: ReadonlyArray<RoutedNode>, random: () => number, now: number): RoutedNode => {
  const first = Math.floor(random() * nodes.length)
  const second = (first + 1 + Math.floor(random() * (nodes.length - 1))) % nodes.length
  const [a, b] = [nodes[first], nodes[second]]
  if (a === undefined) throw new RangeError("there is no node to choose from")
  return b === undefined || a.load(now) <= b.load(now) ? a : b
}
