/**
 * Lanes: few connections on which short reads of many fibers follow one another.
 *
 * Most of what a small statement costs is its socket write, and statements that share a connection share the write. What
 * makes it safe: each statement ends with its own Sync, so it is its own transaction and its failure touches no other;
 * only reads enter, and the session is read only, since writes behind one another could wait for locks in a circle that
 * PostgreSQL cannot see; only statements that were measured to be short enter, and no more than are soon done; nothing
 * is ever cancelled here, an interrupted fiber just does not wait any more; what goes wrong with a lane, and not with the
 * statement, makes its reads run again on a connection of their own.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { BoundedCache } from "../internal/BoundedCache.ts"
import { DatabaseError } from "../DatabaseError.ts"
import { Histogram } from "../internal/Histogram.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import type { WireConnection } from "../internal/pg/WireConnection.ts"
import type { PoolCore, Slot } from "./Core.ts"

export interface LanesOptions {
  /** Lanes at most. They count in the pool's `max`. */
  readonly max: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  readonly fork: (effect: Effect.Effect<void>) => void
}

/** A statement enters when it is expected to take no longer than this, in milliseconds. */
const longestEntrantMs = 4

/** What waits in a lane together is expected to take no longer than this. */
const budgetMs = 5

/** So many wait for a connection before one of the connections becomes a lane. */
const crowd = 2

/** Statements in one lane at most. */
const maxDepth = 256

/** A lane that answered nothing for so long gets no more. */
const lateMs = 10

/** An empty lane is kept for so long although others wait for a connection: without it reads would queue behind those. */
const lingerMs = 250

/** And what waits behind its head is run elsewhere. */
const hedgeMs = 20

/** The server ends a statement that keeps a lane this long; it runs again on a connection of its own. */
const laneLimitMs = 1_000

/** A server that neither answers nor ends what it should have ended is not there. */
const silentMs = 3 * laneLimitMs

/** Weight of the newest measurement in the expectation: the last five or so matter. */
const weight = 0.2

/** The settings of a lane are not those of the pool's sessions. */
const seesSession = /\b(show|current_setting|pg_settings)\b/i

/** What a text is expected to take. */
interface Expectation {
  ms: number
  /** It was refused in a lane, so it is no read, whatever it looks like; or it would see that it is in one. */
  banned: boolean
}

/**
 * Takes a measurement in. One that is far out of line is more often a pause of this process than the statement's own, so
 * it counts as a few times what was expected: a statement that has become slow is known for it after four more.
 */
const note = (expectation: Expectation, ms: number): void => {
  expectation.ms += (Math.min(ms, 8 * expectation.ms + 1) - expectation.ms) * weight
}

interface Passenger {
  readonly query: Query
  readonly expectation: Expectation
  readonly cost: number
  /** Told once of a result, or that it has to run elsewhere. */
  readonly onDone: LaneDone
  /** The answer is of no interest any more. */
  gone: boolean
}

/** Called once; with "elsewhere" when the statement has to run again on a connection of its own. */
export type LaneDone = (outcome: Exit.Exit<ReadonlyArray<Result>, DatabaseError> | "elsewhere") => void

interface Lane {
  readonly slot: Slot<WireConnection>
  readonly passengers: Array<Passenger>
  /** What the session had before it became a lane. */
  readonly settings: Settings
  /** What those under way are expected to take, in milliseconds. */
  load: number
  /** When it last answered, or was empty. */
  progressAt: number
  /** `progressAt` when it was last looked at. */
  seenAt: number
  /** The most passengers since it was last looked at. */
  peak: number
}

/** What entering and leaving may take, in milliseconds, before the connection is dropped. */
const changeWithin = 5_000

/** The settings of a session that a lane changes. */
interface Settings {
  readonly read_only: string
  readonly timeout: string
  readonly timeout_ms: number
}

const look: Query = {
  text:
    "SELECT pg_catalog.current_setting('default_transaction_read_only') AS read_only, " +
    "pg_catalog.current_setting('statement_timeout') AS timeout, setting::int AS timeout_ms " +
    "FROM pg_catalog.pg_settings WHERE name = 'statement_timeout'",
  params: [],
  prepare: false,
  types: "stock"
}

const change = (readOnly: string, timeout: string): Query => ({
  text:
    "SELECT pg_catalog.set_config('default_transaction_read_only', $1, false), " +
    "pg_catalog.set_config('statement_timeout', $2, false)",
  params: [readOnly, timeout],
  prepare: false
})

