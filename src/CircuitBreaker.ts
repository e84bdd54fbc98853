/**
 * Keeps callers away from a node that does not answer, and lets one of them find out when it does again.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Machine, Outcome, Permit } from "./CircuitBreaker/machine.ts"
import { makeMachine } from "./CircuitBreaker/machine.ts"
import * as DatabaseErrors from "./DatabaseError.ts"

/**
 * Closed lets all calls through, open none, half-open one at a time.
 *
 * @since 0.1.0
 * @category models
 */
export type State =
  | { readonly _tag: "Closed" }
  | {
      readonly _tag: "Open"
      /** Milliseconds since the epoch. */
      readonly sinceMillis: number
      /** From then on one call is let through. */
      readonly untilMillis: number
    }
  | { readonly _tag: "HalfOpen" }

/**
 * The breaker of one node.
 *
 * @since 0.1.0
 * @category models
 */
export interface CircuitBreaker {
  readonly node: string
  readonly state: Effect.Effect<State>
  /** The present state, then each change. */
  readonly changes: Stream.Stream<State>
  /** Whether a call at this time (milliseconds since the epoch) would be let through; for choosing among nodes. */
  readonly wouldAdmit: (now: number) => boolean
  /** Runs the effect, or fails with reason `BreakerOpen`. Only connection failures count against the node. */
  readonly protect: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DatabaseErrors.DatabaseError, R>
}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /** What errors and states are labelled with: `host:port/database`. */
  readonly node: string
  /**
   * Failures in a row that open it; resilience4j has no such rule, Polly's simple breaker and Envoy's outlier detection
   * (`consecutive_5xx`) have it, with five.
   *
   * @default 5
   */
  readonly consecutiveFailures?: number | undefined
  /**
   * Share of failed calls that opens it; resilience4j's `failureRateThreshold`.
   *
   * @default 0.5
   */
  readonly failureShare?: number | undefined
  /**
   * The share counts from this many calls in the window; Hystrix' `requestVolumeThreshold`.
   *
   * @default 20
   */
  readonly minCalls?: number | undefined
  /**
   * Hystrix' rolling window.
   *
   * @default "10 seconds"
   */
  readonly window?: Duration.DurationInput | undefined
  /**
   * How long it stays open first; doubled each time that the probe fails. Hystrix' `sleepWindow`.
   *
   * @default "5 seconds"
   */
  readonly openFor?: Duration.DurationInput | undefined
  /** @default "60 seconds" */
  readonly maxOpenFor?: Duration.DurationInput | undefined
  /**
   * Probes that must pass, one after the other, before it closes.
   *
   * @default 2
   */
  readonly successesToClose?: number | undefined
}

/** What a failure says about the node. Whatever the server answered, it answered. */
const outcomeOfError = (error: unknown): Outcome =>
  Option.match(DatabaseErrors.find(error), {
    onNone: () => "neutral",
    onSome: ({ isConnectionFailure, sqlState }) =>
      isConnectionFailure ? "failure" : sqlState === undefined ? "neutral" : "success"
  })

/** A defect or an interruption says nothing about the node. */
const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return "success"
  return Option.match(Cause.failureOption(exit.cause), { onNone: () => "neutral", onSome: outcomeOfError })
}

const machineOf = (options: Options): Machine =>
  makeMachine({
    consecutiveFailures: options.consecutiveFailures ?? 5,
    failureShare: options.failureShare ?? 0.5,
    minCalls: options.minCalls ?? 20,
    windowMillis: Duration.toMillis(options.window ?? "10 seconds"),
    openMillis: Duration.toMillis(options.openFor ?? "5 seconds"),
    maxOpenMillis: Duration.toMillis(options.maxOpenFor ?? "60 seconds"),
    successesToClose: options.successesToClose ?? 2
  })

const refusal = (node: string, state: State, now: number) =>
  new DatabaseErrors.DatabaseError({
    reason: "BreakerOpen",
    operation: "admit",
    node,
    description:
      state._tag === "Open"
        ? `the circuit breaker is open for another ${Duration.format(Duration.millis(state.untilMillis - now))}`
        : "the circuit breaker is half-open and its probe is under way"
  })

/**
 * A closed breaker.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<CircuitBreaker> {
  const machine = machineOf(options)
  const published = yield* SubscriptionRef.make<State>(machine.phase())

  // Publishing costs a lock, so only a change is published.
  let lastPublished = machine.phase()
  const publish = Effect.suspend(() => {
    const phase = machine.phase()
    if (phase === lastPublished) return Effect.void
    lastPublished = phase
    return SubscriptionRef.set(published, phase)
  })

  const admit = Effect.flatMap(Clock.currentTimeMillis, (now): Effect.Effect<Permit, DatabaseErrors.DatabaseError> => {
    const permit = machine.admit(now)
    return permit === undefined ? Effect.fail(refusal(options.node, machine.phase(), now)) : Effect.as(publish, permit)
  })

  const settle = (permit: Permit, exit: Exit.Exit<unknown, unknown>) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      machine.settle(permit, outcomeOf(exit), now)
      return publish
    })

  return {
    node: options.node,
    state: Effect.sync(machine.phase),
    changes: published.changes,
    wouldAdmit: machine.wouldAdmit,
    protect: (self) => Effect.acquireUseRelease(admit, () => self, settle)
  }
})
