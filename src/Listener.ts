/**
 * LISTEN and NOTIFY that survive a lost connection and say when something may have been missed.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { nodeName } from "./DatabaseConfig.ts"
import type { ConnectionTarget, PoolSettings } from "./DatabaseConfig.ts"
import { DatabaseError } from "./DatabaseError.ts"
import { forkBackground, makeFork } from "./internal/forkBackground.ts"
import { openTarget, withinConnectTimeout } from "./internal/pg/openTarget.ts"
import type { WireConnection } from "./internal/pg/WireConnection.ts"

/**
 * Somebody notified the channel.
 *
 * @since 0.1.0
 * @category models
 */
export class Notification extends Data.TaggedClass("Notification")<{
  readonly channel: string
  /** May be empty. */
  readonly payload: string
  /** The backend that notified. */
  readonly processId: number
}> {}

/**
 * The connection was lost and is back: what was notified in between is gone, so a consumer that keeps a copy of
 * something should read it again.
 *
 * @since 0.1.0
 * @category models
 */
export class Gap extends Data.TaggedClass("Gap")<{ readonly channel: string }> {}

/**
 * @since 0.1.0
 * @category models
 */
export type Event = Notification | Gap

/**
 * @since 0.1.0
 * @category refinements
 */
export const isNotification = (event: Event): event is Notification => Predicate.isTagged(event, "Notification")

/**
 * Listens on one connection of its own, opened with the first listener and closed after the last.
 *
 * @since 0.1.0
 * @category tags
 */
export class Listener extends Context.Tag("plinth/Listener")<
  Listener,
  {
    /**
     * The events of a channel from the moment the server has confirmed LISTEN. Fails only when the first connection
     * cannot be made; after that it reconnects for ever and emits a `Gap`.
     */
    readonly listen: (channel: string) => Stream.Stream<Event, DatabaseError>
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface ListenerOptions {
  /**
   * Behind a transaction pooler LISTEN is refused: its session would be somebody else's a moment later, and hear nothing.
   *
   * @default "none"
   */
  readonly pooler?: PoolSettings["pooler"] | undefined
}

/** Between attempts to reconnect: 100 ms doubled up to 5 s, jittered. */
const reconnect = Schedule.exponential("100 millis").pipe(
  Schedule.union(Schedule.spaced("5 seconds")),
  Schedule.jittered
)

/** Whoever only listens would not notice for minutes that nobody is there any more. */
const heartbeatInterval = "15 seconds"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  target: ConnectionTarget,
  options: ListenerOptions = {}
): Effect.Effect<Listener["Type"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const fork = yield* makeFork()
    const lock = yield* Effect.makeSemaphore(1)
    const channels = new Map<string, Set<Queue.Enqueue<Event>>>()
    let connection: WireConnection | undefined

    const publish = (channel: string, event: Event) => {
      for (const queue of channels.get(channel) ?? []) queue.unsafeOffer(event)
    }

    /** A server that does not answer is as good as one that cannot be connected to; nobody else could join meanwhile. */
    const tell = (connection: WireConnection, verb: "LISTEN" | "UNLISTEN", channel: string) => {
      const text = `${verb} "${channel.replaceAll('"', '""')}"`
      return withinConnectTimeout(
        target,
        connection.run([{ text, params: [], prepare: false }], { operation: "listen" })
      )
    }

    const open = Effect.gen(function* () {
      const opened = yield* openTarget(target, {
        statementLimit: 0,
        applicationName: `${target.applicationName} listener`
      })
      opened.onNotification = ({ channel, payload, processId }) =>
        publish(channel, new Notification({ channel, payload: payload ?? "", processId }))
      yield* Effect.onError(
        Effect.forEach(channels.keys(), (channel) => tell(opened, "LISTEN", channel)),
        () => opened.end
      )
      const lose = () => {
        connection = undefined
        if (channels.size > 0) fork(recover)
      }
      connection = opened
      opened.onClosed = lose
      // It may have died as soon as it had confirmed, and then it tells nobody any more.
      if (opened.closed !== undefined) lose()
    })

    /** With the lock held: the connection, opened when there is none. */
    const connected = Effect.suspend(() => (connection === undefined ? open : Effect.void))

    const recover: Effect.Effect<void> = lock
      .withPermits(1)(Effect.suspend(() => (channels.size === 0 ? Effect.void : connected)))
      .pipe(
        Effect.tapError((error) => Effect.logWarning("The listener could not reconnect", error.message)),
        Effect.retry(reconnect),
        Effect.zipRight(
          Effect.sync(() => {
            for (const channel of channels.keys()) publish(channel, new Gap({ channel }))
          })
        ),
        Effect.ignore
      )

    const join = (channel: string, queue: Queue.Enqueue<Event>) =>
      Effect.gen(function* () {
        const known = channels.get(channel)
        if (known !== undefined) {
          known.add(queue)
          return yield* connected
        }
        channels.set(channel, new Set([queue]))
        // A new connection listens to every known channel, this one included.
        if (connection === undefined) yield* open
        else yield* tell(connection, "LISTEN", channel)
      })

    const leave = (channel: string, queue: Queue.Enqueue<Event>) =>
      Effect.suspend(() => {
        const queues = channels.get(channel)
        queues?.delete(queue)
        if (queues === undefined || queues.size > 0) return Effect.void
        channels.delete(channel)
        const open = connection
        if (open === undefined) return Effect.void
        if (channels.size > 0) return Effect.ignore(tell(open, "UNLISTEN", channel))
        connection = undefined
        open.onClosed = undefined
        return open.end
      })

    const heartbeat = Effect.suspend(() => {
      const open = connection
      if (open === undefined) return Effect.void
      return Effect.catchAll(withinConnectTimeout(target, open.run([], { operation: "listen" })), () =>
        Effect.sync(() => open.destroy("the listener's connection did not answer"))
      )
    })
    yield* forkBackground(Effect.schedule(heartbeat, Schedule.spaced(heartbeatInterval)))

    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        channels.clear()
        return connection === undefined ? Effect.void : connection.end
      })
    )

    return {
      listen: (channel) =>
        options.pooler === "pgbouncer"
          ? Stream.fail(behindPooler(target))
          : Stream.unwrapScoped(
              Effect.gen(function* () {
                const queue = yield* Effect.acquireRelease(Queue.unbounded<Event>(), Queue.shutdown)
                yield* Effect.acquireRelease(Effect.void, () => lock.withPermits(1)(leave(channel, queue)))
                yield* lock.withPermits(1)(join(channel, queue))
                return Stream.fromQueue(queue)
              })
            )
    }
  })

const behindPooler = (target: ConnectionTarget): DatabaseError =>
  new DatabaseError({
    reason: "SessionStatement",
    operation: "listen",
    description: "behind a transaction pooler a session hears nothing; listen on a connection to the server itself",
    node: nodeName(target)
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (target: ConnectionTarget, options?: ListenerOptions): Layer.Layer<Listener> =>
  Layer.scoped(Listener, make(target, options))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Layer.PartialEffectful<Listener["Type"]>): Layer.Layer<Listener> =>
  Layer.mock(Listener, partial)
