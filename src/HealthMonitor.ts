/**
 * Whether the database and what runs on it is healthy, what is wrong, why, and what mends it.
 *
 * Checks run over small connections of their own, in three tiers, one pass at a time. What could not be seen is unknown,
 * with the reason, and never ok.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { forkBackground } from "./internal/forkBackground.ts"
import type { HealthCheck, Status, Target, Tier } from "./HealthCheck.ts"
import type { HealthMonitorError } from "./HealthMonitor/HealthMonitorError.ts"
import type { Memory } from "./HealthMonitor/Pass.ts"
import * as Pass from "./HealthMonitor/Pass.ts"
import * as Registry from "./HealthMonitor/Registry.ts"
import type { RegistryOptions, Selection } from "./HealthMonitor/Registry.ts"
import { placeOf, reportOf, statusOf } from "./HealthMonitor/Report.ts"
import type { Outcome, Report, Suppression } from "./HealthMonitor/Report.ts"
import * as Tiers from "./HealthMonitor/Tiers.ts"

export * from "./HealthMonitor/HealthMonitorError.ts"
export { exitCode, keyOf, reportOf, status, statusOf, worstFirst } from "./HealthMonitor/Report.ts"
export type { Outcome, Report, ReportedFinding, Suppression } from "./HealthMonitor/Report.ts"
export type { Selection } from "./HealthMonitor/Registry.ts"
export { builtIn } from "./HealthMonitor/Registry.ts"
export { migrationsBehind } from "./HealthMonitor/checks/migrationsBehind.ts"
export * from "./HealthMonitor/RenderDocs.ts"
export * from "./HealthMonitor/RenderJson.ts"
export * from "./HealthMonitor/RenderNagios.ts"
export * from "./HealthMonitor/RenderPrometheus.ts"
export * from "./HealthMonitor/RenderText.ts"

/**
 * A check that says something else than before: another status, or other findings.
 *
 * @since 0.1.0
 * @category models
 */
export interface Change {
  readonly from: Status
  readonly to: Status
  readonly outcome: Outcome
}

/**
 * The monitor.
 *
 * @since 0.1.0
 * @category tags
 */
