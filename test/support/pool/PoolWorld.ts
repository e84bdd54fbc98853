/**
 * A pool's structure with its users on a simulated server, held against its invariants after every step.
 */
import { DatabaseError } from "effect-plinth"
import { PoolCore } from "../../../src/ConnectionPool/Core.ts"
import type { Slot, Ticket } from "../../../src/ConnectionPool/Core.ts"
import type { Priority } from "../../../src/ConnectionPool/WaitList.ts"
import type { Condition, Conduct, Schedule, Step } from "./schedule.ts"
import { SimulatedServer } from "./SimulatedServer.ts"
import type { SimulatedConnection } from "./SimulatedServer.ts"
import { VirtualTime } from "./VirtualTime.ts"

/** Somebody who asked for a slot. */
interface Client {
  readonly conduct: Conduct
  readonly since: number
  /** Asked for only when there is a reason to wait. */
  priority: Priority
  state: "waiting" | "served" | "failed" | "gone"
  ticket: Ticket<SimulatedConnection> | undefined
}

/** A failed attempt to connect holds up the next one for so long at most. */
const longestBackoffMs = 5_000

const must = (holds: boolean, what: string): void => {
  if (!holds) throw new Error(what)
}

export class PoolWorld {
  readonly time = new VirtualTime()
  private readonly server = new SimulatedServer(this.time)
  private readonly core: PoolCore<SimulatedConnection>
  private readonly limits: Schedule["limits"]
  private min: number
  private max: number
  private held: Array<Slot<SimulatedConnection>> = []
  private readonly evicted = new Set<Slot<SimulatedConnection>>()
  private readonly reported = new Set<Slot<SimulatedConnection>>()
  private readonly clients: Array<Client> = []
  private waiting: Array<Client> = []
  private readonly counted = { acquired: 0, timeouts: 0, refused: 0, leaks: 0 }
  /** What whoever is asking says to be asked for. */
  private asks: (() => Priority) | undefined
  private before = { total: 0, sum: 0 }
  /** The most connections that there ever were. */
  private most = 1
  private closing = false
  private drained = 0

  constructor(limits: Schedule["limits"]) {
    this.limits = limits
    this.min = limits.min
    this.max = limits.max
    this.core = new PoolCore(limits, this.server, {
      name: "simulated",
      now: () => this.time.now,
      random: () => 0.5,
      fork: this.time.fork,
      priority: () => this.asks?.() ?? "normal",
      onLongHeld: (slot, ms) => {
        must(this.held.includes(slot) && slot.state === "used", "only who holds a slot is reported")
        must(ms >= limits.leakAfter, "nobody is reported early")
        must(!this.reported.has(slot), "nobody is reported twice")
        this.reported.add(slot)
      }
    })
    this.step({ do: "maintain" })
  }

  step(step: Step): void {
    this.perform(step)
    this.time.settle()
    this.check()
  }

  /** Everybody gives back what they have, the server is well again, and then the pool is closed. */
  end(): void {
    this.step({ do: "opens", how: "succeeds", ms: 5 })
    this.step({ do: "answers", how: "at once" })
    if (!this.closing) {
      // Whoever is served meanwhile gives it back in the next turn.
      for (let turn = 0; turn < 10; turn++) this.rest()
      const { total, used, waiting } = this.core.size
      must(waiting === 0 && used === 0, "in the end nobody waits and nothing is in use")
      must(total >= Math.min(this.min, this.max), "in the end the minimum is there")
      this.step({ do: "close" })
    }
    this.rest()
    must(this.drained === 1, "a closed pool is drained")
    must(
      this.server.connections.every(({ closed, ended }) => ended || closed !== undefined),
      "a closed pool has no open connection"
    )
  }

  private rest(): void {
    while (this.held.length > 0) this.step({ do: "release", which: 0, condition: "clean", lent: false })
    this.step({ do: "wait", ms: 2 * longestBackoffMs })
    this.step({ do: "maintain" })
    // What has outlived its time is replaced.
    this.step({ do: "wait", ms: 100 })
  }

