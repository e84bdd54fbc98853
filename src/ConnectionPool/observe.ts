/**
 * The statistics of a pool over time: as a stream, and as metrics under the names of OpenTelemetry.
 *
 * @see https://opentelemetry.io/docs/specs/semconv/database/database-metrics/
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ConnectionPool, PoolStats } from "../ConnectionPool.ts"
import { forkBackground } from "../internal/forkBackground.ts"

/** What is needed of a pool: one of `QueryRouter.pools`, or a `ConnectionPool`. */
type Observed = Pick<ConnectionPool["Type"], "name" | "stats">

/**
 * A snapshot now, and one whenever the interval has passed.
 *
 * @since 0.1.0
 * @category observation
 */
export const changes = (pool: Observed, interval: Duration.DurationInput): Stream.Stream<PoolStats> =>
  Stream.repeatEffectWithSchedule(pool.stats, Schedule.spaced(interval))

const connections = Metric.gauge("db.client.connection.count", {
  description: "Connections of a pool, by state: idle, used, opening"
})
const most = Metric.gauge("db.client.connection.max", { description: "Connections that a pool may open" })
const least = Metric.gauge("db.client.connection.idle.min", { description: "Connections that a pool keeps open" })
const pending = Metric.gauge("db.client.connection.pending_requests", { description: "Waiting for a connection" })
const timeouts = Metric.counter("db.client.connection.timeouts", {
  description: "Waited in vain for a connection, or were refused one",
  incremental: true
})
const waits = Metric.counter("plinth.pool.wait_time", {
  description: "Seconds spent waiting for connections, all together",
  incremental: true
})
const uses = Metric.counter("plinth.pool.use_time", {
  description: "Seconds for which connections were held, all together",
  incremental: true
})
const closed = Metric.counter("plinth.pool.closed", {
  description: "Connections that were closed, by reason",
  incremental: true
})

/**
 * Keeps metrics of a pool up to date until the scope closes, tagged with the pool's name. Exporters of Effect's metrics
 * (`@effect/opentelemetry`) send them; means over time are `wait_time` and `use_time` divided by the requests.
 *
 * @since 0.1.0
 * @category observation
 */
export const publish = (
  pool: Observed,
  interval: Duration.DurationInput = "10 seconds"
): Effect.Effect<void, never, Scope.Scope> => {
  const named = <Type, In, Out>(metric: Metric.Metric<Type, In, Out>) =>
    Metric.tagged(metric, "db.client.connection.pool.name", pool.name)
  const inState = (state: string) => Metric.tagged(named(connections), "db.client.connection.state", state)
  const set = (before: PoolStats | undefined, now: PoolStats) => {
    const since = (of: (stats: PoolStats) => number) => of(now) - (before === undefined ? 0 : of(before))
    return Effect.all(
      [
        Metric.set(inState("idle"), now.idle),
        Metric.set(inState("used"), now.used),
        Metric.set(inState("opening"), now.opening),
        Metric.set(named(most), now.max),
        Metric.set(named(least), now.min),
        Metric.set(named(pending), now.waiting),
        Metric.incrementBy(
          named(timeouts),
          since((stats) => stats.timeouts + stats.refused)
        ),
        Metric.incrementBy(
          named(waits),
          since(({ times }) => times.acquire.sum / 1000)
        ),
        Metric.incrementBy(
          named(uses),
          since(({ times }) => times.use.sum / 1000)
        ),
        ...closeReasons(now).map((reason) =>
          Metric.incrementBy(
            Metric.tagged(named(closed), "reason", reason),
            since((stats) => stats.closed[reason])
          )
        )
      ],
      { discard: true }
    )
  }
  return forkBackground(
    Stream.runFoldEffect(changes(pool, interval), undefined, (before: PoolStats | undefined, now) =>
      Effect.as(set(before, now), now)
    )
  )
}

const closeReasons = ({ closed }: PoolStats): ReadonlyArray<keyof PoolStats["closed"]> =>
  Object.keys(closed).filter((key): key is keyof PoolStats["closed"] => Object.hasOwn(closed, key))