export class Lanes {
  /** Milliseconds that the server took for each statement. */
  readonly times = new Histogram()
  private readonly core: PoolCore<WireConnection>
  private readonly options: LanesOptions
  private readonly lanes: Array<Lane> = []
  private readonly expectations = new BoundedCache<Expectation>(1_000)
  private opening = false
  private watching = false
  private closing = false
  private max: number

  constructor(core: PoolCore<WireConnection>, options: LanesOptions) {
    this.core = core
    this.options = options
    this.max = options.max
    core.onWaiting = () => {
      if (this.lanes.length > 0) this.watch()
    }
  }

  get size(): number {
    return this.lanes.length
  }

  /** Notes how long a read took on a connection of its own, in milliseconds. */
  learn(text: string, ms: number): void {
    const known = this.expectations.get(text)
    if (known === undefined) this.expectations.set(text, { ms, banned: seesSession.test(text) })
    else note(known, ms)
  }

  /**
   * Puts a read into a lane that can take it now and whose connection is accepted. The answer is a way to lose interest
   * in it; without one the statement has to take a connection of its own.
   */
  enqueue(
    query: Query,
    accepts: ((connection: WireConnection) => boolean) | undefined,
    onDone: LaneDone
  ): (() => void) | undefined {
    if (query.protocol === "simple" || this.max === 0) return undefined
    const expectation = this.expectations.get(query.text)
    if (expectation === undefined || expectation.banned || expectation.ms > longestEntrantMs) return undefined
    const now = this.options.now()
    for (const lane of this.lanes) {
      const { connection } = lane.slot
      if (this.hasRoom(lane, expectation.ms, now) && (accepts === undefined || accepts(connection))) {
        const passenger: Passenger = { query, expectation, cost: expectation.ms, onDone, gone: false }
        this.send(lane, passenger, now)
        return () => {
          passenger.gone = true
        }
      }
    }
    // Several wait, while they could share one.
    if (this.core.size.waiting >= crowd) this.open()
    return undefined
  }

  /** Other bounds for the pool: lanes above them are given back. */
  resize(max: number): void {
    this.max = max
    while (this.lanes.length > max) {
      const lane = this.lanes[0]
      if (lane === undefined) break
      this.retire(lane)
    }
  }

  /** Give back lanes that nobody crowds into; called about once a second. */
  maintain(): void {
    const now = this.options.now()
    for (const lane of [...this.lanes]) {
      if (lane.slot.connection.closed !== undefined) this.lose(lane)
      // While others wait, even reads that come one by one are better off here than behind them.
      else if ((lane.peak <= 1 && !this.core.hasWaiters) || now >= lane.slot.expiresAt) this.retire(lane)
      else lane.peak = lane.passengers.length
    }
  }

  /** Give all of them back; others take their place when they are wanted. */
  reset(): void {
    for (const lane of [...this.lanes]) this.retire(lane)
  }

  close(): void {
    this.closing = true
    this.reset()
  }

  private hasRoom(lane: Lane, ms: number, now: number): boolean {
    const { length } = lane.passengers
    if (lane.slot.connection.closed !== undefined) return false
    return length === 0 || (length < maxDepth && lane.load + ms <= budgetMs && now - lane.progressAt < lateMs)
  }

  private send(lane: Lane, passenger: Passenger, now: number): void {
    if (lane.passengers.length === 0) lane.progressAt = now
    lane.passengers.push(passenger)
    lane.load += passenger.cost
    if (lane.passengers.length > lane.peak) lane.peak = lane.passengers.length
    this.watch()
    lane.slot.connection.unsafeRun([passenger.query], { operation: "query" }, (error, results) =>
      this.arrived(lane, passenger, error, results)
    )
  }

  private arrived(
    lane: Lane,
    passenger: Passenger,
    error: DatabaseError | undefined,
    results: ReadonlyArray<Result>
  ): void {
    const { expectation } = passenger
    const now = this.options.now()
    // The server takes one after the other: this one had it since the one before was done.
    const ms = now - lane.progressAt
    this.times.record(ms)
    note(expectation, ms)
    lane.progressAt = now
    lane.load -= passenger.cost
    lane.passengers.shift()
    if (lane.slot.connection.closed !== undefined) this.lose(lane)
    if (passenger.gone) return
    passenger.gone = true
    if (error === undefined) return passenger.onDone(Exit.succeed(results))
    if (error.reason === "ReadOnly") expectation.banned = true
    // A timeout of its own the session would have had anyway.
    const { timeout_ms: timeout } = lane.settings
    const isOwn = error.reason === "StatementTimeout" && timeout > 0 && timeout <= laneLimitMs
    passenger.onDone(runsElsewhere(error) && !isOwn ? "elsewhere" : Exit.fail(error))
  }

