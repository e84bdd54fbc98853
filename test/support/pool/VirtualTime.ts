/**
 * Effects in simulated time, run to their next wait before the call that moved them returns.
 *
 * The test clock of Effect waits a few real milliseconds whenever it is adjusted, so ten thousand schedules of it take
 * an hour.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Scheduler } from "effect/Scheduler"

interface Timer {
  readonly at: number
  readonly wake: () => void
}

export class VirtualTime {
  /** Milliseconds since the start. */
  now = 0
  private timers: Array<Timer> = []
  private tasks: Array<() => void> = []
  private readonly clock: Clock.Clock
  private readonly scheduler: Scheduler = {
    shouldYield: () => false,
    scheduleTask: (task) => void this.tasks.push(task)
  }

  constructor() {
    const millis = () => this.now
    const nanos = () => BigInt(Math.round(this.now * 1e6))
    const sleep = (duration: Duration.Duration) =>
      Effect.async<void>((resume) => {
        const timer = { at: this.now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
        this.timers.push(timer)
        return Effect.sync(() => {
          this.timers = this.timers.filter((other) => other !== timer)
        })
      })
    this.clock = {
      [Clock.ClockTypeId]: Clock.ClockTypeId,
      unsafeCurrentTimeMillis: millis,
      unsafeCurrentTimeNanos: nanos,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanos: Effect.sync(nanos),
      sleep
    }
  }

  readonly fork = (effect: Effect.Effect<void>): void => {
    Effect.runFork(Effect.withClock(effect, this.clock), { scheduler: this.scheduler })
  }

  /** Everything that can go on does, until it waits for the clock. */
  settle(): void {
    while (this.tasks.length > 0) for (const task of this.tasks.splice(0)) task()
  }

  /** Time passes, and whoever sleeps wakes at its own moment. */
  advance(ms: number): void {
    const end = this.now + ms
    this.settle()
    for (let next = this.earliest(end); next !== undefined; next = this.earliest(end)) {
      this.now = Math.max(this.now, next.at)
      this.wake(next)
    }
    this.now = end
  }

  /** The process stood still: all who slept wake late, one after the other. */
  jump(ms: number): void {
    this.now += ms
    this.settle()
    const late = this.now
    for (let next = this.earliest(late); next !== undefined; next = this.earliest(late)) this.wake(next)
  }

  private wake(timer: Timer): void {
    this.timers.splice(this.timers.indexOf(timer), 1)
    timer.wake()
    this.settle()
  }

  private earliest(until: number): Timer | undefined {
    let found: Timer | undefined
    for (const timer of this.timers) {
      if (timer.at <= until && (found === undefined || timer.at < found.at)) found = timer
    }
    return found
  }
}