  private perform(step: Step): void {
    switch (step.do) {
      case "checkout":
        return this.checkout(step.conduct, step.priority)
      case "withdraw": {
        const client = this.clients.at(-1 - (step.which % Math.max(this.clients.length, 1)))
        if (client?.ticket === undefined) return
        // Whoever is settled may still say so, since both can happen at once.
        if (client.state === "waiting") client.state = "gone"
        this.waiting = this.waiting.filter((other) => other !== client)
        return this.core.withdraw(client.ticket)
      }
      case "kill":
        return this.server.connections[step.which % Math.max(this.server.connections.length, 1)]?.die()
      case "release": {
        const slot = this.held[step.which % Math.max(this.held.length, 1)]
        return slot === undefined ? undefined : this.release(slot, step.condition, step.lent)
      }
      case "takeIdle": {
        const slot = this.core.takeIdle(() => true)
        return slot === undefined ? undefined : this.hold(slot)
      }
      case "maintain":
        return this.core.maintain()
      case "retryNow":
        return this.core.retryNow()
      case "replaceAll":
        this.server.generation++
        return this.core.replaceAll()
      case "close":
        if (this.closing) return
        this.closing = true
        return this.core.close(() => this.drained++)
      case "resize":
        this.min = step.min
        this.max = step.max
        return this.core.resize(step)
      case "evict":
        for (const slot of this.held) this.evicted.add(slot)
        return this.core.evict(step.reason)
      case "opens":
        this.server.opens = step
        return
      case "answers":
        this.server.answers = step.how
        return
      case "wait":
        return this.time.advance(step.ms)
      case "jump":
        return this.time.jump(step.ms)
    }
  }

  private checkout(conduct: Conduct, priority: Priority): void {
    const client: Client = { conduct, since: this.time.now, priority: "normal", state: "waiting", ticket: undefined }
    this.asks = () => {
      client.priority = priority
      return priority
    }
    this.clients.push(client)
    this.waiting.push(client)
    client.ticket = this.core.checkout((outcome) => this.settled(client, outcome))
  }

  private settled(client: Client, outcome: Slot<SimulatedConnection> | DatabaseError.DatabaseError): void {
    must(client.state === "waiting", `whoever is ${client.state} is not settled`)
    if (outcome instanceof DatabaseError.DatabaseError) {
      client.state = "failed"
      this.waiting = this.waiting.filter((other) => other !== client)
      if (outcome.reason === "PoolClosed") must(this.closing, "only a closed pool says so")
      else if (outcome.reason !== "AcquireTimeout") must(this.core.size.total === 0, "another connection may come back")
      else if (this.time.now > client.since) {
        this.counted.timeouts++
        must(this.time.now - client.since >= this.limits.acquireTimeout, "nobody is given up early")
      } else {
        this.counted.refused++
        const isHopeless = outcome.description.startsWith("it would wait")
        must(isHopeless || this.waiting.length >= this.limits.maxWaiting, "nobody is refused while there is room")
        must(this.core.size.idle === 0, "nobody is refused while a connection is idle")
      }
      return
    }
    const first = this.waiting.find(({ priority }) => priority === client.priority)
    must(first === client, "who came first is served first, among those of one priority")
    this.waiting = this.waiting.filter((other) => other !== client)
    client.state = "served"
    this.counted.acquired++
    const unseenFor = this.time.now - outcome.connection.seenAt
    must(unseenFor <= this.limits.validateAfter, "what has rested for long is checked before it is handed on")
    this.hold(outcome)
    if (client.conduct === "keeps") return
    this.release(outcome, "clean", false)
    if (client.conduct === "asks again") this.checkout("keeps", client.priority)
  }

