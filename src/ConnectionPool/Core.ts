/**
 * The pool's structure: who has which connection and who waits, all of it synchronous.
 *
 * Idle connections are a stack (the warmest first), waiters an intrusive list (first come, first served), and one
 * sleeping fiber keeps all their deadlines. A fiber suspends only when it has to wait. Whoever holds a slot is known
 * to the structure and not to a fiber, so an interruption at any moment can lose none.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { DatabaseError } from "../DatabaseError.ts"
import { Histogram } from "../internal/Histogram.ts"
import { currentHolder, holderInWords } from "./holder.ts"
import type { Holder } from "./holder.ts"
import { WaitList } from "./WaitList.ts"
import type { Priority, Waiter } from "./WaitList.ts"
import { Opener } from "./Opener.ts"

/** What the structure needs to know of a connection. */
export interface Poolable {
  /** Why it is unusable, once it is. */
  readonly closed: DatabaseError | undefined
  /** Called by the connection once, when it dies. */
  onClosed: (() => void) | undefined
}

/** What the structure asks to be done with connections. */
export interface Driver<C extends Poolable> {
  readonly open: Effect.Effect<C, DatabaseError>
  /** A cheap round trip; fails when the connection is of no use any more. */
  readonly check: (connection: C) => Effect.Effect<void, DatabaseError>
  /** `clean` can be handed on as it is, `open` has a transaction to roll back, `busy` still runs something. */
  readonly condition: (connection: C) => "clean" | "open" | "busy"
  /** Close at once if it waits for an answer that should have come. */
  readonly dropOverdue: (connection: C) => void
  /** Undo what its holder changed of the session; none where that is kept. */
  readonly reset: ((connection: C) => Effect.Effect<void, DatabaseError>) | undefined
  /** Roll back what was left open. */
  readonly restore: (connection: C) => Effect.Effect<void, DatabaseError>
  readonly end: (connection: C) => Effect.Effect<void>
  /** Close at once, failing whatever runs. */
  readonly drop: (connection: C) => void
}

/** Milliseconds throughout. */
export interface Limits {
  readonly min: number
  readonly max: number
  readonly maxWaiting: number
  readonly acquireTimeout: number
  readonly idleTimeout: number
  readonly maxLifetime: number
  readonly validateAfter: number
  readonly leakAfter: number
  readonly connectConcurrency: number
}

/** A place in the pool and the connection in it. */
export interface Slot<C> {
  readonly connection: C
  readonly expiresAt: number
  /** Of the pool when it was opened. */
  readonly generation: number
  state: "idle" | "used" | "repair" | "gone"
  /** When it entered its state. */
  since: number
  /** A lane: nobody holds it for long, though it is held. */
  shared: boolean
  /** It was reported as held for long. */
  reported: boolean
  /** Who has it. */
  holder: Holder
  /** Who wants to be told that it has been held for long. */
  reminder: Reminder | undefined
}

/** Called once, when a slot has been held for so many milliseconds. */
export interface Reminder {
  readonly after: number
  readonly remind: (heldForMs: number) => Effect.Effect<void>
}

/** Whoever waits for a slot. Called once, with a slot or with the reason why there is none. */
export type OnSlot<C> = (outcome: Slot<C> | DatabaseError) => void

export interface Ticket<C> extends Waiter {
  readonly onSlot: OnSlot<C>
  readonly holder: Holder
  state: "waiting" | "settled"
}

/** Why a connection left the pool. */
export type CloseReason = "idle" | "lifetime" | "lost" | "invalid" | "busy" | "shrunk" | "reset" | "closed"

export interface Environment<C> {
  readonly name: string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly fork: (effect: Effect.Effect<void>) => void
  /** Of the fiber that asks; read only when it has to wait. */
  readonly priority: () => Priority
  /** A slot is held for longer than `leakAfter`. */
  readonly onLongHeld: (slot: Slot<C>, ms: number) => void
}

