/**
 * Runs statements and leases connections on the nodes that may serve them.
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { PCGRandom } from "effect/Utils"
import { forkBackground, makeFork } from "../internal/forkBackground.ts"
import * as ConnectionPool from "../ConnectionPool.ts"
import type { Lease, PooledConnection, Restore } from "../ConnectionPool.ts"
import * as Client from "../DatabaseClient/make.ts"
import { askForOutcome, resolveTimeout } from "../ConnectionPool/xactStatus.ts"
import * as DatabaseErrors from "../DatabaseError.ts"
import { DatabaseError } from "../DatabaseError.ts"
import { monotonicMillis } from "../internal/monotonicMillis.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import { mayWrite, refusal } from "../internal/SqlBackend.ts"
import type { Intent, SqlBackend } from "../internal/SqlBackend.ts"
import type { Listener } from "../Listener.ts"
import type { NodeMonitor } from "../NodeMonitor.ts"
import type { Options, QueryRouter } from "../QueryRouter.ts"
import * as SqlClassifier from "../SqlClassifier.ts"
import { chooseForRead } from "./choose.ts"
import type { Choice, Chooser } from "./choose.ts"
import { CurrentSession, Routing, Sessions } from "./context.ts"
import { identify, RoutedNode, TrackedConnection } from "./RoutedNode.ts"
import { Session } from "./Session.ts"
import * as Token from "./token.ts"
import { Positions, primaryOf } from "./topology.ts"

/** The catalogue is read again when a statement is unknown, but not more often than this. */
const refreshGapMs = 1_000

/** And without a reason, because others may have changed a function. */
const refreshInterval = "1 minute"

/** How often the primary's position is noted. */
const positionInterval = "100 millis"

/** How long a refused write waits for the monitor to find the new primary. */
const reprobeTimeout = "1 second"

/** A token that cannot be placed sooner is taken as of its receipt by whoever gets it. */
const tokenTimeout = "1 second"

const changesSchema = /^\s*(create|alter|drop)\b/i

interface Caller {
  readonly session: Session
  readonly routing: Routing["Type"]
}

export const makeBackend = (
  monitor: NodeMonitor["Type"],
  listener: Listener["Type"],
  options: Options
): Effect.Effect<
  { readonly backend: SqlBackend; readonly service: QueryRouter["Type"] },
  DatabaseError,
  Scope.Scope | Reactivity.Reactivity
