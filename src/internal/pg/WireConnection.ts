/**
 * One connection to one backend: exchanges in order, cancellation that hits nothing else, and a death that is noticed.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NodeInspectSymbol } from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Pg from "pg"
import { DatabaseError, fromUnknown } from "../../DatabaseError.ts"
import { cancelRequest } from "./cancelRequest.ts"
import { connectClient } from "./connectClient.ts"
import { backendKey, makeCollector, onMessages, writerOf } from "./driver.ts"
import type { Collector, TransactionStatus, Writer } from "./driver.ts"
import { Exchange } from "./Exchange.ts"
import type { Done, RunOptions, Step } from "./Exchange.ts"
import { noRows } from "./Result.ts"
import type { Result } from "./Result.ts"
import { StatementCache } from "./StatementCache.ts"

export interface WireOptions {
  readonly config: Pg.ClientConfig
  /** `host:port/database` for errors. */
  readonly node: string
  /** Prepared statements to keep; 0 sends every statement unnamed. */
  readonly statementLimit: number
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
  /** The session's `statement_timeout` in milliseconds, if it was given one. */
  readonly statementTimeout?: number | undefined
}

/** A statement that goes on after the server has passed a cancellation on was not there yet: it is cancelled again. */
const cancelAgainAfter = "250 millis"
/** After this a statement that would not stop, or a request that may still arrive, takes its connection with it. */
const cancelDeadline = "3 seconds"
/** So much later than the server would have ended a statement, in milliseconds, the server is taken for gone. */
const answerGrace = 5_000
/** How long a round trip and a farewell may take. */
const answerDeadline = "1 second"

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
  /** Fails when the connection is lost. */
  readonly lost: Effect.Effect<never, DatabaseError> = Effect.async((resume) => {
    const lose = (error: DatabaseError) => resume(Effect.fail(error))
    if (this.closed !== undefined) return lose(this.closed)
    this.mourners.add(lose)
    return Effect.sync(() => this.mourners.delete(lose))
  })
  onNotification: ((notification: Pg.Notification) => void) | undefined
  /** Exchanges that may be under way at a time. More than one only where none of them is ever cancelled. */
  depth = 1
  private readonly client: Pg.Client
  private readonly options: WireOptions
  private readonly writer: Writer
  private readonly collector: Collector
  private readonly statements: StatementCache | undefined
  private readonly queue: Array<Exchange> = []
  /** What the server works on, in the order in which it will answer. */
  private readonly sent: Array<Exchange> = []
  /** Whoever waits for its end. */
  private readonly mourners = new Set<(error: DatabaseError) => void>()
  private sentAt = 0
  /** What was overdue at the last look: after a pause of this process its answer may be there and not read yet. */
  private overdue: Exchange | undefined
  /** The session has been given another `statement_timeout`: for its transaction, or for good. */
  private ownTimeout: "none" | "local" | "session" = "none"
  private flushing = false
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
    this.listen()
    client.on("error", (error) => this.die(error))
    client.on("end", () => this.die(new Error("Connection terminated unexpectedly")))
    client.on("notification", (notification) => this.onNotification?.(notification))
  }

  /** The answers of the server, each to the exchange that is running. */
  private listen(): void {
    const { types } = this.options.config
    const begun = () => {
      if (this.running !== undefined) this.running.begun = true
    }
    onMessages(this.client.connection, {
      parseComplete: begun,
      bindComplete: begun,
      closeComplete: begun,
      noData: () => this.running?.describe(noRows.fields, types),
      rowDescription: ({ fields }) => this.running?.describe(fields, types),
      dataRow: ({ fields }) => this.running?.row(fields, types),
      commandComplete: ({ text }) => {
        if (text === "DEALLOCATE ALL" || text === "DISCARD ALL") this.statements?.clear()
        if (text === "DISCARD ALL") this.ownTimeout = "none"
        this.running?.complete(text, false, types)
      },
      emptyQuery: () => this.running?.complete("", false, types),
      portalSuspended: () => this.running?.complete("", true, types),
      copyInResponse: () => {
        this.collector.sendCopyFail("COPY FROM STDIN needs a stream of data")
        // The Sync behind the statement was taken for part of the copy.
        if (this.running?.isSimple === false) this.collector.sync()
        this.flush()
      },
      copyData: () => this.running?.fail(new Error("COPY TO STDOUT needs a consumer of its data")),
      errorMessage: (error) => {
        this.running?.fail(error)
        // The server's last words say more than the end of the socket that follows them.
        if (isFatal(error)) this.die(error)
      },
      readyForQuery: ({ status }) => {
        this.status = status
        if (status === "I" && this.ownTimeout === "local") this.ownTimeout = "none"
        this.settle()
      }
    })
  }

  /** The exchange that the server answers now. */
  private get running(): Exchange | undefined {
    return this.sent[0]
  }

  get node(): string {
    return this.options.node
  }

  /** Nothing is running or waiting on this connection. */
  get idle(): boolean {
    return this.sent.length === 0 && this.queue.length === 0 && !this.cancelling
  }

  /** Drop the connection when what runs has waited longer for its answer than it said, or than its server lets it run. */
  dropOverdue(): void {
    const { running } = this
    const limit = running === undefined ? undefined : this.limitOf(running)
    if (limit === undefined || this.options.now() - this.sentAt < limit) return
    if (this.overdue === running) this.destroy(`no answer came within ${limit / 1000} seconds`)
    this.overdue = running
  }

  private limitOf({ options, statementCount }: Exchange): number | undefined {
    const { statementTimeout } = this.options
    if (options.replyWithin !== undefined) return options.replyWithin
    return statementTimeout === undefined || this.ownTimeout !== "none"
      ? undefined
      : statementCount * statementTimeout + answerGrace
  }

  /** Enqueue an exchange; `onDone` is called once, after ReadyForQuery or after the connection is lost. */
  unsafeRun(steps: ReadonlyArray<Step>, options: RunOptions, onDone: Done): Exchange {
    const exchange = new Exchange(steps, options, onDone)
    this.queue.push(exchange)
    if (this.sent.length < this.depth) this.next()
    return exchange
  }

  /** Run statements as one exchange. Interruption cancels them on the server and waits until they have stopped. */
  run(steps: ReadonlyArray<Step>, options: RunOptions = {}): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    return Effect.async((resume) => {
      const exchange = this.unsafeRun(steps, options, (error, results) =>
        resume(error === undefined ? Effect.succeed(results) : Effect.fail(error))
      )
      return options.toTheEnd === true ? undefined : this.abandon(exchange)
    })
  }

  /** Withdraw an exchange: one that was not sent yet is dropped, a running one is cancelled and waited for. */
  abandon(exchange: Exchange): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (exchange.state === "settled") return Effect.void
      if (exchange.state === "queued") {
        this.queue.splice(this.queue.indexOf(exchange), 1)
        exchange.state = "settled"
        return Effect.void
      }
      return this.cancel(exchange)
    })
  }

  /** End the session politely; a server that does not answer is left after a second. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    if (this.closed !== undefined) return Effect.void
    return within(
      answerDeadline,
      Effect.async<void>((resume) => {
        this.client.end(() => resume(Effect.void))
      })
    ).pipe(Effect.ensuring(Effect.sync(() => this.destroy())), Effect.asVoid)
  })

  /** Asks the server to stop what it works on, for a connection that is dropped next: it would work on to the end. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() =>
    this.running === undefined
      ? Effect.void
      : Effect.asVoid(within(answerDeadline, cancelRequest(this.client, this.options.config)))
  )

  /** What can be shown of it: what it was opened with holds a password and perhaps a key. */
  toJSON(): unknown {
    const { node, processId, status } = this
    return { _id: "plinth/PooledConnection", node, processId, status }
  }

  [NodeInspectSymbol](): unknown {
    return this.toJSON()
  }

  /** Drop the socket at once. */
  destroy(reason = "the connection was closed by its pool"): void {
    this.die(
      new DatabaseError({ reason: "ConnectionLost", operation: "connection", description: reason, node: this.node })
    )
    this.writer.stream.destroy()
  }

  private next(): void {
    while (this.sent.length < this.depth && !this.cancelling) {
      const exchange = this.queue.shift()
      if (exchange === undefined) return
      const refusal = this.refuse(exchange)
      if (refusal === undefined) this.send(exchange)
      else this.finish(exchange, refusal, true)
    }
  }

  private send(exchange: Exchange): void {
    this.sent.push(exchange)
    const { operation, replyWithin } = exchange.options
    if (replyWithin !== undefined || this.options.statementTimeout !== undefined) {
      this.sentAt = this.options.now()
      // A lane puts back what it changes.
      if (operation !== "lane") this.noteTimeout(exchange)
    }
    exchange.send(this.collector, this.statements)
    if (this.depth === 1) this.flush()
    else this.flushSoon()
  }

  private noteTimeout({ steps }: Exchange): void {
    for (const step of steps) {
      if (!("text" in step) || !/statement_timeout/i.test(step.text)) continue
      const isLocal = /^\s*SET\s+LOCAL\s/i.test(step.text)
      this.ownTimeout = isLocal && this.ownTimeout !== "session" ? "local" : "session"
    }
  }

  private flush(): void {
    this.writer.stream.write(this.collector.take())
  }

  /** All fibers that the same answer woke have asked for their next statement by then: it leaves in one write. */
  private flushSoon(): void {
    if (this.flushing) return
    this.flushing = true
    queueMicrotask(() => {
      this.flushing = false
      this.flush()
    })
  }

  private refuse(exchange: Exchange): DatabaseError | undefined {
    if (this.closed !== undefined) return this.closed
    if (exchange.options.inTransaction === true && this.status === "I") {
      return new DatabaseError({
        reason: "TransactionAborted",
        operation: exchange.options.operation ?? "query",
        description: "the transaction was no longer open, so the statement was not sent",
        node: this.node
      })
    }
    return undefined
  }

  private settle(): void {
    const running = this.sent.shift()
    if (running === undefined) return
    running.end()
    const { error } = running
    const unbegun = !running.begun && wasIdle(error)
    if (error === undefined) this.finish(running, undefined, unbegun)
    else
      this.finish(
        running,
        this.failure(error, unbegun ? "connection" : (running.options.operation ?? "query"), running.failedStatement),
        unbegun
      )
    this.next()
  }

  /** Of what was sent, and may have run, the failure is that of its own operation. */
  private failure(error: Error, operation: string, statement: number | undefined): DatabaseError {
    return error instanceof DatabaseError
      ? new DatabaseError({ ...error, operation })
      : fromUnknown(error, { operation, node: this.node, statement })
  }

  private finish(exchange: Exchange, error: DatabaseError | undefined, unbegun: boolean): void {
    exchange.state = "settled"
    if (exchange.onStopped === undefined) return exchange.onDone(error, exchange.results, unbegun)
    exchange.onStopped()
    this.afterCancel = () => exchange.onDone(error, exchange.results, unbegun)
  }

  private die(cause: Error): void {
    if (this.closed !== undefined) return
    this.closed = fromUnknown(this.running?.error ?? cause, { operation: "connection", node: this.node })
    while (this.running !== undefined) {
      this.running.fail(cause)
      this.settle()
    }
    this.next()
    this.onClosed?.()
    for (const lose of this.mourners) lose(this.closed)
  }

  private cancel(exchange: Exchange): Effect.Effect<void> {
    let resumeStopped: (() => void) | undefined
    const stopped = Effect.async<void>((resume) => {
      if (exchange.state === "settled") return resume(Effect.void)
      resumeStopped = () => resume(Effect.void)
    })
    // A request that overtakes its statement hits an idle backend and is forgotten there, so it is repeated.
    const attempt = Effect.zipRight(cancelRequest(this.client, this.options.config), within(cancelAgainAfter, stopped))
    return Effect.suspend(() => {
      this.cancelling = true
      exchange.onStopped = () => resumeStopped?.()
      return within(cancelDeadline, Effect.repeat(attempt, { until: () => exchange.state === "settled" })).pipe(
        Effect.flatMap((done) =>
          // A request that was not passed on in time could hit the next statement.
          Option.isSome(done) ? this.fence : Effect.sync(() => this.destroy("a cancelled statement did not stop"))
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
  private readonly fence: Effect.Effect<void> = Effect.flatMap(
    within(
      answerDeadline,
      Effect.async<void>((resume) => {
        if (this.closed !== undefined) return resume(Effect.void)
        this.send(new Exchange([], { operation: "cancel" }, () => resume(Effect.void)))
      })
    ),
    (done) =>
      Option.isSome(done)
        ? Effect.void
        : Effect.sync(() => this.destroy("the server did not answer after a cancellation"))
  )
}

/** A deadline that also holds where the caller cannot be interrupted, as in a finalizer. */
const within = <A>(duration: Duration.DurationInput, effect: Effect.Effect<A>): Effect.Effect<Option.Option<A>> =>
  Effect.timeoutOption(Effect.interruptible(effect), duration)

/**
 * The server ended the session because of an administrator or because it was idle, at a moment when it had answered
 * nothing: what it had read would have been answered before.
 */
const wasIdle = (error: unknown): boolean =>
  isFatal(error) && Predicate.hasProperty(error, "code") && (error.code === "57P01" || error.code === "57P05")

/** The server ends the session with this message. */
const isFatal = (error: unknown): boolean =>
  Predicate.hasProperty(error, "severity") && (error.severity === "FATAL" || error.severity === "PANIC")

/** Open a connection. Interruption and failure leave no socket behind. */
export const open = (options: WireOptions): Effect.Effect<WireConnection, DatabaseError> =>
  Effect.map(connectClient(options.config, options.node), (client) => new WireConnection(client, options))