/** Share of the lifetime by which connections differ, so that a fleet does not reconnect at once (HikariCP: 2.5 %, pgx: jitter option). */
const lifetimeJitter = 0.1

/** Weight of the newest use in what the next one is expected to take. */
const useWeight = 0.1

/** So many uses in a row have to be known before anybody is refused for them. */
const leastUses = 10

/** A waiter is refused when its predicted wait is so many times its deadline: what is predicted is only a mean. */
const hopeless = 2

export class PoolCore<C extends Poolable> {
  readonly counters = {
    opened: 0,
    connectFailures: 0,
    acquired: 0,
    timeouts: 0,
    refused: 0,
    leaks: 0,
    closed: { idle: 0, lifetime: 0, lost: 0, invalid: 0, busy: 0, shrunk: 0, reset: 0, closed: 0 }
  }
  /** Milliseconds to get a connection, and those of its use. */
  readonly times = { acquire: new Histogram(), use: new Histogram() }
  /** Somebody has begun to wait. */
  onWaiting: (() => void) | undefined
  private limits: Limits
  private readonly driver: Driver<C>
  private readonly environment: Environment<C>
  private readonly idle: Array<Slot<C>> = []
  private readonly slots = new Set<Slot<C>>()
  private readonly waiters = new WaitList<Ticket<C>>()
  /** What a use is expected to take, by how many of them, and when the last one ended. */
  private useMs = 0
  private uses = 0
  private usedAt = 0
  /** Connections of an earlier one are replaced. */
  private generation = 0
  private readonly opener: Opener<C>
  private deadlineArmed = false
  private closing = false
  private onDrained: (() => void) | undefined

  constructor(limits: Limits, driver: Driver<C>, environment: Environment<C>) {
    this.limits = limits
    this.driver = driver
    this.environment = environment
    this.opener = new Opener<C>({
      node: environment.name,
      open: driver.open,
      concurrency: limits.connectConcurrency,
      now: environment.now,
      random: environment.random,
      fork: environment.fork,
      onOpened: (connection, generation) => this.adopt(connection, generation),
      onFailed: (error, startedAt) => this.connectFailed(error, startedAt),
      onReady: () => this.refill()
    })
  }

  get size() {
    const idle = this.idle.length
    return {
      total: this.slots.size,
      idle,
      used: this.slots.size - idle,
      opening: this.opener.pending,
      waiting: this.waiters.length
    }
  }

  /** Milliseconds to open a connection. */
  get openTimes(): Histogram {
    return this.opener.times
  }

  get holders(): ReadonlyArray<Slot<C>> {
    return [...this.slots].filter((slot) => slot.state === "used" && !slot.shared)
  }

  /** Ask for a slot. `onSlot` may be called before this returns. */
  checkout(onSlot: OnSlot<C>, end: "front" | "back" = "back"): Ticket<C> {
    const { environment, limits, waiters } = this
    const slot = this.closing || waiters.length > 0 ? undefined : this.idle.pop()
    const ticket: Ticket<C> = {
      onSlot,
      holder: currentHolder(),
      priority: slot === undefined ? environment.priority() : "normal",
      since: environment.now(),
      state: "waiting",
      previous: undefined,
      next: undefined
    }
    if (slot !== undefined) {
      this.hand(slot, ticket)
    } else if (this.closing) {
      this.settle(ticket, this.failure("PoolClosed", "the pool is closed"))
    } else if (this.idle.length === 0 && waiters.length >= limits.maxWaiting) {
      this.refuse(ticket, `${waiters.length} others already wait (maxWaiting)`)
    } else {
      const predicted = this.predictedWait(ticket.priority)
      if (predicted > hopeless * limits.acquireTimeout) {
        this.refuse(
          ticket,
          `it would wait for about ${Math.round(predicted)} ms, and acquireTimeout is ${limits.acquireTimeout} ms: ${this.queueInWords()}`
        )
      } else {
        waiters.push(ticket, end)
        this.serve()
        this.refill()
        this.armDeadline()
        this.onWaiting?.()
      }
    }
    return ticket
  }