  private open(): void {
    if (this.opening || this.closing || this.lanes.length >= this.max) return
    this.opening = true
    // Past those who wait: many of the next ones will not have to.
    this.core.checkout((outcome) => {
      if (outcome instanceof DatabaseError) {
        this.opening = false
        return
      }
      this.enter(outcome)
    }, "front")
  }

  private enter(slot: Slot<WireConnection>): void {
    const { connection } = slot
    const options = { operation: "lane", replyWithin: changeWithin }
    const giveUp = () => {
      this.opening = false
      this.core.release(slot)
    }
    connection.unsafeRun([look], options, (unseen, [result]) => {
      const settings: Settings | undefined = result?.rows[0]
      if (unseen !== undefined || settings === undefined) return giveUp()
      const timeout = settings.timeout_ms === 0 ? laneLimitMs : Math.min(settings.timeout_ms, laneLimitMs)
      connection.unsafeRun([change("on", String(timeout))], options, (failed) => {
        if (failed !== undefined) return giveUp()
        this.opening = false
        connection.depth = maxDepth
        slot.shared = true
        const lane: Lane = {
          slot,
          settings,
          passengers: [],
          load: 0,
          progressAt: this.options.now(),
          seenAt: 0,
          peak: 0
        }
        if (this.closing || this.lanes.length >= this.max) this.leave(lane)
        else this.lanes.push(lane)
      })
    })
  }

  /** Takes no more passengers; the connection goes back behind the last one. */
  private retire(lane: Lane): void {
    this.drop(lane)
    this.leave(lane)
  }

  private lose(lane: Lane): void {
    this.drop(lane)
    this.core.release(lane.slot)
  }

  private drop(lane: Lane): void {
    const index = this.lanes.indexOf(lane)
    if (index >= 0) this.lanes.splice(index, 1)
  }

  /** The settings are put back behind whatever is still under way; a session that keeps them is of no use to others. */
  private leave({ settings, slot }: Lane): void {
    const { connection } = slot
    const back = change(settings.read_only, settings.timeout)
    connection.unsafeRun([back], { operation: "lane", replyWithin: changeWithin }, (failed) => {
      connection.depth = 1
      if (failed !== undefined) connection.destroy("the settings of a lane could not be put back")
      this.core.release(slot)
    })
  }

  /** One sleeping fiber for all lanes looks after their heads while anything is under way. */
  private watch(): void {
    if (this.watching) return
    this.watching = true
    const look = Effect.sync(() => {
      const now = this.options.now()
      let busy = false
      for (const lane of [...this.lanes]) {
        if (lane.passengers.length === 0) {
          // Somebody waits for a connection, and nobody has needed this one for a while.
          if (this.core.hasWaiters && now - lane.progressAt >= lingerMs) this.retire(lane)
          continue
        }
        busy = true
        // Not before it was late twice: after a pause of this process the answers are there and not read yet.
        const late = now - lane.progressAt >= hedgeMs && lane.seenAt === lane.progressAt
        lane.seenAt = lane.progressAt
        if (!late) continue
        if (now - lane.progressAt >= silentMs) {
          lane.slot.connection.destroy(`a lane answered nothing for ${silentMs / 1000} seconds`)
          continue
        }
        for (const passenger of lane.passengers.slice(1)) {
          if (passenger.gone) continue
          passenger.gone = true
          passenger.onDone("elsewhere")
        }
      }
      busy ||= this.core.hasWaiters && this.lanes.length > 0
      this.watching = busy
      return busy
    })
    this.options.fork(Effect.asVoid(Effect.repeat(Effect.delay(look, hedgeMs), { while: (busy) => busy })))
  }
}

/** What happened to the lane, or because it is one, and not to the statement. */
const runsElsewhere = (error: DatabaseError): boolean =>
  error.isConnectionFailure ||
  error.reason === "ReadOnly" ||
  error.reason === "StatementTimeout" ||
  error.sqlState === "26000" ||
  error.sqlState === "0A000"
