/**
 * Work that goes on beside its scope until that closes.
 */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"

/**
 * Forks into the scope. What is built in an uninterruptible region, such as an acquisition or a finalizer, would hand
 * that on to its fibers, and closing the scope would wait for ever for their interruption.
 */
export const forkBackground = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.asVoid(Effect.forkScoped(Effect.interruptible(effect)))

/** Forks into the scope from where no effect runs, such as the callbacks of a socket. */
export const makeFork = <R = never>(): Effect.Effect<
  (effect: Effect.Effect<void, never, R>) => void,
  never,
  R | Scope.Scope
> => Effect.map(FiberSet.makeRuntime<R>(), (run) => (effect) => void run(Effect.interruptible(effect)))
