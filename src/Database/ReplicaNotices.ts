/**
 * Says in the log when a configured replica is of no use, and when it is again: reads on the primary alone work, so that
 * nobody would notice otherwise.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { forkBackground } from "../internal/forkBackground.ts"
import { NodeMonitor } from "../NodeMonitor.ts"
import type { MonitoredNode, NodeChange, NodeSample } from "../NodeMonitor.ts"

/** What is wrong with a replica beside this primary, in words; undefined when nothing is. */
const problemOf = (primary: MonitoredNode, replica: MonitoredNode): string | undefined => {
  if (replica.status._tag === "Unknown") return undefined
  if (replica.status._tag === "Down") {
    const { description, reason } = replica.status.error
    return reason === "AuthenticationFailed"
      ? `the login is refused: ${description}`
      : `it cannot be reached: ${description}`
  }
  const of = replica.status.sample
  const writer = sampleOf(primary)
  if (writer === undefined) return undefined
  if (of.systemIdentifier !== writer.systemIdentifier) return `it is no copy of the primary ${primary.name}`
  if (of.identity === writer.identity) return `it is ${primary.name} itself`
  return of.role === "primary" && writer.role === "primary"
    ? `it accepts writes, as the primary ${primary.name} does: it is the same server by another address, or was promoted`
    : undefined
}

/** Warns once for each replica and problem, while the scope is open. */
export const make: Effect.Effect<void, never, NodeMonitor | Scope.Scope> = Effect.gen(function* () {
  const { changes, nodes } = yield* NodeMonitor
  const [primary, ...replicas] = nodes
  if (primary === undefined || replicas.length === 0) return
  const said = new Map<MonitoredNode, string>()
  const say = (replica: MonitoredNode, change: NodeChange | undefined) =>
    Effect.suspend(() => {
      const problem = problemOf(primary, replica)
      if (problem === said.get(replica)) return Effect.void
      if (problem === undefined) {
        said.delete(replica)
        return Effect.logInfo(`The replica ${replica.name} is back`)
      }
      said.set(replica, problem)
      // Of a node that goes down the router says so; of one that never was up nobody does.
      const isSaid = change?.node === replica && change.before._tag === "Up" && change.after._tag === "Down"
      return isSaid ? Effect.void : Effect.logWarning(`The replica ${replica.name} serves no reads: ${problem}`)
    })
  yield* Stream.merge(changes, Stream.make(undefined)).pipe(
    Stream.runForEach((change) => Effect.forEach(replicas, (replica) => say(replica, change), { discard: true })),
    forkBackground
  )
})

/** Of a primary that is away nothing is concluded. */
const sampleOf = ({ status }: MonitoredNode): NodeSample | undefined =>
  status._tag === "Up" ? status.sample : undefined
