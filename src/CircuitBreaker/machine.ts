/**
 * The breaker as a state machine over time: synchronous and without effects, so that a checkout pays next to nothing
 * and a model can be held against it.
 */

/** The thresholds, in milliseconds and counts. */
export interface Limits {
  readonly consecutiveFailures: number
  readonly failureShare: number
  readonly minCalls: number
  readonly windowMillis: number
  readonly openMillis: number
  readonly maxOpenMillis: number
  readonly successesToClose: number
}

/** How a call ended for the node; `neutral` says nothing about it (interrupted, refused by the pool). */
export type Outcome = "success" | "failure" | "neutral"

/** Where the machine is. */
export type Phase =
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Open"; readonly sinceMillis: number; readonly untilMillis: number }
  | { readonly _tag: "HalfOpen" }

/** Leave to make one call. */
export interface Permit {
  /** Grows with every change of phase: the end of a call from an earlier phase says nothing about this one. */
  readonly generation: number
}

/** One breaker. The methods mutate; their `now` never goes back. */
export interface Machine {
  readonly phase: () => Phase
  /** Whether a call would be let through, without letting one through. */
  readonly wouldAdmit: (now: number) => boolean
  readonly admit: (now: number) => Permit | undefined
  readonly settle: (permit: Permit, outcome: Outcome, now: number) => void
}

const slotCount = 10

interface Slot {
  readonly epoch: number
  calls: number
  failures: number
}

/** Calls and failures of the window, in ten slots. */
const makeWindow = (windowMillis: number) => {
  const slotMillis = windowMillis / slotCount
  let slots: ReadonlyArray<Slot> = []
  return {
    record: (now: number, failed: boolean) => {
      const epoch = Math.floor(now / slotMillis)
      let newest = slots[slots.length - 1]
      if (newest?.epoch !== epoch) {
        newest = { epoch, calls: 0, failures: 0 }
        slots = [...slots.filter((slot) => slot.epoch > epoch - slotCount), newest]
      }
      newest.calls++
      if (failed) newest.failures++
    },
    totals: () => ({
      calls: slots.reduce((sum, slot) => sum + slot.calls, 0),
      failures: slots.reduce((sum, slot) => sum + slot.failures, 0)
    }),
    clear: () => {
      slots = []
    }
  }
}

/** A closed breaker. */
export const makeMachine = (limits: Limits): Machine => {
  const window = makeWindow(limits.windowMillis)
  let phase: Phase = { _tag: "Closed" }
  let generation = 0
  let consecutive = 0
  let openMillis = limits.openMillis
  let isProbing = false
  let probesPassed = 0

  const enter = (next: Phase) => {
    phase = next
    generation++
    isProbing = false
    probesPassed = 0
    consecutive = 0
    window.clear()
  }

  const open = (now: number) => enter({ _tag: "Open", sinceMillis: now, untilMillis: now + openMillis })

  const settleClosed = (failed: boolean, now: number) => {
    window.record(now, failed)
    consecutive = failed ? consecutive + 1 : 0
    if (!failed) return
    const { calls, failures } = window.totals()
    const tooMany = calls >= limits.minCalls && failures >= calls * limits.failureShare
    if (consecutive >= limits.consecutiveFailures || tooMany) open(now)
  }

  const settleProbe = (failed: boolean, now: number) => {
    isProbing = false
    if (failed) {
      openMillis = Math.min(openMillis * 2, limits.maxOpenMillis)
      open(now)
    } else if (++probesPassed >= limits.successesToClose) {
      openMillis = limits.openMillis
      enter({ _tag: "Closed" })
    }
  }

  const wouldAdmit = (now: number): boolean => {
    switch (phase._tag) {
      case "Closed":
        return true
      case "Open":
        return now >= phase.untilMillis
      case "HalfOpen":
        return !isProbing
    }
  }

  return {
    phase: () => phase,
    wouldAdmit,
    admit: (now) => {
      if (!wouldAdmit(now)) return undefined
      if (phase._tag === "Open") enter({ _tag: "HalfOpen" })
      if (phase._tag === "HalfOpen") isProbing = true
      return { generation }
    },
    settle: (permit, outcome, now) => {
      if (permit.generation !== generation) return
      if (outcome === "neutral") {
        isProbing = false
      } else if (phase._tag === "HalfOpen") {
        settleProbe(outcome === "failure", now)
      } else {
        settleClosed(outcome === "failure", now)
      }
    }
  }
}
