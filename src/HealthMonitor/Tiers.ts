/**
 * How often each tier runs in the background and how long it may take.
 */
import * as Duration from "effect/Duration"
import type { Tier } from "../HealthCheck.ts"

/**
 * @since 0.1.0
 * @category models
 */
export interface TierSettings {
  /** From the end of one pass to the beginning of the next. */
  readonly every: Duration.Duration
  readonly checkDeadline: Duration.Duration
  readonly passDeadline: Duration.Duration
}

/**
 * Budgets of a warm session at 20,000 tables are 50 ms for all fast checks and 1 s for the catalogue; the first pass may
 * take three times that. The deadlines leave room for a network and a busy server.
 *
 * @since 0.1.0
 * @category models
 */
export const defaults: { readonly [T in Tier]: TierSettings } = {
  probe: {
    every: Duration.seconds(5),
    checkDeadline: Duration.seconds(2),
    passDeadline: Duration.seconds(5)
  },
  fast: {
    every: Duration.seconds(10),
    checkDeadline: Duration.seconds(2),
    passDeadline: Duration.seconds(10)
  },
  catalogue: {
    every: Duration.minutes(15),
    checkDeadline: Duration.seconds(10),
    passDeadline: Duration.seconds(60)
  }
}
