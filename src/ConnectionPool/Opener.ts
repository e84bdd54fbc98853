/**
 * Opens connections: few at a time, and after a failure not before a growing, jittered pause, so that a server which
 * comes back is not met by a storm.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { fromUnknown } from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import { Histogram } from "../internal/Histogram.ts"

export interface OpenerOptions<C> {
  /** Of the server, for errors. */
  readonly node: string
  readonly open: Effect.Effect<C, DatabaseError>
  readonly concurrency: number
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly fork: (effect: Effect.Effect<void>) => void
  readonly onOpened: (connection: C, generation: number) => void
  readonly onFailed: (error: DatabaseError, startedAt: number) => void
  /** The pause is over. */
  readonly onReady: () => void
}

/** Pause between failed attempts, in milliseconds, doubled from the first to the last. */
const firstPause = 100
const lastPause = 5_000

export class Opener<C> {
  /** Attempts under way. */
  pending = 0
  /** Milliseconds that successful attempts took. */
  readonly times = new Histogram()
  private failures = 0
  private allowedAt = 0
  private pausing = false
  private readonly options: OpenerOptions<C>

  constructor(options: OpenerOptions<C>) {
    this.options = options
  }

  /** Open more, as many as are allowed now; `generation` comes back with each. */
  ask(wanted: number, generation: number): void {
    const now = this.options.now()
    if (wanted <= 0) return
    if (now < this.allowedAt) return this.pause(this.allowedAt - now)
    const count = Math.min(wanted, this.options.concurrency - this.pending)
    for (let i = 0; i < count; i++) this.open(now, generation)
  }

  /** The server is known to answer: the next attempt need not wait. */
  forgive(): void {
    this.failures = 0
    this.allowedAt = 0
  }

  private open(startedAt: number, generation: number): void {
    const { fork, node, now, onFailed, onOpened, open, random } = this.options
    this.pending++
    fork(
      Effect.exit(open).pipe(
        Effect.map((exit) => {
          this.pending--
          if (Exit.isSuccess(exit)) {
            this.forgive()
            this.times.record(now() - startedAt)
            onOpened(exit.value, generation)
          } else if (!Cause.isInterruptedOnly(exit.cause)) {
            const pause = Math.min(firstPause * 2 ** this.failures++, lastPause)
            this.allowedAt = now() + pause * (0.5 + random() / 2)
            // A defect, of what fetches the password or greets the server, is told to whoever waits: no other sees it.
            onFailed(fromUnknown(Cause.squash(exit.cause), { operation: "connect", node }), startedAt)
          }
        })
      )
    )
  }

  private pause(ms: number): void {
    if (this.pausing) return
    this.pausing = true
    this.options.fork(
      Effect.sleep(ms).pipe(
        Effect.map(() => {
          this.pausing = false
          this.options.onReady()
        })
      )
    )
  }
}
