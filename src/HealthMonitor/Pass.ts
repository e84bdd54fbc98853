/**
 * One pass: opens a session on every node, runs the checks on them, and turns whatever happens into outcomes.
 */
import * as Array from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { ParseError } from "effect/ParseResult"
import type { DatabaseError } from "../DatabaseError.ts"
import type {
  Assessment,
  Facts,
  HealthCheck,
  NodeCheck,
  Result,
  Snapshot,
  Target,
  Tier,
  ThresholdOverrides,
  UnknownReason as UnknownReasonType
} from "../HealthCheck.ts"
import { grantOf, unknown, UnknownReason } from "../HealthCheck.ts"
import { placeOf, sortResults } from "./Report.ts"
import type { Outcome, Suppression } from "./Report.ts"
import * as Session from "./Session.ts"
import type { TierSettings } from "./Tiers.ts"

/** Earlier readings per check and place; it lives as long as the monitor. Only one pass at a time touches it. */
export type Memory = Map<string, ReadonlyArray<Snapshot<unknown>>>

export interface PassOptions {
  readonly targets: ReadonlyArray<Target>
  readonly checks: ReadonlyArray<HealthCheck>
  readonly tiers: { readonly [T in Tier]: TierSettings }
  readonly thresholds: { readonly [check: string]: ThresholdOverrides }
  readonly suppressions: ReadonlyArray<Suppression>
  readonly memory: Memory
}

/** A check at a place: the unit of work of a pass. */
interface Job {
  readonly check: HealthCheck
  readonly node: string | undefined
  readonly read: Effect.Effect<ReadonlyArray<unknown>, DatabaseError>
  readonly assess: (
    rows: ReadonlyArray<unknown>,
    earlier: ReadonlyArray<Snapshot<unknown>>,
    nowMillis: number
  ) => Effect.Effect<Assessment, ParseError>
  /** Known before anything is asked: why it cannot see. */
  readonly blind?: UnknownReasonType | undefined
}

/**
 * Runs the checks. The nodes work side by side, each with one statement at a time on its one connection; what needs
 * several of them comes before or after that.
 */
export const run = Effect.fn("HealthMonitor.pass")(function* (options: PassOptions) {
  const after = options.checks.reduce(
    (longest, check) => Duration.max(longest, options.tiers[check.tier].passDeadline),
    Duration.zero
  )
  const pass: Pass = { options, deadline: after, endsAt: (yield* Clock.currentTimeMillis) + Duration.toMillis(after) }
  const sessions = yield* Effect.forEach(
    options.targets,
    (target) => Session.open(target, options.tiers.probe.checkDeadline),
    { concurrency: "unbounded" }
  )
  const jobs = options.checks.flatMap((check) => jobsOf(check, sessions, options))
  const ofCluster = jobs.filter((job) => job.node === undefined)
  const lanes = sessions.map(({ target }) => {
    const [once, twice] = Array.partition(jobs, (job) => job.check.interval !== undefined)
    return [...once, ...twice].filter((job) => job.node === target.name)
  })
  const step = (lane: ReadonlyArray<Job>) => Effect.forEach(lane, (job) => settle(job, pass))

  // Readings that are to be compared come first, so that the other checks fill the time between the two.
  yield* Effect.forEach([ofCluster, ...lanes], (lane) => Effect.forEach(lane, (job) => prime(job, pass)), {
    concurrency: "unbounded"
  })
  const probes = yield* step(ofCluster.filter((job) => job.check.tier === "probe"))
  const perNode = yield* Effect.forEach(lanes, step, { concurrency: "unbounded" })
  const others = yield* step(ofCluster.filter((job) => job.check.tier !== "probe"))

  const found = new Map([probes, ...perNode, others].flat().map((outcome) => [placeOf(outcome), outcome]))
  return jobs.map((job) => found.get(placeOf({ check: job.check.id, node: job.node }))).filter((x) => x !== undefined)
})

