/**
 * One connection to one backend: exchanges in order, cancellation that hits nothing else, and a death that is noticed.
 */
import * as Effect from "effect/Effect"
import type * as Pg from "pg"
import { DatabaseError, fromUnknown } from "../../DatabaseError.ts"
import { cancelRequest } from "./cancelRequest.ts"
import { connectClient } from "./connectClient.ts"
import { backendKey, makeCollector, writerOf } from "./driver.ts"
import type { Collector, TransactionStatus, Writer } from "./driver.ts"
import { Exchange, StatementCache } from "./Exchange.ts"
import type { Result, Step } from "./Exchange.ts"

export interface WireOptions {
  readonly config: Pg.ClientConfig
  /** `host:port/database` for errors. */
  readonly node: string
  /** Prepared statements to keep; 0 sends every statement unnamed. */
  readonly statementLimit: number
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
}

export interface RunOptions {
  readonly operation?: string | undefined
  /** Refuse to send when the backend is not inside a transaction block at that moment. */
  readonly inTransaction?: boolean | undefined
  /** The pool drops the connection when the answer takes longer than this many milliseconds; looked at every second. */
  readonly replyWithin?: number | undefined
}

type Done = (error: DatabaseError | undefined, results: ReadonlyArray<Result>) => void

interface Pending {
  readonly steps: ReadonlyArray<Step>
  readonly options: RunOptions
  readonly onDone: Done
  state: "queued" | "running" | "settled"
  /** Set while it is being cancelled: its owner hears of its end only when the connection can be used again. */
  onStopped: (() => void) | undefined
}

/** How long a CancelRequest may take to reach the server before it is sent again. */
const cancelAttemptTimeout = "250 millis"
/** After this a statement that would not stop takes its connection with it. */
const cancelDeadline = "1 second"

/**
 * @see open
 */
export class WireConnection {
  readonly openedAt: number
  readonly processId: number
  /** Where the backend stands, by the last ReadyForQuery. */
  status: TransactionStatus = "I"
  /** Why the connection is unusable, once it is. */
  closed: DatabaseError | undefined
  onClosed: (() => void) | undefined
  onNotification: ((notification: Pg.Notification) => void) | undefined
  private readonly client: Pg.Client
  private readonly options: WireOptions
  private readonly writer: Writer
  private readonly collector: Collector
  private readonly statements: StatementCache | undefined
  private readonly queue: Array<Pending> = []
  private exchange: Exchange | undefined
  private running: Pending | undefined
  private sentAt = 0
  private cancelling = false
  private afterCancel: (() => void) | undefined

  constructor(client: Pg.Client, options: WireOptions) {
    this.client = client
    this.options = options
    this.openedAt = options.now()
    this.processId = backendKey(client).processId
    this.writer = writerOf(client.connection)
    this.collector = makeCollector(client.connection)
    this.statements = options.statementLimit > 0 ? new StatementCache(options.statementLimit) : undefined
    // Attached after the client's own listener, so the client is ready for the next exchange when this runs.
    this.writer.on("readyForQuery", (message) => {
      this.status = message.status
      this.settle()
    })
    client.on("error", (error) => this.die(error))
    client.on("end", () => this.die(new Error("Connection terminated unexpectedly")))
    client.on("notification", (notification) => this.onNotification?.(notification))
  }

  get node(): string {
    return this.options.node
  }

  /** Nothing is running or waiting on this connection. */
  get idle(): boolean {
    return this.running === undefined && this.queue.length === 0 && !this.cancelling
  }

  /** Drop the connection when what runs has waited longer for its answer than it said. */
  dropOverdue(): void {
    const limit = this.running?.options.replyWithin
    if (limit !== undefined && this.options.now() - this.sentAt >= limit) {
      this.destroy(`no answer came within ${limit / 1000} seconds`)
    }
  }

  /** Enqueue an exchange; `onDone` is called once, after ReadyForQuery or after the connection is lost. */
  unsafeRun(steps: ReadonlyArray<Step>, options: RunOptions, onDone: Done): Pending {
    const pending: Pending = { steps, options, onDone, state: "queued", onStopped: undefined }
    this.queue.push(pending)
    if (this.running === undefined) this.next()
    return pending
  }