> =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = () => monotonicMillis(clock)
    const jitter = new PCGRandom(yield* Random.nextInt)
    const fork = yield* makeFork<Reactivity.Reactivity>()
    const alone = monitor.nodes.length === 1
    const nodes = yield* Effect.forEach(monitor.nodes, (monitored, index) => {
      const identities = new WeakMap<PooledConnection, string>()
      return Effect.map(
        ConnectionPool.make({
          target: monitored.target,
          settings: options.pool,
          lazy: index > 0,
          types: options.types,
          onOpen: alone ? undefined : identify(identities)
        }),
        (pool) => new RoutedNode(monitored, pool, identities, now)
      )
    })
    const [configured] = nodes
    if (configured === undefined) return yield* Effect.dieMessage("a router needs at least one node")

    const router = {}
    const root = new Session()
    const positions = new Positions()
    const chooser: Chooser = { nodes, positions, settings: options.router, random: () => jitter.number() }
    const counts = new Map<string, { readonly node: string; readonly reason: string; count: number }>()

    const count = (node: RoutedNode, reason: string): void => {
      const key = `${node.name}\n${reason}`
      const entry = counts.get(key)
      if (entry === undefined) counts.set(key, { node: node.name, reason, count: 1 })
      else entry.count++
    }

    const primary = (): Either.Either<RoutedNode, DatabaseError> => {
      if (alone) return Either.right(configured)
      return Either.map(
        primaryOf(
          nodes.map((node) => node.monitored),
          configured.monitored
        ),
        (found) => {
          const node = nodes.find((candidate) => candidate.monitored === found) ?? configured
          if (node.sample !== undefined) positions.record(node.sample)
          return node
        }
      )
    }

    const callerOf = (context: Context.Context<never>): Caller => ({
      session: Option.match(Context.get(context, CurrentSession), {
        onNone: () => root,
        onSome: (sessions) => sessions.of(router)
      }),
      routing: Context.get(context, Routing)
    })

    // The catalogue, through a client on whichever node is the primary.
    const catalogClient = yield* Client.make(
      {
        target: configured.pool.target,
        keepsSessions: configured.pool.keepsSessions,
        name: configured.name,
        mayWrite: () => false,
        run: (query) => Effect.flatMap(primary(), ({ pool }) => pool.run([{ ...query, types: "stock" }])),
        batch: (queries) => Effect.flatMap(primary(), ({ pool }) => pool.run(queries, { batchFrom: 0 })),
        lease: (_, restore) => Effect.flatMap(primary(), ({ pool }) => pool.lease(restore)),
        capacity: Effect.succeed(options.pool.max)
      },
      listener,
      {}
    )
    const loadCatalog = Effect.provide(SqlClassifier.loadCatalog, catalogClient)
    const classifier = SqlClassifier.make(
      alone ? SqlClassifier.builtin : yield* Effect.mapError(loadCatalog, DatabaseErrors.from)
    )
    let refreshedAt = now()
    const refresh = Effect.suspend(() => {
      refreshedAt = now()
      return Effect.map(loadCatalog, classifier.replaceCatalog)
    }).pipe(Effect.catchAll((error) => Effect.logDebug("The catalogue could not be read", error)))
    if (!alone) {
      // Also while nothing is routed: what a replica lags behind is measured from when the primary went ahead.
      yield* forkBackground(Effect.schedule(Effect.sync(primary), Schedule.spaced(positionInterval)))
      yield* forkBackground(Effect.schedule(refresh, Schedule.spaced(refreshInterval)))
      yield* forkBackground(
        Stream.runForEach(monitor.changes, ({ after, node }) => {
          const routed = nodes.find((candidate) => candidate.monitored === node)
          if (routed === undefined) return Effect.void
          if (after._tag !== "Down") return routed.pool.nodeIs("up")
          // Whatever still waits for an answer of a node that is gone would wait for a long time.
          return Effect.zipRight(
            Effect.logWarning(`${node.name} is down: ${after.error.description}`),
            routed.pool.nodeIs("down")
          )
        })
      )
    }

    const classify = (sql: string): SqlClassifier.Classification => {
      const classification = classifier.classify(sql)
      if (classification.class === "unknown" && !alone && now() - refreshedAt > refreshGapMs) {
        refreshedAt = now()
        fork(refresh)
      }
      return classification
    }

    const onNode = (node: RoutedNode, session: Session, work: Effect.Effect<ReadonlyArray<Result>, DatabaseError>) =>
      alone ? work : node.track(session, work)

    /** Some when a node has just shown to be a primary, none when that takes too long. */
    const reprobe = Effect.suspend(() => {
      const moment = now()
      return Effect.raceAll(
        monitor.nodes.map((node) =>
          Effect.flatMap(monitor.sampleAfter(node, moment), ({ role }) =>
            role === "primary" ? Effect.void : Effect.never
          )
        )
      )
    }).pipe(Effect.timeoutOption(reprobeTimeout))

    /**
     * The primary, once it answers. What waits here instead of in the pool of a node that is down has not been sent,
     * and goes to whichever node takes over.
     */
    const answering: Effect.Effect<RoutedNode, DatabaseError> = Effect.suspend(() => {
      const found = primary()
      if (Either.isLeft(found)) return found
      const { name } = found.right
      const { status } = found.right.monitored
      if (status._tag !== "Down") return found
      return Effect.flatMap(reprobe, (shown) =>
        Option.isSome(shown) ? primary() : Effect.fail(noPrimary(name, status.error))
      )
    })

    const write = (
      queries: ReadonlyArray<Query>,
      session: Session,
      reason: string,
      again = true
    ): Effect.Effect<ReadonlyArray<Result>, DatabaseError> =>
      Effect.flatMap(answering, (node) => {
        count(node, reason)
        const run = onNode(node, session, node.pool.run(queries, queries.length === 1 ? {} : { batchFrom: 0 }))
        if (alone) return run
        return Effect.onExit(run, (exit) => {
          if (Exit.isSuccess(exit) && queries.some(({ text }) => changesSchema.test(text))) fork(refresh)
          return monitor.wake
        }).pipe(
          Effect.catchIf(
            // The statement did nothing: the node is a standby by now.
            (error) => again && error.reason === "ReadOnly",
            () => Effect.zipRight(reprobe, write(queries, session, "found after a failover", false))
          )
        )
      })

    const read = (query: Query, caller: Caller): Effect.Effect<ReadonlyArray<Result>, DatabaseError> =>
      Effect.flatMap(primary(), (node) => {
        const choice = chooseForRead(chooser, { ...caller, primary: node, now: now() })
        if (choice.node === node) {
          return Effect.flatMap(answering, (answers) => {
            count(answers, choice.reason)
            return onNode(answers, caller.session, answers.pool.read(query))
          })
        }
        return Effect.catchAll(onReplica(choice, query, caller), (error) => {
          if (refusedByStandby(error)) {
            classifier.learn(query.text)
            return write([query], caller.session, "a standby refused it")
          }
          if (!error.isConnectionFailure && error.reason !== "RecoveryConflict" && error.reason !== "AcquireTimeout") {
            return Effect.fail(error)
          }
          // Out until a sample that is newer than this failure; so each replica is tried at most once.
          choice.node.eject()
          return read(query, caller)
        })
      })

    const onReplica = (choice: Choice, query: Query, caller: Caller) => {
      const { node, vouchedBy } = choice
      if (vouchedBy === undefined) {
        count(node, choice.reason)
        return onNode(node, caller.session, node.pool.read(query))
      }
      // Counted as seen before there is a connection, so that what the session reads meanwhile goes to the same node.
      const vouched = node.pool.readIf((connection) => node.vouchesFor(connection, vouchedBy), query)
      return Effect.flatMap(
        node.track(caller.session, vouched),
        Option.match({
          onNone: () => write([query], caller.session, "the replica's connection is newer than its sample"),
          onSome: (results) => {
            count(node, choice.reason)
            return Effect.succeed(results)
          }
        })
      )
    }

    const refusedBy = (queries: ReadonlyArray<Query>) =>
      refusal(queries, classify, { operation: "route", node: configured.name })

    const run: SqlBackend["run"] = (query) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const { class: kind, reason } = classify(query.text)
        const refused = kind === "session" ? refusedBy([query]) : undefined
        if (refused !== undefined) return Effect.fail(refused)
        const caller = callerOf(context)
        if (alone) return kind === "read" ? configured.pool.read(query) : configured.pool.run([query])
        return kind === "read" ? read(query, caller) : write([query], caller.session, `${kind}: ${reason}`)
      })

    const batch: SqlBackend["batch"] = (queries) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const refused = refusedBy(queries)
        if (refused !== undefined) return Effect.fail(refused)
        return write(queries, callerOf(context).session, "a batch")
      })

    /** What runs on the connection is the session's, and a write wakes the monitor. */
    const hold = (node: RoutedNode, session: Session, lease: Lease, onDone: () => void): Lease => {
      if (alone) return lease
      const since = now()
      return {
        connection: new TrackedConnection(lease.connection, node, session, onDone),
        release: lease.release,
        remind: lease.remind,
        outcomeOf: (xid) =>
          Effect.flatMap(lease.outcomeOf(xid), (outcome) =>
            Option.isSome(outcome) ? Effect.succeed(outcome) : outcomeByMonitor(node, since, xid)
          )
      }
    }

    /** Any connection may answer while the monitor's own, older than the transaction, shows that no crash lies between. */
    const outcomeByMonitor = (node: RoutedNode, since: number, xid: string) =>
      node.pool
        .use((connection) =>
          Effect.flatMap(askForOutcome(connection, xid), (outcome) =>
            Effect.map(monitor.sampleAfter(node.monitored, now()), (sample) =>
              sample.connectionOpenedAt <= since && node.vouchesFor(connection, sample) ? outcome : Option.none()
            )
          )
        )
        .pipe(
          Effect.catchAll(() => Effect.succeedNone),
          Effect.interruptible,
          Effect.timeoutTo({ duration: resolveTimeout, onTimeout: Option.none, onSuccess: (outcome) => outcome })
        )

    /** A connection of the chosen replica, if the node's sample holds for it. */
    const leaseVouched = ({ node, reason, vouchedBy }: Choice, session: Session, restore: Restore) =>
      Effect.flatMap(node.pool.lease(restore), (lease) => {
        if (vouchedBy !== undefined && !node.vouchesFor(lease.connection, vouchedBy)) {
          return Effect.as(lease.release, undefined)
        }
        count(node, reason)
        return Effect.succeed(hold(node, session, lease, () => {}))
      })

    const isReadIntent = (intent: Intent): boolean =>
      "sql" in intent ? classify(intent.sql).class === "read" : intent.access === "read only"

    const lease: SqlBackend["lease"] = (intent, restore) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const caller = callerOf(context)
        return Effect.flatMap(primary(), (node) => {
          const choice = isReadIntent(intent)
            ? chooseForRead(chooser, { ...caller, primary: node, now: now() })
            : { node, reason: "a transaction that may write", vouchedBy: undefined }
          const onPrimary = Effect.flatMap(restore(answering), (answers) =>
            Effect.map(answers.pool.lease(restore), (held) =>
              hold(answers, caller.session, held, () => {
                fork(monitor.wake)
              })
            )
          )
          if (choice.node === node) {
            count(node, choice.reason)
            return onPrimary
          }
          return leaseVouched(choice, caller.session, restore).pipe(
            Effect.catchAll((error) => {
              if (error.isConnectionFailure) choice.node.eject()
              return Effect.succeed(undefined)
            }),
            Effect.flatMap((held) => (held === undefined ? onPrimary : Effect.succeed(held)))
          )
        })
      })

    const token = Effect.contextWithEffect((context: Context.Context<never>) => {
      const { session } = callerOf(context)
      const settled: Effect.Effect<Option.Option<string>> = Effect.suspend(() => {
        const current = Either.getOrElse(primary(), () => configured)
        const open = session.settle(current.monitored, now())
        if (open === undefined) return Effect.succeed(Option.map(Option.fromNullable(session.floor), Token.encode))
        // A statement that still runs has seen everything up to its end, which is not before now.
        return Effect.zipRight(monitor.sampleAfter(open, session.settlesAfter(open) ?? now()), settled)
      })
      return alone
        ? Effect.succeedNone
        : Effect.map(
            Effect.timeoutOption(Effect.interruptible(settled), tokenTimeout),
            Option.getOrElse(() => Option.some(Token.asOfReceipt))
          )
    })

    const withToken: QueryRouter["Type"]["withToken"] = (effect, text) =>
      Effect.flatMap(CurrentSession, (enclosing) => {
        const session = new Session()
        const current = Either.getOrElse(primary(), () => configured)
        const { sample } = current
        const floor = Option.getOrUndefined(Token.decode(text))
        const placed =
          floor !== undefined &&
          sample !== undefined &&
          floor.systemIdentifier === sample.systemIdentifier &&
          floor.timeline <= sample.timeline &&
          floor.lsn <= sample.lsn
        if (placed) session.floor = floor
        else session.sawAsOf(current.monitored, now())
        return Effect.provideService(
          effect,
          CurrentSession,
          Option.some(Option.getOrElse(enclosing, () => new Sessions()).with(router, session))
        )
      })

    const explain: QueryRouter["Type"]["explain"] = (sql) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const { class: kind, reason } = classify(sql)
        return Effect.map(primary(), (node) => {
          const choice =
            kind === "read"
              ? chooseForRead(chooser, { ...callerOf(context), primary: node, now: now() })
              : {
                  node,
                  reason: kind === "session" ? "refused: it changes a session" : "everything but reads is the primary's"
                }
          return { class: kind, reason, node: choice.node.name, decision: choice.reason }
        })
      })

    return {
      backend: {
        target: configured.pool.target,
        keepsSessions: configured.pool.keepsSessions,
        name: configured.name,
        mayWrite: mayWrite(classify),
        run,
        batch,
        lease,
        capacity: Effect.succeed(options.pool.max)
      },
      service: {
        explain,
        decisions: Effect.sync(() => [...counts.values()].map((entry) => ({ ...entry }))),
        token,
        withToken,
        pools: Effect.sync(() => nodes.map(({ pool }) => pool))
      }
    }
  })

/** 25006, or one of the many ways in which a standby says that something is not possible during recovery. */
const refusedByStandby = (error: DatabaseError): boolean =>
  error.reason === "ReadOnly" ||
  // 0A000, 55000, and XX000 for what nobody thought of: "cannot make new WAL entries during recovery".
  (["0A000", "55000", "XX000"].includes(error.sqlState ?? "") && /recovery|standby/i.test(error.description))

const noPrimary = (node: string, cause: DatabaseError): DatabaseError =>
  new DatabaseError({
    reason: cause.reason,
    operation: "route",
    description: `the primary is down and no other node has taken over (${cause.description})`,
    node,
    cause
  })
