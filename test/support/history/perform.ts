/**
 * Performs a whole history on a cluster: two clients, many sessions at a time, troubled servers, and the truth at the
 * end.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { PCGRandom } from "effect/Utils"
import { Database, QueryRouter, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { withinSeconds } from "../effects.ts"
import { check } from "./check.ts"
import type { Rule, Violation } from "./check.ts"
import { explain } from "./explain.ts"
import { restartPrimary, trouble } from "./faults.ts"
import type { History } from "./Operation.ts"
import { planSession } from "./plan.ts"
import { createSchema, playSession, readEntries } from "./play.ts"
import type { Client, Conduct, Stage } from "./play.ts"
import { Recorder } from "./Recorder.ts"

export interface Performance {
  readonly seed: number
  readonly lasts: Duration.DurationInput
  readonly conduct: Conduct
  /** Replicas that are only late, by this much each, instead of all that can happen to them. */
  readonly lateBy?: ReadonlyArray<Duration.DurationInput> | undefined
  /** Ends the performance when each of these was violated. */
  readonly until?: ReadonlyArray<Rule> | undefined
}

export interface Review {
  readonly history: History
  readonly violations: ReadonlyArray<Violation>
  /** Of the reads of sessions that were answered, how many a replica answered: 0 to 1. */
  readonly replicaShare: number
  /** Operations that failed or were given up. */
  readonly unknown: number
  readonly sessions: number
  /** One line about the whole. */
  readonly summary: string
  /** The first violation, for a person. */
  readonly explanation: string
}

/** Sessions at a time; each waits for the network most of its life. */
const workers = 12

const openClient = ({ replicaUrls, url }: EmbeddedPostgres.EmbeddedPostgres["Type"]) =>
  Effect.map(
    Layer.build(Database.layer({ url, replicaUrls, health: { background: false }, maxConnections: 12 })),
    (services): Client => ({
      sql: Context.get(services, PgClient.PgClient),
      router: Context.get(services, QueryRouter.QueryRouter),
      transaction: Context.get(services, Transaction.Transaction)
    })
  )

export const perform = ({ conduct, lasts, seed, lateBy, until }: Performance) =>
  Effect.gen(function* () {
    const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
    const clients = [yield* openClient(cluster), yield* openClient(cluster)] as const
    const recorder = new Recorder()
    const nodes = new Map([cluster.primary, ...cluster.replicas].map((node) => [node.port, node.name]))
    const stage: Stage = { clients, recorder, nodes, conduct }
    const [{ sql }] = clients
    yield* createSchema(sql)
    yield* Effect.forEach(clients, (client) => allNodesServe(client, cluster), { discard: true })

    let sessions = 0
    const worker = (number: number) =>
      Effect.iterate(0, {
        while: () => true,
        body: (session) => {
          sessions++
          const plan = planSession(new PCGRandom(seed, number, session))
          return Effect.as(playSession(stage, `session ${number}.${session}`, plan), session + 1)
        }
      })
    const disturb =
      lateBy === undefined
        ? Effect.all(
            [
              ...cluster.replicas.map((node, index) =>
                trouble(node, new PCGRandom(seed, 1_000 + index), clients[0], recorder)
              ),
              Effect.zipRight(
                Effect.sleep(Duration.times(lasts, 0.6)),
                Effect.zipRight(restartPrimary(cluster.primary, recorder), Effect.never)
              )
            ],
            { concurrency: "unbounded" }
          )
        : Effect.acquireUseRelease(
            Effect.forEach(cluster.replicas, (node, index) => node.delay(lateBy[index] ?? 0)),
            () => Effect.never,
            () => Effect.orDie(Effect.forEach(cluster.replicas, (node) => node.delay(0)))
          )
    const troubles = yield* Effect.fork(disturb)
    const performed = Effect.all(
      Array.from({ length: workers }, (_, number) => worker(number)),
      { concurrency: "unbounded", discard: true }
    )
    yield* Effect.timeoutOption(
      until === undefined ? performed : Effect.raceFirst(performed, violated(until, recorder)),
      lasts
    )
    yield* Fiber.interrupt(troubles)

    const entries = yield* QueryRouter.onPrimary(readEntries(sql))
    const history: History = { operations: recorder.operations, entries }
    const violations = check(history)
    return review({ history, violations, sessions, recorder, seed, primary: cluster.primary.name })
  }).pipe(Effect.scoped)

const violated = (rules: ReadonlyArray<Rule>, { operations }: Recorder) =>
  Effect.sync(() => {
    const found = check({ operations, entries: [] }).map(({ rule }) => rule)
    return rules.every((rule) => found.includes(rule))
  }).pipe(Effect.repeat({ until: (all) => all, schedule: Schedule.spaced("250 millis") }))

/** The monitor has seen all nodes, and the schema has reached them. */
const allNodesServe = ({ sql }: Client, { primary }: EmbeddedPostgres.EmbeddedPostgres["Type"]) =>
  withinSeconds(
    10,
    sql<{ port: number }>`SELECT pg_catalog.inet_server_port() AS port FROM counters LIMIT 1`.pipe(
      QueryRouter.onReplica,
      Effect.map(([row]) => row !== undefined && row.port !== primary.port),
      Effect.orElseSucceed(() => false)
    )
  )

const review = (seen: {
  readonly history: History
  readonly violations: ReadonlyArray<Violation>
  readonly sessions: number
  readonly recorder: Recorder
  readonly seed: number
  readonly primary: string
}): Review => {
  const { history, primary, recorder, seed, sessions, violations } = seen
  const { operations } = history
  const answered = operations.flatMap(({ kind, level, outcome }) =>
    kind === "read" && level === "session" && outcome._tag === "Done" ? [outcome.observation.node] : []
  )
  const byReplica = answered.filter((node) => node !== primary).length
  const writes = operations.filter(({ kind, outcome }) => kind === "write" && outcome._tag === "Done").length
  const unknown = operations.filter(({ outcome }) => outcome._tag === "Unknown").length
  const replicaShare = byReplica / Math.max(1, answered.length)
  return {
    history,
    violations,
    replicaShare,
    unknown,
    sessions,
    summary:
      `seed ${seed}: ${sessions} sessions, ${operations.length} operations, ${writes} writes, ${answered.length} session ` +
      `reads of which ${Math.round(100 * replicaShare)} % on replicas, ${unknown} unknown, ` +
      `${recorder.incidents.length} incidents, ${violations.length} violations`,
    explanation: explain(violations, operations, recorder.incidents, seed)
  }
}
