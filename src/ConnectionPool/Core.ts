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
  state: "idle" | "used" | "repair" | "gone"
  /** When it entered its state. */
  since: number
  /** A lane: nobody holds it for long, though it is held. */
  shared: boolean
  /** It was reported as held for long. */
  reported: boolean
}

/** Whoever waits for a slot. Called once, with a slot or with the reason why there is none. */
export type OnSlot<C> = (outcome: Slot<C> | DatabaseError) => void

export interface Ticket<C> {
  readonly onSlot: OnSlot<C>
  readonly since: number
  state: "waiting" | "settled"
  previous: Ticket<C> | undefined
  next: Ticket<C> | undefined
}

/** Why a connection left the pool. */
export type CloseReason = "idle" | "lifetime" | "lost" | "invalid" | "busy" | "shrunk" | "closed"

export interface Environment<C> {
  readonly name: string
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly fork: (effect: Effect.Effect<void>) => void
  /** A slot is held for longer than `leakAfter`. */
  readonly onLongHeld: (slot: Slot<C>, ms: number) => void
}

/** Backoff between failed attempts to connect, doubled from the first to the last. */
const firstBackoffMs = 100
const lastBackoffMs = 5_000

/** Share of the lifetime by which connections differ, so that a fleet does not reconnect at once (HikariCP: 2.5 %, pgx: jitter option). */
const lifetimeJitter = 0.1

export class PoolCore<C extends Poolable> {
  readonly counters = {
    opened: 0,
    connectFailures: 0,
    acquired: 0,
    timeouts: 0,
    leaks: 0,
    closed: { idle: 0, lifetime: 0, lost: 0, invalid: 0, busy: 0, shrunk: 0, closed: 0 }
  }
  /** Somebody has begun to wait. */
  onWaiting: (() => void) | undefined
  private limits: Limits
  private readonly driver: Driver<C>
  private readonly environment: Environment<C>
  private readonly idle: Array<Slot<C>> = []
  private readonly slots = new Set<Slot<C>>()
  private head: Ticket<C> | undefined
  private tail: Ticket<C> | undefined
  private waiting = 0
  private opening = 0
  private failures = 0
  private openAllowedAt = 0
  private backingOff = false
  private deadlineArmed = false
  private closing = false
  private onDrained: (() => void) | undefined

  constructor(limits: Limits, driver: Driver<C>, environment: Environment<C>) {
    this.limits = limits
    this.driver = driver
    this.environment = environment
  }

  get size() {
    const idle = this.idle.length
    return { total: this.slots.size, idle, used: this.slots.size - idle, opening: this.opening, waiting: this.waiting }
  }

  get holders(): ReadonlyArray<Slot<C>> {
    return [...this.slots].filter((slot) => slot.state === "used" && !slot.shared)
  }

  /** Ask for a slot. `onSlot` may be called before this returns. */
  checkout(onSlot: OnSlot<C>): Ticket<C> {
    const now = this.environment.now()
    const ticket: Ticket<C> = { onSlot, since: now, state: "waiting", previous: undefined, next: undefined }
    if (this.closing) {
      this.settle(ticket, this.failure("PoolClosed", "the pool is closed"))
    } else {
      const slot = this.idle.pop()
      if (slot !== undefined && this.head === undefined) this.hand(slot, ticket)
      else if (slot !== undefined && this.head !== undefined) {
        this.push(ticket)
        this.hand(slot, this.shift(this.head))
      } else if (this.waiting >= this.limits.maxWaiting) {
        this.settle(ticket, this.failure("AcquireTimeout", `${this.waiting} others already wait (maxWaiting)`))
      } else {
        this.push(ticket)
        this.refill()
        this.armDeadline()
        this.onWaiting?.()
      }
    }
    return ticket
  }

  get hasWaiters(): boolean {
    return this.head !== undefined
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
    slot.state = "used"
    slot.reported = false
    slot.since = this.environment.now()
    return slot
  }

