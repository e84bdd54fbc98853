/**
 * How the demo ends early: after Ctrl-C, SIGTERM, a closed terminal or the end of the npm that started it, always with
 * its finalizers, and with the exit code that a shell gives to the signal.
 */
import type { Teardown } from "@effect/platform/Runtime"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"

const codes = { SIGINT: 130, SIGTERM: 143 } as const

/**
 * Watches the signals from here on. `runMain` interrupts the program at the first one and listens no more; npm passes a
 * Ctrl-C on that the terminal has sent to all already, and the second one must not cut the end short.
 */
export const watchSignals = (): Teardown => {
  let code: number | undefined
  const onSignal = (signal: keyof typeof codes) => {
    code ??= codes[signal]
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
  return (exit, onExit) => onExit(Exit.isSuccess(exit) ? 0 : (code ?? 1))
}

/** Asks for the end when npm is gone: after kill -9 it could not pass anything on. */
export const endWithNpm = Effect.suspend(() => {
  const parent = process.ppid
  return process.env["npm_lifecycle_event"] === undefined
    ? Effect.never
    : Effect.sync(() => process.ppid).pipe(
        Effect.repeat({ while: (pid) => pid === parent, schedule: Schedule.spaced("200 millis") }),
        Effect.zipRight(Effect.sync(() => process.kill(process.pid, "SIGTERM")))
      )
})