/** A pass under way. */
interface Pass {
  readonly options: PassOptions
  readonly deadline: Duration.Duration
  readonly endsAt: number
}

const jobsOf = (
  check: HealthCheck,
  sessions: ReadonlyArray<Session.Session>,
  options: PassOptions
): ReadonlyArray<Job> => {
  const deadline = options.tiers[check.tier].checkDeadline
  const overrides = options.thresholds[check.id]
  if (check._tag === "Node") {
    return (check.on === "each" ? sessions : primaryOf(sessions)).map((x) => nodeJob(check, x, deadline, overrides))
  }
  return [
    {
      check,
      node: undefined,
      read: Effect.suspend(() => check.read(sessions.map((session) => Session.node(session, deadline)))),
      assess: (rows, earlier, nowMillis) => check.assess(rows, { earlier, nowMillis, overrides }),
      blind: sessions.flatMap(({ facts }) => (Either.isRight(facts) ? [lacks(check, facts.right)] : []))[0]
    }
  ]
}

const nodeJob = (
  check: NodeCheck,
  session: Session.Session,
  deadline: Duration.Duration,
  overrides: ThresholdOverrides | undefined
): Job => {
  const node = Session.node(session, deadline)
  return Either.match(session.facts, {
    onLeft: (error): Job => ({
      check,
      node: node.name,
      read: Effect.fail(error),
      assess: () => Effect.succeed({ results: [], measurements: [] }),
      blind: UnknownReason.Unreachable({ node: node.name, description: error.description })
    }),
    onRight: (facts): Job => ({
      check,
      node: node.name,
      read: Effect.suspend(() => node.query(check.sql(facts))),
      assess: (rows, earlier, nowMillis) =>
        check.assess(rows, { earlier, nowMillis, overrides, facts, node: node.name }),
      blind: lacks(check, facts)
    })
  })
}

/** The node that accepts writes, whatever it was meant to be; without one, the one that was meant to be it. */
const primaryOf = (sessions: ReadonlyArray<Session.Session>): ReadonlyArray<Session.Session> => {
  const isMeant = ({ target }: Session.Session) => target.role === "primary"
  const writable = sessions.filter(({ facts }) => Either.isRight(facts) && !facts.right.inRecovery)
  const best = writable.find(isMeant) ?? writable[0] ?? sessions.find(isMeant) ?? sessions[0]
  return best === undefined ? [] : [best]
}

const lacks = (check: HealthCheck, facts: Facts): UnknownReasonType | undefined => {
  const needed = check.minimumVersion ?? 140_000
  if (facts.serverVersion < needed) return UnknownReason.ServerVersion({ needed, actual: facts.serverVersion })
  const lacking = check.privileges?.find((privilege) => !facts.privileges.includes(privilege))
  return lacking === undefined ? undefined : UnknownReason.Privilege({ lacking, grant: grantOf(lacking, facts.user) })
}

/** The first of two readings, unless an earlier pass took it. */
const prime = Effect.fnUntraced(function* (job: Job, pass: Pass) {
  if (job.check.interval === undefined || job.blind !== undefined || earlierOf(job, pass).length > 0) return
  const reading = yield* Effect.either(within(job, pass))
  if (Either.isRight(reading)) remember(job, pass, reading.right, yield* Clock.currentTimeMillis)
})

const settle = Effect.fnUntraced(function* (job: Job, pass: Pass) {
  const startedMillis = yield* Clock.currentTimeMillis
  const assessed = job.blind === undefined ? yield* observe(job, pass) : blinded(job.blind)
  const nowMillis = yield* Clock.currentTimeMillis
  return {
    check: job.check.id,
    title: job.check.title,
    category: job.check.category,
    tier: job.check.tier,
    node: job.node,
    atMillis: nowMillis,
    millis: nowMillis - startedMillis,
    measurements: assessed.measurements,
    ...sortResults(job.check.id, assessed.results, pass.options.suppressions, nowMillis)
  } satisfies Outcome
})

