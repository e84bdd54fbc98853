/**
 * What each node is, by a small dedicated connection per node: role, timeline, WAL position, reachable or not.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { forkBackground } from "./internal/forkBackground.ts"
import { nodeName } from "./DatabaseConfig.ts"
import type { ConnectionTarget, MonitorSettings } from "./DatabaseConfig.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import { monotonicMillis } from "./internal/monotonicMillis.ts"
import { openTarget } from "./internal/pg/openTarget.ts"
import type { WireConnection } from "./internal/pg/WireConnection.ts"
import { sample } from "./NodeMonitor/sample.ts"
import type { NodeSample } from "./NodeMonitor/sample.ts"

export {
  /**
   * @since 0.1.0
   * @category models
   */
  type NodeSample
} from "./NodeMonitor/sample.ts"

/**
 * The last thing known of a node.
 *
 * @since 0.1.0
 * @category models
 */
export type NodeStatus =
  | { readonly _tag: "Unknown" }
  | { readonly _tag: "Up"; readonly sample: NodeSample }
  | { readonly _tag: "Down"; readonly error: DatabaseError; readonly last: NodeSample | undefined }

/**
 * A node under watch. `status` is always the newest, and reading it costs nothing.
 *
 * @since 0.1.0
 * @category models
 */
export interface MonitoredNode {
  /** `host:port/database`. */
  readonly name: string
  readonly target: ConnectionTarget
  readonly status: NodeStatus
}

/**
 * A node changed: it came up, went down, or took another role or timeline.
 *
 * @since 0.1.0
 * @category models
 */
export interface NodeChange {
  readonly node: MonitoredNode
  readonly before: NodeStatus
  readonly after: NodeStatus
}

/**
 * @since 0.1.0
 * @category tags
 */
export class NodeMonitor extends Context.Tag("plinth/NodeMonitor")<
  NodeMonitor,
  {
    readonly nodes: ReadonlyArray<MonitoredNode>
    readonly changes: Stream.Stream<NodeChange>
    /** Take a sample of every node now instead of at the end of the interval. */
    readonly wake: Effect.Effect<void>
    /** The first sample of a node that was started at or after a moment, in monotonic milliseconds. */
    readonly sampleAfter: (node: MonitoredNode, moment: number) => Effect.Effect<NodeSample>
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  readonly targets: ReadonlyArray<ConnectionTarget>
  readonly settings: MonitorSettings
}

/** A node that does not answer a sample for this long counts as down. */
const sampleTimeout = Duration.seconds(1)

/** Samples asked for by `wake` keep this distance, however many statements ask. */
const wakeGap = Duration.millis(5)

/**
 * Watches nodes while the scope is open. With a single node there is nothing to route, and it is not sampled. Ends when
 * every node has answered or failed to, within seconds: who knows one node only may take an old primary for the primary.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ settings, targets }: Options): Effect.Effect<NodeMonitor["Type"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const changes = yield* PubSub.sliding<NodeChange>(256)
    const nodes = yield* Effect.forEach(targets, (target) =>
      Effect.map(Queue.sliding<void>(1), (wakes) => new Node(target, wakes, (change) => changes.unsafeOffer(change)))
    )
    if (nodes.length > 1) {
      yield* Effect.forEach(nodes, (node) => watch(node, settings.interval), { discard: true })
      yield* Effect.forEach(nodes, (node) => Deferred.await(node.seen), { discard: true })
    }
    const wake = Effect.sync(() => {
      for (const node of nodes) node.wakes.unsafeOffer(undefined)
    })
    return {
      nodes,
      changes: Stream.fromPubSub(changes),
      wake,
      sampleAfter: (node, moment) =>
        Effect.zipRight(
          wake,
          Effect.async<NodeSample>((resume) => {
            const { status } = node
            if (status._tag === "Up" && status.sample.startedAt >= moment) return resume(Effect.succeed(status.sample))
            const own = nodes.find((candidate) => candidate === node)
            const waiter: Waiter = { moment, resume: (taken) => resume(Effect.succeed(taken)) }
            own?.waiters.add(waiter)
            return Effect.sync(() => own?.waiters.delete(waiter))
          })
        )
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<NodeMonitor> => Layer.scoped(NodeMonitor, make(options))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Layer.PartialEffectful<NodeMonitor["Type"]>): Layer.Layer<NodeMonitor> =>
  Layer.mock(NodeMonitor, partial)

interface Waiter {
  readonly moment: number
  readonly resume: (sample: NodeSample) => void
}

class Node implements MonitoredNode {
  readonly name: string
  readonly target: ConnectionTarget
  readonly waiters = new Set<Waiter>()
  readonly wakes: Queue.Queue<void>
  /** The first status is known. */
  readonly seen = Deferred.unsafeMake<void>(FiberId.none)
  status: NodeStatus = { _tag: "Unknown" }
  private readonly onChange: (change: NodeChange) => void

  constructor(target: ConnectionTarget, wakes: Queue.Queue<void>, onChange: (change: NodeChange) => void) {
    this.wakes = wakes
    this.name = nodeName(target)
    this.target = target
    this.onChange = onChange
  }

  up(taken: NodeSample): void {
    const before = this.status
    this.status = { _tag: "Up", sample: taken }
    Deferred.unsafeDone(this.seen, Effect.void)
    if (before._tag !== "Up" || before.sample.role !== taken.role || before.sample.timeline !== taken.timeline) {
      this.onChange({ node: this, before, after: this.status })
    }
    for (const waiter of this.waiters) {
      if (taken.startedAt < waiter.moment) continue
      this.waiters.delete(waiter)
      waiter.resume(taken)
    }
  }

  down(error: DatabaseError): void {
    const before = this.status
    const last = before._tag === "Up" ? before.sample : before._tag === "Down" ? before.last : undefined
    this.status = { _tag: "Down", error, last }
    Deferred.unsafeDone(this.seen, Effect.void)
    if (before._tag !== "Down") this.onChange({ node: this, before, after: this.status })
  }
}

const watch = (node: Node, interval: Duration.Duration) =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = () => monotonicMillis(clock)
    const pause = Effect.timeoutOption(Queue.take(node.wakes), interval)
    const session = Effect.acquireUseRelease(
      openTarget(
        { ...node.target, connectTimeout: Duration.min(node.target.connectTimeout, sampleTimeout) },
        { statementLimit: 1, applicationName: `${node.target.applicationName} monitor` }
      ),
      (connection) =>
        Effect.forever(
          Effect.gen(function* () {
            node.up(yield* sample(connection, now, sampleTimeout))
            yield* Effect.sleep(wakeGap)
            yield* pause
          })
        ),
      // A node that does not answer gets no polite goodbye.
      (connection: WireConnection) => Effect.sync(() => connection.destroy())
    )
    yield* session.pipe(
      Effect.catchAll((error: DatabaseError) => Effect.sync(() => node.down(error))),
      Effect.zipRight(Effect.sleep(wakeGap)),
      Effect.zipRight(pause),
      Effect.forever,
      forkBackground
    )
  })
