/**
 * The connections of a simulated server, and what it does with attempts to connect, checks and rollbacks.
 */
import * as Effect from "effect/Effect"
import { DatabaseError } from "effect-plinth"
import type { Driver, Poolable } from "../../../src/ConnectionPool/Core.ts"
import type { Answer, Opening } from "./schedule.ts"
import type { VirtualTime } from "./VirtualTime.ts"

const error = (reason: "ConnectionLost" | "ConnectionRefused" | "CannotConnectNow") =>
  new DatabaseError.DatabaseError({ reason, operation: "simulated", description: reason })

const lost = error("ConnectionLost")
const refusals = { "is refused": error("ConnectionRefused"), "is starting up": error("CannotConnectNow") } as const

/** What a check or a rollback takes that is late, and one that hangs. */
const lateMs = 30
const validateTimeoutMs = 250

export class SimulatedConnection implements Poolable {
  closed: DatabaseError.DatabaseError | undefined
  onClosed: (() => void) | undefined
  condition: "clean" | "open" | "busy" = "clean"
  /** The pool has a check or a rollback under way. */
  inRepair = false
  /** Its holder may have changed the session. */
  altered = false
  ended = false
  /** When it last proved to be alive. */
  seenAt: number
  /** How often the pool had replaced all when it began to be opened. */
  readonly generation: number

  constructor(seenAt: number, generation: number) {
    this.seenAt = seenAt
    this.generation = generation
  }

  die(): void {
    if (this.closed !== undefined) return
    this.closed = lost
    this.onClosed?.()
  }
}

export class SimulatedServer implements Driver<SimulatedConnection> {
  readonly connections: Array<SimulatedConnection> = []
  opens: { readonly how: Opening; readonly ms: number } = { how: "succeeds", ms: 5 }
  answers: Answer = "at once"
  /** How often the pool has replaced all. */
  generation = 0
  opening = 0
  failures = 0
  failedAt = Number.NEGATIVE_INFINITY
  private readonly time: VirtualTime

  constructor(time: VirtualTime) {
    this.time = time
  }

  readonly open: Driver<SimulatedConnection>["open"] = Effect.suspend(() => {
    const { how, ms } = this.opens
    const { generation } = this
    this.opening++
    return Effect.delay(
      Effect.suspend(() => {
        this.opening--
        if (how !== "succeeds") {
          this.failures++
          this.failedAt = this.time.now
          return Effect.fail(refusals[how])
        }
        const connection = new SimulatedConnection(this.time.now, generation)
        this.connections.push(connection)
        return Effect.succeed(connection)
      }),
      ms
    )
  })

  readonly check: Driver<SimulatedConnection>["check"] = (connection) => this.answer(connection, () => {})

  readonly reset = (connection: SimulatedConnection) =>
    this.answer(connection, () => {
      connection.altered = false
    })

  readonly restore: Driver<SimulatedConnection>["restore"] = (connection) =>
    this.answer(connection, () => {
      connection.condition = "clean"
    })

  readonly condition: Driver<SimulatedConnection>["condition"] = ({ condition }) => condition

  readonly end: Driver<SimulatedConnection>["end"] = (connection) =>
    Effect.sync(() => {
      connection.ended = true
    })

  readonly drop: Driver<SimulatedConnection>["drop"] = (connection) => connection.die()

  readonly dropOverdue: Driver<SimulatedConnection>["dropOverdue"] = () => {}

  private answer(connection: SimulatedConnection, done: () => void): Effect.Effect<void, DatabaseError.DatabaseError> {
    return Effect.suspend(() => {
      const how = this.answers
      connection.inRepair = true
      const finish = Effect.suspend(() => {
        connection.inRepair = false
        if (how === "hangs") connection.die()
        if (how === "hangs" || how === "fails" || how === "fails late") return Effect.fail(lost)
        // It may have died since, and the pool has to see that for itself.
        connection.seenAt = this.time.now
        done()
        return Effect.void
      })
      if (how === "hangs") return Effect.delay(finish, validateTimeoutMs)
      return how === "late" || how === "fails late" ? Effect.delay(finish, lateMs) : finish
    })
  }
}
