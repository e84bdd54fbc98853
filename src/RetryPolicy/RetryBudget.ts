/**
 * Bounds retries to a share of the recent calls, so that retries cannot finish off a database that struggles.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * Counts calls and grants retries.
 *
 * @since 0.1.0
 * @category models
 */
export interface RetryBudget {
  /** Counts a first try. */
  readonly deposit: Effect.Effect<void>
  /** Takes one retry out, or says that there is none. */
  readonly withdraw: Effect.Effect<boolean>
}

/**
 * @since 0.1.0
 * @category options
 */
export interface RetryBudgetOptions {
  /**
   * Retries per call, both counted over the window.
   *
   * @default 0.1
   */
  readonly share?: number | undefined
  /**
   * Retries that a window grants however few calls there were, since a share of little is nothing.
   *
   * @default 10
   */
  readonly minRetries?: number | undefined
  /** @default "10 seconds" */
  readonly window?: Duration.DurationInput | undefined
}

const slotCount = 10

interface Slot {
  readonly epoch: number
  calls: number
  retries: number
}

/**
 * A budget over a sliding window of ten slots. The idea and the window are Finagle's `RetryBudget` (10 s; it grants 20 %
 * and ten retries a second), with the 10 % of the Google SRE book, chapter "Handling Overload".
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeBudget = (options: RetryBudgetOptions = {}): Effect.Effect<RetryBudget> =>
  Effect.sync(() => {
    const { minRetries = 10, share = 0.1, window = "10 seconds" } = options
    const slotMillis = Math.max(1, Duration.toMillis(window) / slotCount)
    let slots: ReadonlyArray<Slot> = []

    const currentSlot = (now: number): Slot => {
      const epoch = Math.floor(now / slotMillis)
      const newest = slots[slots.length - 1]
      if (newest?.epoch === epoch) return newest
      const slot: Slot = { epoch, calls: 0, retries: 0 }
      slots = [...slots.filter((old) => old.epoch > epoch - slotCount && old.epoch < epoch), slot]
      return slot
    }

    return {
      deposit: Effect.map(Clock.currentTimeMillis, (now) => {
        currentSlot(now).calls++
      }),
      withdraw: Effect.map(Clock.currentTimeMillis, (now) => {
        const slot = currentSlot(now)
        const calls = slots.reduce((sum, one) => sum + one.calls, 0)
        const retries = slots.reduce((sum, one) => sum + one.retries, 0)
        const granted = retries < Math.max(minRetries, Math.floor(calls * share))
        if (granted) slot.retries++
        return granted
      })
    }
  })