export class HealthMonitor extends Context.Tag("plinth/HealthMonitor")<
  HealthMonitor,
  {
    /** Runs the selected checks now, all of them by default, and reports on these. */
    readonly check: (selection?: Selection) => Effect.Effect<Report, HealthMonitorError>
    /** What is known of every check, without asking anybody. What has not run yet is unknown. */
    readonly report: Effect.Effect<Report>
    /** Every change from the subscription on. A slow reader loses the oldest. */
    readonly changes: Stream.Stream<Change>
    /** What this monitor knows to check, for `--explain`, documentation and alert rules. */
    readonly checks: ReadonlyArray<HealthCheck>
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options extends RegistryOptions {
  /** The primary and the replicas, each with a small client of its own. */
  readonly nodes: ReadonlyArray<Target>
  /** Findings that somebody has decided to live with. They are counted and shown, and change no status. */
  readonly suppress?: ReadonlyArray<Suppression> | undefined
  /** Run the tiers in the background. @default true */
  readonly background?: boolean | undefined
  /** From the end of one pass to the beginning of the next. @default "5 seconds" */
  readonly probeEvery?: Duration.DurationInput | undefined
  /** @default "10 seconds" */
  readonly fastEvery?: Duration.DurationInput | undefined
  /** @default "15 minutes" */
  readonly catalogueEvery?: Duration.DurationInput | undefined
  /** How long one check may take. @default 2 seconds, 10 seconds for the catalogue */
  readonly checkDeadline?: Duration.DurationInput | undefined
  /** How long one pass may take. @default 5, 10 and 60 seconds by tier */
  readonly passDeadline?: Duration.DurationInput | undefined
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<HealthMonitor["Type"], HealthMonitorError, Scope.Scope> =>
  Effect.gen(function* () {
    const checks = yield* Registry.make(options)
    const tiers = tierSettings(options)
    const known = yield* Ref.make<ReadonlyArray<Outcome>>([])
    const changes = yield* Effect.acquireRelease(PubSub.sliding<Change>(256), PubSub.shutdown)
    const onePass = yield* Effect.makeSemaphore(1)
    const memory: Memory = new Map()

    const reportNow = (outcomes: ReadonlyArray<Outcome>): Effect.Effect<Report> =>
      Effect.map(Clock.currentTimeMillis, (atMillis) =>
        reportOf({ atMillis, nodes: options.nodes.map((node) => node.name), outcomes })
      )

    const pass = (selected: ReadonlyArray<HealthCheck>): Effect.Effect<ReadonlyArray<Outcome>> =>
      Effect.gen(function* () {
        const outcomes = yield* Pass.run({
          targets: options.nodes,
          checks: selected,
          tiers,
          thresholds: options.thresholds ?? {},
          suppressions: options.suppress ?? [],
          memory
        })
        const ran = new Set(selected.map((check) => check.id))
        const before = yield* Ref.getAndUpdate(known, (outcomes_) => [
          ...outcomes_.filter((outcome) => !ran.has(outcome.check)),
          ...outcomes
        ])
        yield* PubSub.publishAll(changes, changesOf(before, outcomes))
        return outcomes
      }).pipe(onePass.withPermits(1))

    const background = (tier: Tier): Effect.Effect<void> =>
      pass(checks.filter((check) => check.tier === tier)).pipe(
        Effect.catchAllCause((cause) => Effect.logError(`Health checks of tier ${tier} failed`, cause)),
        Effect.repeat(Schedule.spaced(tiers[tier].every)),
        Effect.asVoid
      )
    if (options.background !== false) {
      yield* Effect.forEach(["probe", "fast", "catalogue"] as const, (tier) => forkBackground(background(tier)))
    }

    return {
      checks,
      check: (selection = {}) =>
        Registry.select(checks, selection).pipe(Effect.flatMap(pass), Effect.flatMap(reportNow)),
      report: Effect.gen(function* () {
        const outcomes = yield* Ref.get(known)
        const missing = Pass.notYetRun(checks, yield* Clock.currentTimeMillis)
        return yield* reportNow(
          checks.flatMap((check) => {
            const found = outcomes.filter((outcome) => outcome.check === check.id)
            return found.length > 0 ? found : missing.filter((outcome) => outcome.check === check.id)
          })
        )
      }),
      changes: Stream.fromPubSub(changes)
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<HealthMonitor, HealthMonitorError> =>
  Layer.scoped(HealthMonitor, make(options))

/**
 * A monitor that says what it is told; methods that are not given die when they are called.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Partial<HealthMonitor["Type"]>): Layer.Layer<HealthMonitor> =>
  Layer.mock(HealthMonitor, { checks: Registry.builtIn, changes: Stream.empty, ...partial })

const tierSettings = (options: Options): { readonly [T in Tier]: Tiers.TierSettings } => {
  const of = (tier: Tier, every: Duration.DurationInput | undefined): Tiers.TierSettings => ({
    every: Duration.decode(every ?? Tiers.defaults[tier].every),
    checkDeadline: Duration.decode(options.checkDeadline ?? Tiers.defaults[tier].checkDeadline),
    passDeadline: Duration.decode(options.passDeadline ?? Tiers.defaults[tier].passDeadline)
  })
  return {
    probe: of("probe", options.probeEvery),
    fast: of("fast", options.fastEvery),
    catalogue: of("catalogue", options.catalogueEvery)
  }
}

const changesOf = (before: ReadonlyArray<Outcome>, now: ReadonlyArray<Outcome>): ReadonlyArray<Change> => {
  const earlier = new Map(before.map((outcome) => [placeOf(outcome), outcome]))
  const keys = (outcome: Outcome | undefined) => outcome?.findings.map((finding) => finding.key).join("\n") ?? ""
  return now.flatMap((outcome) => {
    const last = earlier.get(placeOf(outcome))
    const from = last === undefined ? "unknown" : statusOf(last)
    const to = statusOf(outcome)
    return from === to && keys(last) === keys(outcome) ? [] : [{ from, to, outcome }]
  })
}
