/**
 * Who holds or awaits a connection: the fiber, told apart by its spans.
 */
import * as Context from "effect/Context"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/** A fiber, from which what it is doing can be read later; undefined for the pool's own work. */
export type Holder = Fiber.RuntimeFiber<unknown, unknown> | undefined

/** The fiber that runs at this moment, for the price of a look at a global. */
export const currentHolder = (): Holder => Option.getOrUndefined(Fiber.getCurrentFiber())

export const fiberOf = (holder: Holder): string => (holder === undefined ? "the pool" : FiberId.threadName(holder.id()))

/** The names of its spans, the innermost first; none without `Effect.withSpan`. */
export const spansOf = (holder: Holder): ReadonlyArray<string> => {
  const names: Array<string> = []
  if (holder === undefined) return names
  let span = Context.getOption(holder.getFiberRef(FiberRef.currentContext), Tracer.ParentSpan)
  while (Option.isSome(span) && span.value._tag === "Span") {
    names.push(span.value.name)
    span = span.value.parent
  }
  return names
}

/** `fiber #12 in POST /orders > placeOrder`. */
export const holderInWords = (holder: Holder): string => {
  if (holder === undefined) return fiberOf(holder)
  const spans = spansOf(holder)
  return `fiber ${fiberOf(holder)}${spans.length === 0 ? "" : ` in ${[...spans].reverse().join(" > ")}`}`
}