  get hasWaiters(): boolean {
    return this.waiters.length > 0
  }

  get connections(): ReadonlyArray<C> {
    return [...this.slots].map(({ connection }) => connection)
  }

  /** Whether any open connection fits. */
  has(fits: (connection: C) => boolean): boolean {
    return [...this.slots].some(({ connection }) => connection.closed === undefined && fits(connection))
  }

  /** Take an idle slot whose connection fits, past everybody who waits; undefined when there is none. */
  takeIdle(fits: (connection: C) => boolean): Slot<C> | undefined {
    const slot = this.idle.find(({ connection }) => fits(connection))
    if (slot === undefined) return undefined
    this.idle.splice(this.idle.indexOf(slot), 1)
    this.lend(slot, currentHolder(), this.environment.now())
    return slot
  }

  /** Stop waiting. A slot that arrives later is not handed to this ticket. */
  withdraw(ticket: Ticket<C>): void {
    if (ticket.state === "settled") return
    ticket.state = "settled"
    this.waiters.remove(ticket)
  }

  /**
   * Give a slot back. Only a clean connection is handed on: an open transaction is rolled back first, and a session that
   * was `lent`, so that anything may have been done to it, is reset where the driver does that.
   */
  release(slot: Slot<C>, lent = false): void {
    if (slot.state !== "used") return
    // What many shared was not used by anybody for so long.
    if (slot.shared) slot.shared = false
    else this.used(this.environment.now() - slot.since)
    slot.holder = undefined
    slot.reminder = undefined
    if (slot.connection.closed !== undefined) return this.remove(slot, "lost")
    switch (this.driver.condition(slot.connection)) {
      case "clean":
        return lent ? this.reset(slot) : this.park(slot)
      case "busy":
        return this.remove(slot, "busy")
      case "open": {
        this.counters.leaks++
        this.repair(slot, this.driver.restore(slot.connection), () => this.reset(slot))
      }
    }
  }

  /** Open connections that are missing for the waiters and for the minimum. */
  refill(): void {
    if (this.closing) return
    const { max, min } = this.limits
    const missing = Math.min(max - this.slots.size, Math.max(this.waiters.length, min - this.slots.size))
    this.opener.ask(missing - this.opener.pending, this.generation)
  }

  /** The server is known to answer again: connect without waiting for the end of the backoff. */
  retryNow(): void {
    this.opener.forgive()
    this.refill()
  }

  /** Close what idled, lived or kept its holder waiting too long, then refill; called about once a second. */
  maintain(): void {
    const now = this.environment.now()
    for (const slot of this.slots) {
      if (slot.state !== "used") continue
      this.driver.dropOverdue(slot.connection)
      const { reminder } = slot
      if (reminder !== undefined && now - slot.since >= reminder.after) {
        slot.reminder = undefined
        this.environment.fork(reminder.remind(now - slot.since))
      }
      if (now - slot.since >= this.limits.leakAfter && !slot.shared && !slot.reported) {
        slot.reported = true
        this.environment.onLongHeld(slot, now - slot.since)
      }
    }
    for (const slot of [...this.idle]) {
      if (now >= slot.expiresAt) this.remove(slot, "lifetime")
      else if (now - slot.since >= this.limits.idleTimeout && this.slots.size > this.limits.min) {
        this.remove(slot, "idle")
      }
    }
    this.refill()
  }

  resize(size: { readonly min: number; readonly max: number }): void {
    this.limits = { ...this.limits, ...size }
    while (this.slots.size > size.max) {
      const slot = this.idle[0]
      if (slot === undefined) break
      this.remove(slot, "shrunk")
    }
    this.refill()
  }

  /** Replace every connection: the idle ones now, those in use when they come back. */
  replaceAll(): void {
    this.generation++
    for (const slot of [...this.idle]) this.remove(slot, "reset")
  }

