/**
 * Runs statements on the connections of a pool, and lends the connections themselves.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { Accepts, Lease, PooledConnection, Restore } from "../ConnectionPool.ts"
import type { PoolSettings } from "../DatabaseConfig.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Query, RunOptions, Step } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import { isStalePlan } from "../internal/pg/StatementCache.ts"
import type { WireConnection } from "../internal/pg/WireConnection.ts"
import type { PoolCore, Slot, Ticket } from "./Core.ts"
import type { Lanes } from "./Lanes.ts"
import { askForOutcome, resolveTimeout } from "./xactStatus.ts"
import type { XactOutcome } from "./xactStatus.ts"

type Core = PoolCore<WireConnection>

/** How many connections may turn out to have been ended by the server while they were idle, before that is the answer. */
const idleDeaths = 3

type Answer = Exit.Exit<ReadonlyArray<Result>, DatabaseError>

/** What runs statements on the connections of a pool. */
export interface Running {
  readonly core: Core
  readonly lanes: Lanes
  readonly now: () => number
  /** Behind a pooler the end of its server's session says nothing of what that server had begun. */
  readonly pooler: PoolSettings["pooler"]
}

/**
 * Runs steps on a connection that is taken for them, without a fiber: the slot is given back by the wire, whatever
 * became of whoever asked. Returns how to abandon it at any moment from then on.
 */
const start = (
  { core, pooler }: Running,
  steps: ReadonlyArray<Step>,
  options: RunOptions,
  accepts: Accepts | undefined,
  onDone: (answer: Answer | "refused") => void
): (() => Effect.Effect<void>) => {
  let abandoned = false
  let abandon: Effect.Effect<void> = Effect.void
  const attempt = (deaths: number): void => {
    const onSlot = (outcome: Slot<WireConnection> | DatabaseError): void => {
      if (outcome instanceof DatabaseError) return onDone(Exit.fail(outcome))
      const slot = outcome
      const { connection } = slot
      if (accepts !== undefined && !accepts(connection)) {
        core.release(slot)
        return onDone("refused")
      }
      const send = (retry: boolean): void => {
        const exchange = connection.unsafeRun(steps, options, (error, results, unbegun) => {
          // What shares a Sync was undone as a whole; a script may have run up to where it failed.
          const again = !abandoned && error !== undefined
          if (again && retry && isStalePlan(error) && !exchange.isSimple) return send(false)
          core.release(slot)
          if (error === undefined) return onDone(Exit.succeed(results))
          // The server had ended the session before it saw the statement.
          const wasIdle = unbegun && connection.closed !== undefined && pooler === "none"
          if (again && wasIdle && deaths < idleDeaths) return attempt(deaths + 1)
          onDone(Exit.fail(error))
        })
        // It may be over already, and another attempt may have taken its place.
        if (exchange.state !== "settled") abandon = connection.abandon(exchange)
      }
      send(true)
    }
    const ticket: Ticket<WireConnection> = core.checkout(onSlot)
    if (ticket.state === "waiting") abandon = Effect.sync(() => core.withdraw(ticket))
  }
  attempt(0)
  return () => {
    abandoned = true
    return abandon
  }
}

export const run =
  (running: Running): PooledConnection["run"] =>
  (steps, options = {}) =>
    Effect.async((resume) => {
      const abandon = start(running, steps, options, undefined, (answer) => {
        if (answer !== "refused") resume(answer)
      })
      return Effect.suspend(abandon)
    })

/** In a lane where that is possible, else on a connection of its own, which shows whether the next one can use a lane. */
export const startRead = (
  running: Running,
  query: Query,
  accepts: Accepts | undefined,
  onDone: (answer: Answer | "refused") => void
): (() => Effect.Effect<void>) => {
  const { lanes, now } = running
  let abandoned = false
  let abandon: (() => Effect.Effect<void>) | undefined
  const alone = () => {
    if (abandoned) return
    let sentAt = 0
    const accepted: Accepts = (connection) => {
      sentAt = now()
      return accepts === undefined || accepts(connection)
    }
    abandon = start(running, [query], {}, accepted, (answer) => {
      if (answer !== "refused" && Exit.isSuccess(answer)) lanes.learn(query.text, now() - sentAt)
      onDone(answer)
    })
  }
  const leave = lanes.enqueue(query, accepts, (outcome) => (outcome === "elsewhere" ? alone() : onDone(outcome)))
  if (leave === undefined) alone()
  return () => {
    abandoned = true
    leave?.()
    return abandon === undefined ? Effect.void : abandon()
  }
}