const blinded = (reason: UnknownReasonType): Assessment => ({ results: [unknown(reason)], measurements: [] })

const observe = (job: Job, pass: Pass): Effect.Effect<Assessment> =>
  Effect.gen(function* () {
    const earlier = earlierOf(job, pass)
    if (job.check.interval !== undefined) {
      const last = earlier.at(-1)?.atMillis ?? -Infinity
      const due = last + Duration.toMillis(job.check.interval) - (yield* Clock.currentTimeMillis)
      if (due > 0) yield* Effect.sleep(due)
    }
    const rows = yield* within(job, pass)
    const nowMillis = yield* Clock.currentTimeMillis
    remember(job, pass, rows, nowMillis)
    return yield* Effect.mapError(job.assess(rows, earlier, nowMillis), (error) =>
      UnknownReason.Failed({ description: `the rows are not as expected: ${error.message}` })
    )
  }).pipe(
    Effect.catchAll((reason) => Effect.succeed(blinded(reason))),
    // A check may be the user's own, and one that dies must not take the others with it.
    Effect.catchAllDefect((defect) =>
      Effect.as(
        Effect.logError(`Health check ${job.check.id} died`, defect),
        blinded(UnknownReason.Failed({ description: `the check itself failed: ${String(defect)}` }))
      )
    )
  )

const earlierOf = (job: Job, pass: Pass): ReadonlyArray<Snapshot<unknown>> =>
  pass.options.memory.get(placeOf({ check: job.check.id, node: job.node })) ?? []

const remember = (job: Job, pass: Pass, rows: ReadonlyArray<unknown>, atMillis: number): void => {
  const kept = job.check.remember ?? 0
  if (kept === 0) return
  const place = placeOf({ check: job.check.id, node: job.node })
  pass.options.memory.set(place, [...earlierOf(job, pass), { atMillis, rows }].slice(-kept))
}

/** Reads within what is left of the check's and the pass's time. The cancellation of what is late is not waited for. */
const within = (job: Job, pass: Pass): Effect.Effect<ReadonlyArray<unknown>, UnknownReasonType> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const ofCheck = pass.options.tiers[job.check.tier].checkDeadline
    const left = pass.endsAt - now
    const late =
      left < Duration.toMillis(ofCheck)
        ? UnknownReason.Deadline({ after: pass.deadline, of: "pass" })
        : UnknownReason.Deadline({ after: ofCheck, of: "check" })
    if (left <= 0) return Effect.fail(late)
    return job.read.pipe(
      Effect.mapError((error) => reasonOf(error, ofCheck)),
      Effect.disconnect,
      Effect.timeoutFail({ duration: Duration.min(ofCheck, Duration.millis(left)), onTimeout: () => late })
    )
  })

const reasonOf = (error: DatabaseError, deadline: Duration.Duration): UnknownReasonType => {
  switch (error.reason) {
    case "LockTimeout":
      return UnknownReason.LockWait({ description: error.description })
    case "StatementTimeout":
      return UnknownReason.Deadline({ after: deadline, of: "check" })
    default:
      return error.isConnectionFailure
        ? UnknownReason.Unreachable({ node: error.node ?? "the node", description: error.description })
        : UnknownReason.Failed({ description: error.message })
  }
}

/** Unknown for every check of a selection, before the first pass. */
export const notYetRun = (checks: ReadonlyArray<HealthCheck>, nowMillis: number): ReadonlyArray<Outcome> =>
  checks.map((check) => ({
    check: check.id,
    title: check.title,
    category: check.category,
    tier: check.tier,
    atMillis: nowMillis,
    millis: 0,
    findings: [],
    unknowns: [unknown(UnknownReason.NotYetRun({ description: "it has not run yet" }))] satisfies ReadonlyArray<Result>,
    measurements: []
  }))