  /** Refuse new work, fail the waiters, end the idle; `onDrained` is called when the last used slot is back. */
  close(onDrained: () => void): void {
    this.closing = true
    this.onDrained = onDrained
    for (let ticket = this.waiters.shift(); ticket !== undefined; ticket = this.waiters.shift()) {
      this.settle(ticket, this.failure("PoolClosed", "the pool was closed"))
    }
    for (const slot of [...this.idle]) this.remove(slot, "closed")
    this.drained()
  }

  /** Drop every connection at once, those in use too: what runs on them fails as lost. */
  evict(reason: "closed" | "lost"): void {
    for (const slot of [...this.slots]) {
      this.driver.drop(slot.connection)
      this.remove(slot, reason)
    }
  }

  private hand(slot: Slot<C>, ticket: Ticket<C>): void {
    const now = this.environment.now()
    const idleFor = now - slot.since
    if (idleFor <= this.limits.validateAfter) {
      this.lend(slot, ticket.holder, now)
      this.counters.acquired++
      this.times.acquire.record(now - ticket.since)
      return this.settle(ticket, slot)
    }
    this.waiters.push(ticket, "front")
    this.armDeadline()
    this.repair(slot, this.driver.check(slot.connection), () => this.park(slot))
  }

  private reset(slot: Slot<C>): void {
    const { reset } = this.driver
    if (reset === undefined) this.park(slot)
    else this.repair(slot, reset(slot.connection), () => this.park(slot))
  }

  private lend(slot: Slot<C>, holder: Holder, now: number): void {
    slot.state = "used"
    slot.reported = false
    slot.since = now
    slot.holder = holder
  }

  private used(ms: number): void {
    const now = this.environment.now()
    this.times.use.record(ms)
    this.uses = this.knowsUseAt(now - ms) ? this.uses + 1 : 1
    this.usedAt = now
    // One that lasted for hours says no more of the next than that it may outlast everybody's patience.
    this.useMs += (Math.min(ms, this.limits.acquireTimeout) - this.useMs) * (this.uses === 1 ? 1 : useWeight)
  }

  /** What uses took before a pause says nothing of those that follow it. */
  private knowsUseAt(moment: number): boolean {
    return this.uses > 0 && moment - this.usedAt <= this.limits.acquireTimeout
  }

  /** Everybody ahead takes a turn on one of the connections, those included that are still to be opened. */
  private predictedWait(priority: Priority): number {
    // Whoever waits does so for the check of another one.
    if (this.idle.length > 0 || this.uses < leastUses || !this.knowsUseAt(this.environment.now())) return 0
    return ((this.waiters.ahead(priority) + 1) * this.useMs) / this.limits.max
  }

  private refuse(ticket: Ticket<C>, description: string): void {
    this.counters.refused++
    this.settle(ticket, this.failure("AcquireTimeout", description))
  }

  /** Work on a slot that nobody holds; it comes back through `then`, or leaves the pool. */
  private repair(slot: Slot<C>, work: Effect.Effect<void, DatabaseError>, then: () => void): void {
    slot.state = "repair"
    slot.since = this.environment.now()
    this.environment.fork(
      Effect.exit(work).pipe(
        Effect.map((exit) => {
          if (slot.state === "gone") return
          if (Exit.isSuccess(exit) && slot.connection.closed === undefined) then()
          else this.remove(slot, "invalid")
        })
      )
    )
  }

  private park(slot: Slot<C>): void {
    const now = this.environment.now()
    if (this.closing) return this.remove(slot, "closed")
    if (now >= slot.expiresAt) return this.remove(slot, "lifetime")
    if (slot.generation !== this.generation) return this.remove(slot, "reset")
    if (this.slots.size > this.limits.max) return this.remove(slot, "shrunk")
    slot.since = now
    const ticket = this.waiters.shift()
    if (ticket !== undefined) return this.hand(slot, ticket)
    slot.state = "idle"
    this.idle.push(slot)
  }