  /** Stop waiting. A slot that arrives later is not handed to this ticket. */
  withdraw(ticket: Ticket<C>): void {
    if (ticket.state === "settled") return
    ticket.state = "settled"
    this.unlink(ticket)
  }

  /** Give a slot back. Only a clean connection is handed on; an open transaction is rolled back first. */
  release(slot: Slot<C>): void {
    if (slot.state !== "used") return
    if (slot.connection.closed !== undefined) return this.remove(slot, "lost")
    switch (this.driver.condition(slot.connection)) {
      case "clean":
        return this.park(slot)
      case "busy":
        return this.remove(slot, "busy")
      case "open": {
        this.counters.leaks++
        this.repair(slot, this.driver.restore(slot.connection), () => this.park(slot))
      }
    }
  }

  /** Open connections that are missing for the waiters and for the minimum. */
  refill(): void {
    if (this.closing) return
    const { connectConcurrency, max, min } = this.limits
    const wanted = Math.min(max - this.slots.size, Math.max(this.waiting, min - this.slots.size)) - this.opening
    const now = this.environment.now()
    if (wanted <= 0) return
    if (now < this.openAllowedAt) return this.armBackoff(this.openAllowedAt - now)
    const count = Math.min(wanted, connectConcurrency - this.opening)
    for (let i = 0; i < count; i++) this.open(now)
  }

  /** The server is known to answer again: connect without waiting for the end of the backoff. */
  retryNow(): void {
    this.failures = 0
    this.openAllowedAt = 0
    this.refill()
  }