export const use = <A, E, R>(
  running: Running,
  f: (connection: PooledConnection) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(lease(running, restore), ({ connection, release }) =>
      Effect.flatMap(Effect.exit(restore(f(connection))), (exit) => Effect.zipRight(release, exit))
    )
  )

export const reserve = (running: Running): Effect.Effect<PooledConnection, DatabaseError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(lease(running, restore), ({ connection, release }) =>
      // `Effect.addFinalizer` would carry the fiber's state along, which costs more than the rest of a checkout.
      Effect.flatMap(Effect.scope, (scope) => Effect.as(Scope.addFinalizer(scope, release), connection))
    )
  )

/** A connection at hand is taken at once. Only waiting for one is interruptible, and it gives back what came too late. */
export const lease = (running: Running, restore: Restore): Effect.Effect<Lease, DatabaseError> =>
  Effect.suspend(() => {
    const { core } = running
    let outcome: Slot<WireConnection> | DatabaseError | undefined
    let wake: ((lease: Effect.Effect<Lease, DatabaseError>) => void) | undefined
    const ticket = core.checkout((settled) => {
      outcome = settled
      wake?.(leased(running, settled))
    })
    if (outcome !== undefined) return leased(running, outcome)
    const wait = Effect.async<Lease, DatabaseError>((resume) => {
      if (outcome === undefined) wake = resume
      else resume(leased(running, outcome))
    })
    return Effect.onExit(restore(wait), (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) return
        core.withdraw(ticket)
        if (outcome !== undefined && !(outcome instanceof DatabaseError)) core.release(outcome)
      })
    )
  })

const leased = (
  { core, pooler }: Running,
  outcome: Slot<WireConnection> | DatabaseError
): Effect.Effect<Lease, DatabaseError> => {
  if (outcome instanceof DatabaseError) return Effect.fail(outcome)
  let isReleased = false
  return Effect.succeed({
    connection: outcome.connection,
    release: Effect.sync(() => {
      // The slot may be somebody else's by the second time.
      if (!isReleased) core.release(outcome, true)
      isReleased = true
    }),
    remind: (after, remind) => {
      outcome.reminder = { after, remind }
    },
    // A session with a pooler survives a crash of the server behind it, and so is no witness.
    outcomeOf: pooler === "none" ? outcomeOf(core, outcome.since) : () => Effect.succeedNone
  })
}

const witnessInterval = "10 millis"

/** Asks on a connection that was there before the transaction had its own, and waits for one while all are in use. */
const outcomeOf =
  (core: Core, since: number) =>
  (xid: string): Effect.Effect<Option.Option<XactOutcome>> => {
    const isWitness = ({ openedAt }: WireConnection) => openedAt <= since
    const attempt: Effect.Effect<Option.Option<XactOutcome>> = Effect.acquireUseRelease(
      Effect.sync(() => core.takeIdle(isWitness)),
      (slot): Effect.Effect<Option.Option<XactOutcome>, DatabaseError | "none is idle"> =>
        slot === undefined ? Effect.fail("none is idle") : askForOutcome(slot.connection, xid),
      (slot) => Effect.sync(() => slot !== undefined && core.release(slot))
    ).pipe(
      // A session that was ended meanwhile has said nothing that counts; others may know.
      Effect.catchAll(() => (core.has(isWitness) ? Effect.delay(attempt, witnessInterval) : Effect.succeedNone))
    )
    return Effect.timeoutTo(Effect.interruptible(attempt), {
      duration: resolveTimeout,
      onTimeout: Option.none,
      onSuccess: (outcome) => outcome
    })
  }