  /** Run statements as one exchange. Interruption cancels them on the server and waits until they have stopped. */
  run(steps: ReadonlyArray<Step>, options: RunOptions = {}): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    return Effect.async((resume) => {
      const pending = this.unsafeRun(steps, options, (error, results) =>
        resume(error === undefined ? Effect.succeed(results) : Effect.fail(error))
      )
      return this.abandon(pending)
    })
  }

  /** Withdraw an exchange: one that was not sent yet is dropped, a running one is cancelled and waited for. */
  abandon(pending: Pending): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (pending.state === "settled") return Effect.void
      if (pending.state === "queued") {
        this.queue.splice(this.queue.indexOf(pending), 1)
        pending.state = "settled"
        return Effect.void
      }
      return this.cancel(pending)
    })
  }

  /** End the session politely; a server that does not answer is left after a second. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    if (this.closed !== undefined) return Effect.void
    return Effect.async<void>((resume) => {
      this.client.end(() => resume(Effect.void))
    }).pipe(Effect.timeoutOption("1 second"), Effect.ensuring(Effect.sync(() => this.destroy())), Effect.asVoid)
  })

  /** Drop the socket at once. */
  destroy(reason = "the connection was closed by its pool"): void {
    this.die(
      new DatabaseError({ reason: "ConnectionLost", operation: "connection", description: reason, node: this.node })
    )
    this.writer.stream.destroy()
  }

  /** Keep, or stop keeping, the process alive for this connection. */
  keepAlive(alive: boolean): void {
    if (alive) this.writer.stream.ref?.()
    else this.writer.stream.unref?.()
  }

  private next(): void {
    while (this.running === undefined && !this.cancelling) {
      const pending = this.queue.shift()
      if (pending === undefined) return
      const refusal = this.refuse(pending)
      if (refusal !== undefined) {
        this.finish(pending, refusal, [])
        continue
      }
      pending.state = "running"
      this.running = pending
      if (pending.options.replyWithin !== undefined) this.sentAt = this.options.now()
      const exchange = new Exchange(this.collector, pending.steps, this.statements, this.options.config.types)
      this.exchange = exchange
      this.client.query(exchange)
    }
  }

  private refuse(pending: Pending): DatabaseError | undefined {
    if (this.closed !== undefined) return this.closed
    if (pending.options.inTransaction === true && this.status === "I") {
      return new DatabaseError({
        reason: "TransactionAborted",
        operation: pending.options.operation ?? "query",
        description: "the transaction was no longer open, so the statement was not sent",
        node: this.node
      })
    }
    return undefined
  }

  private settle(): void {
    const { running, exchange } = this
    if (running === undefined || exchange === undefined) return
    this.running = undefined
    this.exchange = undefined
    const error =
      exchange.error === undefined
        ? undefined
        : fromUnknown(exchange.error, { operation: running.options.operation ?? "query", node: this.node })
    this.finish(running, error, exchange.results)
    this.next()
  }

  private finish(pending: Pending, error: DatabaseError | undefined, results: ReadonlyArray<Result>): void {
    pending.state = "settled"
    if (pending.onStopped === undefined) return pending.onDone(error, results)
    pending.onStopped()
    this.afterCancel = () => pending.onDone(error, results)
  }

  private die(cause: Error): void {
    if (this.closed !== undefined) return
    // The server's last words (57P01, ..) say more than the socket's end that follows them.
    this.closed = fromUnknown(this.exchange?.error ?? cause, { operation: "connection", node: this.node })
    if (this.exchange !== undefined) {
      this.exchange.error ??= cause
      this.settle()
    }
    this.next()
    this.onClosed?.()
  }

  private cancel(pending: Pending): Effect.Effect<void> {
    let resumeStopped: (() => void) | undefined
    const stopped = Effect.async<void>((resume) => {
      if (pending.state === "settled") return resume(Effect.void)
      resumeStopped = () => resume(Effect.void)
    })
    // A request that overtakes its statement hits an idle backend and is forgotten there, so it is repeated.
    const attempt = Effect.zipRight(
      Effect.timeoutOption(cancelRequest(this.client, this.options.config), cancelAttemptTimeout),
      stopped
    ).pipe(Effect.timeoutOption(cancelAttemptTimeout))
    return Effect.suspend(() => {
      this.cancelling = true
      pending.onStopped = () => resumeStopped?.()
      return Effect.repeat(attempt, { until: () => pending.state === "settled" }).pipe(
        Effect.timeoutOption(cancelDeadline),
        Effect.zipRight(
          Effect.suspend(() =>
            pending.state === "settled"
              ? this.fence
              : Effect.sync(() => this.destroy("a cancelled statement did not stop"))
          )
        ),
        Effect.ensuring(
          Effect.sync(() => {
            this.cancelling = false
            this.afterCancel?.()
            this.afterCancel = undefined
            this.next()
          })
        )
      )
    })
  }

  /**
   * A round trip after the cancelled statement: a signal that the server still had to deliver is delivered here, to
   * nothing, and not to the next statement.
   */
  private readonly fence: Effect.Effect<void> = Effect.async<void>((resume) => {
    if (this.closed !== undefined) return resume(Effect.void)
    const pending: Pending = {
      steps: [],
      options: { operation: "cancel" },
      onDone: () => resume(Effect.void),
      state: "running",
      onStopped: undefined
    }
    this.running = pending
    this.exchange = new Exchange(this.collector, [], undefined, undefined)
    this.client.query(this.exchange)
  }).pipe(
    Effect.timeoutFail({ duration: cancelDeadline, onTimeout: () => "stuck" }),
    Effect.catchAll(() => Effect.sync(() => this.destroy("the server did not answer after a cancellation")))
  )
}

/** Open a connection. Interruption and failure leave no socket behind. */
export const open = (options: WireOptions): Effect.Effect<WireConnection, DatabaseError> =>
  Effect.map(connectClient(options.config, options.node), (client) => new WireConnection(client, options))