  private hold(slot: Slot<SimulatedConnection>): void {
    const { altered, closed, condition, ended, inRepair } = slot.connection
    must(!this.held.includes(slot), "a slot has one holder")
    must(closed === undefined && !ended, "what is handed on is open")
    must(condition === "clean" && !altered && !inRepair, "what is handed on is clean")
    must(
      slot.connection.generation === this.server.generation,
      "what was there before all were replaced is not handed on"
    )
    must(slot.state === "used", "what is handed on is in use")
    this.held.push(slot)
  }

  private release(slot: Slot<SimulatedConnection>, condition: Condition, lent: boolean): void {
    this.held = this.held.filter((other) => other !== slot)
    this.reported.delete(slot)
    const { connection } = slot
    if (condition === "closed") connection.die()
    else connection.condition = condition
    connection.seenAt = this.time.now
    if (connection.closed === undefined && condition === "open" && slot.state === "used") this.counted.leaks++
    connection.altered ||= lent
    this.core.release(slot, lent)
  }

  private check(): void {
    const { connections, counters, size } = this.core
    const { idle, opening, total, used, waiting } = size
    const { connectConcurrency, maxWaiting } = this.limits
    const holding = new Set(this.held.filter(({ state }) => state === "used").map(({ connection }) => connection))
    const atRest = connections.filter((connection) => !holding.has(connection) && !connection.inRepair)

    must(connections.length === total && used === total - idle, "the total is what is idle and what is used")
    must(
      this.held.every((slot) => slot.state === "used" || this.evicted.has(slot)),
      "what is held keeps its place until it comes back, dead or alive"
    )
    must(atRest.length === idle, "what nobody holds and nobody repairs is idle")
    must(
      atRest.every(({ closed, condition, ended }) => closed === undefined && condition === "clean" && !ended),
      "what is idle is open and clean"
    )
    must(
      atRest.every(({ generation }) => generation === this.server.generation),
      "what was there before all were replaced is not idle"
    )
    must(total <= Math.max(this.max, this.before.total), "there are never more than max, and after a shrink ever fewer")
    must(total + opening <= Math.max(this.max, this.before.sum), "no more are opened than there is room for")
    must(opening === this.server.opening && opening <= connectConcurrency, "few are opened at once")
    this.before = { total, sum: total + opening }

    this.most = Math.max(this.most, total)
    must(waiting === this.waiting.length, "those who wait are counted")
    must(waiting <= Math.max(maxWaiting, this.most), "no more wait than may, but for those whose connection is checked")
    const inRepair = connections.filter((connection) => connection.inRepair).length
    must(idle === 0 || waiting <= inRepair, "nobody waits while a connection is idle, but for its check")
    for (const { since } of this.waiting) {
      must(this.time.now - since <= this.limits.acquireTimeout + 1, "nobody waits past the deadline")
    }
    const room = Math.min(this.max - total, connectConcurrency) - opening
    const missing = Math.max(waiting - inRepair, this.min - total) - opening
    const backsOff = this.time.now - this.server.failedAt <= longestBackoffMs
    must(this.closing || backsOff || room <= 0 || missing <= 0, "what is missing is being opened")

    const closed = Object.values(counters.closed).reduce((sum, n) => sum + n, 0)
    must(counters.opened === this.server.connections.length, "every connection that was opened is counted")
    must(counters.opened === total + closed, "what was opened is there or was closed")
    must(counters.acquired === this.counted.acquired, "every slot that was handed out is counted")
    must(counters.timeouts === this.counted.timeouts, "every timeout is counted")
    must(counters.refused === this.counted.refused, "everybody who was refused is counted")
    must(counters.leaks === this.counted.leaks, "every open transaction that came back is counted")
    must(counters.connectFailures === this.server.failures, "every failed attempt to connect is counted")

    if (!this.closing) return
    must(waiting === 0 && idle === 0, "a closed pool keeps nobody waiting and nothing idle")
    must(this.drained === (total + opening === 0 ? 1 : 0), "a closed pool says once that it is drained, when it is")
  }
}
