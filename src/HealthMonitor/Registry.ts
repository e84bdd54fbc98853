/**
 * The checks that a monitor runs: the built-in ones, those of other parts of Plinth, and the user's.
 */
import * as Effect from "effect/Effect"
import type { HealthCheck, MigrationFacts, Source, ThresholdOverrides, Tier } from "../HealthCheck.ts"
import { blocking } from "./checks/blocking.ts"
import { cacheHit } from "./checks/cacheHit.ts"
import { connections } from "./checks/connections.ts"
import { idleInTransaction } from "./checks/idleInTransaction.ts"
import { invalidIndex } from "./checks/invalidIndex.ts"
import { migrationsBehind } from "./checks/migrationsBehind.ts"
import { reachable } from "./checks/reachable.ts"
import { replication } from "./checks/replication.ts"
import { role } from "./checks/role.ts"
import { sequenceExhaustion } from "./checks/sequenceExhaustion.ts"
import { unusedIndex } from "./checks/unusedIndex.ts"
import { xidAge } from "./checks/xidAge.ts"
import { HealthMonitorError } from "./HealthMonitorError.ts"

/**
 * The checks that need nothing but the nodes.
 *
 * @since 0.1.0
 * @category registry
 */
export const builtIn: ReadonlyArray<HealthCheck> = [
  reachable,
  role,
  replication,
  connections,
  idleInTransaction,
  blocking,
  cacheHit,
  xidAge,
  invalidIndex,
  unusedIndex,
  sequenceExhaustion
]

/**
 * @since 0.1.0
 * @category models
 */
export interface RegistryOptions {
  /** Checks besides the built-in ones. */
  readonly checks?: ReadonlyArray<HealthCheck> | undefined
  /** Who knows the migrations; without it they are not checked. */
  readonly migrations?: Source<MigrationFacts> | undefined
  /** Ids of checks that are not wanted. */
  readonly disable?: ReadonlyArray<string> | undefined
  /** Changed numbers, by check id and threshold name. */
  readonly thresholds?: { readonly [check: string]: ThresholdOverrides } | undefined
}

/**
 * Which checks to run: some by id, or a tier and the quicker ones before it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  readonly ids?: ReadonlyArray<string> | undefined
  /** `fast` is probe and fast; `all` is everything. @default "all" */
  readonly tier?: "probe" | "fast" | "all" | undefined
}

/**
 * The checks of a monitor. Every name in the options must be one that exists.
 *
 * @since 0.1.0
 * @category registry
 */
export const make = (options: RegistryOptions): Effect.Effect<ReadonlyArray<HealthCheck>, HealthMonitorError> =>
  Effect.gen(function* () {
    const all = [
      ...builtIn,
      ...(options.migrations === undefined ? [] : [migrationsBehind(options.migrations)]),
      ...(options.checks ?? [])
    ]
    const ids = all.map((check) => check.id)
    const twice = ids.find((id, index) => ids.indexOf(id) !== index)
    if (twice !== undefined) return yield* fail("DuplicateCheck", "checks", twice, ids)
    for (const id of options.disable ?? []) {
      if (!ids.includes(id)) return yield* fail("UnknownCheck", "disable", id, ids)
    }
    for (const [id, overrides] of Object.entries(options.thresholds ?? {})) {
      const check = all.find((check) => check.id === id)
      if (check === undefined) return yield* fail("UnknownCheck", "thresholds", id, ids)
      const names = Object.keys(check.thresholds)
      const wrong = Object.keys(overrides).find((name) => !names.includes(name))
      if (wrong !== undefined) return yield* fail("UnknownThreshold", `thresholds of ${id}`, wrong, names)
    }
    return all.filter((check) => options.disable?.includes(check.id) !== true)
  })

/**
 * The selected ones, in the order of the registry.
 *
 * @since 0.1.0
 * @category registry
 */
export const select = (
  checks: ReadonlyArray<HealthCheck>,
  selection: Selection
): Effect.Effect<ReadonlyArray<HealthCheck>, HealthMonitorError> => {
  const ids = checks.map((check) => check.id)
  const wrong = selection.ids?.find((id) => !ids.includes(id))
  if (wrong !== undefined) return fail("UnknownCheck", "selection", wrong, ids)
  const tiers = tiersOf[selection.tier ?? "all"]
  return Effect.succeed(
    checks.filter((check) => tiers.includes(check.tier) && (selection.ids?.includes(check.id) ?? true))
  )
}

const tiersOf: { readonly [T in "probe" | "fast" | "all"]: ReadonlyArray<Tier> } = {
  probe: ["probe"],
  fast: ["probe", "fast"],
  all: ["probe", "fast", "catalogue"]
}

const fail = (
  reason: HealthMonitorError["reason"],
  operation: string,
  name: string,
  known: ReadonlyArray<string>
): Effect.Effect<never, HealthMonitorError> => Effect.fail(new HealthMonitorError({ reason, operation, name, known }))