  /** Close what idled, lived or kept its holder waiting too long, then refill; called about once a second. */
  maintain(): void {
    const now = this.environment.now()
    for (const slot of this.slots) {
      if (slot.state !== "used") continue
      this.driver.dropOverdue(slot.connection)
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

  /** Refuse new work, fail the waiters, end the idle; `onDrained` is called when the last used slot is back. */
  close(onDrained: () => void): void {
    this.closing = true
    this.onDrained = onDrained
    while (this.head !== undefined)
      this.settle(this.shift(this.head), this.failure("PoolClosed", "the pool was closed"))
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
    slot.since = now
    if (idleFor <= this.limits.validateAfter) {
      slot.state = "used"
      slot.reported = false
      this.counters.acquired++
      return this.settle(ticket, slot)
    }
    this.push(ticket, "front")
    this.armDeadline()
    this.repair(slot, this.driver.check(slot.connection), () => this.park(slot))
  }

  /** Work on a slot that nobody holds; it comes back through `then`, or leaves the pool. */
  private repair(slot: Slot<C>, work: Effect.Effect<void, DatabaseError>, then: () => void): void {
    slot.state = "repair"
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
    if (this.slots.size > this.limits.max) return this.remove(slot, "shrunk")
    slot.since = now
    if (this.head === undefined) {
      slot.state = "idle"
      this.idle.push(slot)
    } else {
      this.hand(slot, this.shift(this.head))
    }
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

  /** Whoever waited for the slot that is gone may have another that came back meanwhile. */
  private serve(): void {
    for (let slot = this.idle.at(-1); slot !== undefined && this.head !== undefined; slot = this.idle.at(-1)) {
      this.idle.pop()
      this.hand(slot, this.shift(this.head))
    }
  }

  private open(startedAt: number): void {
    this.opening++
    this.environment.fork(
      Effect.exit(this.driver.open).pipe(
        Effect.map((exit) => {
          this.opening--
          if (Exit.isSuccess(exit)) this.adopt(exit.value)
          else if (exit.cause._tag === "Fail") this.connectFailed(exit.cause.error, startedAt)
          this.drained()
        })
      )
    )
  }

  /** Take in a new connection. */
  adopt(connection: C): void {
    const now = this.environment.now()
    const lifetime = this.limits.maxLifetime * (1 - lifetimeJitter * this.environment.random())
    const slot: Slot<C> = {
      connection,
      expiresAt: now + lifetime,
      state: "used",
      since: now,
      shared: false,
      reported: false
    }
    this.failures = 0
    this.openAllowedAt = 0
    this.counters.opened++
    this.slots.add(slot)
    connection.onClosed = () => {
      // A used slot leaves when its holder gives it back.
      if (slot.state === "idle") this.remove(slot, "lost")
    }
    this.park(slot)
    this.refill()
  }

  private connectFailed(error: DatabaseError, startedAt: number): void {
    this.counters.connectFailures++
    const backoff = Math.min(firstBackoffMs * 2 ** this.failures++, lastBackoffMs)
    this.openAllowedAt = this.environment.now() + backoff * (0.5 + this.environment.random() / 2)
    // With other connections alive the waiters may still get one of those; a server that is only starting up will
    // have them in a moment. Otherwise whoever asked before this attempt has its answer.
    if (this.slots.size === 0 && error.reason !== "CannotConnectNow") {
      for (let ticket = this.head; ticket !== undefined && ticket.since <= startedAt; ticket = this.head) {
        this.settle(this.shift(ticket), error)
      }
    }
    this.refill()
  }

  private armBackoff(ms: number): void {
    if (this.backingOff) return
    this.backingOff = true
    this.environment.fork(
      Effect.sleep(ms).pipe(
        Effect.map(() => {
          this.backingOff = false
          this.refill()
        })
      )
    )
  }

  private armDeadline(): void {
    if (this.deadlineArmed || this.head === undefined) return
    this.deadlineArmed = true
    const wait = this.head.since + this.limits.acquireTimeout - this.environment.now()
    this.environment.fork(
      Effect.sleep(Math.max(wait, 1)).pipe(
        Effect.map(() => {
          this.deadlineArmed = false
          const expired = this.environment.now() - this.limits.acquireTimeout
          for (let ticket = this.head; ticket !== undefined && ticket.since <= expired; ticket = this.head) {
            this.counters.timeouts++
            const error = this.failure("AcquireTimeout", this.queueInWords())
            this.settle(this.shift(ticket), error)
          }
          this.armDeadline()
        })
      )
    )
  }

  private queueInWords(): string {
    const now = this.environment.now()
    const held = this.holders.map((slot) => Math.round(now - slot.since)).sort((a, b) => b - a)
    const longest = held.length === 0 ? "none is in use" : `the longest in use for ${held.slice(0, 3).join(", ")} ms`
    return `no connection became free within ${this.limits.acquireTimeout} ms: ${this.slots.size} of ${this.limits.max} open, ${longest}, ${this.waiting} waiting`
  }

  private failure(reason: "AcquireTimeout" | "PoolClosed", description: string): DatabaseError {
    return new DatabaseError({ reason, operation: "acquire", description, node: this.environment.name })
  }

  private settle(ticket: Ticket<C>, outcome: Slot<C> | DatabaseError): void {
    ticket.state = "settled"
    ticket.onSlot(outcome)
  }

  private push(ticket: Ticket<C>, end: "front" | "back" = "back"): void {
    this.waiting++
    if (this.head === undefined || this.tail === undefined) {
      this.head = ticket
      this.tail = ticket
    } else if (end === "back") {
      ticket.previous = this.tail
      this.tail.next = ticket
      this.tail = ticket
    } else {
      ticket.next = this.head
      this.head.previous = ticket
      this.head = ticket
    }
  }

  private shift(ticket: Ticket<C>): Ticket<C> {
    this.unlink(ticket)
    return ticket
  }

  private unlink(ticket: Ticket<C>): void {
    this.waiting--
    if (ticket.previous === undefined) this.head = ticket.next
    else ticket.previous.next = ticket.next
    if (ticket.next === undefined) this.tail = ticket.previous
    else ticket.next.previous = ticket.previous
    ticket.previous = undefined
    ticket.next = undefined
  }

  private drained(): void {
    if (this.closing && this.slots.size === 0 && this.opening === 0) this.onDrained?.()
  }
}