  private remove(slot: Slot<C>, reason: CloseReason): void {
    if (slot.state === "gone") return
    if (slot.state === "idle") this.idle.splice(this.idle.indexOf(slot), 1)
    slot.state = "gone"
    this.slots.delete(slot)
    this.counters.closed[reason]++
    slot.connection.onClosed = undefined
    if (slot.connection.closed === undefined) this.environment.fork(this.driver.end(slot.connection))
    this.drained()
    this.serve()
    this.refill()
  }

  /** Idle connections go to whoever waits. */
  private serve(): void {
    while (this.idle.length > 0) {
      const ticket = this.waiters.shift()
      const slot = ticket === undefined ? undefined : this.idle.pop()
      if (ticket === undefined || slot === undefined) return
      this.hand(slot, ticket)
    }
  }

  /** Take in a new connection. */
  adopt(connection: C, generation = this.generation): void {
    const now = this.environment.now()
    const lifetime = this.limits.maxLifetime * (1 - lifetimeJitter * this.environment.random())
    const slot: Slot<C> = {
      connection,
      expiresAt: now + lifetime,
      generation,
      state: "used",
      since: now,
      shared: false,
      reported: false,
      holder: undefined,
      reminder: undefined
    }
    this.counters.opened++
    this.slots.add(slot)
    connection.onClosed = () => {
      // A used slot leaves when its holder gives it back.
      if (slot.state === "idle") this.remove(slot, "lost")
    }
    this.park(slot)
    this.refill()
    this.drained()
  }

  private connectFailed(error: DatabaseError, startedAt: number): void {
    this.counters.connectFailures++
    // With other connections alive the waiters may still get one of those; a server that is only starting up will
    // have them in a moment. Otherwise whoever asked before this attempt has its answer.
    if (this.slots.size === 0 && error.reason !== "CannotConnectNow") this.failSince(startedAt, () => error)
    this.refill()
    this.drained()
  }

  private armDeadline(): void {
    const { oldest } = this.waiters
    if (this.deadlineArmed || oldest === undefined) return
    this.deadlineArmed = true
    const wait = oldest.since + this.limits.acquireTimeout - this.environment.now()
    this.environment.fork(
      Effect.sleep(Math.max(wait, 1)).pipe(
        Effect.map(() => {
          this.deadlineArmed = false
          this.failSince(this.environment.now() - this.limits.acquireTimeout, () => {
            this.counters.timeouts++
            return this.failure(
              "AcquireTimeout",
              `no connection became free within ${this.limits.acquireTimeout} ms: ${this.queueInWords()}`
            )
          })
          this.armDeadline()
        })
      )
    )
  }

  /** Fails whoever has waited since before a moment. */
  private failSince(moment: number, error: () => DatabaseError): void {
    const { waiters } = this
    for (let ticket = waiters.shiftBefore(moment); ticket !== undefined; ticket = waiters.shiftBefore(moment)) {
      this.settle(ticket, error())
    }
  }

  private queueInWords(): string {
    const now = this.environment.now()
    const held = [...this.holders]
      .sort((a, b) => a.since - b.since)
      .slice(0, 3)
      .map((slot) => `${Math.round(now - slot.since)} ms by ${holderInWords(slot.holder)}`)
    const longest = held.length === 0 ? "none is in use" : `the longest in use for ${held.join(", ")}`
    return `${this.slots.size} of ${this.limits.max} open, ${longest}; ${this.waiters.length} waiting`
  }

  private failure(reason: "AcquireTimeout" | "PoolClosed", description: string): DatabaseError {
    return new DatabaseError({ reason, operation: "acquire", description, node: this.environment.name })
  }

  private settle(ticket: Ticket<C>, outcome: Slot<C> | DatabaseError): void {
    ticket.state = "settled"
    ticket.onSlot(outcome)
  }

  private drained(): void {
    if (!this.closing || this.slots.size > 0 || this.opener.pending > 0) return
    const { onDrained } = this
    this.onDrained = undefined
    onDrained?.()
  }
}
